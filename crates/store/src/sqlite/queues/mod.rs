//! Queues on one node: a SQLite database of its own beside the control plane's and the events'.
//!
//! One thread ([`group`](super::group)) writes, as for events: what waits for it shares a transaction and an fsync. A
//! flood of messages has a thread and a file of its own, so that it holds up neither asynchronous invocations nor
//! control operations. What only asks (settings, lists, whether something is due) goes beside it; counts are kept in
//! memory.
//!
//! To purge or delete a queue is to give it another heap, or none: it takes the same time for a million messages as for
//! one, and [sweeps](SqliteQueueStore::sweep) remove the old heap's a part at a time.

mod messages;
mod moves;
mod rows;
mod task;

use std::path::Path;
use std::sync::Arc;

use hearth_types::name::{AccountId, Region};
use hearth_types::time::Timestamp;

use self::messages::Answer;
use self::task::{Shared, Work};
use super::fault::sql;
use super::file::{self, Kind};
use super::group::{Group, gone};
use super::once;
use super::readers::Readers;
use super::statement;
use crate::contract::StoreError;
use crate::once::Once;
use crate::queues::{
    Created, Delta, Fate, MoveTask, NewMessage, NewMove, Queue, QueueCounts, QueueKey,
    QueueStoreError, Receipt, Received, Sent, Settings, StartedMove, Waiter,
};

/// The file.
const KIND: Kind = Kind {
    // `HrQu`
    application_id: 0x4872_5175,
    migrations: &[
        include_str!("schema.sql"),
        once::TABLE,
        include_str!("moves.sql"),
    ],
    of: "queues",
    // As for events.
    checkpoint_pages: 4096,
};

/// Bounds of a [`SqliteQueueStore`]. A message counts with its texts and [`crate::queues::MESSAGE_BYTES`].
#[derive(Clone, Copy, Debug)]
pub struct QueueBounds {
    /// Most queues.
    pub queues: u64,
    /// Most messages of one queue.
    pub queue_messages: u64,
    /// Most messages of all queues together.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Default for QueueBounds {
    fn default() -> Self {
        Self {
            queues: 10_000,
            // A flood of one queue leaves half of the room to the others.
            queue_messages: 1_000_000,
            messages: 2_000_000,
            bytes: 8 << 30,
        }
    }
}

/// Queues in one SQLite database file.
///
/// Each call is atomic, and what is answered is on disk (after the covering fsync) and seen by every later call. A
/// dropped future leaves it open whether it was done; it is never half done. Messages that a dropped receive has taken
/// are in flight until they are due again.
///
/// One process at a time: that is seen to by [`crate::SqliteStore`] in the same folder, which is opened first.
#[derive(Debug)]
pub struct SqliteQueueStore {
    group: Group,
    readers: Readers,
    shared: Arc<Shared>,
    bounds: QueueBounds,
}

impl SqliteQueueStore {
    /// Opens the database at `path`, or makes it (its folder must be there; readable by its owner alone).
    ///
    /// # Errors
    /// As [`crate::SqliteStore::open`], also when transactions that were answered are missing; damage inside is found
    /// when it is met.
    pub fn open(
        path: impl AsRef<Path>,
        bounds: QueueBounds,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let connection = file::open(path, &KIND)?;
        let shared = Arc::<Shared>::default();
        {
            let mut statement = connection
                .prepare("SELECT heap, due, held, bytes FROM places")
                .map_err(sql)?;
            let mut rows = statement.query([]).map_err(sql)?;
            let mut state = shared.state();
            while let Some(row) = rows.next().map_err(sql)? {
                let delta = Delta {
                    heap: row.get(0).map_err(sql)?,
                    due: Timestamp::from_millis(row.get(1).map_err(sql)?),
                    held: row.get(2).map_err(sql)?,
                    bytes: row.get(3).map_err(sql)?,
                    comes: true,
                };
                state.tallies.apply(delta, now);
            }
        }
        Ok(Self {
            group: Group::start(path, connection, "hearth-queues")?,
            readers: Readers::new(path),
            shared,
            bounds,
        })
    }

    /// Queues a task that holds `bytes` of memory, and waits for its answer.
    async fn ask<A: Send + 'static>(
        &self,
        now: Timestamp,
        bytes: usize,
        act: impl FnMut(&mut Work<'_>) -> Result<A, StoreError> + Send + 'static,
    ) -> Result<A, StoreError> {
        let (task, answered) = task::task(now, Arc::clone(&self.shared), act);
        self.group.queue(Box::new(task), bytes).await?;
        answered.await.map_err(|_| gone())?
    }

    async fn ask_queue<A: Send + 'static>(
        &self,
        now: Timestamp,
        bytes: usize,
        act: impl FnMut(&mut Work<'_>) -> Answer<A> + Send + 'static,
    ) -> Result<A, QueueStoreError> {
        self.ask(now, bytes, act).await?
    }

    /// Makes a queue, if there is none of its name.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was made.
    pub async fn create(
        &self,
        key: QueueKey,
        settings: Settings,
        tags: std::collections::BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<Created, StoreError> {
        let most = self.bounds.queues;
        self.ask(now, 0, move |work| {
            if let Some(queue) = rows::queue(work.connection, &key)? {
                return Ok(Created::Exists(Box::new(queue)));
            }
            let count: Option<u64> =
                statement::first(work.connection, "SELECT count(*) FROM queues", (), |row| {
                    row.get(0)
                })?;
            if count.unwrap_or(0) >= most {
                return Ok(Created::Full);
            }
            let (number, heap) = (work.number()?, work.number()?);
            let queue = Queue {
                key: key.clone(),
                settings: settings.clone(),
                tags: tags.clone(),
                created: now,
                modified: now,
                number,
                heap,
            };
            rows::put_queue(work.connection, &queue)?;
            Ok(Created::New)
        })
        .await
    }

    /// Changes a queue's settings or tags. `change` may be called more than once, each time with the queue as it is.
    ///
    /// # Errors
    /// [`QueueStoreError::Missing`]; [`StoreError`].
    pub async fn change(
        &self,
        key: QueueKey,
        change: impl Fn(&mut Queue) + Send + 'static,
        now: Timestamp,
    ) -> Result<(), QueueStoreError> {
        self.ask_queue(now, 0, move |work| {
            let Some(mut queue) = rows::queue(work.connection, &key)? else {
                return Ok(Err(QueueStoreError::Missing));
            };
            change(&mut queue);
            rows::put_queue(work.connection, &queue)?;
            Ok(Ok(()))
        })
        .await
    }

    /// Removes a queue with its messages.
    ///
    /// # Errors
    /// [`QueueStoreError::Missing`]; [`StoreError`].
    pub async fn delete_queue(&self, key: QueueKey, now: Timestamp) -> Result<(), QueueStoreError> {
        self.ask_queue(now, 0, move |work| {
            let Some(queue) = rows::queue(work.connection, &key)? else {
                return Ok(Err(QueueStoreError::Missing));
            };
            statement::execute(
                work.connection,
                "INSERT INTO emptied VALUES (?1)",
                (queue.heap,),
            )?;
            statement::execute(
                work.connection,
                "DELETE FROM moves WHERE queue = ?1",
                (queue.number,),
            )?;
            statement::execute(
                work.connection,
                "DELETE FROM queues WHERE queue = ?1",
                (queue.number,),
            )?;
            work.wake(queue.number);
            Ok(Ok(()))
        })
        .await
    }

    /// Removes a queue's messages.
    ///
    /// # Errors
    /// [`QueueStoreError::Missing`]; [`StoreError`].
    pub async fn purge(&self, key: QueueKey, now: Timestamp) -> Result<(), QueueStoreError> {
        self.ask_queue(now, 0, move |work| {
            let Some(mut queue) = rows::queue(work.connection, &key)? else {
                return Ok(Err(QueueStoreError::Missing));
            };
            statement::execute(
                work.connection,
                "INSERT INTO emptied VALUES (?1)",
                (queue.heap,),
            )?;
            queue.heap = work.number()?;
            rows::put_queue(work.connection, &queue)?;
            Ok(Ok(()))
        })
        .await
    }

    /// A queue, if it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn queue(&self, key: QueueKey) -> Result<Option<Queue>, StoreError> {
        self.readers
            .read(move |connection| rows::queue(connection, &key))
            .await
    }

    /// A queue, and when something of it is next due.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next(
        &self,
        key: QueueKey,
    ) -> Result<Option<(Queue, Option<Timestamp>)>, StoreError> {
        self.readers
            .read(move |connection| {
                let snapshot = connection.transaction().map_err(sql)?;
                let Some(queue) = rows::queue(&snapshot, &key)? else {
                    return Ok(None);
                };
                let next = rows::next_due(&snapshot, &queue)?;
                Ok(Some((queue, next)))
            })
            .await
    }

    /// What tells of a queue's messages, while somebody holds it.
    pub fn waiter(&self, queue: &Queue) -> Arc<Waiter> {
        self.shared.waiter(queue.number)
    }

    /// How many messages a queue has.
    pub fn counts(&self, queue: &Queue, now: Timestamp) -> QueueCounts {
        self.shared.state().tallies.counts(queue.heap, now)
    }

    /// Names of queues that begin with `prefix`, after `after`, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn names(
        &self,
        (account, region): (AccountId, Region),
        prefix: String,
        after: String,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.readers
            .read(move |connection| {
                statement::collect(
                    connection,
                    // Names are ASCII, so that what begins with the prefix is one range of the index.
                    "SELECT name FROM queues WHERE account = ?1 AND region = ?2 AND name >= ?3 AND name > ?4
                     AND name < ?3 || char(127) ORDER BY name LIMIT ?5",
                    (account.as_str(), region.as_str(), prefix, after, limit),
                    |row| row.get(0),
                )
            })
            .await
    }

    /// Names of queues whose dead letters a queue takes, after `after`, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sources(
        &self,
        key: QueueKey,
        after: String,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.readers
            .read(move |connection| {
                statement::collect(
                    connection,
                    "SELECT name FROM queues WHERE account = ?1 AND region = ?2 AND target = ?3 AND name > ?4
                     ORDER BY name LIMIT ?5",
                    (key.account.as_str(), key.region.as_str(), key.name, after, limit),
                    |row| row.get(0),
                )
            })
            .await
    }

    /// Takes messages in, all or none of them.
    ///
    /// # Errors
    /// [`QueueStoreError`]; nothing was taken in.
    pub async fn send(
        &self,
        key: QueueKey,
        messages: Vec<NewMessage>,
        now: Timestamp,
    ) -> Result<Vec<Sent>, QueueStoreError> {
        let bounds = self.bounds;
        let bytes = messages.iter().map(|message| message.body.len()).sum();
        self.ask_queue(now, bytes, move |work| {
            messages::send(work, &key, &messages, bounds)
        })
        .await
    }

    /// Takes a message in and notes `once` with it, if that was not noted yet.
    ///
    /// # Errors
    /// [`QueueStoreError`]; nothing was taken in, nor noted.
    pub async fn send_once(
        &self,
        key: QueueKey,
        message: NewMessage,
        once: Once,
        now: Timestamp,
    ) -> Result<(), QueueStoreError> {
        let bounds = self.bounds;
        let bytes = message.body.len();
        let messages = [message];
        self.ask_queue(now, bytes, move |work| {
            if once::is_noted(work.connection, &once)? {
                return Ok(Ok(()));
            }
            let sent = messages::send(work, &key, &messages, bounds)?;
            if sent.is_ok() {
                once::note(work.connection, &once, now)?;
            }
            Ok(sent.map(drop))
        })
        .await
    }

    /// Whether a message was taken in with `once`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_noted(&self, once: Once) -> Result<bool, StoreError> {
        self.readers
            .read(move |connection| once::is_noted(connection, &once))
            .await
    }

    /// Delivers up to `most` messages that are due at `now`, for as long as the queue says or for `visibility_seconds`.
    /// What was delivered too often before goes to the dead-letter queue in the same transaction.
    ///
    /// # Errors
    /// [`QueueStoreError`]; nothing was delivered.
    pub async fn receive(
        &self,
        key: QueueKey,
        most: usize,
        visibility_seconds: Option<u32>,
        now: Timestamp,
    ) -> Result<Received, QueueStoreError> {
        self.ask_queue(now, 0, move |work| {
            messages::receive(work, &key, most, visibility_seconds)
        })
        .await
    }

    /// Removes messages that were delivered.
    ///
    /// # Errors
    /// [`QueueStoreError`]; nothing was removed.
    pub async fn delete(
        &self,
        key: QueueKey,
        receipts: Vec<Receipt>,
        now: Timestamp,
    ) -> Result<Vec<Fate>, QueueStoreError> {
        self.ask_queue(now, 0, move |work| messages::delete(work, &key, &receipts))
            .await
    }

    /// Says for how many seconds from `now` on messages are in flight.
    ///
    /// # Errors
    /// [`QueueStoreError`]; nothing was changed.
    pub async fn change_visibility(
        &self,
        key: QueueKey,
        changes: Vec<(Receipt, u32)>,
        now: Timestamp,
    ) -> Result<Vec<Fate>, QueueStoreError> {
        self.ask_queue(now, 0, move |work| {
            messages::change_visibility(work, &key, &changes)
        })
        .await
    }

    /// Begins a task that moves the messages of a queue.
    ///
    /// # Errors
    /// [`QueueStoreError`]; nothing was begun.
    pub async fn start_move(
        &self,
        key: QueueKey,
        new: NewMove,
        now: Timestamp,
    ) -> Result<StartedMove, QueueStoreError> {
        self.ask_queue(now, 0, move |work| moves::start(work, &key, &new))
            .await
    }

    /// Ends a task of a queue; says how many messages it has moved, or nothing if no such task runs.
    ///
    /// # Errors
    /// [`QueueStoreError`]; nothing was changed.
    pub async fn cancel_move(
        &self,
        key: QueueKey,
        task: i64,
        now: Timestamp,
    ) -> Result<Option<u64>, QueueStoreError> {
        self.ask_queue(now, 0, move |work| moves::cancel(work, &key, task))
            .await
    }

    /// The tasks of a queue, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn moves(&self, queue: &Queue) -> Result<Vec<MoveTask>, StoreError> {
        let number = queue.number;
        self.readers
            .read(move |connection| moves::of_queue(connection, number))
            .await
    }

    /// The tasks of all queues that run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn running_moves(&self) -> Result<Vec<MoveTask>, StoreError> {
        self.readers
            .read(|connection| moves::running(connection))
            .await
    }

    /// Moves up to `most` messages of a task that runs; says whether it goes on.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was moved.
    pub async fn advance_move(
        &self,
        task: i64,
        most: usize,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let bounds = self.bounds;
        self.ask(now, 0, move |work| moves::advance(work, task, most, bounds))
            .await
    }

    /// Removes a part of the messages whose time is over and of those of purged and deleted queues; says whether there
    /// may be more.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was removed.
    pub async fn sweep(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.ask(now, 0, messages::sweep).await
    }
}
