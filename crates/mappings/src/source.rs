//! Where messages come from: a queue of the node, or a broker. Each says when a batch is due, gives it, and settles it.

use hearth_brokers::{BrokerError, Brokers, End, Tag, Taken};
use hearth_queues::{QueueError, Queues};
use hearth_types::mapping::{Mapping, MappingId};
use hearth_types::source as named;

use crate::batch::{Record, Unfit};
use crate::broker::Broker;
use crate::queue::Queue;
use crate::work::{Rules, Work};

/// Where the messages of a mapping come from.
pub(crate) enum Source {
    /// A queue of the node.
    Queue(Queue),
    /// What a broker has.
    Broker(Broker),
}

/// Why there is no batch.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) String);

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        Self(error.message.to_string())
    }
}

impl From<BrokerError> for Problem {
    fn from(error: BrokerError) -> Self {
        Self(error.to_string())
    }
}

/// What a message is settled by.
#[derive(Clone, Debug)]
pub(crate) enum Handle {
    /// The receipt handle of a queue's message.
    Receipt(String),
    /// Of a broker's.
    Tag(Tag),
}

/// What was taken.
#[derive(Default)]
pub(crate) struct Batch {
    /// How many messages it has.
    pub(crate) messages: usize,
    /// What the function is given of them.
    pub(crate) records: Vec<Record>,
    /// Those that no filter means.
    pub(crate) meant_by_none: Vec<Handle>,
    /// Those that no function can be given.
    pub(crate) unfit: Vec<Unfit>,
    /// The trace of the longest chain of invocations that one is of.
    pub(crate) trace: Option<String>,
    /// What a broker's are settled on.
    pub(crate) taken: Option<Taken>,
}

impl Source {
    /// The source that a mapping names. Nothing is connected yet.
    ///
    /// # Errors
    /// If the node has no such broker.
    pub(crate) fn new(
        mapping: &Mapping,
        id: &MappingId,
        queues: &Queues,
        brokers: &Brokers,
    ) -> Result<Self, Problem> {
        Ok(match &mapping.source {
            named::Source::Queue(queue) => Self::Queue(Queue::new(queues.clone(), queue.clone())),
            named::Source::Broker(source) => {
                Self::Broker(Broker::new(brokers.subscribe(source, id.uuid.as_str())?))
            }
        })
    }

    /// Waits until a batch is due: there are messages, and they were gathered for long enough or are enough.
    pub(crate) async fn due(&self, mapping: &Mapping) -> Result<(), Problem> {
        match self {
            Self::Queue(queue) => queue.due(mapping).await,
            Self::Broker(broker) => broker.due(mapping).await,
        }
    }

    /// Takes a batch.
    pub(crate) async fn take(&self, work: &Work, rules: &Rules) -> Result<Batch, Problem> {
        match self {
            Self::Queue(queue) => queue.take(work, rules).await,
            Self::Broker(broker) => broker.take(rules).await,
        }
    }

    /// Settles messages of a batch.
    pub(crate) async fn settle(
        &self,
        taken: Option<&Taken>,
        handles: Vec<Handle>,
        end: End,
    ) -> Result<(), Problem> {
        match (self, taken) {
            (Self::Queue(queue), _) => queue.settle(&handles, end).await,
            (Self::Broker(_), Some(taken)) => {
                let tags = handles.into_iter().filter_map(|handle| match handle {
                    Handle::Tag(tag) => Some(tag),
                    Handle::Receipt(_) => None,
                });
                Ok(taken.settle(tags.collect(), end).await?)
            }
            // Nothing was taken.
            (Self::Broker(_), None) => Ok(()),
        }
    }

    /// Removes what the source keeps of the mapping, which is gone.
    pub(crate) async fn forget(&self) -> Result<(), Problem> {
        match self {
            Self::Queue(_) => Ok(()),
            Self::Broker(broker) => broker.forget().await,
        }
    }
}
