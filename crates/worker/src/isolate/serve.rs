//! HTTP handed to a worker: no JSON on the way, bodies stream in both directions, no task is started until the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hearth_isolates::{Answer, Entry};
use hearth_types::ApiError;
use hearth_types::invoke::{Body, BodyError, FunctionError, HttpInvocation, Outcome, Served};
use hearth_types::limits::STREAMED_RESPONSE_BYTES;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::fault::Fault;
use super::guest::Guest;
use super::table::Workers;
use super::tail;
use super::turn::Turn;
use crate::failure::Failure;
use crate::stamp::stamp;

/// Hands a request over, if it is not one for a file of the package. `loading` is how long it waited for the worker, if it did.
///
/// # Errors
/// Failures of the platform.
pub(crate) async fn serve(
    workers: &Workers,
    guest: Arc<Guest>,
    loading: Option<Duration>,
    invocation: HttpInvocation,
    mut request: http::Request<Body>,
) -> Result<Served, ApiError> {
    if let Some(assets) = &guest.assets {
        let (head, body) = request.into_parts();
        if let Some(answer) = assets.before_the_worker(&head).await {
            return Ok(Served::Response(answer));
        }
        request = http::Request::from_parts(head, body);
    }
    let request_id = invocation.request_id;
    stamp(request.headers_mut(), &request_id, invocation.trace_id);
    let turn = Turn::begin(
        workers,
        Arc::clone(&guest),
        request_id,
        false,
        loading,
        || tail::of_request(&request),
    )?;
    // A caller that leaves before there is a response ends the turn by dropping this.
    let mut turn = Ending(Some(turn));
    let deadline = tokio::time::Instant::from_std(match &turn.0 {
        Some(turn) => turn.deadline(),
        None => return Err(ApiError::service("The invocation was lost. Try again.")),
    });
    let sent = guest.engines.send(&guest.code, Entry::Fetch, request);
    let fault = match tokio::time::timeout_at(deadline, sent).await {
        Ok(Ok(response)) => {
            return Ok(Served::Response(response.map(|answer| {
                Body::new(Download {
                    closing: answer
                        .is_switched()
                        .then(|| Box::pin(workers.calls.ending.clone().cancelled_owned())),
                    answer,
                    deadline: Box::pin(tokio::time::sleep_until(deadline)),
                    passed: 0,
                    turn,
                })
            })));
        }
        Ok(Err(failure)) => Fault::of(failure, &guest),
        Err(_) => {
            guest.engines.doubt(&guest.code);
            Fault::Function(Failure::Timeout(guest.timeout))
        }
    };
    let Some(turn) = turn.0.take() else {
        return Err(ApiError::service("The invocation was lost. Try again."));
    };
    let ended = turn.end(Some(fault)).await;
    match ended.fault {
        Some(Fault::Platform(error)) => Err(error),
        Some(fault) => Ok(Served::Failed(Outcome {
            payload: fault.body(&request_id),
            error: Some(FunctionError::Unhandled),
            log_tail: None,
            report: ended.report,
        })),
        None => Err(ApiError::service("The invocation was lost. Try again.")),
    }
}

/// A turn that ends as abandoned if nobody ends it.
struct Ending(Option<Turn>);

impl Ending {
    fn well(&mut self) {
        if let Some(turn) = self.0.take() {
            turn.end_later();
        }
    }

    fn badly(&mut self, failure: Failure) {
        if let Some(turn) = self.0.take() {
            tokio::spawn(turn.end(Some(Fault::Function(failure))));
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.badly(Failure::Abandoned);
    }
}

/// The body of a response on its way to the client.
struct Download {
    answer: Answer,
    deadline: Pin<Box<Sleep>>,
    /// Of a WebSocket: the end of the node, with which it ends well.
    closing: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Bytes so far.
    passed: u64,
    turn: Ending,
}

impl Download {
    fn broken(&mut self, failure: Failure) -> BodyError {
        let why = failure.reason();
        self.turn.badly(failure);
        why.into()
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            let failure = match &self.turn.0 {
                Some(turn) => {
                    turn.guest.engines.doubt(&turn.guest.code);
                    Failure::Timeout(turn.guest.timeout)
                }
                None => return Poll::Ready(None),
            };
            return Poll::Ready(Some(Err(self.broken(failure))));
        }
        if let Some(closing) = &mut self.closing
            && closing.as_mut().poll(cx).is_ready()
        {
            self.turn.well();
            return Poll::Ready(Some(Err("the node is shutting down".into())));
        }
        match ready!(Pin::new(&mut self.answer).poll_frame(cx)) {
            None => {
                self.turn.well();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.passed += u64::try_from(bytes).unwrap_or(u64::MAX);
                if self.passed > STREAMED_RESPONSE_BYTES {
                    return Poll::Ready(Some(Err(self.broken(Failure::StreamTooLarge))));
                }
                if self.answer.is_end_stream() {
                    self.turn.well();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => Poll::Ready(Some(Err(self.broken(Failure::Truncated)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // A body of no bytes may never be polled, and a WebSocket has no other end.
        if self.answer.is_end_stream() || self.answer.is_switched() {
            self.turn.well();
        }
    }
}
