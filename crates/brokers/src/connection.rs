//! What every kind of broker can do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hearth_types::source::{BrokerSource, Origin};
use hearth_types::time::Timestamp;
use hearth_types::wire::broker_event::BrokerRecord;

use crate::error::BrokerError;
use crate::kafka::Kafka;
use crate::kafka_ledger::Hold;
use crate::mqtt::Mqtt;
use crate::nats::Nats;
use crate::rabbit::Rabbit;
use crate::redis::Redis;
use crate::server::Server;
use crate::shelf::{Claim, Shelf};
use crate::sqs::Sqs;

/// Longest that a broker may take to accept a connection, and to answer whatever is not waiting for a message. Brokers
/// answer in milliseconds; one that writes to a slow disk in seconds.
pub(crate) const ANSWER: Duration = Duration::from_secs(15);

/// A message that was taken.
#[derive(Debug)]
pub struct Delivery {
    /// What names it in a function's answer.
    pub id: String,
    /// What it is in one order with, if the broker has several: the partition.
    pub group: Option<String>,
    /// When it came into being, if the broker says.
    pub time: Option<Timestamp>,
    /// What the function is given.
    pub record: BrokerRecord,
    /// Bytes of what was sent.
    pub bytes: usize,
    /// What it is settled by.
    pub tag: Tag,
}

/// What a message is settled by, on the connection that it came from.
#[derive(Clone, Debug)]
pub enum Tag {
    /// A number of the connection.
    Number(u64),
    /// An entry of a stream.
    Entry(Arc<Claim>),
    /// A record of a partition.
    Record(Arc<Hold>),
}

impl Tag {
    /// The number, of a broker that has numbers.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Entry(_) | Self::Record(_) => None,
        }
    }
}

/// How a message is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is not needed any more.
    Done,
    /// It is to be given again.
    Again,
    /// It can't be given to anybody.
    Never,
}

/// How much may be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) messages: usize,
    /// One message may pass it.
    pub(crate) bytes: usize,
}

/// A connection to a broker, for one mapping. Messages are taken by one caller at a time, and settled by many.
#[async_trait]
pub(crate) trait Connection: Send + Sync {
    /// Waits for a message, for as long as it takes. Who drops this must drop the connection.
    async fn next(&self) -> Result<Delivery, BrokerError>;

    /// Takes what waits now.
    async fn more(&self, room: Room) -> Result<Vec<Delivery>, BrokerError>;

    /// Settles messages of this connection.
    async fn settle(&self, tags: Vec<Tag>, end: End) -> Result<(), BrokerError>;

    /// Messages that nobody was given yet, if the broker says.
    async fn waiting(&self) -> Result<Option<u64>, BrokerError>;

    /// Whether it was not seen to have ended.
    fn is_alive(&self) -> bool;

    /// Removes what the broker keeps for the mapping, if it does.
    async fn forget(&self) -> Result<(), BrokerError>;
}

/// Connects.
pub(crate) async fn connect(
    server: &Arc<Server>,
    source: &BrokerSource,
    mapping: &str,
    shelf: Arc<Shelf>,
) -> Result<Arc<dyn Connection>, BrokerError> {
    let arn = source.arn.as_deref().unwrap_or_default();
    Ok(match &source.origin {
        Origin::RabbitMq { queue, access } => {
            Arc::new(Rabbit::connect(server, queue, access).await?)
        }
        Origin::Redis { stream, start } => {
            Arc::new(Redis::connect(server, arn, stream, *start, mapping, shelf).await?)
        }
        Origin::Nats { stream, start } => {
            Arc::new(Nats::connect(server, arn, stream, *start, mapping).await?)
        }
        Origin::Mqtt { filter } => Arc::new(Mqtt::connect(server, arn, filter, mapping).await?),
        Origin::Sqs { queue } => Arc::new(Sqs::connect(server, arn, queue).await?),
        Origin::Kafka(topic) => Arc::new(Kafka::connect(server, topic, mapping).await?),
    })
}

/// Waits for an answer of a broker, and no longer than it may take.
pub(crate) async fn answered<T, E: ToString>(
    server: &Server,
    what: &'static str,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, BrokerError> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer.map_err(|error| server.failed(what, error)),
        Err(_) => Err(server.failed(what, format!("no answer in {} s", ANSWER.as_secs()))),
    }
}
