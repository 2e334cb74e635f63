//! Reading what a runtime sends: bounded, whatever it says about its length; kept, or passed on.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{Semaphore, mpsc};

/// Above this much a body waits for its turn to be read on: so much is held for each place of an environment at worst,
/// as much as its connection takes with the buffers of both sides.
pub(super) const SMALL_BYTES: usize = 64 * 1024;

/// How much of a body above its bound is read and thrown away before its connection is closed: a runtime that sent a
/// result somewhat too large keeps its connection and its environment.
const DISCARD_BYTES: usize = 64 * 1024 * 1024;

/// What came.
#[derive(Debug)]
pub(super) enum Received {
    /// The body, and its trailers if it had any.
    Whole(Bytes, Option<HeaderMap>),
    /// More than the bound.
    TooLarge(Rest),
    /// The connection broke, or it was not HTTP.
    Broken,
}

/// What is left of a body above its bound.
#[derive(Debug)]
pub(super) struct Rest {
    body: Incoming,
    seen: usize,
}

/// Reads a body of at most `most` bytes. Holds at most that much and one read of the connection, and no more than
/// [`SMALL_BYTES`] without one of the `turns`.
pub(super) async fn read(mut body: Incoming, most: usize, turns: &Semaphore) -> Received {
    let declared = body.size_hint().lower();
    if declared > most as u64 {
        return Received::TooLarge(Rest { body, seen: 0 });
    }
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut trailers = None;
    let mut seen = 0;
    let mut turn = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Received::Broken;
        };
        match frame.into_data() {
            Ok(data) => {
                seen += data.len();
                if seen > most {
                    return Received::TooLarge(Rest { body, seen });
                }
                let large = declared.max(seen as u64) > SMALL_BYTES as u64;
                if large && turn.is_none() {
                    turn = turns.acquire().await.ok();
                }
                // Most bodies come in one piece, which is passed on as it is.
                if first.is_empty() && joined.is_empty() {
                    first = data;
                } else {
                    if joined.is_empty() {
                        let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0);
                        joined.reserve(
                            (first.len() + data.len())
                                .saturating_add(expected)
                                .min(most),
                        );
                        joined.extend_from_slice(&first);
                        first = Bytes::new();
                    }
                    joined.extend_from_slice(&data);
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    drop(turn);
    let whole = if joined.is_empty() {
        first
    } else {
        joined.freeze()
    };
    Received::Whole(whole, trailers)
}

/// What became of a body that was passed on.
#[derive(Debug)]
pub(super) enum Passed {
    /// It is whole; its trailers if it had any.
    Whole(Option<HeaderMap>),
    /// More than the bound; what is within has been passed on.
    TooLarge(Rest),
    /// The connection broke, or it was not HTTP.
    Broken,
}

/// Passes a body of at most `most` bytes on, as fast as it is taken. What nobody takes any more is thrown away, and does not
/// count: a function that writes fast would else be said to have written too much when its caller has left.
pub(super) async fn pass_on(mut body: Incoming, most: u64, to: mpsc::Sender<Bytes>) -> Passed {
    let mut left = most;
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Passed::Broken;
        };
        match frame.into_data() {
            // Nobody reads: the environment's task knows, and decides for how long this goes on.
            Ok(_) if to.is_closed() => {}
            Ok(mut data) => {
                let within = usize::try_from(left).unwrap_or(usize::MAX);
                let too_large = data.len() > within;
                data.truncate(within);
                left = left.saturating_sub(data.len() as u64);
                if !data.is_empty() {
                    let _ = to.send(data).await;
                }
                if too_large {
                    return Passed::TooLarge(Rest { body, seen: 0 });
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Passed::Whole(trailers)
}

impl Rest {
    /// Reads the rest and throws it away; `false` if there is too much of it and the connection has to go.
    pub(super) async fn discard(mut self) -> bool {
        while self.seen <= DISCARD_BYTES {
            match self.body.frame().await {
                None => return true,
                Some(Ok(frame)) => self.seen += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(_)) => return false,
            }
        }
        false
    }
}
