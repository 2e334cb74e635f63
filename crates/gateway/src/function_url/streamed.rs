//! The response of a function that takes events and makes it piece by piece.
//!
//! The head goes out with the first piece, so that a function that fails before it is answered with 502. One that
//! fails later breaks the response off: what the client has got must not look whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hearth_types::ApiError;
use hearth_types::function_url::prelude::{self, PreludeReader};
use hearth_types::function_url::result::Malformed;
use hearth_types::function_url::{InvokeMode, result};
use hearth_types::invoke::{Body, BodyError, BoxFuture, Outcome, RequestId, ResponseStream};
use hearth_types::limits::RESPONSE_PAYLOAD_BYTES;
use http::Response;
use http::header::HeaderValue;
use http_body::Frame;
use http_body_util::BodyExt as _;

use super::Door;
use super::events::no_response;
use super::refusal::Refusal;
use crate::response_body::ResponseBody;

/// What goes to the client: piece by piece or once it is whole, as its door says. Dropping it cancels the
/// invocation.
///
/// # Errors
/// [`Refusal`] if there is no response that a server may send.
pub(super) async fn answer(
    response: ResponseStream,
    is_head: bool,
    door: &Door<'_>,
    request_id: RequestId,
) -> Result<Response<ResponseBody>, Refusal> {
    let mut rest = Rest {
        first: Bytes::new(),
        body: Some(response.body),
        ended: Some(response.ended),
        failed: false,
    };
    let refuse = |why| match why {
        Unsendable::Failed => Refusal::function_failed(),
        Unsendable::Malformed(malformed) => no_response(door.key(), request_id, &malformed),
    };
    let head = rest.head(response.content_type).await.map_err(refuse)?;
    let body = if is_head || !result::has_body(head.status()) {
        // Nobody is sent it, which is no reason to stop the function.
        tokio::spawn(rest.pass_over());
        ResponseBody::from(Bytes::new())
    } else {
        match door.mode() {
            InvokeMode::ResponseStream => ResponseBody::Function(rest.boxed_unsync()),
            InvokeMode::Buffered => ResponseBody::from(rest.whole().await.map_err(refuse)?),
        }
    };
    Ok(head.map(|()| body))
}

/// Why a response that has begun can't be sent.
enum Unsendable {
    Failed,
    Malformed(Malformed),
}

impl From<Malformed> for Unsendable {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// What is left of a response; its last frame is an error if the invocation failed.
struct Rest {
    /// Goes before `body`.
    first: Bytes,
    /// `None` once it has ended.
    body: Option<Body>,
    /// `None` once that is known.
    ended: Option<BoxFuture<'static, Result<Outcome, ApiError>>>,
    /// The invocation failed, and that is still to be said.
    failed: bool,
}

impl Rest {
    /// Reads the head, and the first piece of the body.
    async fn head(
        &mut self,
        content_type: Option<HeaderValue>,
    ) -> Result<Response<()>, Unsendable> {
        let mut prelude = prelude::is_announced(content_type.as_ref()).then(PreludeReader::default);
        while let Some(piece) = self.next().await? {
            let Some(reader) = &mut prelude else {
                self.first = piece;
                return Ok(prelude::without(content_type));
            };
            if let Some((head, first)) = reader.push(&piece)? {
                self.first = first;
                return Ok(head);
            }
        }
        match prelude {
            Some(reader) => Err(reader.cut_off().into()),
            None => Ok(prelude::without(content_type)),
        }
    }

    /// All of it, within the bound of a response that is sent whole.
    async fn whole(mut self) -> Result<Bytes, Unsendable> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if whole.len() + piece.len() > RESPONSE_PAYLOAD_BYTES {
                return Err(Malformed::Large(RESPONSE_PAYLOAD_BYTES).into());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Reads to the end and throws away.
    async fn pass_over(mut self) {
        while let Ok(Some(_)) = self.next().await {}
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Unsendable> {
        match self.frame().await {
            None => Ok(None),
            // There are no trailers.
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(_)) => Err(Unsendable::Failed),
        }
    }
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        if let Some(body) = &mut self.body {
            if let Some(frame) = ready!(Pin::new(body).poll_frame(cx)) {
                return Poll::Ready(Some(frame));
            }
            self.body = None;
        }
        if let Some(ended) = &mut self.ended {
            let end = ready!(ended.as_mut().poll(cx));
            self.ended = None;
            self.failed = !end.is_ok_and(|outcome| outcome.error.is_none());
            if self.failed {
                // The server sends what it has gathered when there is nothing to be had, and forgets it at an error.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        if std::mem::take(&mut self.failed) {
            let error = "the function failed before its response had ended";
            return Poll::Ready(Some(Err(error.into())));
        }
        Poll::Ready(None)
    }
}
