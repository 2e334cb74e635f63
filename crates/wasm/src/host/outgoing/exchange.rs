//! One request and its response over one connection, with a bound on every wait.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};
use wasmtime_wasi_http::{Error, WasiBody};

use super::connect::Connection;
use super::task::Task;

/// The head of a response, bytes of its fields. What arrives at once is read at once: up to twice as much is held until
/// it is refused.
const HEAD_BYTES: usize = 64 << 10;

/// The same, as `wasi:http` wants it.
const HEAD_BYTES_SAID: u32 = HEAD_BYTES as u32;

/// Fields of a response's head.
const HEAD_FIELDS: usize = 128;

/// Sends `request` and waits for the head of the response. `held` is let go with the connection.
///
/// # Errors
/// If the head does not come within `first_byte`, or the other side does not speak HTTP.
pub(super) async fn exchange(
    connection: Connection,
    request: Request<WasiBody>,
    first_byte: Duration,
    between_bytes: Duration,
    held: impl Send + 'static,
) -> Result<(Response<WasiBody>, Task<()>), Error> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .handshake(TokioIo::new(connection))
        .await
        .map_err(of_hyper)?;
    let driver = Task::new(tokio::spawn(async move {
        // How it ends is told to who waits for the head, or by the body.
        let _ = connection.await;
        drop(held);
        Ok(())
    }));
    let response = tokio::time::timeout(first_byte, sender.send_request(request))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)?
        .map_err(of_hyper)?;
    if size(response.headers()) > HEAD_BYTES {
        return Err(Error::HttpResponseHeaderSectionSize(Some(HEAD_BYTES_SAID)));
    }
    let response = response.map(|incoming| {
        Timed {
            incoming,
            patience: between_bytes,
            timer: None,
        }
        .boxed_unsync()
    });
    Ok((response, driver))
}

fn size(fields: &HeaderMap) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// A body whose next part must come in time.
struct Timed {
    incoming: Incoming,
    patience: Duration,
    /// Runs while a part is waited for.
    timer: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(context) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(of_hyper)));
        }
        let patience = this.patience;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// What hyper says, in the words of `wasi:http`.
fn of_hyper(error: hyper::Error) -> Error {
    if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(Some(HEAD_BYTES_SAID))
    } else if error.is_parse() {
        Error::HttpProtocolError
    } else if error.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_user() {
        // The guest's body failed: the error inside says how.
        Error::Hyper(error)
    } else {
        Error::ConnectionTerminated
    }
}
