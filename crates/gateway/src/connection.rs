//! One connection: HTTP/1.1 or HTTP/2, whichever it speaks, within bounds.

use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::body::Pace;
use crate::function_url::Peer;
use crate::gateway::Gateway;
use crate::head_timer::HeadTimer;
use crate::opening::Opening;

/// Bounds of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// Connections of listeners at the same time; more wait in the operating system's queue.
    pub most: usize,
    /// Connections from functions at the same time; more are closed at once.
    pub most_from_functions: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for the head of a request to arrive, counted from the end of the one before: also how long a connection
    /// may be idle.
    pub head: Duration,
    /// How slowly a body may come.
    pub pace: Pace,
    /// Time that running requests have to end once the node shuts down.
    pub drain: Duration,
}

impl Default for ConnectionOptions {
    /// 8,192 and 1,024 connections, 10 s for a handshake, 60 s for a head, 30 s to drain.
    fn default() -> Self {
        Self {
            most: 8_192,
            most_from_functions: 1_024,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
            pace: Pace::default(),
            drain: Duration::from_secs(30),
        }
    }
}

/// Headers of one request. The clients send about 15.
const MOST_HEADERS: usize = 100;
/// Bytes of a request's head; also of what is read ahead of a body. A session token and a client context together
/// take under 8 KiB.
const HEAD_BYTES: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection (RFC 9113, section 6.5.2, recommends no less than 100).
const STREAMS: u32 = 128;
/// Bytes that one HTTP/2 stream, and one connection, may send ahead of their being read.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

impl Gateway {
    /// Serves a connection from `peer` to its end, or, once `shutdown` is cancelled, until its running requests have ended or
    /// the time to drain is over. Dropping the future closes the connection.
    pub(crate) async fn connection<S>(&self, stream: S, peer: Peer, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let bounds = self.0.connections;
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(HeadTimer::new(bounds.head))
            .header_read_timeout(bounds.head)
            .max_headers(MOST_HEADERS)
            .max_buf_size(HEAD_BYTES);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES as u32)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(bounds.head)
            .keep_alive_timeout(bounds.pace.idle);
        let gateway = self.clone();
        let peer = Arc::new(peer);
        let service = service_fn(move |request| gateway.answer(request, &peer));
        let stream = TokioIo::new(Opening::new(stream, bounds.head));
        let connection = http.serve_connection_with_upgrades(stream, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(bounds.drain, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return tracing::warn!("closed a connection whose request did not end in time"),
                }
            }
        };
        if let Err(error) = ended {
            // A client's fault or its going away: of interest only to someone who looks for it.
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
