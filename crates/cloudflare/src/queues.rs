//! Queues: those of the account, by name, and the workers that take from them.

use hearth_queues::{Caller as QueueCaller, QueueError};
use hearth_registry::{MappingFilter, PageRequest, Scope};
use hearth_types::arn::FunctionArn;
use hearth_types::wire::lambda::{
    EventSourceMappingConfiguration, EventSourceMappingRequest, ScalingConfig,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Failure, Reply, code, quoted};
use crate::api::{Caller, Cloudflare, Request, no_route};
use crate::worker::{DEPLOYED, function};

/// Queues of a list. Nobody has more names in one configuration.
const LISTED: usize = 100;

/// How often a message is tried again if nothing is said (Cloudflare's default).
const RETRIES: i64 = 3;
/// How long a batch is waited for if nothing is said, seconds (Cloudflare's default). FIFO queues wait for none.
const WINDOW_S: i64 = 5;

/// A consumer as Wrangler asks for one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Consumer {
    #[serde(rename = "type")]
    kind: String,
    script_name: String,
    settings: ConsumerSettings,
    dead_letter_queue: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ConsumerSettings {
    batch_size: Option<i64>,
    max_wait_time_ms: Option<i64>,
    max_retries: Option<i64>,
    max_concurrency: Option<i64>,
}

fn failure(error: &QueueError) -> Failure {
    let status = error.kind.status();
    let code = match error.kind {
        hearth_queues::error::Kind::QueueDoesNotExist => code::NO_QUEUE,
        _ if status >= 500 => code::INTERNAL,
        _ => code::INVALID,
    };
    Failure::new(status, code, error.message.clone())
}

/// A queue as the API shows it; its name is its identifier.
fn described(name: &str, consumers: Vec<Value>) -> Value {
    json!({
        "queue_id": name,
        "queue_name": name,
        "settings": {},
        "producers": [],
        "producers_total_count": 0,
        "consumers_total_count": consumers.len(),
        "consumers": consumers,
    })
}

fn consumer(mapping: &EventSourceMappingConfiguration) -> Value {
    // arn:aws:lambda:region:account:function:name:alias
    let script = mapping.function_arn.split(':').nth(6).unwrap_or_default();
    json!({
        "consumer_id": mapping.uuid,
        "type": "worker",
        "script": script,
        "settings": {
            "batch_size": mapping.batch_size,
            "max_wait_time_ms": u64::from(mapping.maximum_batching_window_in_seconds) * 1_000,
        },
    })
}

/// The window of a mapping: what a consumer asks for, and for a new one what it has if it asks for nothing.
fn window_s(asked_ms: Option<i64>, queue: &str, is_new: bool) -> Option<i64> {
    match asked_ms {
        // A part of a second is one, rather than none.
        Some(ms) if ms > 0 => Some((ms - 1) / 1_000 + 1),
        Some(ms) => Some(ms),
        None => (is_new && !queue.ends_with(".fifo")).then_some(WINDOW_S),
    }
}

fn arn(scope: &Scope, queue: &str) -> String {
    format!("arn:aws:sqs:{}:{}:{queue}", scope.region, scope.account)
}

impl Cloudflare {
    /// What is below `queues`.
    pub(crate) async fn queues(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        rest: &[&str],
    ) -> Result<Reply, Failure> {
        let scope = &caller.scope;
        match (request.method.as_str(), rest) {
            ("GET", []) => self.list_queues(caller, request).await,
            ("POST", []) => {
                #[derive(Deserialize)]
                struct Asked {
                    queue_name: String,
                }
                let asked: Asked = request.json()?;
                let body = json!({ "QueueName": asked.queue_name });
                self.sqs(caller, "CreateQueue", body).await?;
                Ok(Reply::of(described(&asked.queue_name, Vec::new())))
            }
            ("GET", [queue]) => {
                self.look_up(caller, queue).await?;
                Ok(Reply::of(described(queue, self.consumers(scope, queue)?)))
            }
            ("DELETE", [queue]) => {
                let body = json!({ "QueueUrl": self.url(caller, queue) });
                self.sqs(caller, "DeleteQueue", body).await?;
                Ok(Reply::of(Value::Null))
            }
            ("POST", [queue, "purge"]) => {
                let body = json!({ "QueueUrl": self.url(caller, queue) });
                self.sqs(caller, "PurgeQueue", body).await?;
                Ok(Reply::of(json!({})))
            }
            ("GET", [queue, "consumers"]) => Ok(Reply::of(self.consumers(scope, queue)?)),
            ("POST", [queue, "consumers"]) => {
                self.look_up(caller, queue).await?;
                self.put_consumer(caller, request, queue, None).await
            }
            ("PUT", [queue, "consumers", id]) => {
                self.check_consumer(scope, queue, id)?;
                self.put_consumer(caller, request, queue, Some(id)).await
            }
            ("DELETE", [queue, "consumers", id]) => {
                self.check_consumer(scope, queue, id)?;
                self.registry.delete_mapping(scope, id).await?;
                Ok(Reply::of(Value::Null))
            }
            _ => Err(no_route(request)),
        }
    }

    fn url(&self, caller: &Caller, queue: &str) -> String {
        format!("{}/{}/{queue}", caller.base, caller.scope.account)
    }

    /// Does an operation of the API of queues.
    async fn sqs(&self, caller: &Caller, operation: &str, body: Value) -> Result<Value, Failure> {
        let who = QueueCaller {
            account: caller.scope.account.clone(),
            region: caller.scope.region.clone(),
            base: caller.base.clone(),
            trace: None,
        };
        let body = body.to_string();
        let called = self.queues.call(&who, operation, body.as_bytes()).await;
        called.map_err(|error| failure(&error))
    }

    /// Finds a queue.
    ///
    /// # Errors
    /// If it is not there.
    async fn look_up(&self, caller: &Caller, queue: &str) -> Result<(), Failure> {
        let body = json!({ "QueueName": queue });
        self.sqs(caller, "GetQueueUrl", body).await.map(drop)
    }

    /// Queues with these names, or the first of all if none is said.
    async fn list_queues(&self, caller: &Caller, request: &Request<'_>) -> Result<Reply, Failure> {
        let mut asked: Vec<String> = request.queries("name").collect();
        asked.sort();
        asked.dedup();
        asked.truncate(LISTED);
        let mut names = Vec::new();
        if asked.is_empty() {
            let found = self
                .sqs(caller, "ListQueues", json!({ "MaxResults": LISTED }))
                .await?;
            let urls = found["QueueUrls"].as_array().cloned().unwrap_or_default();
            let last = |url: &Value| url.as_str()?.rsplit('/').next().map(str::to_owned);
            names.extend(urls.iter().filter_map(last));
        }
        for name in asked {
            match self.look_up(caller, &name).await {
                Ok(()) => names.push(name),
                Err(failure) if failure.code == code::NO_QUEUE => {}
                Err(failure) => return Err(failure),
            }
        }
        // All are on the first page.
        let count = names.len();
        let is_first = request.query("page").is_none_or(|page| page == "1");
        let mut shown = Vec::new();
        for name in names.iter().filter(|_| is_first) {
            shown.push(described(name, self.consumers(&caller.scope, name)?));
        }
        let info = json!({ "page": 1, "per_page": LISTED, "count": count, "total_count": count });
        Ok(Reply::with_info(shown, info))
    }

    fn consumers(&self, scope: &Scope, queue: &str) -> Result<Vec<Value>, Failure> {
        let filter = MappingFilter {
            source: Some(arn(scope, queue)),
            function: None,
        };
        let page = PageRequest::default();
        let found = self.registry.list_mappings(scope, &filter, &page)?;
        Ok(found.event_source_mappings.iter().map(consumer).collect())
    }

    /// Checks that a consumer is one of a queue: by its identifier alone it could be any mapping of the account's.
    fn check_consumer(&self, scope: &Scope, queue: &str, id: &str) -> Result<(), Failure> {
        let consumers = self.consumers(scope, queue)?;
        if consumers.iter().any(|known| known["consumer_id"] == id) {
            return Ok(());
        }
        Err(Failure::new(
            404,
            code::NO_QUEUE,
            format!("The queue has no consumer {}.", quoted(id)),
        ))
    }

    /// Has a worker take messages from a queue, or changes how it does.
    async fn put_consumer(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        queue: &str,
        id: Option<&str>,
    ) -> Result<Reply, Failure> {
        let asked: Consumer = request.json()?;
        if asked.kind != "worker" {
            return Err(Failure::invalid(
                "A consumer is a worker. Others receive messages by the API of SQS.",
            ));
        }
        let scope = &caller.scope;
        self.script_named(scope, &asked.script_name)?;
        if let Some(dead) = &asked.dead_letter_queue {
            // The first time, and each that it was sent back.
            let receives = asked.settings.max_retries.unwrap_or(RETRIES).clamp(0, 100) + 1;
            let policy = json!({
                "deadLetterTargetArn": arn(scope, dead),
                "maxReceiveCount": receives,
            });
            let body = json!({
                "QueueUrl": self.url(caller, queue),
                "Attributes": { "RedrivePolicy": policy.to_string() },
            });
            self.sqs(caller, "SetQueueAttributes", body).await?;
        }
        let key = scope.key(&function(&asked.script_name)?)?;
        let target = FunctionArn {
            key: &key,
            qualifier: DEPLOYED.parse().ok(),
        };
        let settings = &asked.settings;
        let mapping = EventSourceMappingRequest {
            event_source_arn: id.is_none().then(|| arn(scope, queue)),
            function_name: Some(target.to_string()),
            batch_size: settings.batch_size,
            maximum_batching_window_in_seconds: window_s(
                settings.max_wait_time_ms,
                queue,
                id.is_none(),
            ),
            scaling_config: settings.max_concurrency.map(|most| ScalingConfig {
                maximum_concurrency: Some(most),
            }),
            ..EventSourceMappingRequest::default()
        };
        let put = match id {
            None => self.registry.create_mapping(scope, mapping).await?,
            Some(id) => self.registry.update_mapping(scope, id, mapping).await?,
        };
        Ok(Reply::of(consumer(&put)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_waited_for_as_long_as_is_said() {
        for (asked, queue, is_new, expected) in [
            (None, "jobs", true, Some(WINDOW_S)),
            (None, "jobs.fifo", true, None),
            (None, "jobs", false, None),
            (Some(0), "jobs", true, Some(0)),
            (Some(1), "jobs", true, Some(1)),
            (Some(1_001), "jobs", false, Some(2)),
            (Some(30_000), "jobs", true, Some(30)),
            (Some(i64::MIN), "jobs", true, Some(i64::MIN)),
        ] {
            assert_eq!(window_s(asked, queue, is_new), expected, "{asked:?}");
        }
    }
}
