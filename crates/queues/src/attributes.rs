//! Attributes of queues: from the API's texts to settings and back. Ranges and defaults are those of the service model
//! (`CreateQueue`, `SetQueueAttributes`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use hearth_store::queues::{Fifo, Queue, QueueCounts, QueueKey, Redrive, RedriveAllow, Settings};
use serde_json::{Value, json};

use crate::address::{arn, name_of_arn};
use crate::error::{Kind, QueueError};

/// Most bytes of a message, and of all messages of a batch.
pub(crate) const MOST_MESSAGE_BYTES: u32 = 1_048_576;
/// Longest that a message may be in flight, seconds.
pub(crate) const MOST_VISIBILITY_SECONDS: i64 = 43_200;
/// Longest that a message may be delayed, seconds.
pub(crate) const MOST_DELAY_SECONDS: i64 = 900;
/// Longest that a receive may wait, seconds.
pub(crate) const MOST_WAIT_SECONDS: i64 = 20;
/// Most receives that a redrive policy may say (SQS developer guide, "Dead-letter queues").
const MOST_RECEIVES: i64 = 1000;
/// Most source queues that a redrive allow policy may name.
const MOST_SOURCES: usize = 10;

/// Settings of a queue of which nothing was said.
pub(crate) fn defaults(fifo: bool) -> Settings {
    Settings {
        delay_seconds: 0,
        message_bytes: MOST_MESSAGE_BYTES,
        retention_seconds: 345_600,
        wait_seconds: 0,
        visibility_seconds: 30,
        fifo: fifo.then(Fifo::default),
        redrive: None,
        redrive_allow: None,
    }
}

/// Sets what the attributes say. What refers to other queues is not looked at.
pub(crate) fn apply(
    attributes: &BTreeMap<String, String>,
    key: &QueueKey,
    settings: &mut Settings,
) -> Result<(), QueueError> {
    for (name, value) in attributes {
        let bad = || bad_value(name);
        let number = |range: RangeInclusive<i64>| -> Result<u32, QueueError> {
            let number = value
                .parse::<i64>()
                .ok()
                .filter(|number| range.contains(number));
            number
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(bad)
        };
        let truth = || match value.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(bad()),
        };
        match name.as_str() {
            "DelaySeconds" => settings.delay_seconds = number(0..=MOST_DELAY_SECONDS)?,
            "MaximumMessageSize" => {
                settings.message_bytes = number(1024..=i64::from(MOST_MESSAGE_BYTES))?;
            }
            "MessageRetentionPeriod" => settings.retention_seconds = number(60..=1_209_600)?,
            "ReceiveMessageWaitTimeSeconds" => {
                settings.wait_seconds = number(0..=MOST_WAIT_SECONDS)?;
            }
            "VisibilityTimeout" => {
                settings.visibility_seconds = number(0..=MOST_VISIBILITY_SECONDS)?;
            }
            "FifoQueue" => {
                if truth()? != settings.fifo.is_some() {
                    return Err(bad());
                }
            }
            "ContentBasedDeduplication" => {
                let truth = truth()?;
                match &mut settings.fifo {
                    Some(fifo) => fifo.content_based = truth,
                    None if truth => return Err(unknown(name)),
                    None => {}
                }
            }
            "DeduplicationScope" => {
                let fifo = settings.fifo.as_mut().ok_or_else(|| unknown(name))?;
                fifo.by_group = one_of(value, "queue", "messageGroup").ok_or_else(bad)?;
            }
            "FifoThroughputLimit" => {
                let fifo = settings.fifo.as_mut().ok_or_else(|| unknown(name))?;
                fifo.limit_by_group =
                    one_of(value, "perQueue", "perMessageGroupId").ok_or_else(bad)?;
            }
            "RedrivePolicy" => settings.redrive = redrive(value, key)?,
            "RedriveAllowPolicy" => settings.redrive_allow = redrive_allow(value, key)?,
            // Empty means none, which is what there is.
            "Policy" | "KmsMasterKeyId" if value.is_empty() => {}
            "SqsManagedSseEnabled" if value == "false" => {}
            "Policy" => {
                return Err(unsupported(
                    "Queues have no policies yet: an account uses its own queues.",
                ));
            }
            "KmsMasterKeyId" | "KmsDataKeyReusePeriodSeconds" | "SqsManagedSseEnabled" => {
                return Err(unsupported(
                    "Messages are not encrypted on disk: put the data folder on an encrypted disk.",
                ));
            }
            _ => return Err(unknown(name)),
        }
    }
    if settings
        .fifo
        .is_some_and(|fifo| fifo.limit_by_group && !fifo.by_group)
    {
        return Err(bad_value("FifoThroughputLimit"));
    }
    Ok(())
}

fn one_of(value: &str, no: &str, yes: &str) -> Option<bool> {
    match value {
        _ if value == no => Some(false),
        _ if value == yes => Some(true),
        _ => None,
    }
}

fn bad_value(name: &str) -> QueueError {
    QueueError::new(
        Kind::InvalidAttributeValue,
        format!("Invalid value for the parameter {name}."),
    )
}

pub(crate) fn unknown(name: &str) -> QueueError {
    let shown: String = name.chars().take(80).collect();
    QueueError::new(
        Kind::InvalidAttributeName,
        format!("Unknown Attribute {shown}."),
    )
}

fn unsupported(message: &'static str) -> QueueError {
    QueueError::new(Kind::UnsupportedOperation, message)
}

fn redrive(text: &str, key: &QueueKey) -> Result<Option<Redrive>, QueueError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = |reason: &str| QueueError::value(text, "RedrivePolicy", reason);
    let policy: Value =
        serde_json::from_str(text).map_err(|_| bad("Redrive policy is not a valid JSON map."))?;
    let target = policy["deadLetterTargetArn"].as_str().ok_or_else(|| {
        bad("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
    })?;
    let target = name_of_arn(key, target).ok_or_else(|| {
        bad("deadLetterTargetArn must be the ARN of a queue of the same account and region.")
    })?;
    let most = match &policy["maxReceiveCount"] {
        // "Default: 10" (service model).
        Value::Null => Some(10),
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let most = most.filter(|most| (1..=MOST_RECEIVES).contains(most));
    let most = most.and_then(|most| u32::try_from(most).ok());
    let most_receives =
        most.ok_or_else(|| bad("Invalid value for maxReceiveCount: must be between 1 and 1000."))?;
    if target == key.name {
        return Err(bad("A queue can't be its own dead-letter queue."));
    }
    Ok(Some(Redrive {
        target: target.to_owned(),
        most_receives,
    }))
}

fn redrive_allow(text: &str, key: &QueueKey) -> Result<Option<RedriveAllow>, QueueError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = |reason: &str| QueueError::value(text, "RedriveAllowPolicy", reason);
    let policy: Value = serde_json::from_str(text)
        .map_err(|_| bad("Redrive allow policy is not a valid JSON map."))?;
    let sources = &policy["sourceQueueArns"];
    let allow = match policy["redrivePermission"].as_str() {
        Some("allowAll") if sources.is_null() => RedriveAllow::All,
        Some("denyAll") if sources.is_null() => RedriveAllow::Nobody,
        Some("byQueue") => {
            let arns = sources.as_array().filter(|arns| !arns.is_empty());
            let arns = arns.filter(|arns| arns.len() <= MOST_SOURCES);
            let arns = arns.ok_or_else(|| bad("sourceQueueArns must name 1 to 10 queues."))?;
            let names = arns.iter().map(|arn| {
                let name = arn.as_str().and_then(|arn| name_of_arn(key, arn));
                name.map(str::to_owned).ok_or_else(|| {
                    bad("sourceQueueArns must be ARNs of queues of the same account and region.")
                })
            });
            RedriveAllow::By(names.collect::<Result<_, _>>()?)
        }
        Some("allowAll" | "denyAll") => {
            return Err(bad("sourceQueueArns can be given with byQueue only."));
        }
        _ => {
            return Err(bad(
                "redrivePermission must be allowAll, denyAll or byQueue.",
            ));
        }
    };
    Ok(Some(allow))
}

/// Whether a queue takes the dead letters of another.
pub(crate) fn takes_letters_of(target: &Settings, source: &str) -> bool {
    match &target.redrive_allow {
        None | Some(RedriveAllow::All) => true,
        Some(RedriveAllow::Nobody) => false,
        Some(RedriveAllow::By(names)) => names.iter().any(|name| name == source),
    }
}

/// Attributes of a queue that were asked for, or all.
pub(crate) fn shown(
    queue: &Queue,
    counts: QueueCounts,
    names: &[String],
) -> Result<BTreeMap<&'static str, String>, QueueError> {
    let settings = &queue.settings;
    let seconds = |millis: i64| (millis / 1000).to_string();
    let mut all = BTreeMap::from([
        ("QueueArn", arn(&queue.key)),
        ("CreatedTimestamp", seconds(queue.created.as_millis())),
        ("LastModifiedTimestamp", seconds(queue.modified.as_millis())),
        ("ApproximateNumberOfMessages", counts.visible.to_string()),
        (
            "ApproximateNumberOfMessagesNotVisible",
            counts.in_flight.to_string(),
        ),
        (
            "ApproximateNumberOfMessagesDelayed",
            counts.delayed.to_string(),
        ),
        ("DelaySeconds", settings.delay_seconds.to_string()),
        ("MaximumMessageSize", settings.message_bytes.to_string()),
        (
            "MessageRetentionPeriod",
            settings.retention_seconds.to_string(),
        ),
        (
            "ReceiveMessageWaitTimeSeconds",
            settings.wait_seconds.to_string(),
        ),
        ("VisibilityTimeout", settings.visibility_seconds.to_string()),
        ("SqsManagedSseEnabled", "false".to_owned()),
    ]);
    if let Some(fifo) = settings.fifo {
        let pick = |yes, no: &str, other: &str| (if yes { other } else { no }).to_owned();
        all.insert("FifoQueue", "true".to_owned());
        all.insert("ContentBasedDeduplication", fifo.content_based.to_string());
        all.insert(
            "DeduplicationScope",
            pick(fifo.by_group, "queue", "messageGroup"),
        );
        all.insert(
            "FifoThroughputLimit",
            pick(fifo.limit_by_group, "perQueue", "perMessageGroupId"),
        );
    }
    let beside = |name: &str| {
        arn(&QueueKey {
            name: name.to_owned(),
            ..queue.key.clone()
        })
    };
    if let Some(redrive) = &settings.redrive {
        let policy = json!({
            "deadLetterTargetArn": beside(&redrive.target),
            "maxReceiveCount": redrive.most_receives,
        });
        all.insert("RedrivePolicy", policy.to_string());
    }
    if let Some(allow) = &settings.redrive_allow {
        let policy = match allow {
            RedriveAllow::All => json!({"redrivePermission": "allowAll"}),
            RedriveAllow::Nobody => json!({"redrivePermission": "denyAll"}),
            RedriveAllow::By(names) => json!({
                "redrivePermission": "byQueue",
                "sourceQueueArns": names.iter().map(|name| beside(name)).collect::<Vec<_>>(),
            }),
        };
        all.insert("RedriveAllowPolicy", policy.to_string());
    }
    const UNSET: [&str; 3] = ["Policy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds"];
    const OF_FIFO: [&str; 4] = [
        "FifoQueue",
        "ContentBasedDeduplication",
        "DeduplicationScope",
        "FifoThroughputLimit",
    ];
    const OF_REDRIVE: [&str; 2] = ["RedrivePolicy", "RedriveAllowPolicy"];
    for name in names {
        let name = name.as_str();
        let known = name == "All"
            || all.contains_key(name)
            || UNSET.contains(&name)
            || OF_FIFO.contains(&name)
            || OF_REDRIVE.contains(&name);
        if !known {
            return Err(unknown(name));
        }
    }
    if !names.iter().any(|name| name == "All") {
        all.retain(|name, _| names.iter().any(|asked| asked == name));
    }
    Ok(all)
}
