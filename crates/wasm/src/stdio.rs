//! A guest's standard streams: the log, a command's input, a command's result.
//!
//! None of them waits: a log that can't keep up drops (that is [`Output`]'s part), and a result has a bound.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{self, Pollable, StreamError};

use crate::call::{Output, OutputStream};

/// Most bytes of one write to the log: a guest that writes more does so in several.
const WRITE_BYTES: usize = 16 << 10;

/// Most bytes of one read: the host holds a copy of them until the guest has them.
const READ_BYTES: usize = 64 << 10;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where an instance's log goes: to the call that it serves.
#[derive(Default)]
pub(crate) struct Log {
    output: Mutex<Option<Arc<dyn Output>>>,
}

impl Log {
    /// The log goes to `output` from now on; nowhere if there is none.
    pub(crate) fn set(&self, output: Option<Arc<dyn Output>>) {
        *lock(&self.output) = output;
    }
}

impl Output for Log {
    fn write(&self, stream: OutputStream, bytes: &[u8]) {
        let output = lock(&self.output).clone();
        if let Some(output) = output {
            output.write(stream, bytes);
        }
    }
}

/// A command's standard output, as far as it came.
#[derive(Debug)]
pub(crate) struct Capture {
    bytes: Mutex<BytesMut>,
    bound: u64,
}

/// A command wrote more than it may.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("more output than granted")]
pub(crate) struct Overflow;

impl Capture {
    /// Takes up to `bound` bytes.
    pub(crate) fn new(bound: u64) -> Self {
        Self {
            bytes: Mutex::default(),
            bound,
        }
    }

    /// What was written.
    pub(crate) fn take(&self) -> Bytes {
        std::mem::take(&mut *lock(&self.bytes)).freeze()
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Overflow> {
        let mut taken = lock(&self.bytes);
        if (taken.len() + bytes.len()) as u64 > self.bound {
            return Err(Overflow);
        }
        taken.extend_from_slice(bytes);
        Ok(())
    }
}

/// One of a guest's output streams.
#[derive(Clone)]
pub(crate) enum Sink {
    /// To the log.
    Log(Arc<Log>, OutputStream),
    /// The result of a command.
    Capture(Arc<Capture>),
}

impl Sink {
    fn take(&self, bytes: &[u8]) -> Result<(), Overflow> {
        match self {
            Self::Log(log, stream) => {
                log.write(*stream, bytes);
                Ok(())
            }
            Self::Capture(capture) => capture.write(bytes),
        }
    }
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn p2::OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

#[async_trait]
impl p2::OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.take(&bytes)
            .map_err(|overflow| StreamError::Trap(overflow.into()))
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES)];
        Poll::Ready(match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(overflow) => Err(io::Error::other(overflow)),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A command's standard input: all handles of it read on from where the last one stopped.
#[derive(Clone)]
pub(crate) struct Input(Arc<Mutex<Bytes>>);

impl Input {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    fn take(&self, most: usize) -> Bytes {
        let mut bytes = lock(&self.0);
        let most = most.min(bytes.len());
        bytes.split_to(most)
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn p2::InputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {}
}

#[async_trait]
impl p2::InputStream for Input {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        if lock(&self.0).is_empty() {
            return Err(StreamError::Closed);
        }
        Ok(self.take(size.min(READ_BYTES)))
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(&self.take(buffer.remaining()));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime_wasi::p2::{InputStream as _, OutputStream as _};

    #[test]
    fn handles_of_an_input_read_on_from_each_other() {
        let input = Input::new(Bytes::from_static(b"one two"));
        let (mut first, mut second) = (input.clone(), input);
        assert_eq!(first.read(4).expect("bytes"), "one ");
        assert_eq!(second.read(100).expect("bytes"), "two");
        assert!(matches!(first.read(1), Err(StreamError::Closed)));
    }

    #[test]
    fn a_result_has_a_bound() {
        let capture = Arc::new(Capture::new(5));
        let mut sink = Sink::Capture(Arc::clone(&capture));
        sink.write(Bytes::from_static(b"12345")).expect("room");
        assert!(matches!(
            sink.write(Bytes::from_static(b"6")),
            Err(StreamError::Trap(_))
        ));
        assert_eq!(capture.take(), "12345");
    }
}
