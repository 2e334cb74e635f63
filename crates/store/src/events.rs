//! What every store of events promises: the queue of asynchronous invocations, and those that were given up.
//!
//! An event is in exactly one state: it waits until it is due, it runs under a lease, or it is dead and kept for
//! inspection. What succeeded leaves the store. A store decides nothing: when an event is due again, and whether it is
//! given up, is said to it.
//!
//! It is apart from [`crate::contract`]: events come by the thousand in a second and must not make operations of the
//! control plane wait.

use async_trait::async_trait;
use bytes::Bytes;
use hearth_types::event_invoke::Condition;
use hearth_types::invoke::{FunctionError, RequestId};
use hearth_types::name::{FunctionKey, Qualifier, Version};
use hearth_types::time::Timestamp;

use crate::contract::StoreError;
use crate::once::Once;

/// What an event counts besides its payload and its texts, bytes: that there is an end to empty events, too. About what
/// SQLite keeps of a row and its places in indexes.
pub const EVENT_BYTES: u64 = 256;

/// Most bytes of payloads that one [`EventStore::take`] answers with: a function's large events are taken a few at a
/// time.
pub const TAKE_BYTES: usize = 8 << 20;

/// Most bytes of the text of a cause, and of an end's message. The first 1 KB of an error go to a dead-letter queue
/// (guide, "Dead-letter queues").
pub const CAUSE_BYTES: usize = 1024;

/// Most dead events that one call removes or queues again: bounds how long others wait for it.
pub const MOST_DEAD: usize = 100;

/// Most entries of a page.
pub const MOST_LISTED: usize = 1000;

/// A durable queue of events. Implementation: [`crate::sqlite::SqliteEventStore`]; PostgreSQL for a cluster plugs in
/// here.
///
/// Each call is atomic, and what is answered is on disk (after the covering fsync) and seen by every later call.
///
/// Cancel safety of what writes: a dropped future leaves it open whether it was done; it is never half done. An event
/// that was taken by a dropped [`EventStore::take`] stays leased until [`EventStore::reclaim`].
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Queues an event.
    ///
    /// # Errors
    /// [`EventError::Full`] if the function's queue, or all of them together, would pass its bound: nothing was
    /// accepted. [`EventError::Store`].
    async fn accept(&self, event: Event) -> Result<(), EventError>;

    /// Queues an event as [`EventStore::accept`] does and notes `once` with it, if that was not noted yet; whether it was
    /// queued.
    ///
    /// # Errors
    /// As [`EventStore::accept`]; nothing was noted.
    async fn accept_once(&self, event: Event, once: Once) -> Result<bool, EventError>;

    /// Whether an event was queued with `once`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn is_noted(&self, once: &Once) -> Result<bool, StoreError>;

    /// Leases up to `most` of a function's events that are due at `now`, those that were due first before the others,
    /// and counts an attempt for each. Payloads together stay within [`TAKE_BYTES`], one event excepted.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was taken.
    async fn take(
        &self,
        function: &FunctionKey,
        now: Timestamp,
        most: usize,
    ) -> Result<Taken, StoreError>;

    /// Says what becomes of a leased event. Under a lease that does not hold any more nothing changes.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed, and the lease holds.
    async fn settle(&self, lease: Lease, step: Step) -> Result<Settled, StoreError>;

    /// Ends the leases of holders that are gone: their events wait again, due at what `due` says for the number of
    /// attempts that each has lost. How a store knows that a holder is gone is its own: one of a single node ends all
    /// leases of processes before this one.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed.
    async fn reclaim(
        &self,
        due: Box<dyn Fn(u32) -> Timestamp + Send + Sync>,
    ) -> Result<u64, StoreError>;

    /// Waits until functions have got something to do since the last call, and says which, and when the first of it is
    /// due. The first call says it of all functions with waiting events. A function may be named without need.
    ///
    /// Cancel safe: what a dropped call has not answered is for the next.
    async fn news(&self) -> Vec<Head>;

    /// How many events there are, by function.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn counts(&self) -> Result<Vec<(FunctionKey, Counts)>, StoreError>;

    /// Up to `limit` (at most [`MOST_LISTED`]) of a function's events in one state, after a position of an earlier
    /// page. Waiting ones in the order in which they are due, others in the order in which they were accepted or died.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(
        &self,
        function: &FunctionKey,
        state: State,
        after: Option<Position>,
        limit: usize,
    ) -> Result<EventPage, StoreError>;

    /// A dead event, whole.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn dead(&self, id: RequestId) -> Result<Option<DeadEvent>, StoreError>;

    /// Queues up to [`MOST_DEAD`] dead events of a function (one, or the oldest) as if they had been accepted at `now`,
    /// and says how many.
    ///
    /// # Errors
    /// [`EventError`]; nothing was changed.
    async fn redrive(
        &self,
        function: &FunctionKey,
        which: Option<RequestId>,
        now: Timestamp,
    ) -> Result<usize, EventError>;

    /// Removes up to [`MOST_DEAD`] dead events of a function (one, or the oldest), and says how many.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was removed.
    async fn purge(
        &self,
        function: &FunctionKey,
        which: Option<RequestId>,
    ) -> Result<usize, StoreError>;

    /// Removes up to [`MOST_DEAD`] of the events that died before `before`, and says how many.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was removed.
    async fn forget(&self, before: Timestamp) -> Result<usize, StoreError>;
}

/// One event: what a function is to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The request that was answered with success. All attempts have it.
    pub id: RequestId,
    /// Whose it is.
    pub function: FunctionKey,
    /// The version or alias that was asked for. It is followed anew at each attempt.
    pub qualifier: Option<Qualifier>,
    /// The payload.
    pub payload: Bytes,
    /// Decoded `X-Amz-Client-Context`: JSON text.
    pub client_context: Option<String>,
    /// `X-Amzn-Trace-Id`; its `Lineage` is the chain of invocations that led here.
    pub trace_id: String,
    /// When it was accepted: its age counts from here.
    pub accepted: Timestamp,
    /// When it is first due.
    pub due: Timestamp,
}

impl Event {
    /// What it counts against the bounds of queues.
    pub fn bytes(&self) -> u64 {
        let texts = self.trace_id.len() + self.client_context.as_ref().map_or(0, String::len);
        EVENT_BYTES + (self.payload.len() + texts) as u64
    }
}

/// The right to say what becomes of an event. It is the fencing token of one attempt: the next attempt has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Which event.
    pub(crate) event: i64,
    /// Never given twice for one event.
    pub(crate) token: i64,
}

/// What has been tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Attempts that have begun, whatever became of them.
    pub begun: u32,
    /// Attempts that the function failed.
    pub failed: u32,
    /// Attempts that the platform could not make, since the function last failed.
    pub deferred: u32,
    /// Attempts of which nobody knows what became: their node ended while they ran.
    pub lost: u32,
}

/// An event that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// The right to settle it.
    pub lease: Lease,
    /// The event.
    pub event: Event,
    /// What has been tried; the attempt that begins now is counted.
    pub tries: Tries,
    /// Why the attempt before came to nothing.
    pub cause: Option<String>,
    /// How it ended, if it has: then only its destinations are to be told.
    pub end: Option<End>,
}

/// What [`EventStore::take`] answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Leased events.
    pub events: Vec<Leased>,
    /// When the next of the function's waiting events is due; `None` if none waits.
    pub next: Option<Timestamp>,
}

/// When a function's next event is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The function.
    pub function: FunctionKey,
    /// When.
    pub due: Timestamp,
}

/// What becomes of a leased event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is done with: it leaves the store.
    Done,
    /// It is tried again.
    Again {
        /// When.
        due: Timestamp,
        /// Whether the function failed, or the platform could not run it.
        fault: Fault,
        /// Why; the first [`CAUSE_BYTES`] are kept.
        cause: String,
    },
    /// It has ended, and that is to be told: it waits, and is taken with its end. Its tries count from nothing.
    Tell {
        /// How.
        end: End,
        /// When.
        due: Timestamp,
    },
    /// It has ended and is kept as dead.
    Dead(End),
}

/// Whose fault it is that an attempt came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The function's.
    Function,
    /// The platform's: no room, throttled, not ready.
    Platform,
}

/// What came of [`EventStore::settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was done.
    Yes,
    /// The lease does not hold any more: nothing was changed.
    Stale,
}

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// In what way.
    pub condition: Condition,
    /// Attempts that had begun.
    pub attempts: u32,
    /// The version that ran last, if one did.
    pub version: Option<Version>,
    /// Set if the function failed.
    pub error: Option<FunctionError>,
    /// A sentence; the first [`CAUSE_BYTES`] are kept.
    pub message: String,
    /// What the function returned last, if that is kept.
    pub response: Option<Bytes>,
}

/// A dead event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadEvent {
    /// The event.
    pub event: Event,
    /// How it ended.
    pub end: End,
}

/// The state of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It waits to be tried: for the first time or again.
    Waiting,
    /// It is being tried.
    Running,
    /// It was given up.
    Dead,
}

/// How many events of a function are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Waiting for their first attempt.
    pub queued: u64,
    /// Waiting for another.
    pub retrying: u64,
    /// Being tried.
    pub running: u64,
    /// Given up.
    pub dead: u64,
    /// What all but the dead ones count against the bound, bytes.
    pub bytes: u64,
    /// What the dead ones count, bytes.
    pub dead_bytes: u64,
}

/// Where a page of a list ends. Only the store that gave it knows what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(pub i64, pub i64);

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The event's identifier.
    pub id: RequestId,
    /// The version or alias that was asked for.
    pub qualifier: Option<Qualifier>,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// Size of its payload, bytes.
    pub payload_bytes: u64,
    /// When it is due, if it waits.
    pub due: Option<Timestamp>,
    /// What has been tried; a dead one has its number of attempts.
    pub tries: Tries,
    /// Why the last attempt came to nothing; of a dead one, its end's message.
    pub cause: Option<String>,
    /// When it died, and in what way.
    pub ended: Option<(Timestamp, Condition)>,
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// Events.
    pub events: Vec<Listed>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Position>,
}

/// Why a store of events could not do it.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// A queue is at its bound.
    #[error("{0}")]
    Full(FullQueue),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which queue is at its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FullQueue {
    /// The function's.
    #[error("the function has as many events queued as it may have")]
    Function,
    /// All functions' together.
    #[error("the node has as many events queued as it may have")]
    Node,
}

/// Cuts a text to [`CAUSE_BYTES`], between characters.
pub(crate) fn cut(mut text: String) -> String {
    let end = text.floor_char_boundary(CAUSE_BYTES);
    text.truncate(end);
    text
}
