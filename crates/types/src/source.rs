//! Where the messages of an event source mapping come from: a queue of the node, or a broker outside of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::destination::Destination;
use crate::name::{AccountId, BrokerName, QueueId, Region};

/// Access configurations of a mapping (service model, `SourceAccessConfigurations`).
pub const SOURCE_ACCESS: usize = 22;
/// Characters of an access configuration's `URI` (service model).
pub const SOURCE_ACCESS_URI: std::ops::RangeInclusive<usize> = 1..=200;
/// Characters of the name of a broker's queue (service model, `Queues`).
pub const BROKER_QUEUE: std::ops::RangeInclusive<usize> = 1..=1_000;
/// Bytes of a name of RabbitMQ (AMQP 0-9-1, section 4.2.5.3: short strings).
pub const AMQP_NAME: usize = 255;
/// The virtual host of RabbitMQ if none was named: its own default.
const DEFAULT_VIRTUAL_HOST: &str = "/";

/// Where messages come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A queue of the node.
    Queue(QueueId),
    /// What a broker has.
    Broker(BrokerSource),
}

impl Source {
    /// `EventSourceArn`.
    pub fn arn(&self) -> String {
        match self {
            Self::Queue(id) => Destination::Queue(id.clone()).to_string(),
            Self::Broker(source) => source.arn.clone(),
        }
    }
}

/// What a broker has, and which broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerSource {
    /// The ARN, as it was given.
    pub arn: String,
    /// The broker, by its name in the node's configuration.
    pub broker: BrokerName,
    /// What of it.
    pub origin: Origin,
}

/// What a broker has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A queue of RabbitMQ.
    RabbitMq {
        /// Its name.
        queue: String,
        /// `SourceAccessConfigurations`, as they were given.
        access: Vec<SourceAccess>,
    },
    /// A stream of Redis.
    Redis {
        /// Its key.
        stream: String,
        /// Where the mapping begins.
        start: Start,
    },
    /// A stream of NATS JetStream.
    Nats {
        /// Its name.
        stream: String,
        /// Where the mapping begins.
        start: Start,
    },
    /// Topics of MQTT.
    Mqtt {
        /// The filter that they match.
        filter: String,
    },
    /// A queue at an SQS endpoint outside.
    Sqs {
        /// Its name.
        queue: String,
    },
}

impl Origin {
    /// Of which kind of broker it is.
    pub fn kind(&self) -> BrokerKind {
        match self {
            Self::RabbitMq { .. } => BrokerKind::RabbitMq,
            Self::Redis { .. } => BrokerKind::Redis,
            Self::Nats { .. } => BrokerKind::Nats,
            Self::Mqtt { .. } => BrokerKind::Mqtt,
            Self::Sqs { .. } => BrokerKind::Sqs,
        }
    }

    /// What it is called at its broker.
    pub fn name(&self) -> &str {
        match self {
            Self::RabbitMq { queue, .. } | Self::Sqs { queue } => queue,
            Self::Redis { stream, .. } | Self::Nats { stream, .. } => stream,
            Self::Mqtt { filter } => filter,
        }
    }
}

/// One of `SourceAccessConfigurations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceAccess {
    /// What is said.
    pub kind: AccessKind,
    /// What it is.
    pub uri: String,
}

/// What an access configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessKind {
    /// Whose user name and password are used. Clients of the API must say it; the node's configuration has them.
    BasicAuth,
    /// Which virtual host of RabbitMQ.
    VirtualHost,
}

impl AccessKind {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BasicAuth => "BASIC_AUTH",
            Self::VirtualHost => "VIRTUAL_HOST",
        }
    }

    /// Reads the API's spelling.
    pub fn of(text: &str) -> Option<Self> {
        [Self::BasicAuth, Self::VirtualHost]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// The virtual host that access configurations name.
pub fn virtual_host(access: &[SourceAccess]) -> &str {
    let mut named = access
        .iter()
        .filter(|one| one.kind == AccessKind::VirtualHost);
    named.next().map_or(DEFAULT_VIRTUAL_HOST, |one| &one.uri)
}

/// Where a mapping of a stream begins (`StartingPosition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// With what is there.
    TrimHorizon,
    /// With what comes.
    Latest,
}

impl Start {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TrimHorizon => "TRIM_HORIZON",
            Self::Latest => "LATEST",
        }
    }

    /// Reads the API's spelling.
    pub fn of(text: &str) -> Option<Self> {
        [Self::TrimHorizon, Self::Latest]
            .into_iter()
            .find(|start| start.as_str() == text)
    }
}

/// Kinds of brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// RabbitMQ, and what else speaks AMQP 0-9-1.
    RabbitMq,
    /// Redis, and what else has its streams.
    Redis,
    /// NATS with JetStream.
    Nats,
    /// What speaks MQTT.
    Mqtt,
    /// What speaks the API of SQS.
    Sqs,
}

impl BrokerKind {
    /// The kind that a URL's scheme names.
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "amqp" | "amqps" => Some(Self::RabbitMq),
            "redis" | "rediss" => Some(Self::Redis),
            "nats" | "tls" => Some(Self::Nats),
            "mqtt" | "mqtts" => Some(Self::Mqtt),
            "http" | "https" => Some(Self::Sqs),
            _ => None,
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RabbitMq => "RabbitMQ",
            Self::Redis => "Redis",
            Self::Nats => "NATS",
            Self::Mqtt => "MQTT",
            Self::Sqs => "SQS",
        }
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The ARN of what a broker has: Amazon MQ's for RabbitMQ, and after its pattern for brokers that AWS has no ARN of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerArn {
    /// Whose mapping it may be of.
    pub account: AccountId,
    /// In which region.
    pub region: Region,
    /// The broker, by its name in the node's configuration.
    pub broker: BrokerName,
    /// Of which kind it is.
    pub kind: BrokerKind,
    /// The stream or the topics, where the ARN names them.
    pub stream: String,
}

/// The ARNs of what brokers have, as an error shows them.
pub const ARNS: &str = "arn:aws:mq:region:123456789012:broker:NAME:ID, \
     arn:aws:redis:region:123456789012:stream:NAME/KEY, arn:aws:nats:region:123456789012:stream:NAME/STREAM, \
     arn:aws:mqtt:region:123456789012:topic:NAME/FILTER or arn:aws:sqs:region:123456789012:queue:NAME/QUEUE";

/// An ARN that names nothing of a broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {ARNS}, where NAME is the broker's name in the node's configuration")]
pub struct BrokerArnError;

impl FromStr for BrokerArn {
    type Err = BrokerArnError;

    fn from_str(text: &str) -> Result<Self, BrokerArnError> {
        let parts: Vec<&str> = text.splitn(7, ':').collect();
        let ["arn", partition, service, region, account, resource, rest] = parts.as_slice() else {
            return Err(BrokerArnError);
        };
        let (kind, separator) = match (*service, *resource) {
            ("mq", "broker") => (BrokerKind::RabbitMq, ':'),
            ("redis", "stream") => (BrokerKind::Redis, '/'),
            ("nats", "stream") => (BrokerKind::Nats, '/'),
            ("mqtt", "topic") => (BrokerKind::Mqtt, '/'),
            ("sqs", "queue") => (BrokerKind::Sqs, '/'),
            _ => return Err(BrokerArnError),
        };
        let (name, stream) = rest.split_once(separator).ok_or(BrokerArnError)?;
        let has_stream = kind == BrokerKind::RabbitMq || !stream.is_empty();
        if !partition.starts_with("aws") || !has_stream {
            return Err(BrokerArnError);
        }
        Ok(Self {
            account: account.parse().map_err(|_| BrokerArnError)?,
            region: region.parse().map_err(|_| BrokerArnError)?,
            broker: name.parse().map_err(|_| BrokerArnError)?,
            kind,
            stream: stream.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_brokers_are_read() {
        for (text, broker, kind, stream) in [
            (
                "arn:aws:mq:eu-west-1:123456789012:broker:orders:b-1f",
                "orders",
                BrokerKind::RabbitMq,
                "b-1f",
            ),
            (
                "arn:aws:redis:eu-west-1:123456789012:stream:cache/orders:new/1",
                "cache",
                BrokerKind::Redis,
                "orders:new/1",
            ),
            (
                "arn:aws:nats:eu-west-1:123456789012:stream:bus/ORDERS",
                "bus",
                BrokerKind::Nats,
                "ORDERS",
            ),
            (
                "arn:aws:mqtt:eu-west-1:123456789012:topic:hall/$share/g/+/t:1/#",
                "hall",
                BrokerKind::Mqtt,
                "$share/g/+/t:1/#",
            ),
            (
                "arn:aws:sqs:eu-west-1:123456789012:queue:away/orders.fifo",
                "away",
                BrokerKind::Sqs,
                "orders.fifo",
            ),
        ] {
            let arn: BrokerArn = text.parse().unwrap();
            assert_eq!((arn.broker.as_str(), arn.kind), (broker, kind), "{text}");
            assert_eq!(arn.stream, stream);
            assert_eq!(arn.account.as_str(), "123456789012");
        }
        for bad in [
            "",
            "arn:aws:mq:eu-west-1:123456789012:broker:orders",
            "arn:aws:mq:eu-west-1:123456789012:queue:orders:b-1",
            "arn:aws:mq:eu-west-1:1:broker:orders:b-1",
            "arn:aws:mq:eu-west-1:123456789012:broker::b-1",
            "arn:aws:redis:eu-west-1:123456789012:stream:cache",
            "arn:aws:redis:eu-west-1:123456789012:stream:cache/",
            "arn:aws:nats:eu-west-1:123456789012:stream:a b/ORDERS",
            "arn:aws:mqtt:eu-west-1:123456789012:topic:hall/",
            "arn:aws:sqs:eu-west-1:123456789012:orders",
            "arn:other:nats:eu-west-1:123456789012:stream:bus/ORDERS",
            "arn:aws:kafka:eu-west-1:123456789012:cluster/c/1",
        ] {
            assert_eq!(bad.parse::<BrokerArn>(), Err(BrokerArnError), "{bad}");
        }
    }

    #[test]
    fn a_record_names_its_source_by_kind() {
        let queue = r#"{"queue":{"account":"123456789012","region":"eu-west-1","name":"q"}}"#;
        let broker = r#"{"broker":{"arn":"a","broker":"b","origin":{"rabbit_mq":{"queue":"q","access":[]}}}}"#;
        for text in [queue, broker] {
            let source: Source = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&source).unwrap(), text);
        }
    }
}
