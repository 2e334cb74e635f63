//! Load: callers that each keep one connection and ask again as soon as they have their answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::process;

/// What is asked, of whom, and what a right answer contains.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The whole request, head and body: the same for every target's every call, so that the caller costs nothing.
    pub(crate) request: Arc<[u8]>,
    /// A part of every right answer's body.
    pub(crate) expected: Arc<[u8]>,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) per_second: f64,
    /// Processor time of the server for one request, where it was measured.
    pub(crate) processor: Option<Duration>,
}

impl Sample {
    pub(crate) fn of(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        if latencies.is_empty() {
            return Self::default();
        }
        latencies.sort_unstable();
        let at = |part: f64| {
            let index = (latencies.len() as f64 * part) as usize;
            latencies[index.min(latencies.len() - 1)]
        };
        Self {
            p50: at(0.50),
            p99: at(0.99),
            per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
            processor: None,
        }
    }
}

/// Runs `callers` callers for `duration`. Every answer is checked: an error is not a fast answer.
pub(crate) async fn run(
    target: &Target,
    callers: usize,
    duration: Duration,
) -> anyhow::Result<Sample> {
    run_all(std::slice::from_ref(target), callers, duration).await
}

/// The same, with the processor time that `server` takes for a request: it tells more than the rate where others use the
/// machine, too.
pub(crate) async fn run_on(
    server: u32,
    target: &Target,
    callers: usize,
    duration: Duration,
) -> anyhow::Result<Sample> {
    let before = process::processor_time(server)?;
    let start = Instant::now();
    let mut sample = run(target, callers, duration).await?;
    let taken = process::processor_time(server)?.saturating_sub(before);
    let requests = sample.per_second * start.elapsed().as_secs_f64();
    sample.processor = Some(taken.div_f64(requests.max(1.0)));
    Ok(sample)
}

/// The same for targets of one server, each asked in turn.
pub(crate) async fn run_all(
    targets: &[Target],
    callers: usize,
    duration: Duration,
) -> anyhow::Result<Sample> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|first| tokio::spawn(caller(targets.to_vec(), first, start + duration)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.context("run a caller")??);
    }
    Ok(Sample::of(latencies, start.elapsed()))
}

async fn caller(targets: Vec<Target>, first: usize, end: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut targets = targets.iter().cycle().skip(first);
    let mut connection = None;
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let target = targets.next().context("name a target")?;
        let open = match &mut connection {
            Some(open) => open,
            None => connection.insert(Connection::open(target.address).await?),
        };
        let start = Instant::now();
        let closed = open.call(target).await?;
        latencies.push(start.elapsed());
        if closed {
            connection = None;
        }
    }
    Ok(latencies)
}

/// One call on a connection of its own; gives the time that it took.
pub(crate) async fn once(target: &Target) -> anyhow::Result<Duration> {
    let mut connection = Connection::open(target.address).await?;
    let start = Instant::now();
    connection.call(target).await?;
    Ok(start.elapsed())
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(64 * 1024),
        })
    }

    /// Asks `target` and checks its answer. `true` if the server closes the connection after it.
    pub(crate) async fn call(&mut self, target: &Target) -> anyhow::Result<bool> {
        let answer = self.exchange(&target.request).await?;
        let contains = |needle: &[u8]| {
            answer
                .body
                .windows(needle.len().max(1))
                .any(|part| part == needle)
        };
        if answer.status != 200 || !contains(&target.expected) {
            bail!(
                "answer {}: {}",
                answer.status,
                String::from_utf8_lossy(answer.body)
            );
        }
        Ok(answer.close)
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream
            .write_all(request)
            .await
            .context("send a request")?;
        self.buffer.clear();
        while parse(&self.buffer)?.is_none() {
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.context("read an answer")? == 0 {
                bail!("the server hung up in an answer");
            }
        }
        parse(&self.buffer)?.context("read an answer")
    }
}

/// An answer, whole.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// Whether the server closes the connection after it.
    pub(crate) close: bool,
    /// As it was sent: with the lines of its chunks, where it came in chunks.
    pub(crate) body: &'a [u8],
}

/// The answer at the start of `buffer`, if it is there whole.
fn parse(buffer: &[u8]) -> anyhow::Result<Option<Answer<'_>>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) =
        response.parse(buffer).context("read an answer's head")?
    else {
        return Ok(None);
    };
    let header = |name: &str| {
        let found = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let close = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let rest = &buffer[head..];
    let status = response.code.unwrap_or_default();
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        // Answers are small: the end of the last chunk is the end of the answer.
        return Ok(rest.ends_with(b"0\r\n\r\n").then_some(Answer {
            status,
            close,
            body: rest,
        }));
    }
    let length: usize = header("content-length")
        .unwrap_or("0")
        .parse()
        .context("read a content length")?;
    Ok(rest.get(..length).map(|body| Answer {
        status,
        close,
        body,
    }))
}
