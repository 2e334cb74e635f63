//! What one environment writes into its function's log: the platform's lines and the function's, in the order in which
//! they happened.
//!
//! The lines of a process come through two pipes. A task empties them as they fill ([`EnvironmentLog::follow`]); at the
//! end of an invocation they are emptied once more ([`EnvironmentLog::drain`]), so that everything that the function
//! wrote before it answered stands before END and is in the tail. A component's are handed over as it writes them
//! ([`EnvironmentLog::push`]). The function is hostile (INV-8): lines are bounded, and the speed at which pipes are
//! emptied is bounded too, after which a flooding function waits for its own pipe.

mod lines;
mod platform;
mod tail;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hearth_telemetry::logs::LogStream;
use hearth_types::invoke::{Report, RequestId};
use hearth_types::name::Version;
use hearth_types::time::Timestamp;
use tokio::net::unix::pipe;

use crate::failure::Failure;
use lines::LineSplitter;
pub(crate) use platform::{Event, InitPhase, Status, Wording};
use tail::Tails;

/// Bytes taken from a pipe at once.
const READ_BYTES: usize = 16 * 1024;

/// Bytes of one pipe that the end of an invocation takes at most: the most that a pipe holds (pipe(7); the process wall lets
/// nobody enlarge it). What a left-over process goes on writing is not waited for.
const DRAIN_BYTES: usize = 64 * 1024;

/// A following turn takes at most this much, then pauses for [`PAUSE`]: 32 MiB/s for one environment, far above what a
/// log is for, and too little to keep a processor busy.
const TURN_BYTES: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(2);

/// Room that is kept for wording lines of the platform: a REPORT takes a quarter of it.
const TEXT_BYTES: usize = 1024;

/// A new name for an environment's stream: `2026/01/02/[$LATEST]` and 32 hexadecimal digits.
pub(crate) fn stream_name(version: Version) -> String {
    let today = Timestamp::from(SystemTime::now()).to_lambda_string();
    let today = today.get(..10).unwrap_or_default().replace('-', "/");
    format!("{today}/[{version}]{}", uuid::Uuid::new_v4().simple())
}

/// The log of one environment.
#[derive(Debug)]
pub(crate) struct EnvironmentLog {
    stream: LogStream,
    wording: Wording,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Standard output and error.
    outputs: [Output; 2],
    /// Of the invocations that run and asked for it.
    tails: Tails,
    /// Invocations that run.
    running: usize,
    /// Where lines of the platform are worded, so that each needs no memory of its own.
    text: String,
}

#[derive(Debug, Default)]
struct Output {
    /// The pipe that it comes through; `None` once that has ended, or if there is none.
    pipe: Option<Arc<pipe::Receiver>>,
    lines: LineSplitter,
}

/// How an invocation ended, as far as its log says so.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Conclusion<'a> {
    /// Well.
    Success,
    /// Badly, and the platform found out: it says why in a line of its own.
    Failure(&'a Failure),
    /// Badly, as its REPORT says: the error's type.
    Error(&'a str),
}

impl EnvironmentLog {
    pub(crate) fn new(stream: LogStream, wording: Wording) -> Self {
        Self {
            stream,
            wording,
            inner: Mutex::new(Inner {
                outputs: Default::default(),
                tails: Tails::default(),
                running: 0,
                text: String::new(),
            }),
        }
    }

    /// Takes the ends of a sandbox's standard output and error; those of an earlier sandbox are forgotten.
    ///
    /// # Errors
    /// If they are not pipes or can't be watched.
    pub(crate) fn attach(&self, pipes: [Option<OwnedFd>; 2]) -> io::Result<()> {
        let mut ends = [None, None];
        for (end, pipe) in ends.iter_mut().zip(pipes) {
            *end = pipe
                .map(pipe::Receiver::from_owned_fd)
                .transpose()?
                .map(Arc::new);
        }
        let mut inner = self.lock();
        for (output, pipe) in inner.outputs.iter_mut().zip(ends) {
            *output = Output {
                pipe,
                lines: LineSplitter::default(),
            };
        }
        Ok(())
    }

    /// Empties the pipes as they fill, until both have ended. Cancel safe.
    pub(crate) async fn follow(&self) {
        tokio::join!(self.follow_one(0), self.follow_one(1));
    }

    async fn follow_one(&self, which: usize) {
        loop {
            let Some(end) = self.lock().pipe(which) else {
                return;
            };
            if end.readable().await.is_err() {
                return;
            }
            // An answer of `WouldBlock` tells the event loop to wait for more.
            let turn = end.try_io(|| match self.take(&mut self.lock(), which, TURN_BYTES) {
                Taken::Full => Ok(()),
                Taken::All => Err(io::ErrorKind::WouldBlock.into()),
            });
            if turn.is_ok() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Takes what the function wrote to its standard output (0) or error (1), where no pipe carries it.
    pub(crate) fn push(&self, which: usize, bytes: &[u8]) {
        let mut inner = self.lock();
        let Inner { outputs, tails, .. } = &mut *inner;
        if let Some(output) = outputs.get_mut(which) {
            let mut at = None;
            output
                .lines
                .push(bytes, |line| self.write(line, &mut at, tails));
        }
    }

    /// Writes a line of the platform; one about an invocation is in the tail of that one alone.
    pub(crate) fn platform(&self, event: &Event<'_>) {
        self.say(&mut self.lock(), event);
    }

    fn say(&self, inner: &mut Inner, event: &Event<'_>) {
        let Inner { tails, text, .. } = inner;
        let now = Timestamp::from(SystemTime::now());
        text.clear();
        self.wording.line(text, now, event);
        if text.is_empty() {
            // A configuration leaves it out. Nor is there a log for nothing.
            return;
        }
        let line = text.as_bytes();
        self.stream.write(now, line);
        match event.request_id() {
            Some(request_id) => tails.push_to(request_id, line),
            None => tails.push(line),
        }
        // One long line is no reason to keep its room in every environment.
        text.shrink_to(TEXT_BYTES);
    }

    /// Begins an invocation's log with START, and with its last 4 KB kept if `tail` says so. Where several run at the same
    /// time each has the function's lines of all: which wrote what is not known.
    pub(crate) fn begin(&self, request_id: &RequestId, version: Version, tail: bool) {
        let mut inner = self.lock();
        inner.running += 1;
        if tail {
            inner.tails.begin(request_id);
        }
        let start = Event::Start {
            request_id,
            version,
        };
        self.say(&mut inner, &start);
    }

    /// Takes what the function has written so far, an unfinished line included. Does not wait.
    pub(crate) fn drain(&self) {
        self.take_all(&mut self.lock(), false);
    }

    /// Takes what the function has written so far. An unfinished line is left alone if one of several invocations may
    /// still be writing it.
    fn take_all(&self, inner: &mut Inner, several: bool) {
        for which in 0..2 {
            self.take(inner, which, DRAIN_BYTES);
            if several {
                continue;
            }
            let Inner { outputs, tails, .. } = &mut *inner;
            if let Some(output) = outputs.get_mut(which) {
                let mut at = None;
                output.lines.flush(|line| self.write(line, &mut at, tails));
            }
        }
    }

    /// Ends an invocation's log, after what the function wrote until then: why it ended badly, END and REPORT. Gives the
    /// tail, if it was kept.
    pub(crate) fn end(
        &self,
        request_id: &RequestId,
        report: &Report,
        conclusion: Conclusion<'_>,
    ) -> Option<Bytes> {
        let mut inner = self.lock();
        let several = inner.running > 1;
        self.take_all(&mut inner, several);
        let status = match conclusion {
            Conclusion::Success => Status::Success,
            Conclusion::Error(kind) => Status::Error(kind),
            Conclusion::Failure(failure) => {
                let note = Event::Note {
                    request_id,
                    kind: failure.kind(),
                    text: &failure.reason(),
                };
                self.say(&mut inner, &note);
                match failure {
                    Failure::Timeout(_) => Status::Timeout,
                    _ => Status::Error(failure.kind()),
                }
            }
        };
        let report = Event::Report {
            request_id,
            report,
            status,
        };
        self.say(&mut inner, &Event::End { request_id });
        self.say(&mut inner, &report);
        inner.running = inner.running.saturating_sub(1);
        inner.tails.end(request_id)
    }

    /// Takes up to `most` bytes of a pipe that are there now.
    fn take(&self, inner: &mut Inner, which: usize, most: usize) -> Taken {
        let Inner { outputs, tails, .. } = inner;
        let Some(Output { pipe: slot, lines }) = outputs.get_mut(which) else {
            return Taken::All;
        };
        let Some(end) = slot.as_ref() else {
            return Taken::All;
        };
        let mut buffer = [0; READ_BYTES];
        let mut at = None;
        let mut taken = 0;
        while taken < most {
            match rustix::io::read(end, &mut buffer[..]) {
                Ok(0) => {
                    lines.flush(|line| self.write(line, &mut at, tails));
                    *slot = None;
                    return Taken::All;
                }
                Ok(count) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    lines.push(bytes, |line| self.write(line, &mut at, tails));
                    // A short read does not mean that the pipe is empty: in packet mode, which the guest may turn on
                    // (pipe(2), O_DIRECT), each read gives one write.
                    taken += count;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return Taken::All,
                Err(error) => {
                    tracing::debug!(%error, "read a function's output");
                    *slot = None;
                    return Taken::All;
                }
            }
        }
        Taken::Full
    }

    /// Writes one line of the function. Lines taken together get one time, `at`: the clock is read for the first.
    fn write(&self, line: &[u8], at: &mut Option<Timestamp>, tails: &mut Tails) {
        let now = *at.get_or_insert_with(|| SystemTime::now().into());
        self.stream.write(now, line);
        tails.push(line);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whole between any two of its operations.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn pipe(&self, which: usize) -> Option<Arc<pipe::Receiver>> {
        self.outputs.get(which)?.pipe.clone()
    }
}

/// What a pipe had to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Everything that was in it.
    All,
    /// As much as was asked for; there may be more.
    Full,
}

#[cfg(test)]
mod tests {
    use hearth_telemetry::logs::{LogOptions, LogStore};
    use hearth_types::function::{LogFormat, Runtime};

    use super::*;
    use crate::testing;

    const REPORT: Report = Report {
        duration: Duration::from_millis(1),
        init: None,
        max_memory_mib: 1,
    };

    #[tokio::test]
    async fn what_is_left_out_makes_no_log() {
        let dir = tempfile::tempdir().unwrap();
        let logs = LogStore::open(LogOptions::new(dir.path())).unwrap();
        let mut deployment = testing::deployment(Runtime::Wasm);
        let logging = &mut deployment.configuration.logging;
        logging.format = LogFormat::Json;
        logging.system_level = Some("WARN".to_owned());
        let key = &deployment.key;
        let log = EnvironmentLog::new(
            logs.stream(key, "s"),
            Wording::new(&deployment.configuration),
        );
        let id = RequestId::from_random([1; 16]);
        let functions = async || {
            let found = logs.functions(&key.account, &key.region, "").await;
            found.unwrap().len()
        };

        log.begin(&id, Version::Latest, true);
        let tail = log.end(&id, &REPORT, Conclusion::Success);
        assert_eq!(tail.as_deref(), Some(&b""[..]));
        assert_eq!(functions().await, 0);

        log.begin(&id, Version::Latest, true);
        log.push(0, b"a line\n");
        let tail = log.end(&id, &REPORT, Conclusion::Error("Runtime.ExitError"));
        let tail = String::from_utf8(tail.unwrap().into()).unwrap();
        assert!(
            tail.starts_with("a line\n{") && tail.contains("platform.report"),
            "{tail}"
        );
        assert_eq!(functions().await, 1);
    }
}
