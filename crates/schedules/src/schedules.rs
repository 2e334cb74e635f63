//! The handle, and the operations on schedules.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hearth_store::SqliteScheduleStore;
use hearth_store::schedules::{NewSchedule, Place, Schedule, Settings, Token};
use hearth_store::sqlite::schedules::Wanted;
use hearth_types::time::Timestamp;
use jiff::tz::TimeZoneDatabase;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Clock;
use crate::error::{Kind, ScheduleError};
use crate::expression::Expression;
use crate::name::{self, DEFAULT};
use crate::request;
use crate::timing::Timing;
use crate::wire::{self, ScheduleRequest};

/// Most entries of a page, and how many there are if nothing was said (service model, `MaxResults`).
const MOST_LISTED: usize = 100;
/// Most characters of a client's token (service model, `ClientToken`).
const TOKEN_CHARACTERS: usize = 64;

/// The schedules. Cheap to clone.
#[derive(Clone)]
pub struct Schedules {
    pub(crate) store: Arc<SqliteScheduleStore>,
    pub(crate) zones: Arc<TimeZoneDatabase>,
    clock: Clock,
}

impl fmt::Debug for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedules").finish_non_exhaustive()
    }
}

/// A request: an operation of the API, and where it names things.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The operation's name.
    pub operation: &'a str,
    /// What the path names: a schedule, a group, or a resource by its ARN.
    pub name: &'a str,
    /// The query.
    pub query: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

impl<'a> Call<'a> {
    pub(crate) fn query(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.query.iter();
        let pair = pairs.find(|(key, _)| key == name);
        pair.map(|(_, value)| value.as_str())
    }

    pub(crate) fn read<T: DeserializeOwned + Default>(&self) -> Result<T, ScheduleError> {
        if self.body.is_empty() {
            return Ok(T::default());
        }
        serde_json::from_slice(self.body).map_err(|error| {
            ScheduleError::invalid(format!("The request's body can't be read: {error}."))
        })
    }

    /// The token of a change, with what it was asked for.
    pub(crate) fn token(&self, token: Option<&str>) -> Result<Option<Token>, ScheduleError> {
        let Some(token) = token else {
            return Ok(None);
        };
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        if !(1..=TOKEN_CHARACTERS).contains(&token.len()) || !token.bytes().all(good) {
            return Err(ScheduleError::invalid(format!(
                "ClientToken must be 1 to {TOKEN_CHARACTERS} letters, digits, '-' and '_'."
            )));
        }
        let mut digest = Sha256::new();
        let parts = [self.operation.as_bytes(), self.name.as_bytes(), self.body];
        let query = self.query.iter().flat_map(|(key, value)| [key, value]);
        for part in parts.into_iter().chain(query.map(|text| text.as_bytes())) {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Ok(Some(Token {
            token: token.to_owned(),
            request: digest.finalize().into(),
        }))
    }

    /// How many entries a page may have.
    pub(crate) fn limit(&self) -> Result<usize, ScheduleError> {
        let limit = match self.query("MaxResults") {
            None => Some(MOST_LISTED),
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST_LISTED).contains(limit)),
        };
        limit.ok_or_else(|| {
            ScheduleError::invalid(format!("MaxResults must be from 1 to {MOST_LISTED}."))
        })
    }

    /// What a page follows, of the kind that [`next_token`] was given.
    pub(crate) fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, ScheduleError> {
        self.query("NextToken").map(read_token).transpose()
    }
}

/// What a page ended with, of its token.
pub(crate) fn read_token<T: DeserializeOwned>(token: &str) -> Result<T, ScheduleError> {
    let read = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    let read = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    read.ok_or_else(|| {
        ScheduleError::invalid("NextToken must be one that this operation has answered.")
    })
}

/// The token of what a page ends with.
pub(crate) fn next_token(last: &impl serde::Serialize) -> Result<String, ScheduleError> {
    serde_json::to_vec(last)
        .map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes))
        .map_err(unwritable)
}

pub(crate) fn to_value(answer: &impl serde::Serialize) -> Result<Value, ScheduleError> {
    serde_json::to_value(answer).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> ScheduleError {
    tracing::error!(%error, "write an answer as JSON");
    ScheduleError::new(Kind::InternalServer, "The answer can't be written.")
}

/// A date as the API writes it: seconds since 1970.
pub(crate) fn date(at: Timestamp) -> f64 {
    // Exact for some 285,000 years.
    at.as_millis() as f64 / 1_000.0
}

pub(crate) fn state(enabled: bool) -> &'static str {
    if enabled { "ENABLED" } else { "DISABLED" }
}

/// A request to make or change a schedule, read.
struct Asked {
    name: String,
    group: String,
    token: Option<Token>,
    settings: Settings,
}

impl Schedules {
    /// The schedules of `store`, in the zones of `zones`.
    pub fn new(store: SqliteScheduleStore, zones: TimeZoneDatabase, clock: Clock) -> Self {
        Self {
            store: Arc::new(store),
            zones: Arc::new(zones),
            clock,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Does an operation of the API for who owns `place`.
    ///
    /// # Errors
    /// [`ScheduleError`]; nothing was changed.
    pub async fn call(&self, place: &Place, call: Call<'_>) -> Result<Value, ScheduleError> {
        match call.operation {
            "CreateSchedule" => self.create(place, call).await,
            "GetSchedule" => self.get(place, call).await,
            "ListSchedules" => self.list(place, call).await,
            "UpdateSchedule" => self.update(place, call).await,
            "DeleteSchedule" => self.delete(place, call).await,
            "CreateScheduleGroup" => self.create_group(place, call).await,
            "GetScheduleGroup" => self.get_group(place, call).await,
            "ListScheduleGroups" => self.list_groups(place, call).await,
            "DeleteScheduleGroup" => self.delete_group(place, call).await,
            "TagResource" => self.tag(place, call).await,
            "UntagResource" => self.untag(place, call).await,
            "ListTagsForResource" => self.list_tags(place, call).await,
            other => Err(ScheduleError::invalid(format!(
                "Hearth does not have the operation {other} of EventBridge Scheduler."
            ))),
        }
    }

    /// A group's name as a request gives it. The group that is always there is made when it is first named.
    pub(crate) async fn group_name(
        &self,
        place: &Place,
        group: Option<&str>,
    ) -> Result<String, ScheduleError> {
        let group = name::check(group.unwrap_or(DEFAULT), "GroupName")?.to_owned();
        if group == DEFAULT {
            self.ensure_default(place).await?;
        }
        Ok(group)
    }

    /// Settings whose timing can be told, of a request.
    fn settings(&self, place: &Place, request: ScheduleRequest) -> Result<Settings, ScheduleError> {
        let settings = request::settings(request, place)?;
        match Timing::new(&settings, &self.zones, self.now(), 0) {
            Ok(_) => Ok(settings),
            // The beginning is the service's.
            Err(why) => Err(ScheduleError::invalid(format!(
                "Invalid Schedule Expression {}: {why}.",
                settings.expression
            ))),
        }
    }

    /// What a request wants a schedule to be.
    async fn asked(&self, place: &Place, call: Call<'_>) -> Result<Asked, ScheduleError> {
        let name = name::check(call.name, "Name")?.to_owned();
        let request: ScheduleRequest = call.read()?;
        let token = call.token(request.client_token.as_deref())?;
        let group = self
            .group_name(place, request.group_name.as_deref())
            .await?;
        let settings = self.settings(place, request)?;
        Ok(Asked {
            name,
            group,
            token,
            settings,
        })
    }

    async fn create(&self, place: &Place, call: Call<'_>) -> Result<Value, ScheduleError> {
        let Asked {
            name,
            group,
            token,
            settings,
        } = self.asked(place, call).await?;
        let now = self.now();
        self.check_future(&settings, now)?;
        let what = format!("Schedule {name}");
        let arn = name::arn(place, &group, &name);
        let zones = Arc::clone(&self.zones);
        let new = move |number| NewSchedule {
            settings: settings.clone(),
            next: first(&settings, &zones, now, number, now),
        };
        self.store
            .create((place, group.clone(), name), new, token, now)
            .await
            .map_err(|error| ScheduleError::of(error, &group, &what))?;
        Ok(json!({ "ScheduleArn": arn }))
    }

    /// A new schedule whose expression names no time any more is a mistake.
    fn check_future(&self, settings: &Settings, now: Timestamp) -> Result<(), ScheduleError> {
        let unbounded = Settings {
            start: None,
            end: None,
            enabled: true,
            ..settings.clone()
        };
        if first(&unbounded, &self.zones, now, 0, now).is_some() {
            return Ok(());
        }
        Err(ScheduleError::invalid(format!(
            "Invalid Schedule Expression {}: it names no time that is still to come.",
            settings.expression
        )))
    }

    async fn update(&self, place: &Place, call: Call<'_>) -> Result<Value, ScheduleError> {
        let Asked {
            name,
            group,
            token,
            settings,
        } = self.asked(place, call).await?;
        let now = self.now();
        let what = format!("Schedule {name}");
        let arn = name::arn(place, &group, &name);
        let zones = Arc::clone(&self.zones);
        let change = move |schedule: &Schedule| {
            let next = if is_due_alike(&schedule.settings, &settings) {
                schedule.next
            } else {
                // What was due has been, even if the clock has been set back since.
                let after = schedule.last.map(|last| last.as_millis() + 1);
                let from = after.map_or(now, |after| now.max(Timestamp::from_millis(after)));
                first(&settings, &zones, schedule.created, schedule.number, from)
            };
            (settings.clone(), next)
        };
        self.store
            .update((place, group.clone(), name), change, token, now)
            .await
            .map_err(|error| ScheduleError::of(error, &group, &what))?;
        Ok(json!({ "ScheduleArn": arn }))
    }

    async fn delete(&self, place: &Place, call: Call<'_>) -> Result<Value, ScheduleError> {
        let name = name::check(call.name, "Name")?;
        let token = call.token(call.query("clientToken"))?;
        let group = self.group_name(place, call.query("groupName")).await?;
        self.store
            .delete((place, group.clone(), name.to_owned()), token, self.now())
            .await
            .map_err(|error| ScheduleError::of(error, &group, &format!("Schedule {name}")))?;
        Ok(json!({}))
    }

    async fn get(&self, place: &Place, call: Call<'_>) -> Result<Value, ScheduleError> {
        let name = name::check(call.name, "Name")?;
        let group = self.group_name(place, call.query("groupName")).await?;
        let found = self.store.schedule(place, &group, name).await;
        let what = format!("Schedule {name}");
        let found = found.map_err(|error| ScheduleError::of(error, &group, &what))?;
        let Some(schedule) = found else {
            return Err(ScheduleError::new(
                Kind::ResourceNotFound,
                format!("{what} does not exist."),
            ));
        };
        to_value(&shown(schedule))
    }

    async fn list(&self, place: &Place, call: Call<'_>) -> Result<Value, ScheduleError> {
        let limit = call.limit()?;
        let group = match call.query("ScheduleGroup") {
            None => None,
            Some(group) => {
                let group = self.group_name(place, Some(group)).await?;
                self.find_group(place, &group).await?;
                Some(group)
            }
        };
        let wanted = Wanted {
            group,
            prefix: name::check_prefix(call.query("NamePrefix"))?,
            enabled: match call.query("State") {
                None => None,
                Some("ENABLED") => Some(true),
                Some("DISABLED") => Some(false),
                Some(_) => {
                    return Err(ScheduleError::invalid("State must be ENABLED or DISABLED."));
                }
            },
            after: call.after()?,
        };
        let mut found = self.store.list(place, wanted, limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let mut answer = json!({});
        if let Some(last) = found.last().filter(|_| more) {
            answer["NextToken"] = next_token(&(&last.group, &last.name))?.into();
        }
        let listed: Vec<_> = found
            .into_iter()
            .map(|schedule| wire::ScheduleSummary {
                arn: name::arn(place, &schedule.group, &schedule.name),
                group_name: schedule.group,
                name: schedule.name,
                state: state(schedule.settings.enabled),
                creation_date: date(schedule.created),
                last_modification_date: date(schedule.modified),
                target: wire::TargetSummary {
                    arn: schedule.settings.target.arn,
                },
            })
            .collect();
        answer["Schedules"] = to_value(&listed)?;
        Ok(answer)
    }
}

/// The first due time of a schedule, from a moment on.
fn first(
    settings: &Settings,
    zones: &TimeZoneDatabase,
    created: Timestamp,
    number: i64,
    from: Timestamp,
) -> Option<hearth_store::schedules::Due> {
    if !settings.enabled {
        return None;
    }
    // Whoever asks has made sure that it can be told.
    Timing::new(settings, zones, created, number)
        .ok()?
        .from(from)
}

/// Whether two settings are due at the same times: then a change does not lose what is due at this very moment.
fn is_due_alike(old: &Settings, new: &Settings) -> bool {
    let key = |settings: &Settings| {
        (
            settings.enabled,
            settings.expression.clone(),
            settings.zone.clone(),
            (settings.start, settings.end),
            settings.window_minutes,
        )
    };
    key(old) == key(new)
}

fn shown(schedule: Schedule) -> wire::Schedule {
    let settings = schedule.settings;
    let target = settings.target;
    let at = Expression::read(&settings.expression);
    // As the service does, of a schedule of one time.
    let bounded = !matches!(at, Ok(Expression::At(_)));
    wire::Schedule {
        arn: name::arn(&schedule.place, &schedule.group, &schedule.name),
        group_name: schedule.group,
        name: schedule.name,
        schedule_expression: settings.expression,
        schedule_expression_timezone: settings.zone,
        start_date: settings.start.filter(|_| bounded).map(date),
        end_date: settings.end.filter(|_| bounded).map(date),
        description: settings.description,
        state: state(settings.enabled),
        creation_date: date(schedule.created),
        last_modification_date: date(schedule.modified),
        target: wire::Target {
            arn: Some(target.arn),
            role_arn: Some(target.role),
            input: target.input,
            dead_letter_config: target
                .dead_letters
                .map(|arn| wire::DeadLetterConfig { arn: Some(arn) }),
            retry_policy: Some(wire::RetryPolicy {
                maximum_event_age_in_seconds: Some(
                    target
                        .most_age_seconds
                        .unwrap_or(hearth_targets::policy::AGE_SECONDS)
                        .into(),
                ),
                maximum_retry_attempts: Some(
                    target
                        .most_retries
                        .unwrap_or(hearth_targets::policy::RETRIES)
                        .into(),
                ),
            }),
            sqs_parameters: target.message_group.map(|group| wire::SqsParameters {
                message_group_id: Some(group),
            }),
            others: Default::default(),
        },
        flexible_time_window: wire::FlexibleTimeWindow {
            mode: Some(
                if settings.window_minutes.is_some() {
                    "FLEXIBLE"
                } else {
                    "OFF"
                }
                .to_owned(),
            ),
            maximum_window_in_minutes: settings.window_minutes.map(i64::from),
        },
        action_after_completion: if settings.delete_after {
            "DELETE"
        } else {
            "NONE"
        },
    }
}
