//! The handle to the logs.

use std::path::PathBuf;
use std::time::Duration;

use hearth_types::name::{AccountId, FunctionKey, Region};
use hearth_types::time::Timestamp;

use super::query::{FunctionLogSummary, Page, Query, StreamSummary};

/// How logs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The folder, made if it is not there. One process at a time uses it.
    pub dir: PathBuf,
    /// Bytes of disk for one function; the oldest lines go first.
    pub bytes_per_function: u64,
    /// Bytes of disk for all functions together; the oldest lines go first.
    pub total_bytes: u64,
    /// Lines older than this are removed.
    pub age: Duration,
}

impl LogOptions {
    /// 64 MiB a function, 2 GiB together, 7 days.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            bytes_per_function: 64 << 20,
            total_bytes: 2 << 30,
            age: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// A failure of log storage: the platform's, not the caller's.
#[derive(Debug, thiserror::Error)]
#[error("{action}: {cause}")]
pub struct LogError {
    /// What was being done: verb and object.
    action: String,
    #[source]
    cause: std::io::Error,
}

/// The logs of all functions. Cheap to clone; all clones are one store. When the last is dropped, what was written is
/// stored and the writer thread ends.
#[derive(Clone, Debug)]
pub struct LogStore(());

impl LogStore {
    /// Opens the logs and starts the writer thread.
    ///
    /// # Errors
    /// If the folder can't be made or read.
    pub fn open(options: LogOptions) -> Result<Self, LogError> {
        let _ = options;
        todo!()
    }

    /// The stream `stream` of a function's log: made by its first line. Any name will do; a long one is cut to 512
    /// characters (CloudWatch Logs' bound).
    pub fn stream(&self, key: &FunctionKey, stream: &str) -> LogStream {
        let _ = (key, stream);
        todo!()
    }

    /// Waits until everything that was written before is stored (handed to the operating system).
    pub async fn flush(&self) {
        todo!()
    }

    /// Functions of an account and region that have a log, by name, whose names start with `prefix`.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub async fn functions(
        &self,
        account: &AccountId,
        region: &Region,
        prefix: &str,
    ) -> Result<Vec<FunctionLogSummary>, LogError> {
        let _ = (account, region, prefix);
        todo!()
    }

    /// Streams of a function's log, by name, whose names start with `prefix`; none if it has no log.
    ///
    /// # Errors
    /// If a file can't be read.
    pub async fn streams(&self, key: &FunctionKey, prefix: &str) -> Result<Vec<StreamSummary>, LogError> {
        let _ = (key, prefix);
        todo!()
    }

    /// A page of a function's log, with everything that was written before the call; empty if it has no log.
    ///
    /// # Errors
    /// If a file can't be read.
    pub async fn read(&self, key: &FunctionKey, query: Query) -> Result<Page, LogError> {
        let _ = (key, query);
        todo!()
    }

    /// Removes a function's log. Streams that are open go on: their next line begins it anew.
    ///
    /// # Errors
    /// If a file can't be removed.
    pub async fn delete(&self, key: &FunctionKey) -> Result<(), LogError> {
        let _ = key;
        todo!()
    }

    /// Lines dropped since the store was opened, because they came faster than they could be stored.
    pub fn dropped_lines(&self) -> u64 {
        todo!()
    }
}

/// One stream of a function's log. Cheap to clone, shared by threads.
#[derive(Clone, Debug)]
pub struct LogStream(());

impl LogStream {
    /// Writes one line, as it will be shown (with or without its line feed). Never blocks and never fails: it goes to a
    /// bounded buffer, and when that is full the line is dropped and counted; a line in the log says how many. Lines
    /// over 256 KiB are split.
    pub fn write(&self, at: Timestamp, line: &[u8]) {
        let _ = (at, line);
        todo!()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        todo!()
    }
}
