//! The one thread that writes: what waits shares a transaction, and an fsync.

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::rows::{self, Bucket};
use crate::key_value::{BucketId, KeyValueError, Value, Write, refused};
use crate::sqlite::fault::sql;

/// Jobs that share one transaction at most: bounds how long the first of them waits for the last. At some 20 µs a small
/// write, 256 of them cost about what one fsync does.
const MOST_PER_SYNC: usize = 256;

type Answer = Result<Outcome, KeyValueError>;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) bucket: BucketId,
    pub(super) task: Task,
    pub(super) answer: oneshot::Sender<Answer>,
    /// What it takes of the memory for values that wait.
    pub(super) _room: OwnedSemaphorePermit,
}

/// What to do with a bucket, all or none of it.
#[derive(Debug)]
pub(super) enum Task {
    Write(Vec<Write>),
    Increment {
        key: String,
        delta: i64,
    },
    Swap {
        key: String,
        current: Option<Vec<u8>>,
        new: Value,
    },
    Remove,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    Sum(i64),
    Swapped(bool),
}

/// Owns the connection that writes.
pub(super) struct Writer {
    connection: Connection,
    bucket_bytes: u64,
}

impl Writer {
    pub(super) fn new(connection: Connection, bucket_bytes: u64) -> Self {
        Self {
            connection,
            bucket_bytes,
        }
    }

    /// Does jobs in the order in which they come, until nobody is left to send one; then closes.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
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
        if let Err((_, error)) = self.connection.close() {
            // The log stays and is read at the next start.
            tracing::warn!(%error, "can't close the store of keys and values cleanly");
        }
    }

    /// Does all in one transaction; if the database gives up on that, each in its own, so that one that is too large
    /// for the disk does not take the others with it.
    fn work(&mut self, batch: Vec<Job>) {
        match self.transaction(&batch) {
            Ok(answers) => {
                for (job, answer) in batch.into_iter().zip(answers) {
                    // Who asked may have gone away; so for all answers below.
                    let _ = job.answer.send(answer);
                }
            }
            Err(error) if batch.len() == 1 => {
                if let Some(job) = batch.into_iter().next() {
                    let _ = job.answer.send(Err(error));
                }
            }
            Err(_) => {
                for job in batch {
                    self.work(vec![job]);
                }
            }
        }
    }

    /// One transaction for all of `batch`: a job that is refused undoes only itself, anything else undoes all. All are
    /// answered after the COMMIT.
    fn transaction(&mut self, batch: &[Job]) -> Result<Vec<Answer>, KeyValueError> {
        let mut transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql)?;
        let mut answers = Vec::with_capacity(batch.len());
        for job in batch {
            let savepoint = transaction.savepoint().map_err(sql)?;
            match perform(&savepoint, job, self.bucket_bytes) {
                Ok(outcome) => {
                    savepoint.commit().map_err(sql)?;
                    answers.push(Ok(outcome));
                }
                Err(refusal @ KeyValueError::Refused(_)) => {
                    // Not committed: rolled back.
                    savepoint.finish().map_err(sql)?;
                    answers.push(Err(refusal));
                }
                Err(other) => return Err(other),
            }
        }
        rows::sweep(&transaction)?;
        transaction.commit().map_err(sql)?;
        Ok(answers)
    }
}

fn perform(connection: &Connection, job: &Job, bound: u64) -> Answer {
    let mut bucket = Bucket::open(connection, &job.bucket, bound)?;
    let was = bucket.bytes();
    let outcome = match &job.task {
        Task::Write(writes) => {
            for write in writes {
                match write {
                    Write::Set { key, value } => bucket.set(key, value)?,
                    Write::Delete { key } => bucket.delete(key)?,
                }
            }
            Outcome::Done
        }
        Task::Increment { key, delta } => {
            let mut value = bucket.get(key)?.unwrap_or_else(|| b"0".to_vec().into());
            let number = std::str::from_utf8(&value.bytes)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or_else(|| refused("the value is not a number"))?;
            let sum = number
                .checked_add(*delta)
                .ok_or_else(|| refused("the sum does not fit into 64 bits"))?;
            value.bytes = sum.to_string().into_bytes();
            bucket.set(key, &value)?;
            Outcome::Sum(sum)
        }
        Task::Swap { key, current, new } => {
            let there = bucket.get(key)?;
            let same = there.as_ref().map(|value| &value.bytes) == current.as_ref();
            if same {
                let there = there.unwrap_or_default();
                let new = Value {
                    bytes: new.bytes.clone(),
                    ..there
                };
                bucket.set(key, &new)?;
            }
            Outcome::Swapped(same)
        }
        Task::Remove => {
            bucket.remove()?;
            return Ok(Outcome::Done);
        }
    };
    bucket.close(was)?;
    Ok(outcome)
}
