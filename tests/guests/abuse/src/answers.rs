//! Responses, honest and otherwise.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// Most that one `blocking-write-and-flush` takes, by the interface's own word.
const WRITE: usize = 4096;

/// Lines with a status.
pub(crate) struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    pub(crate) fn of(lines: impl IntoIterator<Item = String>) -> Self {
        Self::with_status(200, lines)
    }

    pub(crate) fn with_status(status: u16, lines: impl IntoIterator<Item = String>) -> Self {
        let text = lines
            .into_iter()
            .fold(String::new(), |text, line| text + &line + "\n");
        Self { status, text }
    }

    pub(crate) fn send(self, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let _ = response.set_status_code(self.status);
        let body = begin(out, response);
        let _ = write(&body, self.text.as_bytes());
        let _ = OutgoingBody::finish(body, None);
    }
}

fn begin(out: ResponseOutparam, response: OutgoingResponse) -> OutgoingBody {
    let body = response.body().expect("the first body of a response");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn begin_plain(out: ResponseOutparam) -> OutgoingBody {
    begin(out, OutgoingResponse::new(Fields::new()))
}

fn write_to(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    bytes
        .chunks(WRITE)
        .try_for_each(|part| stream.blocking_write_and_flush(part))
}

fn write(body: &OutgoingBody, bytes: &[u8]) -> Result<(), StreamError> {
    let stream = body.write().expect("the first stream of a body");
    write_to(&stream, bytes)
}

/// Writes `mib` MiB, or until nobody takes more.
pub(crate) fn big(out: ResponseOutparam, mib: u64) {
    let body = begin_plain(out);
    let block = vec![b'x'; 1 << 20];
    {
        let stream = body.write().expect("the first stream of a body");
        for done in 0..mib {
            if let Err(error) = write_to(&stream, &block) {
                eprintln!("refused after {done} MiB: {error:?}");
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

/// Drops a body that it has begun.
pub(crate) fn unfinished(out: ResponseOutparam) {
    let body = begin_plain(out);
    let _ = write(&body, b"begun\n");
}

/// Holds a body that it has begun for ever.
pub(crate) fn never_finish(out: ResponseOutparam) {
    let body = begin_plain(out);
    let _ = write(&body, b"begun\n");
    loop {
        wasip2::clocks::monotonic_clock::subscribe_duration(3_600_000_000_000).block();
    }
}

/// Traps when a part of the body has gone out.
pub(crate) fn late_trap(out: ResponseOutparam) {
    let body = begin_plain(out);
    let _ = write(&body, b"begun\n");
    core::arch::wasm32::unreachable()
}

/// Ends its answer, and goes on.
pub(crate) fn loop_after_the_answer(out: ResponseOutparam) {
    Answer::of(["answered".to_owned()]).send(out);
    crate::resources::spin()
}

/// Says one length, and writes another.
pub(crate) fn wrong_length(out: ResponseOutparam, say: u64, bytes: u64) {
    let fields = Fields::new();
    let _ = fields.append("content-length", say.to_string().as_bytes());
    let body = begin(out, OutgoingResponse::new(fields));
    if let Err(error) = write(&body, &vec![b'x'; bytes as usize]) {
        eprintln!("write: {error:?}");
    }
    if let Err(error) = OutgoingBody::finish(body, None) {
        eprintln!("finish: {error:?}");
    }
}

/// Answers with one header of the caller's choice, and says whether it was taken.
pub(crate) fn head(out: ResponseOutparam, name: &str, value: &[u8]) {
    let fields = Fields::new();
    let taken = fields.append(name, value);
    let body = begin(out, OutgoingResponse::new(fields));
    let _ = write(&body, format!("taken={taken:?}\n").as_bytes());
    let _ = OutgoingBody::finish(body, None);
}

/// Answers with many headers of a size.
pub(crate) fn many_headers(out: ResponseOutparam, count: u64, bytes: u64) {
    let (fields, value) = (Fields::new(), vec![b'v'; bytes as usize]);
    let refused =
        (0..count).find(|number| fields.append(&format!("x-many-{number}"), &value).is_err());
    let body = begin(out, OutgoingResponse::new(fields));
    let _ = write(&body, format!("refused={refused:?}\n").as_bytes());
    let _ = OutgoingBody::finish(body, None);
}

/// Answers with a status of the caller's choice, and says whether it was taken.
pub(crate) fn status(out: ResponseOutparam, code: u16) {
    let response = OutgoingResponse::new(Fields::new());
    let taken = response.set_status_code(code);
    let body = begin(out, response);
    let _ = write(&body, format!("taken={taken:?}\n").as_bytes());
    let _ = OutgoingBody::finish(body, None);
}

/// Sends back what comes, as it comes.
pub(crate) fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the first body of a request");
    let body = begin_plain(out);
    {
        let input = incoming.stream().expect("the first stream of a body");
        let output = body.write().expect("the first stream of a body");
        while let Ok(part) = input.blocking_read(1 << 16) {
            if write_to(&output, &part).is_err() {
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}

/// What the function was told of its request.
pub(crate) fn headers(request: &IncomingRequest) -> Vec<String> {
    let mut lines = vec![
        format!(":method={:?}", request.method()),
        format!(":scheme={:?}", request.scheme()),
        format!(":authority={:?}", request.authority()),
        format!(":path={:?}", request.path_with_query()),
    ];
    let entries = request.headers().entries();
    lines.extend(
        entries
            .iter()
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))),
    );
    lines
}
