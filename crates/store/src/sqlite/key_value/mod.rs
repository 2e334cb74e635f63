//! Keys and values on one node: a SQLite database of its own beside the control plane's.
//!
//! Of its own, because functions write as often as they like: an operation of the control plane must not wait behind
//! them, a start must not read all that they keep, and what they do must not be able to damage what it keeps.
//!
//! One thread ([`writer`]) writes; what waits for it shares a transaction and an fsync (group commit). Reads go beside
//! it, through connections of their own that see what was last committed.

mod rows;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::contract::StoreError;
use crate::key_value::{
    BucketId, CALL_BYTES, KeyValueError, KeyValueStore, MOST_KEYS, NamePage, Page, Value, Write,
    check_bytes, check_count, check_key, check_value,
};
use crate::sqlite::file::{self, Kind};
use crate::sqlite::readers::Readers;
use writer::{Job, Outcome, Task, Writer};

/// The file.
const KIND: Kind = Kind {
    // `HrKV`
    application_id: 0x4872_4b56,
    migrations: &[include_str!("schema.sql")],
    of: "keys and values",
    // SQLite's own default, 4 MiB.
    checkpoint_pages: 1000,
};

/// Writes that may wait before callers wait to get in.
const QUEUE: usize = 1024;

/// Bytes of values that may wait to be written before callers wait to get in: two of the largest calls.
const QUEUE_BYTES: usize = 2 * CALL_BYTES;

/// How a [`SqliteKeyValueStore`] is set up.
#[derive(Clone, Copy, Debug)]
pub struct KeyValueOptions {
    /// Bound on one bucket, bytes of keys, values, metadata and [`crate::key_value::ENTRY_BYTES`] for each entry.
    pub bucket_bytes: u64,
}

impl Default for KeyValueOptions {
    fn default() -> Self {
        Self {
            // The bound of Workers KV where it is free of charge.
            bucket_bytes: 1 << 30,
        }
    }
}

/// A [`KeyValueStore`] in one SQLite database file.
///
/// One process at a time: that is seen to by [`crate::SqliteStore`] in the same folder, which is opened first. Dropping
/// it finishes what was queued; the dropping thread waits for that. A killed process loses nothing that was answered.
#[derive(Debug)]
pub struct SqliteKeyValueStore {
    // `None` only while dropping.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    room: Arc<Semaphore>,
    readers: Readers,
}

impl SqliteKeyValueStore {
    /// Opens the database at `path`, or makes it (its folder must be there; readable by its owner alone).
    ///
    /// # Errors
    /// As [`crate::SqliteStore::open`]; damage inside is found when it is met.
    pub fn open(path: impl AsRef<Path>, options: KeyValueOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let connection = file::open(path, &KIND)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer::new(connection, options.bucket_bytes);
        let writer = std::thread::Builder::new()
            .name("hearth-keyvalue".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|e| StoreError::Unavailable(format!("can't start its thread: {e}")))?;
        Ok(Self {
            jobs: Some(jobs),
            writer: Some(writer),
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            readers: Readers::new(path),
        })
    }

    /// Queues a task that holds `bytes` of values, and waits for its end.
    async fn ask(
        &self,
        bucket: &BucketId,
        bytes: usize,
        task: Task,
    ) -> Result<Outcome, KeyValueError> {
        let gone = || {
            KeyValueError::from(StoreError::Unavailable(
                "its writer has stopped; restart the node".to_owned(),
            ))
        };
        let wanted = u32::try_from(bytes.min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .acquire_many_owned(wanted)
            .await
            .map_err(|_| gone())?;
        let (answer, answered) = oneshot::channel();
        let job = Job {
            bucket: bucket.clone(),
            task,
            answer,
            _room: room,
        };
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl KeyValueStore for SqliteKeyValueStore {
    async fn get(
        &self,
        bucket: &BucketId,
        keys: Vec<String>,
    ) -> Result<Vec<Option<Value>>, KeyValueError> {
        check_count(keys.len())?;
        keys.iter().try_for_each(|key| check_key(key))?;
        let bucket = bucket.clone();
        self.readers
            .read(move |connection| rows::get_all(connection, &bucket, &keys))
            .await
    }

    async fn exists(&self, bucket: &BucketId, key: String) -> Result<bool, KeyValueError> {
        check_key(&key)?;
        let bucket = bucket.clone();
        self.readers
            .read(move |connection| rows::exists(connection, &bucket, &key))
            .await
    }

    async fn list(
        &self,
        bucket: &BucketId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page, KeyValueError> {
        let bucket = bucket.clone();
        let limit = limit.clamp(1, MOST_KEYS);
        self.readers
            .read(move |connection| rows::list(connection, &bucket, after.unwrap_or(0), limit))
            .await
    }

    async fn list_by_name(
        &self,
        bucket: &BucketId,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<NamePage, KeyValueError> {
        let bucket = bucket.clone();
        let limit = limit.clamp(1, MOST_KEYS);
        self.readers
            .read(move |connection| {
                rows::list_by_name(
                    connection,
                    &bucket,
                    &prefix,
                    after.as_deref().unwrap_or_default(),
                    limit,
                )
            })
            .await
    }

    async fn write(&self, bucket: &BucketId, writes: Vec<Write>) -> Result<(), KeyValueError> {
        if writes.is_empty() {
            return Ok(());
        }
        check_count(writes.len())?;
        let mut bytes = 0;
        for write in &writes {
            match write {
                Write::Set { key, value } => {
                    check_key(key)?;
                    check_value(value)?;
                    bytes += value.bytes.len();
                }
                Write::Delete { key } => check_key(key)?,
            }
        }
        check_bytes(bytes)?;
        match self.ask(bucket, bytes, Task::Write(writes)).await? {
            Outcome::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn increment(
        &self,
        bucket: &BucketId,
        key: String,
        delta: i64,
    ) -> Result<i64, KeyValueError> {
        check_key(&key)?;
        match self.ask(bucket, 0, Task::Increment { key, delta }).await? {
            Outcome::Sum(sum) => Ok(sum),
            other => Err(unexpected(&other)),
        }
    }

    async fn swap(
        &self,
        bucket: &BucketId,
        key: String,
        current: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, KeyValueError> {
        check_key(&key)?;
        let new = Value::from(new);
        check_value(&new)?;
        let bytes = new.bytes.len() + current.as_ref().map_or(0, Vec::len);
        let task = Task::Swap { key, current, new };
        match self.ask(bucket, bytes, task).await? {
            Outcome::Swapped(swapped) => Ok(swapped),
            other => Err(unexpected(&other)),
        }
    }

    async fn remove(&self, bucket: &BucketId) -> Result<(), KeyValueError> {
        match self.ask(bucket, 0, Task::Remove).await? {
            Outcome::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(outcome: &Outcome) -> KeyValueError {
    StoreError::Unavailable(format!("its writer answered another question: {outcome:?}")).into()
}

impl Drop for SqliteKeyValueStore {
    fn drop(&mut self) {
        // The writer ends when the last sender is gone.
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was reported when it happened; there is nothing to add while dropping.
            let _ = writer.join();
        }
    }
}
