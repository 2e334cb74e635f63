//! The body of a response: whole, or streaming on from a function.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hearth_registry::Permit;
use hearth_types::function_url::fields;
use hearth_types::invoke::{Body, BodyError};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tokio::sync::OwnedSemaphorePermit;

/// What the server sends after a head.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// All of it is there.
    Whole(Full<Bytes>),
    /// A function that takes HTTP is still making it.
    Streaming(Streaming),
    /// A function that takes events is still making it; it counts as running where it was begun, and what is sent of
    /// it is the gateway's own.
    Function(Body),
}

/// A body that a function is making. It counts as a running invocation until it has ended or is dropped.
#[derive(Debug)]
pub(crate) struct Streaming {
    body: Body,
    held: Option<Held>,
}

/// What an invocation holds as long as it runs.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its place among those that run.
    _admitted: Permit,
    /// The memory of its request, if that was read ahead.
    _memory: Option<OwnedSemaphorePermit>,
    /// The place of a connection that goes on as another protocol's, outside of the server's hands.
    seat: Option<Arc<OwnedSemaphorePermit>>,
}

impl Held {
    pub(crate) fn new(admitted: Permit, memory: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            _admitted: admitted,
            _memory: memory,
            seat: None,
        }
    }

    /// Holds the connection's place, too.
    pub(crate) fn keep_seat(&mut self, seat: Arc<OwnedSemaphorePermit>) {
        self.seat = Some(seat);
    }
}

impl Streaming {
    pub(crate) fn new(body: Body, held: Held) -> Self {
        Self {
            body,
            held: Some(held),
        }
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let streaming = match self.get_mut() {
            Self::Whole(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
            Self::Streaming(streaming) => streaming,
            Self::Function(body) => return Pin::new(body).poll_frame(cx),
        };
        let mut frame = ready!(Pin::new(&mut streaming.body).poll_frame(cx));
        match &mut frame {
            None | Some(Err(_)) => streaming.held = None,
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    fields::strip_response(trailers);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Streaming(streaming) => streaming.body.is_end_stream(),
            Self::Function(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streaming(streaming) => streaming.body.size_hint(),
            Self::Function(body) => body.size_hint(),
        }
    }
}
