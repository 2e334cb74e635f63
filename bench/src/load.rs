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
    /// A part of every right answer's body; empty where a success says enough.
    pub(crate) expected: Arc<[u8]>,
}

impl Target {
    /// A plain request.
    pub(crate) fn get(address: SocketAddr, path: &str, expected: &str) -> Self {
        Self::get_at(&address.to_string(), address, path, expected)
    }

    /// The same at a host, whatever its address.
    pub(crate) fn get_at(host: &str, address: SocketAddr, path: &str, expected: &str) -> Self {
        Self {
            address,
            request: format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")
                .into_bytes()
                .into(),
            expected: expected.as_bytes().into(),
        }
    }
}

/// How far an answer is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until the first byte of its body has come.
    FirstByte,
    /// Until it is there whole.
    Whole,
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

/// The same for targets of one server, each asked in turn.
pub(crate) async fn run_all(
    targets: &[Target],
    callers: usize,
    duration: Duration,
) -> anyhow::Result<Sample> {
    run_until(Until::Whole, targets, callers, duration).await
}

/// The same with answers that are timed so far.
pub(crate) async fn run_until(
    until: Until,
    targets: &[Target],
    callers: usize,
    duration: Duration,
) -> anyhow::Result<Sample> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|first| tokio::spawn(caller(until, targets.to_vec(), first, start + duration)))
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.context("run a caller")??);
    }
    Ok(Sample::of(latencies, start.elapsed()))
}

/// The same, with the processor time that `server` takes for a request: it tells more than the rate where others use the
/// machine, too.
pub(crate) async fn run_on(
    server: u32,
    until: Until,
    targets: &[Target],
    callers: usize,
    duration: Duration,
) -> anyhow::Result<Sample> {
    let before = process::processor_time(server)?;
    let start = Instant::now();
    let mut sample = run_until(until, targets, callers, duration).await?;
    let taken = process::processor_time(server)?.saturating_sub(before);
    let requests = sample.per_second * start.elapsed().as_secs_f64();
    sample.processor = Some(taken.div_f64(requests.max(1.0)));
    Ok(sample)
}

/// Something else than HTTP that sends and waits for an answer, on a connection of its own.
pub(crate) trait Sender: Send + 'static {
    /// Sends once, and waits until that is confirmed.
    fn send(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Has each of them send over and over for `duration`.
pub(crate) async fn run_senders(
    senders: Vec<impl Sender>,
    duration: Duration,
) -> anyhow::Result<Sample> {
    let start = Instant::now();
    let tasks: Vec<_> = senders
        .into_iter()
        .map(|mut sender| {
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < duration {
                    let sent = Instant::now();
                    sender.send().await?;
                    latencies.push(sent.elapsed());
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.context("run a sender")??);
    }
    Ok(Sample::of(latencies, start.elapsed()))
}

async fn caller(
    until: Until,
    targets: Vec<Target>,
    first: usize,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut targets = targets.iter().cycle().skip(first);
    let mut connection = None;
    let mut latencies = Vec::new();
    loop {
        let target = targets.next().context("name a target")?;
        let open = match &mut connection {
            Some(open) => open,
            None => connection.insert(Connection::open(target.address).await?),
        };
        let start = Instant::now();
        let answered = open.call(target).await?;
        latencies.push(match until {
            Until::FirstByte => answered.first_byte.duration_since(start),
            Until::Whole => start.elapsed(),
        });
        if answered.close {
            connection = None;
        }
        // Each asks once at least, however short the time is.
        if Instant::now() >= end {
            return Ok(latencies);
        }
    }
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

    /// Asks `target` and checks its answer.
    pub(crate) async fn call(&mut self, target: &Target) -> anyhow::Result<Answered> {
        let answer = self.exchange(&target.request).await?;
        let contains = |needle: &[u8]| {
            needle.is_empty() || answer.body.windows(needle.len()).any(|part| part == needle)
        };
        if !(200..300).contains(&answer.status) || !contains(&target.expected) {
            bail!(
                "answer {}: {}",
                answer.status,
                String::from_utf8_lossy(answer.body)
            );
        }
        Ok(Answered {
            close: answer.close,
            first_byte: answer.first_byte,
        })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream
            .write_all(request)
            .await
            .context("send a request")?;
        self.buffer.clear();
        let mut first_byte = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await;
            if read.context("read an answer")? == 0 {
                bail!("the server hung up in an answer");
            }
            let Some(seen) = parse(&self.buffer)? else {
                continue;
            };
            // An answer without a body has come whole with its head.
            if first_byte.is_none() && (seen.whole || seen.body_begun) {
                first_byte = Some(Instant::now());
            }
            if seen.whole {
                break;
            }
        }
        let seen = parse(&self.buffer)?.context("read an answer")?;
        Ok(Answer {
            status: seen.status,
            close: seen.close,
            body: seen.body,
            first_byte: first_byte.context("read an answer")?,
        })
    }
}

/// An answer, whole.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// Whether the server closes the connection after it.
    pub(crate) close: bool,
    /// As it was sent: with the lines of its chunks, where it came in chunks.
    pub(crate) body: &'a [u8],
    /// When the first of its body had come.
    first_byte: Instant,
}

/// What is left of a checked answer.
pub(crate) struct Answered {
    close: bool,
    first_byte: Instant,
}

/// What has come of an answer.
struct Seen<'a> {
    status: u16,
    close: bool,
    body: &'a [u8],
    /// Whether there is something of the body's content, and not only of its framing.
    body_begun: bool,
    whole: bool,
}

/// The answer at the start of `buffer`, if its head is there.
fn parse(buffer: &[u8]) -> anyhow::Result<Option<Seen<'_>>> {
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
    let rest = &buffer[head..];
    let mut seen = Seen {
        status: response.code.unwrap_or_default(),
        close: header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        body: rest,
        body_begun: !rest.is_empty(),
        whole: false,
    };
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        // The line of a chunk's size comes before its content.
        let content = rest.iter().position(|byte| *byte == b'\n');
        seen.body_begun = content.is_some_and(|line| rest.len() > line + 1);
        // Answers are small: the end of the last chunk is the end of the answer.
        seen.whole = rest.ends_with(b"0\r\n\r\n");
        return Ok(Some(seen));
    }
    let length: usize = header("content-length")
        .unwrap_or("0")
        .parse()
        .context("read a content length")?;
    if let Some(body) = rest.get(..length) {
        seen.body = body;
        seen.whole = true;
    }
    Ok(Some(seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_at_their_length_or_last_chunk() {
        let seen = |text: &'static str| {
            let seen = parse(text.as_bytes()).unwrap();
            seen.map(|seen| (seen.body_begun, seen.whole, seen.body.len()))
        };
        assert_eq!(seen("HTTP/1.1 200 OK\r\ncontent-le"), None);
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(seen(&sized[..sized.len() - 5]), Some((false, false, 0)));
        assert_eq!(seen(&sized[..sized.len() - 1]), Some((true, false, 4)));
        assert_eq!(seen(sized), Some((true, true, 5)));
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(
            seen(&chunked[..chunked.len() - 15]),
            Some((false, false, 0))
        );
        assert_eq!(
            seen(&chunked[..chunked.len() - 12]),
            Some((false, false, 3))
        );
        assert_eq!(seen(&chunked[..chunked.len() - 11]), Some((true, false, 4)));
        assert_eq!(seen(chunked), Some((true, true, 15)));
        assert_eq!(
            seen("HTTP/1.1 204 No Content\r\n\r\n"),
            Some((false, true, 0))
        );
    }
}
