//! The store of one node: a SQLite database in its data folder, nothing else to install.
//!
//! One thread ([`writer`]) owns the only connection and is fed by a bounded queue; what waits in the queue when
//! it gets to write shares one transaction and one fsync (group commit). Each row carries a checksum and the
//! database a digest of all rows ([`row`]), and a small file beside it remembers how far answers have gone
//! ([`watermark`]), so that damage and loss are found and never read as an answer.
//!
//! Files, for a database `hearth.db`: `hearth.db-wal` (SQLite's log; part of the state while it exists) and
//! `hearth.db-watermark`. A backup of a running node is a copy of all of them at one moment; of a stopped one,
//! `hearth.db` alone will do.

mod apply;
mod deliveries;
mod due;
pub(crate) mod events;
mod fault;
mod file;
mod group;
mod key_value;
mod load;
mod once;
mod queues;
mod readers;
mod row;
pub mod rules;
pub mod schedules;
mod schema;
mod statement;
pub mod storage;
mod task;
mod watermark;
mod writer;

use std::path::Path;
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use crate::contract::{Change, Contents, Store, StoreError};
pub use events::{EventOptions, SqliteEventStore};
pub use key_value::{KeyValueOptions, SqliteKeyValueStore};
pub use queues::{QueueBounds, SqliteQueueStore};
pub use rules::{RuleBounds, SqliteRuleStore};
pub use schedules::{ScheduleBounds, SqliteScheduleStore};
pub use storage::{SqliteStorageStore, StorageBounds};
use watermark::Watermark;
use writer::{Request, Writer};

/// Commits that may wait for the writer before callers wait to get in. Above what a node's control plane has in
/// flight, small enough that the last one's wait stays within a second at one fsync a batch.
const QUEUE: usize = 1024;

/// A [`Store`] in one SQLite database file, held by one process at a time.
///
/// Dropping it finishes what was queued, moves the log into the database and releases it; the dropping thread
/// waits for that (milliseconds). A killed process loses nothing that was answered, and its hold ends with it.
#[derive(Debug)]
pub struct SqliteStore {
    // `None` only while dropping.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the database at `path`, or makes it (its folder must be there; readable by its owner alone, for it
    /// holds functions' environments). Checks the whole file and waits for the disk: not for an asynchronous
    /// task.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process, or this one, holds it; [`StoreError::Corrupt`] if it is
    /// damaged, is not a store, or has lost what was answered (the sentence says what to do);
    /// [`StoreError::Full`]; [`StoreError::Unavailable`] if it was written by a newer version (the file is left
    /// as it was) or can't be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let (connection, head) = schema::open(path)?;
        let watermark = Watermark::open(path, &head)?;
        // Only a database that passed every check is written to on close.
        schema::checkpoint_on_close(&connection)?;
        let (requests, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(connection, watermark);
        let writer = std::thread::Builder::new()
            .name("hearth-store".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|e| StoreError::Unavailable(format!("can't start its thread: {e}")))?;
        Ok(Self {
            requests: Some(requests),
            writer: Some(writer),
        })
    }

    /// Queues a request and waits for its answer.
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> Result<T, StoreError> {
        let gone =
            || StoreError::Unavailable("its writer has stopped; restart the node".to_owned());
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests.send(request(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self) -> Result<Contents, StoreError> {
        self.ask(|answer| Request::Load { answer }).await
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        // On the caller's side, so that the one writer has less to do.
        let changes = changes
            .into_iter()
            .map(apply::Encoded::new)
            .collect::<Result<Vec<_>, _>>()?;
        self.ask(|answer| Request::Commit { changes, answer }).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // The writer ends when the last sender is gone.
        drop(self.requests.take());
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was reported when it happened; there is nothing to add while dropping.
            let _ = writer.join();
        }
    }
}
