//! CloudWatch Logs' read operations over functions' logs: JSON 1.1 at `POST /`, the operation in `X-Amz-Target`.
//! A function's log is the group `/aws/lambda/<name>`.

use hearth_registry::Scope;
use hearth_telemetry::logs::{Filter, LogError, Order, Page, Position, Query, StreamSummary};
use hearth_types::arn::FunctionRef;
use hearth_types::invoke::RequestId;
use hearth_types::name::FunctionKey;
use hearth_types::wire::logs::*;
use hearth_types::{ApiError, ErrorKind};
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::amz_target;
use crate::error_response::{self, Answer, Protocol};
use crate::gateway::Parted;

/// How the names of functions' groups begin.
const GROUP_PREFIX: &str = "/aws/lambda/";
/// Before the operation in `X-Amz-Target` (service model, `targetPrefix`).
const TARGET_PREFIX: &str = "Logs_20140328.";
/// Most events of a page (service model, `EventsLimit`).
const MOST_EVENTS: i64 = 10_000;
/// Most groups or streams of a page (service model, `DescribeLimit`).
const MOST_DESCRIBED: i64 = 50;

/// Does what an authenticated request asks for.
pub(crate) async fn answer(
    gateway: &Parted,
    scope: &Scope,
    parts: &Parts,
    body: &[u8],
    request_id: RequestId,
) -> Answer {
    let logs = Logs { gateway, scope };
    let answered = match amz_target::operation(parts, TARGET_PREFIX) {
        Some("FilterLogEvents") => logs.filter(body).await,
        Some("GetLogEvents") => logs.get(body).await,
        Some("DescribeLogGroups") => logs.groups(body).await,
        Some("DescribeLogStreams") => logs.streams(body).await,
        Some(other) => {
            let shown: String = other.chars().take(80).collect();
            Err(ApiError::new(
                ErrorKind::NotImplemented,
                format!(
                    "Hearth does not have the operation {shown} of CloudWatch Logs: logs can be read only."
                ),
            ))
        }
        None => Err(ApiError::new(
            ErrorKind::UnknownOperation,
            "X-Amz-Target must name an operation of Logs_20140328.",
        )),
    };
    match answered {
        Ok(body) => error_response::json(200, Protocol::Json11, &body, request_id),
        Err(error) => error_response::of(&error, Protocol::Json11, request_id),
    }
}

struct Logs<'a> {
    gateway: &'a Parted,
    scope: &'a Scope,
}

impl Logs<'_> {
    async fn filter(&self, body: &[u8]) -> Result<serde_json::Value, ApiError> {
        let request: FilterLogEventsRequest = parse(body)?;
        let key = self
            .group(request.log_group_name, request.log_group_identifier)
            .await?;
        let streams = request.log_stream_names.unwrap_or_default();
        let prefix = request.log_stream_name_prefix.unwrap_or_default();
        if !streams.is_empty() && !prefix.is_empty() {
            return Err(ApiError::invalid(
                "logStreamNames and logStreamNamePrefix can't be given together.",
            ));
        }
        let pattern = request.filter_pattern.unwrap_or_default();
        let query = Query {
            streams,
            stream_prefix: prefix,
            start_ms: request.start_time,
            // Inclusive here, exclusive there.
            end_ms: request.end_time.map(|end| end.saturating_add(1)),
            order: Order::Forward,
            filter: Filter::parse(&pattern)
                .map_err(|error| ApiError::invalid(error.to_string()))?,
            limit: limit(request.limit, MOST_EVENTS)?,
            position: request.next_token.as_deref().map(position).transpose()?,
        };
        let page = self.read(&key, query).await?;
        let next_token = page.more.then(|| page.after.to_string());
        let events = page.events.into_iter().map(|event| FilteredLogEvent {
            log_stream_name: event.stream,
            timestamp: event.timestamp_ms,
            message: event.message,
            ingestion_time: event.ingestion_ms,
            event_id: event.id,
        });
        to_value(FilterLogEventsResponse {
            events: events.collect(),
            searched_log_streams: Vec::new(),
            next_token,
        })
    }

    async fn get(&self, body: &[u8]) -> Result<serde_json::Value, ApiError> {
        let request: GetLogEventsRequest = parse(body)?;
        let key = self
            .group(request.log_group_name, request.log_group_identifier)
            .await?;
        let stream = request
            .log_stream_name
            .ok_or_else(|| ApiError::invalid("logStreamName is required."))?;
        let known = self
            .gateway
            .logs
            .streams(&key, &stream)
            .await
            .map_err(broken)?;
        if !known.iter().any(|known| known.name == stream) {
            return Err(ApiError::not_found(
                "The specified log stream does not exist.",
            ));
        }
        let (order, position) = match request.next_token.as_deref() {
            Some(token) => match token.split_at_checked(2) {
                Some(("f/", token)) => (Order::Forward, Some(position(token)?)),
                Some(("b/", token)) => (Order::Backward, Some(position(token)?)),
                _ => return Err(bad_token()),
            },
            None if request.start_from_head == Some(true) => (Order::Forward, None),
            None => (Order::Backward, None),
        };
        let query = Query {
            streams: vec![stream],
            start_ms: request.start_time,
            end_ms: request.end_time,
            order,
            limit: limit(request.limit, MOST_EVENTS)?,
            position,
            ..Query::default()
        };
        let page = self.read(&key, query).await?;
        let events = page.events.into_iter().map(|event| OutputLogEvent {
            timestamp: event.timestamp_ms,
            message: event.message,
            ingestion_time: event.ingestion_ms,
        });
        to_value(GetLogEventsResponse {
            events: events.collect(),
            next_forward_token: format!("f/{}", page.after),
            next_backward_token: format!("b/{}", page.before),
        })
    }

    async fn groups(&self, body: &[u8]) -> Result<serde_json::Value, ApiError> {
        let request: DescribeLogGroupsRequest = parse(body)?;
        let most = limit(request.limit, MOST_DESCRIBED)?;
        let prefix = request.log_group_name_prefix.unwrap_or_default();
        let pattern = request.log_group_name_pattern.unwrap_or_default();
        let Scope { account, region } = self.scope;
        // A prefix that is shorter than what all groups have in common asks for all, or for none.
        let functions = match prefix.strip_prefix(GROUP_PREFIX) {
            Some(name) => self.gateway.logs.functions(account, region, name).await,
            None if GROUP_PREFIX.starts_with(&prefix) => {
                self.gateway.logs.functions(account, region, "").await
            }
            None => Ok(Vec::new()),
        };
        let all = functions.map_err(broken)?.into_iter().map(|function| {
            let name = format!("{GROUP_PREFIX}{}", function.key.name);
            let arn = format!("arn:aws:logs:{region}:{account}:log-group:{name}");
            LogGroup {
                arn: format!("{arn}:*"),
                log_group_arn: arn,
                log_group_name: name,
                creation_time: function.created_ms,
                metric_filter_count: 0,
                stored_bytes: function.stored_bytes,
                log_group_class: "STANDARD".to_owned(),
            }
        });
        let wanted = all.filter(|group| group.log_group_name.contains(&pattern));
        let after = request.next_token.as_deref();
        let rest = wanted.filter(|group| after.is_none_or(|after| *group.log_group_name > *after));
        let (log_groups, next_token) = page(rest, most, |group| group.log_group_name.clone());
        to_value(DescribeLogGroupsResponse {
            log_groups,
            next_token,
        })
    }

    async fn streams(&self, body: &[u8]) -> Result<serde_json::Value, ApiError> {
        let request: DescribeLogStreamsRequest = parse(body)?;
        let most = limit(request.limit, MOST_DESCRIBED)?;
        let key = self
            .group(request.log_group_name, request.log_group_identifier)
            .await?;
        let prefix = request.log_stream_name_prefix.unwrap_or_default();
        let by_time = match request.order_by.as_deref() {
            None | Some("LogStreamName") => false,
            Some("LastEventTime") if prefix.is_empty() => true,
            Some("LastEventTime") => {
                return Err(ApiError::invalid(
                    "Cannot order by LastEventTime with a logStreamNamePrefix.",
                ));
            }
            Some(_) => {
                return Err(ApiError::invalid(
                    "orderBy must be LogStreamName or LastEventTime.",
                ));
            }
        };
        let mut streams = self
            .gateway
            .logs
            .streams(&key, &prefix)
            .await
            .map_err(broken)?;
        if by_time {
            streams.sort_by(|a, b| (a.last_ms, &a.name).cmp(&(b.last_ms, &b.name)));
        } else {
            streams.sort_by(|a, b| a.name.cmp(&b.name));
        }
        if request.descending == Some(true) {
            streams.reverse();
        }
        // The token is the last stream's name. If that stream has gone meanwhile the listing begins anew.
        let skipped = match &request.next_token {
            None => 0,
            Some(token) => streams
                .iter()
                .position(|s| s.name == *token)
                .map_or(0, |at| at + 1),
        };
        let (streams, next_token) =
            page(streams.into_iter().skip(skipped), most, |s| s.name.clone());
        let log_streams = streams.into_iter().map(|stream| self.summary(&key, stream));
        to_value(DescribeLogStreamsResponse {
            log_streams: log_streams.collect(),
            next_token,
        })
    }

    fn summary(&self, key: &FunctionKey, stream: StreamSummary) -> LogStreamSummary {
        let Scope { account, region } = self.scope;
        let group = format!(
            "arn:aws:logs:{region}:{account}:log-group:{GROUP_PREFIX}{}",
            key.name
        );
        LogStreamSummary {
            arn: format!("{group}:log-stream:{}", stream.name),
            log_stream_name: stream.name,
            creation_time: stream.first_ms,
            first_event_timestamp: stream.first_ms,
            last_event_timestamp: stream.last_ms,
            last_ingestion_time: stream.last_ingestion_ms,
            stored_bytes: stream.stored_bytes,
        }
    }

    /// The function whose log a group is. The group is there if the function is, or if it has left a log.
    async fn group(
        &self,
        name: Option<String>,
        identifier: Option<String>,
    ) -> Result<FunctionKey, ApiError> {
        let missing = || ApiError::not_found("The specified log group does not exist.");
        let Scope { account, region } = self.scope;
        let name = match (name, identifier) {
            (Some(name), None) => name,
            (None, Some(identifier)) => {
                let own = format!("arn:aws:logs:{region}:{account}:log-group:");
                match identifier.strip_prefix(&own) {
                    Some(name) => name.trim_end_matches(":*").to_owned(),
                    None if identifier.starts_with("arn:") => {
                        return Err(ApiError::new(
                            ErrorKind::AccessDenied,
                            "The log group belongs to another account or region.",
                        ));
                    }
                    None => identifier,
                }
            }
            _ => {
                return Err(ApiError::invalid(
                    "Exactly one of logGroupName and logGroupIdentifier is required.",
                ));
            }
        };
        let name = name.strip_prefix(GROUP_PREFIX).ok_or_else(missing)?;
        let key = FunctionKey {
            account: account.clone(),
            region: region.clone(),
            name: name.parse().map_err(|_| missing())?,
        };
        let function = FunctionRef {
            account: None,
            region: None,
            name: key.name.clone(),
            qualifier: None,
        };
        let registry = &self.gateway.registry;
        if registry
            .get_function_configuration(self.scope, &function, None)
            .is_err()
        {
            let left = self
                .gateway
                .logs
                .functions(account, region, name)
                .await
                .map_err(broken)?;
            if !left.iter().any(|left| left.key == key) {
                return Err(missing());
            }
        }
        Ok(key)
    }

    async fn read(&self, key: &FunctionKey, query: Query) -> Result<Page, ApiError> {
        self.gateway.logs.read(key, query).await.map_err(broken)
    }
}

/// The first `most` of what is left, and the name to go on after if there is more.
fn page<T>(
    rest: impl Iterator<Item = T>,
    most: usize,
    name: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let mut items: Vec<T> = rest.take(most + 1).collect();
    if items.len() <= most {
        return (items, None);
    }
    items.truncate(most);
    let next = items.last().map(name);
    (items, next)
}

fn limit(asked: Option<i64>, most: i64) -> Result<usize, ApiError> {
    let asked = asked.unwrap_or(most);
    if !(1..=most).contains(&asked) {
        return Err(ApiError::invalid(format!("limit must be 1 to {most}.")));
    }
    usize::try_from(asked).map_err(|_| bad_token())
}

fn position(token: &str) -> Result<Position, ApiError> {
    token.parse().map_err(|_| bad_token())
}

fn bad_token() -> ApiError {
    ApiError::invalid("The specified nextToken is invalid.")
}

fn broken(error: LogError) -> ApiError {
    tracing::error!(%error, "read a function's log");
    ApiError::service("The log can't be read. Try again.")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = body.trim_ascii();
    if body.first() != Some(&b'{') {
        return Err(ApiError::new(
            ErrorKind::Serialization,
            "The body of the request must be a JSON object.",
        ));
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(ErrorKind::Serialization, error.to_string()))
}

fn to_value(response: impl Serialize) -> Result<serde_json::Value, ApiError> {
    serde_json::to_value(response).map_err(|error| {
        tracing::error!(%error, "write a response as JSON");
        ApiError::service("The answer can't be written.")
    })
}
