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
/// Topics of a mapping of Kafka (service model, `Topics`).
pub const TOPICS: usize = 1;
/// Characters of a topic's name (service model, `Topic`).
pub const TOPIC: std::ops::RangeInclusive<usize> = 1..=249;
/// Bootstrap servers of a mapping of Kafka (service model, `EndpointLists`).
pub const ENDPOINTS: std::ops::RangeInclusive<usize> = 1..=10;
/// Characters of a bootstrap server (service model, `Endpoint`).
pub const ENDPOINT: std::ops::RangeInclusive<usize> = 1..=300;
/// Characters of `ConsumerGroupId` (service model, `URI`).
pub const CONSUMER_GROUP: std::ops::RangeInclusive<usize> = 1..=200;
/// The port of Kafka, where a URL has none: what its own documentation and its packages say.
pub const KAFKA_PORT: u16 = 9092;
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
    /// `EventSourceArn`, which Kafka does not have.
    pub fn arn(&self) -> Option<String> {
        match self {
            Self::Queue(id) => Some(Destination::Queue(id.clone()).to_string()),
            Self::Broker(source) => source.arn.clone(),
        }
    }

    /// The topic, if it is one of Kafka.
    pub fn kafka(&self) -> Option<&KafkaTopic> {
        match self {
            Self::Broker(BrokerSource {
                origin: Origin::Kafka(kafka),
                ..
            }) => Some(kafka),
            _ => None,
        }
    }
}

/// What a broker has, and which broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerSource {
    /// The ARN, as it was given. A topic of Kafka has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
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
    /// A topic of Kafka.
    Kafka(KafkaTopic),
}

/// A topic of Kafka, and how it is consumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaTopic {
    /// Its name.
    pub topic: String,
    /// `KAFKA_BOOTSTRAP_SERVERS`, as they were given.
    pub servers: Vec<String>,
    /// `ConsumerGroupId`, if it was given; else the group is the mapping's own.
    pub group: Option<String>,
    /// Where a group that has consumed nothing begins.
    pub begin: Begin,
    /// `SourceAccessConfigurations`, as they were given.
    pub access: Vec<SourceAccess>,
}

impl KafkaTopic {
    /// What the name of a mapping's own consumer group begins with.
    pub const OWN_GROUP: &str = "hearth-";

    /// The consumer group: the one that was named, or one of the mapping's own.
    pub fn consumer_group(&self, mapping: &str) -> String {
        let own = || format!("{}{mapping}", Self::OWN_GROUP);
        self.group.clone().unwrap_or_else(own)
    }
}

/// Where a mapping of Kafka begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// As of other streams.
    From(Start),
    /// With the first record that is not older: milliseconds since the UNIX epoch.
    At(i64),
}

impl Begin {
    /// `StartingPosition`, as the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::From(start) => start.as_str(),
            Self::At(_) => Self::AT_TIMESTAMP,
        }
    }

    /// The position that has a time with it.
    pub const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
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
            Self::Kafka(_) => BrokerKind::Kafka,
        }
    }

    /// What it is called at its broker.
    pub fn name(&self) -> &str {
        match self {
            Self::RabbitMq { queue, .. } | Self::Sqs { queue } => queue,
            Self::Redis { stream, .. } | Self::Nats { stream, .. } => stream,
            Self::Mqtt { filter } => filter,
            Self::Kafka(kafka) => &kafka.topic,
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
    /// That Kafka is shown user name and password by SCRAM-SHA-256.
    SaslScram256Auth,
    /// That Kafka is shown user name and password by SCRAM-SHA-512.
    SaslScram512Auth,
    /// Which authority Kafka's certificate is of. The node's configuration has it.
    ServerRootCaCertificate,
    /// Which certificate Kafka is shown. The node's configuration has it.
    ClientCertificateTlsAuth,
}

impl AccessKind {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BasicAuth => "BASIC_AUTH",
            Self::VirtualHost => "VIRTUAL_HOST",
            Self::SaslScram256Auth => "SASL_SCRAM_256_AUTH",
            Self::SaslScram512Auth => "SASL_SCRAM_512_AUTH",
            Self::ServerRootCaCertificate => "SERVER_ROOT_CA_CERTIFICATE",
            Self::ClientCertificateTlsAuth => "CLIENT_CERTIFICATE_TLS_AUTH",
        }
    }

    /// Reads the API's spelling.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    const ALL: [Self; 6] = [
        Self::BasicAuth,
        Self::VirtualHost,
        Self::SaslScram256Auth,
        Self::SaslScram512Auth,
        Self::ServerRootCaCertificate,
        Self::ClientCertificateTlsAuth,
    ];

    /// Whether a broker of a kind has it.
    pub fn is_of(self, broker: BrokerKind) -> bool {
        match self {
            Self::BasicAuth => matches!(broker, BrokerKind::RabbitMq | BrokerKind::Kafka),
            Self::VirtualHost => broker == BrokerKind::RabbitMq,
            _ => broker == BrokerKind::Kafka,
        }
    }

    /// Whether it says how user name and password are shown to Kafka.
    pub const fn is_sasl(self) -> bool {
        matches!(
            self,
            Self::BasicAuth | Self::SaslScram256Auth | Self::SaslScram512Auth
        )
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
    /// Kafka, and what else speaks its protocol.
    Kafka,
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
            "kafka" | "kafkas" => Some(Self::Kafka),
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
            Self::Kafka => "Kafka",
        }
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A broker that mappings may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBroker {
    /// Of which kind it is.
    pub kind: BrokerKind,
    /// Where it is, each as `host:port`: what a mapping of Kafka names it by.
    pub servers: Vec<String>,
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
        let kafka = r#"{"broker":{"broker":"b","origin":{"kafka":{"topic":"t","servers":["k:9092"],"group":null,"begin":{"at":7},"access":[]}}}}"#;
        for text in [queue, broker, kafka] {
            let source: Source = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&source).unwrap(), text);
        }
    }
}
