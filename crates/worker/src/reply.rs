//! The way back to whoever waits for an invocation: its end alone, its response as it is made, or leave to ask a web
//! server oneself.
//!
//! A response that is made goes through a channel of [`PIECES`] pieces, each one read of the runtime's connection.
//! When it is full the connection isn't read, so that a slow reader holds the function up and not the node's memory.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hearth_types::ApiError;
use hearth_types::invoke::{BodyError, Outcome, ResponseStream, Streamed};
use http::HeaderValue;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::shared::shutting_down;
use crate::web::{Unserved, Visit};

/// Pieces between a runtime's connection and the reader. One is at most what a connection reads at once, 32 KiB
/// ([`crate::runtime_api`]): with the one that is being handed over and the one being read, 128 KiB an invocation.
const PIECES: usize = 2;

/// Who waits for an invocation.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Somebody who wants the end.
    Whole(oneshot::Sender<Result<Outcome, ApiError>>),
    /// Somebody who wants the response as it is made.
    Stream(oneshot::Sender<Result<Streamed, ApiError>>),
    /// The same, once the response has begun: its end.
    Begun(oneshot::Sender<Result<Outcome, ApiError>>),
    /// Somebody who wants to be let in, for a request that the caller makes itself.
    Visit(oneshot::Sender<Result<Visit, Unserved>>),
}

impl Reply {
    /// Whether nobody waits any more.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Whole(caller) | Self::Begun(caller) => caller.is_closed(),
            Self::Stream(caller) => caller.is_closed(),
            Self::Visit(caller) => caller.is_closed(),
        }
    }

    /// Whether the response may be passed on as it comes.
    pub(crate) const fn streams(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Tells the end. The caller may have gone.
    pub(crate) fn send(self, end: Result<Outcome, ApiError>) {
        match self {
            Self::Whole(caller) | Self::Begun(caller) => drop(caller.send(end)),
            Self::Stream(caller) => drop(caller.send(end.map(Streamed::Whole))),
            Self::Visit(caller) => drop(caller.send(Err(match end {
                Ok(outcome) => Unserved::Function(outcome),
                Err(error) => Unserved::Platform(error),
            }))),
        }
    }

    /// Lets whoever wanted it in. Without effect (which ends the visit) if nobody did, or nobody is there any more.
    pub(crate) fn let_in(self, visit: Visit) {
        if let Self::Visit(caller) = self {
            drop(caller.send(Ok(visit)));
        }
    }

    /// Hands the caller a response that begins. Gives what is cancelled when nobody reads it any more.
    pub(crate) fn begin(&mut self, response: Beginning) -> CancellationToken {
        let gone = CancellationToken::new();
        let (tell, told) = oneshot::channel();
        let Self::Stream(caller) = std::mem::replace(self, Self::Begun(tell)) else {
            // The Runtime API begins what a caller asked to be streamed, and once.
            gone.cancel();
            return gone;
        };
        let stream = ResponseStream {
            content_type: response.content_type,
            body: Pieces {
                pieces: response.pieces,
                _reader: gone.clone().drop_guard(),
            }
            .boxed_unsync(),
            ended: Box::pin(async { told.await.unwrap_or_else(|_| Err(shutting_down())) }),
        };
        // Sent to nobody, it is dropped, and that is seen.
        drop(caller.send(Ok(Streamed::Begun(stream))));
        gone
    }
}

/// A response whose head has come.
#[derive(Debug)]
pub(crate) struct Beginning {
    content_type: Option<HeaderValue>,
    pieces: mpsc::Receiver<Bytes>,
}

impl Beginning {
    /// A response of this media type, and where its pieces go.
    pub(crate) fn new(content_type: Option<HeaderValue>) -> (Self, mpsc::Sender<Bytes>) {
        let (sender, pieces) = mpsc::channel(PIECES);
        let beginning = Self {
            content_type,
            pieces,
        };
        (beginning, sender)
    }
}

/// The reader's end of the channel.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    _reader: DropGuard,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = self.pieces.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
