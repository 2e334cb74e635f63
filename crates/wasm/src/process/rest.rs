//! A body that begins with a head, and what is left of it after that.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::head::{self, LENGTH_BYTES, NoHead};

/// Longest head, bytes.
const MAX_HEAD: usize = 256 << 10;

/// What is left of a body after its head.
pub(crate) struct Rest {
    /// Came together with the end of the head.
    first: Bytes,
    incoming: Incoming,
}

impl Rest {
    /// Reads the head's text, and leaves the rest.
    ///
    /// # Errors
    /// If the body is not such a one, or breaks off.
    pub(crate) async fn split(mut incoming: Incoming) -> Result<(Bytes, Self), NoHead> {
        let mut gathered = BytesMut::new();
        loop {
            if gathered.len() >= LENGTH_BYTES {
                let length = gathered[..].as_ref().get_u32() as usize;
                if length > MAX_HEAD {
                    return Err(NoHead);
                }
                if gathered.len() - LENGTH_BYTES >= length {
                    gathered.advance(LENGTH_BYTES);
                    let text = gathered.split_to(length).freeze();
                    let first = gathered.freeze();
                    return Ok((text, Self { first, incoming }));
                }
            }
            let frame = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await;
            let frame = frame.and_then(Result::ok).ok_or(NoHead)?;
            gathered.extend_from_slice(&frame.into_data().map_err(|_| NoHead)?);
        }
    }

    /// Reads the head of a request, and leaves its body.
    ///
    /// # Errors
    /// As [`Rest::split`].
    pub(crate) async fn of_request(incoming: Incoming) -> Result<Request<Self>, NoHead> {
        let (text, rest) = Self::split(incoming).await?;
        Ok(head::read_request(&text)?.map(|()| rest))
    }

    /// Reads the head of a response, and leaves its body.
    ///
    /// # Errors
    /// As [`Rest::split`].
    pub(crate) async fn of_response(incoming: Incoming) -> Result<Response<Self>, NoHead> {
        let (text, rest) = Self::split(incoming).await?;
        Ok(head::read_response(&text)?.map(|()| rest))
    }
}

impl Body for Rest {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        Pin::new(&mut self.incoming).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (first, rest) = (self.first.len() as u64, self.incoming.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(first + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(first + upper);
        }
        hint
    }
}
