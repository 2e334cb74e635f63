//! The thread that takes waiting lines to disk and keeps the files within their bounds.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hearth_types::name::FunctionKey;

use super::files::{Files, millis};
use super::queue::{FunctionLog, Lost, Shared, lock, waiting};
use super::store::{LogError, LogOptions};

/// How long lines gather before they are written: a reader does not wait for it, and a busy node writes some hundred
/// times a second at most.
const GATHER: Duration = Duration::from_millis(5);
/// How often lines that are too old are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// Parts that a function's bound is cut into: the oldest part goes when it is passed, so that at least 7/8 of the bound
/// are kept.
const SEGMENTS: u64 = 8;
/// Largest segment, bytes: what a reader holds in memory at once.
const SEGMENT_BYTES: u64 = 8 << 20;
/// Largest buffer that is kept for use again.
const SPARE_BYTES: usize = 256 * 1024;

/// The folder of a function's log. Names of these types are safe as parts of paths.
pub(super) fn folder(options: &LogOptions, key: &FunctionKey) -> PathBuf {
    options
        .dir
        .join(key.account.as_str())
        .join(key.region.as_str())
        .join(key.name.as_str())
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Bytes of all files.
    total: u64,
    swept: Instant,
    spares: Vec<Vec<u8>>,
    /// Where records are made: kept, because memory that comes fresh from the system for each write costs more than the
    /// write.
    records: Vec<u8>,
    /// When it was last said that the disk fails: once a [`SWEEP`] is enough, the count tells the rest.
    warned: Option<Instant>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let mut writer = Self {
            shared,
            total: 0,
            swept: Instant::now(),
            spares: Vec::new(),
            records: Vec::new(),
            warned: None,
        };
        writer.total = writer
            .functions()
            .iter()
            .map(|log| lock(&log.files).bytes())
            .sum();
        writer
    }

    /// Works until the store is gone and everything is written.
    pub(super) fn run(mut self) {
        self.sweep();
        loop {
            let work = self.shared.next_work(GATHER, SWEEP);
            for log in &work.ready {
                self.store(log);
            }
            for (log, answer) in work.deletes {
                // Whoever asked may have gone.
                let _ = answer.send(self.delete(&log));
            }
            self.keep_total();
            for answer in work.flushes {
                let _ = answer.send(());
            }
            if self.swept.elapsed() >= SWEEP {
                self.sweep();
            }
            if work.closing {
                return;
            }
        }
    }

    fn functions(&self) -> Vec<Arc<FunctionLog>> {
        let functions = self
            .shared
            .functions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        functions.values().cloned().collect()
    }

    fn folder(&self, log: &FunctionLog) -> PathBuf {
        folder(&self.shared.options, &log.key)
    }

    /// Takes what waits for one function to its file.
    fn store(&mut self, log: &FunctionLog) {
        let spare = self.spares.pop().unwrap_or_default();
        let shared = self.shared.clone();
        let options = &shared.options;
        let (mut lines, lost) = log.take(spare, &shared);
        let now_ms = millis(SystemTime::now());
        let folder = self.folder(log);
        let rotate = (options.bytes_per_function / SEGMENTS).min(SEGMENT_BYTES);
        {
            let mut files = lock(&log.files);
            let before = files.bytes();
            let result = files.append(
                &folder,
                (&lines, lost.as_ref()),
                &mut self.records,
                now_ms,
                rotate,
            );
            self.total += files.bytes().saturating_sub(before);
            if let Err(error) = result {
                self.lost(&lines, lost.as_ref(), &error);
            }
            while files.segments.len() > 1 && files.bytes() > options.bytes_per_function {
                if !self.remove_oldest(&mut files, &folder) {
                    break;
                }
            }
        }
        if self.records.capacity() > SPARE_BYTES {
            self.records = Vec::new();
        }
        if lines.capacity() <= SPARE_BYTES {
            lines.clear();
            self.spares.push(lines);
        }
    }

    /// Counts lines that could not be written.
    fn lost(&mut self, lines: &[u8], lost: Option<&Lost>, error: &std::io::Error) {
        let count = waiting(lines).count() as u64;
        self.shared.dropped.fetch_add(count, Ordering::Relaxed);
        let count = count + lost.map_or(0, |lost| lost.lines);
        if self.may_warn() {
            tracing::warn!(%error, lines = count, "log lines of functions can't be written and are dropped");
        }
    }

    fn may_warn(&mut self) -> bool {
        let due = self.warned.is_none_or(|last| last.elapsed() >= SWEEP);
        if due {
            self.warned = Some(Instant::now());
        }
        due
    }

    fn remove_oldest(&mut self, files: &mut Files, folder: &std::path::Path) -> bool {
        match files.remove_oldest(folder) {
            Ok(Some(bytes)) => {
                self.total = self.total.saturating_sub(bytes);
                true
            }
            Ok(None) => false,
            Err(error) => {
                if self.may_warn() {
                    tracing::warn!(%error, "old log files of functions can't be removed");
                }
                false
            }
        }
    }

    fn delete(&mut self, log: &FunctionLog) -> Result<(), LogError> {
        let folder = self.folder(log);
        let mut files = lock(&log.files);
        while let Some(bytes) = files
            .remove_oldest(&folder)
            .map_err(|cause| LogError::new("remove a function's log", cause))?
        {
            self.total = self.total.saturating_sub(bytes);
        }
        Ok(())
    }

    /// Removes the oldest segments of all functions until the total is within its bound, and a little more, so that the
    /// search is rare.
    fn keep_total(&mut self) {
        let bound = self.shared.options.total_bytes;
        if self.total <= bound {
            return;
        }
        let mut segments = Vec::new();
        for log in self.functions() {
            let numbers: Vec<u64> = lock(&log.files)
                .segments
                .iter()
                .map(|segment| segment.number)
                .collect();
            segments.extend(numbers.into_iter().map(|number| (number, log.clone())));
        }
        segments.sort_unstable_by_key(|(number, _)| *number);
        for (_, log) in segments {
            if self.total <= bound - bound / 16 {
                break;
            }
            let folder = self.folder(&log);
            self.remove_oldest(&mut lock(&log.files), &folder);
        }
    }

    /// Removes what is too old, and forgets functions that have no log and no stream.
    fn sweep(&mut self) {
        self.swept = Instant::now();
        let now_ms = millis(SystemTime::now());
        let age_ms = i64::try_from(self.shared.options.age.as_millis()).unwrap_or(i64::MAX);
        let oldest_ms = now_ms.saturating_sub(age_ms);
        for log in self.functions() {
            let folder = self.folder(&log);
            let mut files = lock(&log.files);
            while files
                .segments
                .first()
                .is_some_and(|segment| segment.written_ms < oldest_ms)
            {
                if !self.remove_oldest(&mut files, &folder) {
                    break;
                }
            }
            // A segment that is written to for long would keep its oldest lines for long.
            let begun_ms = files.segments.last().map(|last| last.number);
            let part_ms = u64::try_from(age_ms).unwrap_or(u64::MAX) / SEGMENTS;
            if begun_ms.is_some_and(|begun| {
                begun.saturating_add(part_ms) < u64::try_from(now_ms).unwrap_or(0)
            }) {
                files.rotate();
            }
        }
        let mut functions = self
            .shared
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // With the map locked nobody makes a stream; whoever has one holds the log as well.
        functions.retain(|_, log| {
            Arc::strong_count(log) > 1 || !log.is_idle() || !lock(&log.files).segments.is_empty()
        });
    }
}
