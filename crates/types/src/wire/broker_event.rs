//! What a function is given of a broker's messages: for RabbitMQ the event of the developer guide ("Using Lambda with Amazon
//! MQ"), for Kafka that of "Using Lambda with self-managed Apache Kafka", for SQS that of queues, for brokers of which AWS has
//! none a batch of CloudEvents (CloudEvents 1.0, "JSON Batch Format").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::wire::queue_event::QueueRecord;

/// `eventSource` of RabbitMQ.
const RABBIT: &str = "aws:rmq";
/// `eventSource` of Kafka.
const KAFKA: &str = "SelfManagedKafka";

/// A message of a broker.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum BrokerRecord {
    /// Of RabbitMQ.
    Rabbit(Box<RabbitRecord>),
    /// Of Kafka.
    Kafka(Box<KafkaRecord>),
    /// Of SQS.
    Sqs(Box<QueueRecord>),
    /// Of a broker that has no shape of its own.
    Cloud(Box<CloudEvent>),
}

/// What is around records in an event: what comes before the first, and what after the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Around {
    /// Before the first.
    pub before: Vec<u8>,
    /// After the last.
    pub after: Vec<u8>,
    /// Whether records are in lists by what they are in one order with, as members of an object.
    pub in_groups: bool,
}

impl Around {
    /// Of records of a queue, of the node or outside.
    pub fn queue_records() -> Self {
        Self {
            before: b"{\"Records\":[".to_vec(),
            after: b"]}".to_vec(),
            in_groups: false,
        }
    }

    /// Of CloudEvents.
    pub fn cloud_events() -> Self {
        Self {
            before: b"[".to_vec(),
            after: b"]".to_vec(),
            in_groups: false,
        }
    }

    /// Of records of a queue of RabbitMQ.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn rabbit_records(
        arn: &str,
        queue: &str,
        virtual_host: &str,
    ) -> Result<Self, serde_json::Error> {
        let key = format!("{queue}::{virtual_host}");
        let mut before = serde_json::to_vec(&RabbitEvent {
            event_source: RABBIT.to_owned(),
            event_source_arn: arn.to_owned(),
            rmq_messages_by_queue: [(key, Vec::new())].into(),
        })?;
        let after = b"]}}".to_vec();
        before.truncate(before.len() - after.len());
        Ok(Self {
            before,
            after,
            in_groups: false,
        })
    }

    /// Of records of a topic of Kafka.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn kafka_records(servers: &[String]) -> Result<Self, serde_json::Error> {
        let mut before = serde_json::to_vec(&KafkaEvent {
            event_source: KAFKA.to_owned(),
            bootstrap_servers: servers.join(","),
            records: BTreeMap::new(),
        })?;
        let after = b"}}".to_vec();
        before.truncate(before.len() - after.len());
        Ok(Self {
            before,
            after,
            in_groups: true,
        })
    }
}

/// The event of Kafka.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the event's own")]
pub struct KafkaEvent {
    /// `SelfManagedKafka`.
    pub event_source: String,
    /// With commas between them.
    pub bootstrap_servers: String,
    /// By `topic-partition`.
    pub records: BTreeMap<String, Vec<KafkaRecord>>,
}

/// A record of Kafka.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the event's own")]
pub struct KafkaRecord {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since the UNIX epoch.
    pub timestamp: i64,
    /// `CREATE_TIME` or `LOG_APPEND_TIME`.
    pub timestamp_type: String,
    /// In base64; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// In base64; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// One name each, with the bytes of its value.
    pub headers: Vec<BTreeMap<String, Vec<u8>>>,
}

impl KafkaRecord {
    /// What names a record: its `topic-partition`, and its offset.
    pub fn id(group: &str, offset: i64) -> String {
        format!("{group}-{offset}")
    }
}

/// The event of RabbitMQ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the event's own")]
pub struct RabbitEvent {
    /// `aws:rmq`.
    pub event_source: String,
    pub event_source_arn: String,
    /// By `queue::virtual host`.
    pub rmq_messages_by_queue: BTreeMap<String, Vec<RabbitRecord>>,
}

/// A message of RabbitMQ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the event's own")]
pub struct RabbitRecord {
    pub basic_properties: RabbitProperties,
    pub redelivered: bool,
    /// The body, in base64.
    pub data: String,
    /// Hearth's own: what names the message in `batchItemFailures`.
    pub delivery_tag: String,
}

/// Properties of a message of RabbitMQ; what is absent is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the event's own")]
pub struct RabbitProperties {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// By name. A text is an object of its `bytes`.
    pub headers: Option<BTreeMap<String, Value>>,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    /// As `Jan 1, 1970, 12:33:41 AM`.
    pub timestamp: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
    pub cluster_id: Option<String>,
    /// Bytes of the body.
    pub body_size: usize,
}

/// A CloudEvent in JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the specification's own")]
pub struct CloudEvent {
    /// `1.0`.
    pub specversion: String,
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// What is neither JSON nor text, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
    /// An extension: how often the broker has handed the message out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliveries: Option<u32>,
}

impl CloudEvent {
    /// The type of an entry of a stream of Redis.
    pub const REDIS: &str = "hearth.redis.entry";
    /// The type of a message of NATS.
    pub const NATS: &str = "hearth.nats.message";
    /// The type of a message of MQTT.
    pub const MQTT: &str = "hearth.mqtt.message";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_rabbitmq_is_what_is_around_its_records() {
        let around = Around::rabbit_records("arn", "a \"b\"", "/").unwrap();
        let text = [around.before, around.after].concat();
        let event: RabbitEvent = serde_json::from_slice(&text).unwrap();
        assert_eq!(event.event_source, "aws:rmq");
        assert!(event.rmq_messages_by_queue["a \"b\"::/"].is_empty());
    }

    #[test]
    fn an_event_of_kafka_is_what_is_around_its_records() {
        let around = Around::kafka_records(&["a:1".to_owned(), "b:2".to_owned()]).unwrap();
        let text = [around.before, around.after].concat();
        let event: KafkaEvent = serde_json::from_slice(&text).unwrap();
        assert_eq!(event.event_source, "SelfManagedKafka");
        assert_eq!(event.bootstrap_servers, "a:1,b:2");
        assert!(event.records.is_empty());
    }
}
