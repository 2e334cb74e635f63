//! Fewer wake-ups for the runtime: the acknowledgement of an answer travels with the next invocation.
//!
//! Hearth's bootstraps send an answer and the request for the next invocation in one write. Acknowledging the answer
//! at once would wake the function's process for nothing, and once more for the invocation. While a request for the
//! next invocation waits, what was written before it is held back; a client that asks only after the acknowledgement
//! gets it at once, because nothing waits then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};
use tokio::net::TcpStream;

/// Whether a connection's request for the next invocation waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Hold(Arc<AtomicBool>);

impl Hold {
    /// Holds back until the guard is dropped.
    pub(super) fn begin(&self) -> Held<'_> {
        self.0.store(true, Ordering::Relaxed);
        Held(self)
    }
}

/// See [`Hold::begin`].
pub(super) struct Held<'a>(&'a Hold);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// A runtime's connection. Small writes are put together until a flush that is not held back.
#[derive(Debug)]
pub(super) struct Stream {
    inner: BufWriter<TcpStream>,
    hold: Hold,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, hold: Hold) -> Self {
        Self {
            inner: BufWriter::new(stream),
            hold,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hold.0.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
