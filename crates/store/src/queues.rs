//! What is kept of queues that applications send messages to: the queues with their settings, and the messages, each
//! with when it is due and how often it was delivered.
//!
//! A message is in exactly one queue. It is due at once, later (delayed), or again later because it was delivered
//! (in flight); a delivery counts it, and the count is the fencing token: what is said of an earlier delivery changes
//! nothing. The store holds the terms that must hold within one transaction (retention, the move to a dead-letter
//! queue, order and blocking of message groups, duplicates); what values are allowed, it does not know.
//!
//! [`crate::sqlite::SqliteQueueStore`] is the store of one node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hearth_types::name::{AccountId, QueueId, Region};
use hearth_types::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::sync::futures::{Notified, OwnedNotified};

use crate::contract::StoreError;

/// What a message counts besides its texts, bytes: about what SQLite keeps of a row and its places in indexes.
pub const MESSAGE_BYTES: u64 = 512;

/// Most bytes of messages that one receive answers with, one message excepted: what an invocation takes, about.
pub const RECEIVE_BYTES: u64 = 6 << 20;

/// For how long a deduplication id is remembered (SQS developer guide: five minutes), milliseconds.
pub const DEDUPLICATION_MS: i64 = 5 * 60 * 1000;

/// Most messages in flight of one queue (SQS developer guide, "Message quotas").
pub const MOST_IN_FLIGHT: u64 = 120_000;

/// Most messages that one [sweep](crate::sqlite::SqliteQueueStore::sweep) removes: bounds how long others wait for it.
pub const MOST_SWEPT: usize = 1000;

/// Which queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueKey {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The name within both.
    pub name: String,
}

impl From<&QueueId> for QueueKey {
    fn from(id: &QueueId) -> Self {
        Self {
            account: id.account.clone(),
            region: id.region.clone(),
            name: id.name.to_string(),
        }
    }
}

/// What is set of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long messages wait before they can be received, seconds.
    pub delay_seconds: u32,
    /// Most bytes of a message.
    pub message_bytes: u32,
    /// How long messages are kept, seconds.
    pub retention_seconds: u32,
    /// How long a receive waits for messages, seconds.
    pub wait_seconds: u32,
    /// How long a delivered message is in flight, seconds.
    pub visibility_seconds: u32,
    /// Set if messages are in order, and how duplicates are told.
    pub fifo: Option<Fifo>,
    /// Where messages go that are received too often.
    pub redrive: Option<Redrive>,
    /// Whose dead letters it takes, if that was said.
    pub redrive_allow: Option<RedriveAllow>,
}

/// Settings of a queue that keeps order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fifo {
    /// Whether a message without a deduplication id has its body's digest for one.
    pub content_based: bool,
    /// Whether deduplication ids are told apart by message group.
    pub by_group: bool,
    /// `FifoThroughputLimit`: kept and shown; there is no such limit here.
    pub limit_by_group: bool,
}

/// When and where messages are given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redrive {
    /// The dead-letter queue, of the same account and region.
    pub target: String,
    /// Deliveries after which a message goes there.
    pub most_receives: u32,
}

/// Whose dead letters a queue takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedriveAllow {
    /// Those of all queues of its account and region.
    All,
    /// None.
    Nobody,
    /// Those of queues with these names.
    By(Vec<String>),
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Which.
    pub key: QueueKey,
    /// What is set.
    pub settings: Settings,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// When its settings last changed.
    pub modified: Timestamp,
    /// Its number, never given twice.
    pub(crate) number: i64,
    /// Where its messages are: another after each purge.
    pub(crate) heap: i64,
}

/// What came of a wish to make a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was made.
    New,
    /// It is there already, like this.
    Exists(Box<Queue>),
    /// There are as many queues as there may be.
    Full,
}

/// A message as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Its identifier.
    pub id: String,
    /// Its text.
    pub body: String,
    /// Its attributes, as JSON that the store does not read; empty if there are none.
    pub attributes: String,
    /// `AWSTraceHeader`.
    pub trace: Option<String>,
    /// The message group. Always there in a FIFO queue; shown only in others.
    pub group: Option<String>,
    /// The deduplication id; FIFO queues only.
    pub deduplication: Option<String>,
    /// Seconds before it can be received; `None`: as the queue says.
    pub delay_seconds: Option<u32>,
}

impl NewMessage {
    /// What it counts against the bounds.
    pub fn bytes(&self) -> u64 {
        MESSAGE_BYTES + (self.body.len() + self.attributes.len()) as u64
    }
}

/// A message that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its identifier; of a duplicate, that of the message that was there first.
    pub id: String,
    /// Its place in the order of all messages; rises.
    pub number: i64,
}

/// The right to say what becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The queue's number.
    pub queue: i64,
    /// The message's.
    pub message: i64,
    /// Which delivery of it.
    pub delivery: i64,
}

/// A message that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The right to it.
    pub receipt: Receipt,
    /// As it was sent; `delay_seconds` is not kept.
    pub message: NewMessage,
    /// When it was sent.
    pub sent: Timestamp,
    /// When it was first delivered.
    pub first: Timestamp,
    /// The name of the queue that gave it up, if it came from one.
    pub came_from: Option<String>,
}

/// What a receive answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Messages.
    pub messages: Vec<Delivered>,
    /// When the next may be due; `None` if there is none.
    pub next: Option<Timestamp>,
}

/// What came of saying something of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was done.
    Done,
    /// The message is gone, or was delivered again since.
    Stale,
    /// It is not in flight any more; nothing was changed.
    Visible,
    /// It would be in flight for longer than a message may be; nothing was changed.
    TooLong,
    /// The receipt is another queue's.
    Foreign,
}

/// What tells of a queue's messages.
#[derive(Debug, Default)]
pub struct Waiter {
    one: Notify,
    all: Arc<Notify>,
}

impl Waiter {
    /// Waits for a message that nobody else was told of.
    pub fn next(&self) -> Notified<'_> {
        self.one.notified()
    }

    /// Waits for the next that is told, from now on, whoever else is.
    pub fn changed(&self) -> OwnedNotified {
        Arc::clone(&self.all).notified_owned()
    }

    /// Tells one of those who wait for a message, and all others, that there may be one, or that another is due next.
    pub fn tell(&self) {
        self.one.notify_one();
        self.all.notify_waiters();
    }
}

/// How many messages a queue has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// That can be received.
    pub visible: u64,
    /// What those count against the bounds.
    pub visible_bytes: u64,
    /// That were delivered, and are neither deleted nor due again.
    pub in_flight: u64,
    /// That were never due yet.
    pub delayed: u64,
}

/// Most tasks of a queue that are kept: those that began last (service model, `ListMessageMoveTasks`).
pub const MOST_MOVE_TASKS: usize = 10;

/// A wish to move the messages of a dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMove {
    /// The name of the queue that takes them, beside their own; `None`: each goes back to where it came from.
    pub target: Option<String>,
    /// Messages a second, if that is bounded.
    pub rate: Option<u32>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartedMove {
    /// The task has begun, under this number.
    New(i64),
    /// Another of the same queue runs.
    Another,
}

/// A task that moves the messages of a dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveTask {
    /// Its number; rises.
    pub task: i64,
    /// The queue's number.
    pub(crate) queue: i64,
    /// As it was asked for.
    pub target: Option<String>,
    /// As it was asked for.
    pub rate: Option<u32>,
    /// When it began.
    pub started: Timestamp,
    /// How many messages could be received then.
    pub total: u64,
    /// How many it has moved.
    pub moved: u64,
    /// Where it is in its life.
    pub state: MoveState,
    /// Why it failed.
    pub reason: Option<String>,
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveState {
    /// It moves messages.
    Running,
    /// All that could be received when it began were moved.
    Completed,
    /// It was cancelled; the rest stays.
    Cancelled,
    /// It could not go on; the rest stays.
    Failed,
}

impl MoveState {
    pub(crate) const ALL: [Self; 4] = [
        Self::Running,
        Self::Completed,
        Self::Cancelled,
        Self::Failed,
    ];

    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }
}

/// Why a store of queues could not do it.
#[derive(Debug, thiserror::Error)]
pub enum QueueStoreError {
    /// There is no such queue.
    #[error("the queue does not exist")]
    Missing,
    /// A bound is reached; nothing was changed.
    #[error("the queue, or the node, has as many messages as it may have")]
    Full,
    /// As many messages are in flight as may be.
    #[error("the queue has as many messages in flight as it may have")]
    InFlight,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many messages there are, by heap, without asking the database. What becomes visible by time alone is told by
/// buckets of a second, of which there are at most as many as a message may be in flight for.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    heaps: HashMap<i64, Tally>,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) messages: u64,
    bytes: u64,
    later: BTreeMap<i64, Later>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Later {
    delayed: u64,
    in_flight: u64,
    bytes: u64,
}

/// That a message comes to a place, or leaves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delta {
    pub(crate) heap: i64,
    pub(crate) due: Timestamp,
    pub(crate) held: bool,
    pub(crate) bytes: u64,
    pub(crate) comes: bool,
}

impl Delta {
    pub(crate) fn inverse(self) -> Self {
        Self {
            comes: !self.comes,
            ..self
        }
    }
}

fn second(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1000)
}

fn step(count: &mut u64, by: u64, comes: bool) {
    *count = if comes {
        *count + by
    } else {
        count.saturating_sub(by)
    };
}

impl Tallies {
    pub(crate) fn apply(&mut self, delta: Delta, now: Timestamp) {
        step(&mut self.messages, 1, delta.comes);
        step(&mut self.bytes, delta.bytes, delta.comes);
        let tally = self.heaps.entry(delta.heap).or_default();
        step(&mut tally.messages, 1, delta.comes);
        step(&mut tally.bytes, delta.bytes, delta.comes);
        while let Some(first) = tally.later.first_entry() {
            if *first.key() > second(now) {
                break;
            }
            first.remove();
        }
        // What is due has no bucket, neither when it comes nor when it leaves.
        if second(delta.due) > second(now) {
            let later = tally.later.entry(second(delta.due)).or_default();
            let count = if delta.held {
                &mut later.in_flight
            } else {
                &mut later.delayed
            };
            step(count, 1, delta.comes);
            step(&mut later.bytes, delta.bytes, delta.comes);
            if later.delayed + later.in_flight == 0 {
                tally.later.remove(&second(delta.due));
            }
        }
        if tally.messages == 0 {
            self.heaps.remove(&delta.heap);
        }
    }

    pub(crate) fn messages_of(&self, heap: i64) -> u64 {
        self.heaps.get(&heap).map_or(0, |tally| tally.messages)
    }

    pub(crate) fn counts(&self, heap: i64, now: Timestamp) -> QueueCounts {
        let Some(tally) = self.heaps.get(&heap) else {
            return QueueCounts::default();
        };
        let mut counts = QueueCounts::default();
        let mut later_bytes = 0;
        for later in tally.later.range(second(now) + 1..).map(|(_, later)| later) {
            counts.delayed += later.delayed;
            counts.in_flight += later.in_flight;
            later_bytes += later.bytes;
        }
        counts.visible = tally
            .messages
            .saturating_sub(counts.delayed + counts.in_flight);
        counts.visible_bytes = tally.bytes.saturating_sub(later_bytes);
        counts
    }
}
