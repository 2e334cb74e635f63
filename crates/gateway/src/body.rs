//! Reading a request's body: bounded in size, in time and in memory over all requests, hashed as it comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How slowly a body may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Longest time without a byte.
    pub idle: Duration,
    /// Time that every body has, however small.
    pub grace: Duration,
    /// Bytes a second that a body must come with once the grace period is over.
    pub bytes_per_second: u32,
}

impl Default for Pace {
    /// 10 s without a byte; 20 s, and 64 KiB/s after that: a package of 50 MiB may take 18 minutes.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10),
            grace: Duration::from_secs(20),
            bytes_per_second: 64 * 1024,
        }
    }
}

/// Bodies up to this are not counted: connections bound them (bytes).
const UNCOUNTED_BYTES: usize = 64 * 1024;
/// Memory is handed out in pieces of this (bytes).
const PIECE_BYTES: usize = 64 * 1024;
/// What is read and thrown away of the body of a refused request, so that a client that sends all before it reads
/// finds the answer: as much as the largest body that is ever taken (bytes).
const DISCARDED_BYTES: usize = 70_000_000;
/// For how long that is done.
const DISCARD_TIME: Duration = Duration::from_secs(10);

/// Memory for the bodies of all requests together.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    /// `bytes`: how much all bodies over 64 KiB may take together.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            (bytes / PIECE_BYTES).clamp(1, Semaphore::MAX_PERMITS),
        )))
    }
}

/// A body that was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// Their SHA-256.
    pub(crate) sha256: [u8; 32],
    /// Its part of the [`Budget`]: to be held as long as the bytes are.
    pub(crate) held: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is larger than the operation takes.
    TooLarge,
    /// It stopped half-way, or came too slowly.
    Stalled,
    /// Its framing is broken, or the client has gone.
    Broken,
    /// All bodies together take too much memory now.
    NoRoom,
}

/// Reads a body of at most `limit` bytes. Dropping the future stops reading.
///
/// # Errors
/// [`Unread`]; the rest of the body has not been read then.
pub(crate) async fn read<B>(
    body: &mut B,
    limit: usize,
    budget: &Budget,
    pace: Pace,
) -> Result<Read, Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut hash = Sha256::new();
    let (bytes, held) = gather(body, limit, budget, pace, Some(&mut hash)).await?;
    Ok(Read {
        bytes,
        sha256: hash.finalize().into(),
        held,
    })
}

/// Reads a body as [`read`] does, and hashes it only if somebody wants that: its bytes, and their part of the
/// [`Budget`].
///
/// # Errors
/// [`Unread`]; the rest of the body has not been read then.
pub(crate) async fn gather<B>(
    body: &mut B,
    limit: usize,
    budget: &Budget,
    pace: Pace,
    mut hash: Option<&mut Sha256>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Unread>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().lower();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(Unread::TooLarge);
    }
    let started = Instant::now();
    let mut held = None;
    grow(budget, &mut held, announced)?;
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    loop {
        let length = first.len() + rest.len();
        let earned =
            u64::try_from(length).unwrap_or(u64::MAX) / u64::from(pace.bytes_per_second.max(1));
        let deadline = started + pace.grace + Duration::from_secs(earned);
        let until = deadline.min(Instant::now() + pace.idle);
        let frame = match tokio::time::timeout_at(until, body.frame()).await {
            Err(_) => return Err(Unread::Stalled),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Unread::Broken),
            // Trailers say nothing here: no signature covers them.
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => data,
                Err(_) => continue,
            },
        };
        if length + frame.len() > limit {
            return Err(Unread::TooLarge);
        }
        if let Some(hash) = &mut hash {
            hash.update(&frame);
        }
        grow(budget, &mut held, length + frame.len())?;
        // Most bodies are one frame: that is kept as it is, not copied.
        if length == 0 {
            first = frame;
        } else {
            if !first.is_empty() {
                rest.reserve(announced.max(length + frame.len()));
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&frame);
        }
    }
    let bytes = if first.is_empty() {
        rest.freeze()
    } else {
        first
    };
    Ok((bytes, held))
}

/// Takes memory for a body that has grown to `bytes`.
fn grow(
    budget: &Budget,
    held: &mut Option<OwnedSemaphorePermit>,
    bytes: usize,
) -> Result<(), Unread> {
    if bytes <= UNCOUNTED_BYTES {
        return Ok(());
    }
    let have = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let missing = bytes.div_ceil(PIECE_BYTES).saturating_sub(have);
    if missing == 0 {
        return Ok(());
    }
    let missing = u32::try_from(missing).map_err(|_| Unread::NoRoom)?;
    let more = Arc::clone(&budget.0)
        .try_acquire_many_owned(missing)
        .map_err(|_| Unread::NoRoom)?;
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
    Ok(())
}

/// Reads the rest of a refused request's body in the background and throws it away, within bounds. Without this a
/// client that sends its whole body before it looks for an answer would see its connection reset instead.
pub(crate) fn discard<B>(mut body: B)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(async move {
        let drain = async {
            let mut seen = 0_usize;
            while let Some(Ok(frame)) = body.frame().await {
                seen += frame.data_ref().map_or(0, Bytes::len);
                if seen > DISCARDED_BYTES {
                    break;
                }
            }
        };
        // Out of time: dropping the body closes the connection.
        let _ = tokio::time::timeout(DISCARD_TIME, drain).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_taken_in_pieces_and_given_back() {
        let budget = Budget::new(4 * PIECE_BYTES);
        let mut held = None;
        grow(&budget, &mut held, UNCOUNTED_BYTES).unwrap();
        assert!(held.is_none());
        grow(&budget, &mut held, PIECE_BYTES + 1).unwrap();
        grow(&budget, &mut held, 4 * PIECE_BYTES).unwrap();
        assert_eq!(budget.0.available_permits(), 0);
        assert_eq!(
            grow(&budget, &mut held, 4 * PIECE_BYTES + 1),
            Err(Unread::NoRoom)
        );
        drop(held);
        assert_eq!(budget.0.available_permits(), 4);
    }
}
