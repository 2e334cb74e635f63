//! What either side sends: bytes, and then a body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;

/// What is sent: bytes, and then a body.
pub(crate) struct CallBody {
    first: Option<Bytes>,
    rest: Option<Rest>,
}

type Rest = Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>;

/// Why the body of a caller's broke off.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

impl CallBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self {
            first: (!bytes.is_empty()).then_some(bytes),
            rest: None,
        }
    }

    pub(super) fn with_rest<B>(first: Bytes, rest: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        Self {
            first: Some(first),
            rest: (!rest.is_end_stream()).then(|| Box::pin(rest.map_err(Into::into)) as Rest),
        }
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.rest {
            Some(rest) => rest.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }
}
