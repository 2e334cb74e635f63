//! One request and its response over one connection, with a bound on every wait.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::connect::Connection;
use crate::error::Error;
use crate::options::Times;
use crate::task::Task;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, timeout};

/// The head of a response, bytes of its fields. What arrives at once is read at once: up to twice as much is held until
/// it is refused.
const HEAD_BYTES: usize = 64 << 10;

/// The same, as an error says it.
const HEAD_BYTES_SAID: u32 = HEAD_BYTES as u32;

/// Fields of a response's head.
const HEAD_FIELDS: usize = 128;

/// Sends `request` and waits for the head of the response. `held` is let go with the connection.
///
/// # Errors
/// If the head does not come in time, or the other side does not speak HTTP.
pub(crate) async fn exchange<B>(
    connection: Connection,
    request: Request<B>,
    times: Times,
    held: impl Send + 'static,
) -> Result<Response<Incoming>, Error>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .handshake(TokioIo::new(connection))
        .await
        .map_err(of_hyper)?;
    // In a box: a body may have to stay where it is.
    let mut connection = Box::pin(connection);
    let driver = Task::new(tokio::spawn(async move {
        // How it ends is told to who waits for the head, or by the body.
        let _ = connection.as_mut().await;
        drop(held);
        Ok(())
    }));
    let response = timeout(times.first_byte, sender.send_request(request))
        .await
        .map_err(|_| Error::ReadTimeout)?
        .map_err(of_hyper)?;
    if size(response.headers()) > HEAD_BYTES {
        return Err(Error::HeadTooLarge(HEAD_BYTES_SAID));
    }
    Ok(response.map(|body| Incoming {
        body,
        patience: times.between_bytes,
        timer: None,
        _driver: driver,
    }))
}

fn size(fields: &HeaderMap) -> usize {
    fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

/// The body of a response, whose next part must come in time. Dropping it ends the connection.
#[derive(Debug)]
pub struct Incoming {
    body: hyper::body::Incoming,
    patience: Duration,
    /// Runs while a part is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// The connection, for as long as something may still come.
    _driver: Task<()>,
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(of_hyper)));
        }
        let patience = this.patience;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(Error::ReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What hyper says, in this crate's words.
fn of_hyper(error: hyper::Error) -> Error {
    if error.is_parse_too_large() {
        Error::HeadTooLarge(HEAD_BYTES_SAID)
    } else if error.is_parse() {
        Error::Protocol
    } else if error.is_incomplete_message() {
        Error::Incomplete
    } else if error.is_timeout() {
        Error::ReadTimeout
    } else if error.is_user() {
        // The request's body failed: the error inside says how.
        Error::Body(error)
    } else {
        Error::Ended
    }
}
