//! Group commit: one thread that writes a database file, and lets all that waits share a transaction and an fsync.
//!
//! What is to be done comes as [`Job`]s, of whatever kinds of tables the file has. Their transactions are counted in the
//! file, and the [`Watermark`] beside it remembers the last that was answered, so that a log whose end was lost is
//! found at the next start.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::fault::{corrupt, sql};
use super::row::Content;
use super::schema::Head;
use super::statement::execute;
use super::watermark::Watermark;
use crate::contract::StoreError;

/// Jobs that may wait before callers wait to get in.
const QUEUE: usize = 1024;

/// Bytes that jobs which wait may hold before callers wait to get in.
const QUEUE_BYTES: usize = 64 << 20;

/// Jobs that share one transaction at most: bounds how long the first of them waits for the last. At some 20 µs a job,
/// 512 of them cost two or three times what one fsync does.
const MOST_PER_SYNC: usize = 512;

/// Something to be done in a transaction.
pub(super) trait Job: Send {
    /// Does it, in the transaction of number `sequence`; it reads what jobs before it in the same one wrote. What it
    /// must refuse, it refuses before it writes, and says so in its answer.
    ///
    /// # Errors
    /// The database gave up: all of the transaction is undone.
    fn perform(&mut self, transaction: &Connection, sequence: i64) -> Result<(), StoreError>;

    /// Takes back what it has done in memory, for the transaction was undone. It may be performed again.
    fn undo(&mut self);

    /// Answers, once its transaction is on disk or has failed alone. Who asked may have gone away.
    fn answer(self: Box<Self>, result: Result<(), StoreError>);
}

/// A job, and what it holds of the memory for those that wait.
struct Waiting {
    job: Box<dyn Job>,
    _room: Option<OwnedSemaphorePermit>,
}

/// The way to the thread. Dropping it finishes what was queued; the dropping thread waits for that.
#[derive(Debug)]
pub(super) struct Group {
    // `None` only while dropping.
    jobs: Option<mpsc::Sender<Waiting>>,
    writer: Option<JoinHandle<()>>,
    room: Arc<Semaphore>,
}

impl Group {
    /// Starts the thread, for a file that has the table `head` (see `events/schema.sql`).
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the file has lost transactions that were answered.
    pub(super) fn start(
        path: &Path,
        connection: Connection,
        name: &str,
    ) -> Result<Self, StoreError> {
        let sequence = read_sequence(&connection)?;
        let watermark = Watermark::open(path, &head(sequence))?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer {
            connection,
            watermark,
            sequence,
        };
        let writer = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|e| StoreError::Unavailable(format!("can't start its thread: {e}")))?;
        Ok(Self {
            jobs: Some(jobs),
            writer: Some(writer),
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
        })
    }

    /// Queues a job that holds `bytes` of memory. It will be answered, unless the thread has stopped.
    pub(super) async fn queue(&self, job: Box<dyn Job>, bytes: usize) -> Result<(), StoreError> {
        let room = match u32::try_from(bytes.min(QUEUE_BYTES)) {
            Ok(wanted @ 1..) => Some(
                Arc::clone(&self.room)
                    .acquire_many_owned(wanted)
                    .await
                    .map_err(|_| gone())?,
            ),
            _ => None,
        };
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Waiting { job, _room: room })
            .await
            .map_err(|_| gone())
    }
}

/// What who asks is told when nobody answers.
pub(super) fn gone() -> StoreError {
    StoreError::Unavailable("its writer has stopped; restart the node".to_owned())
}

impl Drop for Group {
    fn drop(&mut self) {
        // The writer ends when the last sender is gone.
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was reported when it happened; there is nothing to add while dropping.
            let _ = writer.join();
        }
    }
}

/// Owns the connection that writes.
struct Writer {
    connection: Connection,
    watermark: Watermark,
    /// Transactions that are on disk.
    sequence: i64,
}

impl Writer {
    /// Does jobs in the order in which they come, until nobody is left to send one; then closes.
    fn run(mut self, mut queue: mpsc::Receiver<Waiting>) {
        while let Some(first) = queue.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < MOST_PER_SYNC {
                match queue.try_recv() {
                    Ok(job) => batch.push(job),
                    Err(_) => break,
                }
            }
            self.work(batch);
        }
        // First: once the log is gone, it must be known how far the database has come.
        self.watermark.sync();
        if let Err((_, error)) = self.connection.close() {
            // The log stays and is read at the next start.
            tracing::warn!(%error, "can't close a store cleanly");
        }
    }

    /// Does all in one transaction; if the database gives up on that, each in its own, so that one that is too large
    /// for the disk does not take the others with it.
    fn work(&mut self, mut batch: Vec<Waiting>) {
        match self.transaction(&mut batch) {
            Ok(()) => {
                for waiting in batch {
                    waiting.job.answer(Ok(()));
                }
            }
            Err(error) if batch.len() == 1 => {
                for waiting in batch {
                    waiting.job.answer(Err(error.clone()));
                }
            }
            Err(_) => {
                for waiting in batch {
                    self.work(vec![waiting]);
                }
            }
        }
    }

    fn transaction(&mut self, batch: &mut [Waiting]) -> Result<(), StoreError> {
        let sequence = self.sequence + 1;
        let mut performed = 0;
        let result = (|| {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(sql)?;
            let before = transaction.total_changes();
            for waiting in batch.iter_mut() {
                performed += 1;
                waiting.job.perform(&transaction, sequence)?;
            }
            if transaction.total_changes() == before {
                // Whoever looked and found nothing to do does not wait for the disk, and has no others wait.
                return Ok(false);
            }
            write_sequence(&transaction, sequence)?;
            transaction.commit().map_err(sql)?;
            Ok(true)
        })();
        match result {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.sequence = sequence;
                self.watermark.raise(&head(sequence));
                Ok(())
            }
            Err(error) => {
                for waiting in batch.iter_mut().take(performed).rev() {
                    waiting.job.undo();
                }
                Err(error)
            }
        }
    }
}

/// As the watermark wants it. Rows have checksums of their own; there is no digest over all of them.
fn head(sequence: i64) -> Head {
    Head {
        sequence: sequence.unsigned_abs(),
        content: Content([0; 32]),
    }
}

fn read_sequence(connection: &Connection) -> Result<i64, StoreError> {
    connection
        .query_row("SELECT sequence FROM head", [], |row| row.get(0))
        .optional()
        .map_err(sql)?
        .ok_or_else(|| corrupt("its head is missing"))
}

fn write_sequence(connection: &Connection, sequence: i64) -> Result<(), StoreError> {
    match execute(connection, "UPDATE head SET sequence = ?1", (sequence,))? {
        1 => Ok(()),
        n => Err(corrupt(format_args!("it has {n} heads"))),
    }
}
