//! What workers write with `console`, and who waits for it. It comes on the engine's standard output, a line each, and is
//! there before whatever the worker does next: who reads until nothing is left, after a response has ended, has all of
//! it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth_types::invoke::RequestId;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;

use crate::account::lock;

/// What begins a line that is told by a worker's isolate.
const MARK: u8 = 1;

/// A line: 256 KiB of characters, each up to six bytes in JSON, and the names around them.
const LINE_BYTES: usize = 2 << 20;

/// What of one request is kept, bytes; the isolate itself stops at as many characters.
const REQUEST_BYTES: usize = 1 << 20;

/// What a line takes besides its text.
const LINE_ITSELF: usize = 64;

/// What is read at once: all that a pipe holds (`pipe(7)`).
const READ: usize = 64 << 10;

/// What one call of `console` wrote. Hostile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// When, milliseconds since 1970.
    pub timestamp: i64,
    /// `debug`, `info`, `log`, `warn`, `error`.
    pub level: String,
    /// The text; several lines perhaps.
    pub text: String,
}

/// The requests of an engine's account whose words are waited for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    requests: Mutex<HashMap<RequestId, Heard>>,
    /// Where their engines' words come from.
    outputs: Mutex<Vec<Arc<Output>>>,
}

/// What was heard of a request.
#[derive(Debug)]
struct Heard {
    /// The name of the code that works on it: no other has a say.
    code: Arc<str>,
    lines: Vec<Line>,
    bytes: usize,
    /// What it has left to run is not done: the number of the engine where that is.
    open: Option<u64>,
    /// Who waits for that.
    done: Option<oneshot::Sender<()>>,
}

impl Traces {
    /// Keeps what is written about a request from now on.
    pub(crate) fn expect(&self, request: RequestId, code: &Arc<str>) -> Expected {
        let heard = Heard {
            code: Arc::clone(code),
            lines: Vec::new(),
            bytes: 0,
            open: None,
            done: None,
        };
        lock(&self.0.requests).insert(request, heard);
        Expected {
            traces: self.clone(),
            request,
        }
    }

    /// Reads the standard output of the engine of this number from now on, until it ends.
    ///
    /// # Errors
    /// If it can't be watched.
    pub(crate) fn listen(&self, pipe: OwnedFd, engine: u64) -> io::Result<()> {
        let output = Arc::new(Output {
            engine,
            pipe: File::from(pipe.try_clone()?),
            reader: Mutex::new((Rest::default(), vec![0; READ].into())),
        });
        // From here on nobody who reads it is held up.
        let pipe = Receiver::from_owned_fd(pipe)?;
        lock(&self.0.outputs).push(Arc::clone(&output));
        let traces = self.clone();
        tokio::spawn(async move {
            while pipe.readable().await.is_ok()
                && output.read(&traces, |buffer| pipe.try_read(buffer))
            {
                // Who writes without an end leaves the thread to others, too.
                tokio::task::consume_budget().await;
            }
            lock(&traces.0.outputs).retain(|known| !Arc::ptr_eq(known, &output));
            traces.ended(engine);
        });
        Ok(())
    }

    /// Takes in what the engines have written until now.
    fn catch_up(&self) {
        for output in lock(&self.0.outputs).iter() {
            output.read(self, |buffer| (&output.pipe).read(buffer));
        }
    }

    /// Whether a request has left something to run on this engine that is not done. None has for longer than its time.
    pub(crate) fn is_open(&self, engine: u64) -> bool {
        let requests = lock(&self.0.requests);
        requests.values().any(|heard| heard.open == Some(engine))
    }

    /// Nothing is done there any more: nobody waits for it.
    fn ended(&self, engine: u64) {
        for heard in lock(&self.0.requests).values_mut() {
            if heard.open == Some(engine) {
                heard.close();
            }
        }
    }

    /// A line of an engine's output has come. One that is nobody's is dropped.
    fn came(&self, engine: u64, line: &[u8]) {
        let Some((&MARK, told)) = line.split_first() else {
            return;
        };
        type Told<'a> = (Cow<'a, str>, Cow<'a, str>, Cow<'a, str>, i64, Cow<'a, str>);
        let Ok((code, request, what, timestamp, text)) = serde_json::from_slice::<Told<'_>>(told)
        else {
            return;
        };
        let mut requests = lock(&self.0.requests);
        let heard = RequestId::parse(&request).and_then(|request| requests.get_mut(&request));
        let Some(heard) = heard.filter(|heard| *heard.code == *code) else {
            return;
        };
        match &*what {
            "open" => heard.open = Some(engine),
            "done" => heard.close(),
            level @ ("debug" | "error" | "info" | "log" | "warn") => {
                heard.bytes += text.len() + LINE_ITSELF;
                if heard.bytes <= REQUEST_BYTES {
                    heard.lines.push(Line {
                        timestamp,
                        level: level.to_owned(),
                        text: text.into_owned(),
                    });
                }
            }
            // A worker can write whatever it likes.
            _ => {}
        }
    }
}

impl Heard {
    /// What it had left to run is done, or never will be.
    fn close(&mut self) {
        self.open = None;
        if let Some(done) = self.done.take() {
            // Who waited may have left at this moment.
            let _ = done.send(());
        }
    }
}

/// An engine's standard output.
#[derive(Debug)]
struct Output {
    engine: u64,
    pipe: File,
    /// Held while reading, so that lines stay in order whoever reads.
    reader: Mutex<(Rest, Box<[u8]>)>,
}

/// The beginning of a line whose end has not come.
#[derive(Debug, Default)]
struct Rest {
    line: Vec<u8>,
    /// It is too long, and dropped.
    over: bool,
}

impl Output {
    /// Reads what is there when it is called, and not much more. Gives whether more may come.
    fn read(&self, traces: &Traces, mut read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> bool {
        let mut reader = lock(&self.reader);
        let (rest, buffer) = &mut *reader;
        loop {
            return match read(buffer) {
                Ok(0) => false,
                Ok(read) => {
                    rest.take(&buffer[..read], |line| traces.came(self.engine, line));
                    true
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
        }
    }
}

impl Rest {
    /// Takes what was read, and gives the lines that have ended.
    fn take(&mut self, mut read: &[u8], mut ended: impl FnMut(&[u8])) {
        while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            let (line, more) = (&read[..end], &read[end + 1..]);
            if self.line.is_empty() && !self.over {
                ended(line);
            } else {
                self.keep(line);
                if !self.over {
                    ended(&self.line);
                }
                self.line.clear();
                self.over = false;
            }
            read = more;
        }
        self.keep(read);
    }

    fn keep(&mut self, part: &[u8]) {
        self.over |= self.line.len() + part.len() > LINE_BYTES;
        if self.over {
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(part);
        }
    }
}

/// What is to be heard of a request.
#[derive(Debug)]
pub struct Expected {
    traces: Traces,
    request: RequestId,
}

impl Expected {
    /// Takes in what was written until now. [`Expected::is_done`] and [`Expected::done`] do so by themselves.
    pub fn hear(&self) {
        self.traces.catch_up();
    }

    /// Whether all is said, as far as is known now. If not, [`Expected::done`] waits.
    pub fn is_done(&self) -> bool {
        self.traces.catch_up();
        let requests = lock(&self.traces.0.requests);
        requests
            .get(&self.request)
            .is_none_or(|heard| heard.open.is_none())
    }

    /// Waits until what the request has left to run is done, for `bound` at most.
    pub async fn done(&self, bound: Duration) {
        let (sender, done) = oneshot::channel();
        self.traces.catch_up();
        match lock(&self.traces.0.requests).get_mut(&self.request) {
            Some(heard) if heard.open.is_some() => heard.done = Some(sender),
            _ => return,
        }
        if tokio::time::timeout(bound, done).await.is_err() {
            self.traces.catch_up();
        }
    }

    /// What was taken in until now, in order, and was not taken from here before.
    pub fn take(&self) -> Vec<Line> {
        let mut requests = lock(&self.traces.0.requests);
        let heard = requests.get_mut(&self.request);
        heard
            .map(|heard| std::mem::take(&mut heard.lines))
            .unwrap_or_default()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        lock(&self.traces.0.requests).remove(&self.request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn told(code: &str, request: RequestId, what: &str, text: &str) -> Vec<u8> {
        let told = serde_json::json!([code, request.to_string(), what, 7, text]);
        format!("\u{1}{told}\n").into_bytes()
    }

    #[tokio::test]
    async fn what_was_written_before_is_there_and_reaches_its_own_request_alone() {
        let traces = Traces::default();
        let (reader, mut writer) = io::pipe().unwrap();
        traces.listen(reader.into(), 1).unwrap();
        let [one, other] = [1, 2].map(|byte| RequestId::from_random([byte; 16]));
        let code: Arc<str> = Arc::from("code");
        let (first, second) = (traces.expect(one, &code), traces.expect(other, &code));
        writer.write_all(b"whatever\n\x01{}\n").unwrap();
        writer.write_all(&told("code", one, "log", "a")).unwrap();
        writer
            .write_all(&told("else", one, "log", "forged"))
            .unwrap();
        writer.write_all(&told("code", other, "open", "")).unwrap();
        let last = told("code", one, "warn", "b\nc");
        writer.write_all(&last[..9]).unwrap();
        assert!(first.is_done() && !second.is_done());
        writer.write_all(&last[9..]).unwrap();
        first.hear();
        let lines = first.take();
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["a", "b\nc"]);
        assert_eq!((lines[1].level.as_str(), lines[1].timestamp), ("warn", 7));

        let waits = tokio::spawn(async move {
            second.done(Duration::from_secs(60)).await;
            second.take()
        });
        tokio::task::yield_now().await;
        writer
            .write_all(&told("code", other, "log", "late"))
            .unwrap();
        writer.write_all(&told("code", other, "done", "")).unwrap();
        assert_eq!(waits.await.unwrap()[0].text, "late");
        assert!(!traces.is_open(1));

        // What an engine leaves undone when it ends is waited for no longer.
        writer.write_all(&told("code", one, "open", "")).unwrap();
        assert!(!first.is_done() && traces.is_open(1) && !traces.is_open(2));
        drop(writer);
        first.done(Duration::from_secs(3_600)).await;
        assert!(first.is_done());
        drop(first);
        assert!(lock(&traces.0.requests).is_empty());
        while !lock(&traces.0.outputs).is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn what_has_no_end_is_not_kept() {
        let mut rest = Rest::default();
        let mut ended = Vec::new();
        for _ in 0..3 {
            rest.take(&vec![b'x'; LINE_BYTES / 2 + 1], |line| {
                ended.push(line.to_vec())
            });
        }
        assert!(rest.line.len() <= LINE_BYTES);
        rest.take(b"y\nnext\nre", |line| ended.push(line.to_vec()));
        assert_eq!(ended, [b"next"]);
        assert_eq!(rest.line, b"re");
        let traces = Traces::default();
        let request = RequestId::from_random([1; 16]);
        let expected = traces.expect(request, &Arc::from("code"));
        let long = told("code", request, "log", &"x".repeat(REQUEST_BYTES / 4));
        for _ in 0..10 {
            traces.came(1, &long[..long.len() - 1]);
        }
        assert_eq!(expected.take().len(), 3);
        let level = told("code", request, &"x".repeat(REQUEST_BYTES), "");
        traces.came(1, &level[..level.len() - 1]);
        assert!(expected.take().is_empty(), "a level of a worker's own");
    }
}
