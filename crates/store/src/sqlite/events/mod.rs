//! Events on one node: a SQLite database of its own beside the control plane's.
//!
//! One thread ([`group`](super::group)) writes; what waits for it shares a transaction and an fsync, callers whose
//! events are accepted and the dispatcher's leases alike. Lists go beside it, through connections of their own. Each
//! function's events are in the order in which they are due, so that a queue of a million costs what an empty one does;
//! in memory there are counts by function ([`books`]) and nothing for each event.

mod books;
mod jobs;
pub(crate) mod news;
mod rows;

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hearth_types::invoke::RequestId;
use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;

use self::books::Books;
use self::jobs::{Accept, Act, Forget, Purge, Reclaim, Redrive, Settle, Shared, Take};
use self::news::News;
use super::fault::sql;
use super::file::{self, Kind};
use super::group::{Group, gone};
use super::once;
use super::readers::Readers;
use crate::contract::StoreError;
use crate::events::{
    Counts, DeadEvent, Event, EventError, EventPage, EventStore, Head, Lease, MOST_LISTED,
    Position, Settled, State, Step, Taken,
};
use crate::once::Once;

/// The file.
const KIND: Kind = Kind {
    // `HrEv`
    application_id: 0x4872_4576,
    migrations: &[include_str!("schema.sql"), once::TABLE],
    of: "events",
    // 16 MiB: a page is often written again before it is moved, and moving waits for the disk twice.
    checkpoint_pages: 4096,
};

/// How a [`SqliteEventStore`] is set up: the bounds of its queues. What waits and what runs counts, each event with its
/// payload, its texts and [`crate::events::EVENT_BYTES`].
#[derive(Clone, Copy, Debug)]
pub struct EventOptions {
    /// Most events of one function.
    pub function_events: u64,
    /// Their bytes.
    pub function_bytes: u64,
    /// Most events of all functions together.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Most bytes of dead events; past it, the oldest make room.
    pub dead_bytes: u64,
}

impl Default for EventOptions {
    fn default() -> Self {
        Self {
            // A flood of one function leaves half of the room to the others.
            function_events: 1_000_000,
            function_bytes: 4 << 30,
            events: 2_000_000,
            bytes: 8 << 30,
            dead_bytes: 256 << 20,
        }
    }
}

/// An [`EventStore`] in one SQLite database file.
///
/// One process at a time: that is seen to by [`crate::SqliteStore`] in the same folder, which is opened first. Dropping
/// it finishes what was queued; the dropping thread waits for that. A killed process loses nothing that was answered.
#[derive(Debug)]
pub struct SqliteEventStore {
    group: Group,
    readers: Readers,
    shared: Arc<Shared>,
    /// Transactions before this process.
    before: i64,
}

impl SqliteEventStore {
    /// Opens the database at `path`, or makes it (its folder must be there; readable by its owner alone).
    ///
    /// # Errors
    /// As [`crate::SqliteStore::open`], also when transactions that were answered are missing; damage inside is found
    /// when it is met.
    pub fn open(path: impl AsRef<Path>, options: EventOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let connection = file::open(path, &KIND)?;
        rows::prune_functions(&connection)?;
        let books = Books::open(&connection, options)?;
        let news = News::default();
        for (number, function) in books.with_waiting() {
            if let Some(due) = rows::next_due(&connection, number)? {
                news.tell(&function, due);
            }
        }
        let before = connection
            .query_row("SELECT sequence FROM head", [], |row| row.get(0))
            .map_err(sql)?;
        Ok(Self {
            group: Group::start(path, connection, "hearth-events")?,
            readers: Readers::new(path),
            shared: Arc::new(Shared {
                books: Mutex::new(books),
                news,
            }),
            before,
        })
    }

    /// Queues a job that holds `bytes` of memory, and waits for its answer.
    async fn ask<A: Act + 'static>(&self, act: A, bytes: usize) -> Result<A::Answer, StoreError> {
        let (job, answered) = jobs::job(act, Arc::clone(&self.shared));
        self.group.queue(Box::new(job), bytes).await?;
        answered.await.map_err(|_| gone())?
    }

    /// Queues an event, unless `once` was noted; whether it was queued.
    async fn accept_as(&self, event: Event, once: Option<Once>) -> Result<bool, EventError> {
        let bytes = event.payload.len();
        // On the caller's side, so that the one writer has less to do.
        let checksum = rows::checksum(&event);
        let accept = Accept {
            event,
            checksum,
            once,
        };
        self.ask(accept, bytes).await?.map_err(EventError::Full)
    }

    fn number(&self, function: &FunctionKey) -> Option<i64> {
        self.shared.books().number(function)
    }
}

#[async_trait]
impl EventStore for SqliteEventStore {
    async fn accept(&self, event: Event) -> Result<(), EventError> {
        self.accept_as(event, None).await.map(drop)
    }

    async fn accept_once(&self, event: Event, once: Once) -> Result<bool, EventError> {
        self.accept_as(event, Some(once)).await
    }

    async fn is_noted(&self, once: &Once) -> Result<bool, StoreError> {
        let once = once.clone();
        self.readers
            .read(move |connection| once::is_noted(connection, &once))
            .await
    }

    async fn take(
        &self,
        function: &FunctionKey,
        now: Timestamp,
        most: usize,
    ) -> Result<Taken, StoreError> {
        let function = function.clone();
        let take = Take {
            function,
            now,
            most,
        };
        self.ask(take, 0).await
    }

    async fn settle(&self, lease: Lease, step: Step) -> Result<Settled, StoreError> {
        self.ask(Settle { lease, step }, 0).await
    }

    async fn reclaim(
        &self,
        due: Box<dyn Fn(u32) -> Timestamp + Send + Sync>,
    ) -> Result<u64, StoreError> {
        let until = self.before;
        self.ask(Reclaim { until, due }, 0).await
    }

    async fn news(&self) -> Vec<Head> {
        self.shared.news.wait().await
    }

    async fn counts(&self) -> Result<Vec<(FunctionKey, Counts)>, StoreError> {
        Ok(self.shared.books().counts())
    }

    async fn list(
        &self,
        function: &FunctionKey,
        state: State,
        after: Option<Position>,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let Some(function) = self.number(function) else {
            return Ok(EventPage::default());
        };
        let after = after.unwrap_or(Position(i64::MIN, i64::MIN));
        let limit = limit.clamp(1, MOST_LISTED);
        let list = match state {
            State::Waiting => rows::list_waiting,
            State::Running => rows::list_running,
            State::Dead => rows::list_dead,
        };
        self.readers
            .read(move |connection| list(connection, function, after, limit))
            .await
    }

    async fn dead(&self, id: RequestId) -> Result<Option<DeadEvent>, StoreError> {
        let shared = Arc::clone(&self.shared);
        self.readers
            .read(move |connection| {
                let snapshot = connection.transaction().map_err(sql)?;
                let Some(row) = rows::dead_by_id(&snapshot, id)? else {
                    return Ok(None);
                };
                let Some(key) = shared.books().key(row.function).cloned() else {
                    return Ok(None);
                };
                let event = rows::event(&snapshot, row.event, &key)?;
                let end = rows::end(&snapshot, row.event)?;
                Ok(event.zip(end).map(|(event, end)| DeadEvent { event, end }))
            })
            .await
    }

    async fn redrive(
        &self,
        function: &FunctionKey,
        which: Option<RequestId>,
        now: Timestamp,
    ) -> Result<usize, EventError> {
        let function = function.clone();
        let redrive = Redrive {
            function,
            which,
            now,
        };
        self.ask(redrive, 0).await?
    }

    async fn purge(
        &self,
        function: &FunctionKey,
        which: Option<RequestId>,
    ) -> Result<usize, StoreError> {
        let function = function.clone();
        self.ask(Purge { function, which }, 0).await
    }

    async fn forget(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.ask(Forget { before }, 0).await
    }
}
