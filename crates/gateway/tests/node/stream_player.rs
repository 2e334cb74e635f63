//! Plays the functions that make their response piece by piece. What one does is in the path; what it says is in the
//! body of the request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hearth_types::function_url::prelude;
use hearth_types::invoke::{BodyError, FunctionError, Outcome, Report, ResponseStream, Streamed};
use hearth_types::wire::function_url::Event;
use http::HeaderValue;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

/// How many bytes of what it says go out as one piece.
const PIECE: usize = 7;

/// The response to a request at a URL; `None` if its path is for others.
pub(super) fn stream(asked: &Event, dropped: &Arc<Semaphore>) -> Option<Streamed> {
    let said = Bytes::from(asked.body.clone().unwrap_or_default());
    let (content_type, pieces, fails) = match &asked.raw_path[..] {
        "/stream/plain" => (Some("text/event-stream"), Some(said), false),
        "/stream/untyped" => (None, Some(said), false),
        "/stream/prelude" => (Some(prelude::MEDIA_TYPE), Some(said), false),
        "/stream/breaks" => (None, Some(said), true),
        "/stream/endless" => (None, None, false),
        _ => return None,
    };
    let outcome = Outcome {
        payload: Bytes::from_static(b"{\"errorMessage\":\"secret\"}"),
        error: fails.then_some(FunctionError::Unhandled),
        log_tail: None,
        report: Report::default(),
    };
    let body = Pieces {
        left: pieces,
        dropped: Arc::clone(dropped),
    };
    Some(Streamed::Begun(ResponseStream {
        content_type: content_type.map(HeaderValue::from_static),
        body: body.boxed_unsync(),
        ended: Box::pin(std::future::ready(Ok(outcome))),
    }))
}

/// What is left to say; `None` has no end.
struct Pieces {
    left: Option<Bytes>,
    dropped: Arc<Semaphore>,
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.dropped.add_permits(1);
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = match &mut self.left {
            None => Bytes::from_static(b"endless"),
            Some(left) if left.is_empty() => return Poll::Ready(None),
            Some(left) => left.split_to(left.len().min(PIECE)),
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}
