//! Lines that wait for the writer thread: one bounded buffer per function, so that a flood of one function's lines drops
//! none of another's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;
use tokio::sync::oneshot;

use super::files::Files;
use super::store::{LogError, LogOptions};

/// Bytes that wait for one function. At the disk's pace of the slowest machines meant (tens of MB/s) the writer empties
/// it in some hundredths of a second.
const FUNCTION_BYTES: usize = 1 << 20;
/// Bytes that wait for all functions together.
const ALL_BYTES: usize = 64 << 20;
/// Longest message, bytes (CloudWatch Logs: an event is at most 256 KB).
const MESSAGE_BYTES: usize = 256 * 1024;
/// Longest name of a stream, bytes (CloudWatch Logs: 512 characters).
const STREAM_BYTES: usize = 512;
/// Bytes of a waiting line before its name and message: their lengths and the timestamp.
const HEAD: usize = 4 + 2 + 8;

/// What the store, its streams and the writer thread share.
pub(super) struct Shared {
    pub(super) options: LogOptions,
    pub(super) functions: RwLock<HashMap<FunctionKey, Arc<FunctionLog>>>,
    pub(super) dropped: AtomicU64,
    work: Mutex<Work>,
    wake: Condvar,
    waiting: AtomicUsize,
}

/// One function's log.
pub(super) struct FunctionLog {
    pub(super) key: FunctionKey,
    pub(super) files: Mutex<Files>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    lines: Vec<u8>,
    lost: Option<Lost>,
    /// It is among [`Work::ready`], or on its way there.
    scheduled: bool,
}

/// Lines that were dropped since the writer last came by.
pub(super) struct Lost {
    pub(super) lines: u64,
    /// The time of the first of them.
    pub(super) at: Timestamp,
    /// The stream of the first of them.
    pub(super) stream: Arc<str>,
}

/// Told how the removal of a log went.
pub(super) type Deleted = oneshot::Sender<Result<(), LogError>>;

/// What the writer has to do.
#[derive(Default)]
pub(super) struct Work {
    /// Functions with lines.
    pub(super) ready: Vec<Arc<FunctionLog>>,
    /// Logs to remove.
    pub(super) deletes: Vec<(Arc<FunctionLog>, Deleted)>,
    /// Told once all of the above is done.
    pub(super) flushes: Vec<oneshot::Sender<()>>,
    /// The store is gone: do what is left and end.
    pub(super) closing: bool,
    /// The writer waits until it is woken, rather than for more lines to come together.
    asleep: bool,
}

impl Work {
    fn urgent(&self) -> bool {
        self.closing || !self.flushes.is_empty() || !self.deletes.is_empty()
    }
}

/// A waiting line.
pub(super) struct Waiting<'a> {
    pub(super) timestamp_ms: i64,
    pub(super) stream: &'a str,
    pub(super) message: &'a [u8],
}

/// One stream of a function's log. Cheap to clone, shared by threads.
#[derive(Clone)]
pub struct LogStream {
    shared: Arc<Shared>,
    log: Arc<FunctionLog>,
    name: Arc<str>,
}

impl std::fmt::Debug for LogStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStream")
            .field("function", &self.log.key)
            .field("name", &self.name)
            .finish()
    }
}

impl LogStream {
    pub(super) fn new(shared: Arc<Shared>, log: Arc<FunctionLog>, name: &str) -> Self {
        let name = name[..name.floor_char_boundary(STREAM_BYTES)].into();
        Self { shared, log, name }
    }

    /// Writes one line, kept as it is given (with its line feed, if it has one). Never waits for the disk and never
    /// fails: the line goes to a bounded buffer, and when that is full it is dropped and counted; a line in the log says
    /// how many. A line over 256 KiB becomes several.
    pub fn write(&self, at: Timestamp, line: &[u8]) {
        let mut queue = lock(&self.log.queue);
        let mut rest = line;
        loop {
            let (piece, after) = split(rest);
            self.push(&mut queue, at, piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let schedule = !std::mem::replace(&mut queue.scheduled, true);
        drop(queue);
        if schedule {
            self.shared.schedule(self.log.clone());
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether nothing of the function waits.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.log.is_idle()
    }

    fn push(&self, queue: &mut Queue, at: Timestamp, message: &[u8]) {
        let bytes = HEAD + self.name.len() + message.len();
        let fits = queue.lines.len() + bytes <= FUNCTION_BYTES
            && self.shared.waiting.load(Ordering::Relaxed) + bytes <= ALL_BYTES;
        if !fits {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            let lost = queue.lost.get_or_insert_with(|| Lost {
                lines: 0,
                at,
                stream: self.name.clone(),
            });
            lost.lines += 1;
            return;
        }
        self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        let lines = &mut queue.lines;
        lines.reserve(bytes);
        // Both fit: a message has at most 256 KiB, a name at most 512 bytes.
        lines.extend_from_slice(&(message.len() as u32).to_le_bytes());
        lines.extend_from_slice(&(self.name.len() as u16).to_le_bytes());
        lines.extend_from_slice(&at.as_millis().to_le_bytes());
        lines.extend_from_slice(self.name.as_bytes());
        lines.extend_from_slice(message);
    }
}

impl FunctionLog {
    pub(super) fn new(key: FunctionKey, files: Files) -> Self {
        Self {
            key,
            files: Mutex::new(files),
            queue: Mutex::default(),
        }
    }

    /// Takes what waits, leaving `spare` (emptied) in its place.
    pub(super) fn take(&self, spare: Vec<u8>, shared: &Shared) -> (Vec<u8>, Option<Lost>) {
        let mut queue = lock(&self.queue);
        queue.scheduled = false;
        let lines = std::mem::replace(&mut queue.lines, spare);
        let lost = queue.lost.take();
        drop(queue);
        shared.waiting.fetch_sub(lines.len(), Ordering::Relaxed);
        (lines, lost)
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        !lock(&self.queue).scheduled
    }
}

impl Shared {
    pub(super) fn new(
        options: LogOptions,
        functions: HashMap<FunctionKey, Arc<FunctionLog>>,
    ) -> Self {
        Self {
            options,
            functions: RwLock::new(functions),
            dropped: AtomicU64::new(0),
            work: Mutex::default(),
            wake: Condvar::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    fn schedule(&self, log: Arc<FunctionLog>) {
        let mut work = lock(&self.work);
        work.ready.push(log);
        let asleep = work.asleep;
        drop(work);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Hands the writer something that can't wait.
    pub(super) fn ask(&self, ask: impl FnOnce(&mut Work)) {
        ask(&mut lock(&self.work));
        self.wake.notify_one();
    }

    /// Waits for work, at most `sleep`; first gives lines `gather` to come together, unless something can't wait.
    pub(super) fn next_work(
        &self,
        gather: std::time::Duration,
        sleep: std::time::Duration,
    ) -> Work {
        let work = lock(&self.work);
        let (mut work, _) = self
            .wake
            .wait_timeout_while(work, gather, |work| !work.urgent())
            .unwrap_or_else(PoisonError::into_inner);
        work.asleep = true;
        let (mut work, _) = self
            .wake
            .wait_timeout_while(work, sleep, |work| work.ready.is_empty() && !work.urgent())
            .unwrap_or_else(PoisonError::into_inner);
        let taken = Work {
            closing: work.closing,
            ..std::mem::take(&mut *work)
        };
        work.closing = taken.closing;
        taken
    }
}

/// Reads waiting lines as [`LogStream::write`] laid them.
pub(super) fn waiting(mut lines: &[u8]) -> impl Iterator<Item = Waiting<'_>> {
    std::iter::from_fn(move || {
        let message = u32::from_le_bytes(*lines.first_chunk()?) as usize;
        let name = usize::from(u16::from_le_bytes(*lines.get(4..)?.first_chunk()?));
        let timestamp_ms = i64::from_le_bytes(*lines.get(6..)?.first_chunk()?);
        let (stream, rest) = lines.get(HEAD..)?.split_at_checked(name)?;
        let (message, rest) = rest.split_at_checked(message)?;
        lines = rest;
        Some(Waiting {
            timestamp_ms,
            stream: std::str::from_utf8(stream).ok()?,
            message,
        })
    })
}

/// The longest piece that is one message, not cutting a character in two, and what is left.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    if line.len() <= MESSAGE_BYTES {
        return (line, &[]);
    }
    let is_continuation = |at: usize| line[at] & 0b1100_0000 == 0b1000_0000;
    // A character has at most three continuation bytes; where there are more, it is not text.
    let cut = (MESSAGE_BYTES - 3..=MESSAGE_BYTES)
        .rev()
        .find(|&at| !is_continuation(at))
        .unwrap_or(MESSAGE_BYTES);
    line.split_at(cut)
}

/// Locks: what these locks guard is sound after every statement, so a panic elsewhere is no reason to stop logging.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_split_between_characters() {
        let text = "é".repeat(MESSAGE_BYTES);
        let mut pieces = Vec::new();
        let mut rest = format!("x{text}").into_bytes();
        let whole = rest.clone();
        while !rest.is_empty() {
            let (piece, after) = split(&rest);
            assert!(piece.len() <= MESSAGE_BYTES && std::str::from_utf8(piece).is_ok());
            pieces.extend_from_slice(piece);
            rest = after.to_vec();
        }
        assert_eq!(pieces, whole);
        let (piece, rest) = split(&[0x80; MESSAGE_BYTES + 1]);
        assert_eq!((piece.len(), rest.len()), (MESSAGE_BYTES, 1));
    }
}
