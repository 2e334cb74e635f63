//! The stream to a RabbitMQ server: TCP, TLS if the URL says so, and a guard on what comes in.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::Reactor;
use futures_util::Stream;
use futures_util::io::{AsyncRead as FuturesRead, AsyncWrite as FuturesWrite};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use tokio_util::either::Either;

use crate::rabbit_nesting::is_readable;

/// Bytes before the payload of a frame: its kind, its channel, its size (AMQP 0-9-1, section 4.2.3).
const FRAME_HEADER: usize = 7;
/// The kind of frames that hold a message's properties.
const CONTENT_HEADER: u8 = 2;
/// Most bytes of a frame that is kept to be looked at; RabbitMQ's own bound of frames.
const MOST_KEPT: u32 = 131_072;

/// How lapin connects.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) tokio: Tokio,
    /// Set if TLS is to be spoken, with whom.
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Reactor for Connector {
    type TcpStream = Compat<Guarded<Either<TcpStream, Box<TlsStream<TcpStream>>>>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// For sockets that were opened without the runtime, of which there are none here.
    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl FuturesRead + FuturesWrite + Send + Unpin + 'static> {
        Err::<Compat<TcpStream>, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let tls = self.tls.clone();
        // lapin polls from a thread of its own, which has entered no runtime.
        let connected = tokio::runtime::Handle::current().spawn(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            io::Result::Ok(match tls {
                None => Either::Left(stream),
                Some((connector, name)) => {
                    Either::Right(Box::new(connector.connect(name, stream).await?))
                }
            })
        });
        async move { Ok(Guarded::new(connected.await??).compat()) }
    }
}

/// A stream of frames, of which those that hold properties were found to be readable.
pub(crate) struct Guarded<S> {
    stream: S,
    /// Set in a frame that holds properties: what was read of it.
    kept: Option<Vec<u8>>,
    /// What was read of the header of a frame.
    header: [u8; FRAME_HEADER],
    has: usize,
    /// What is left of the frame, its end mark included.
    left: u64,
}

impl<S> Guarded<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            kept: None,
            header: [0; FRAME_HEADER],
            has: 0,
            left: 0,
        }
    }

    fn check(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX);
                let (part, rest) = bytes.split_at(bytes.len().min(length));
                self.left -= part.len() as u64;
                bytes = rest;
                if let Some(kept) = &mut self.kept {
                    kept.extend_from_slice(part);
                    // The end mark is no part of it.
                    if self.left == 0
                        && !is_readable(kept.split_last().map_or(&[], |(_, payload)| payload))
                    {
                        return Err(unreadable());
                    }
                }
                continue;
            }
            self.header[self.has] = bytes[0];
            self.has += 1;
            bytes = &bytes[1..];
            if self.has == FRAME_HEADER {
                self.has = 0;
                let [kind, _, _, size @ ..] = self.header;
                let size = u32::from_be_bytes(size);
                self.kept = (kind == CONTENT_HEADER).then(Vec::new);
                if self.kept.is_some() && size > MOST_KEPT {
                    return Err(unreadable());
                }
                self.left = u64::from(size) + 1;
            }
        }
        Ok(())
    }
}

fn unreadable() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a message's properties are nested too deep, or broken; take it out of the queue",
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(self.check(&buffer.filled()[before..])),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, filled: u8, size: u32) -> Vec<u8> {
        let mut frame = vec![kind, 0, 1];
        frame.extend(size.to_be_bytes());
        frame.extend(std::iter::repeat_n(filled, size as usize));
        frame.push(0xCE);
        frame
    }

    #[test]
    fn frames_are_told_apart_however_they_come_in() {
        let good = [
            frame(1, b'A', 1_000),
            // No property is there.
            frame(CONTENT_HEADER, 0, 14),
            frame(3, CONTENT_HEADER, 200_000),
            frame(8, 0, 0),
        ]
        .concat();
        for bad in [
            frame(CONTENT_HEADER, 0xFF, 100),
            frame(CONTENT_HEADER, 0, MOST_KEPT + 1),
        ] {
            for step in [1, 2, 7, 8, 4_096, usize::MAX] {
                let mut guarded = Guarded::new(());
                let mut parts = good.chunks(step.min(good.len()));
                assert!(parts.all(|part| guarded.check(part).is_ok()), "{step}");
                let mut parts = bad.chunks(step.min(bad.len()));
                assert!(parts.any(|part| guarded.check(part).is_err()), "{step}");
            }
        }
    }
}
