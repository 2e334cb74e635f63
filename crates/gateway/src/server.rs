//! Where connections come from: listeners, and functions through their environments' doors.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::function_url::Peer;
use crate::gateway::Gateway;
use crate::tls::Certificates;

/// Pause after the operating system has refused a connection (most often: out of file descriptors), so that the
/// loop does not spin until some are closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Gateway {
    /// Serves a listener until `shutdown` is cancelled, and then until its connections have ended, for at most
    /// [`ConnectionOptions::drain`](crate::ConnectionOptions::drain). Dropping the future leaves running connections
    /// to their end.
    ///
    /// With `certificates`, the listener speaks TLS alone.
    pub async fn serve(
        &self,
        listener: TcpListener,
        certificates: Option<&Certificates>,
        shutdown: CancellationToken,
    ) {
        let connections = TaskTracker::new();
        let tls = certificates.map(Certificates::acceptor);
        loop {
            let accepted = async {
                let permit = Arc::clone(&self.0.listened).acquire_owned().await.ok()?;
                Some((permit, listener.accept().await))
            };
            let accepted = tokio::select! {
                accepted = accepted => accepted,
                () = shutdown.cancelled() => break,
            };
            // The semaphore is never closed.
            let Some((permit, accepted)) = accepted else {
                break;
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Small answers must not wait for the acknowledgement of what went before.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection ended before it began");
                continue;
            }
            // A token of its own: it is looked at whenever the connection has something to do, and that takes a lock.
            let (gateway, shutdown) = (self.clone(), shutdown.child_token());
            let tls = tls.clone();
            let serve = async move |stream| match tls {
                None => {
                    gateway
                        .connection(stream, Peer::plain(peer, permit), shutdown)
                        .await
                }
                Some(tls) => {
                    let bound = gateway.0.connections.handshake;
                    if let Some(stream) = shake_hands(&tls, stream, bound, &shutdown).await {
                        gateway
                            .connection(stream, Peer::secure(peer, permit), shutdown)
                            .await;
                    }
                }
            };
            match self.0.spread.place() {
                None => connections.spawn(serve(stream)),
                Some(place) => match stream.into_std() {
                    Ok(stream) => {
                        let handle = place.handle();
                        let served = async move {
                            // Its thread's runtime watches it from here on.
                            match TcpStream::from_std(stream) {
                                Ok(stream) => serve(stream).await,
                                Err(error) => tracing::warn!(%error, "watch a connection"),
                            }
                            drop(place);
                        };
                        connections.spawn_on(served, &handle)
                    }
                    Err(error) => {
                        tracing::warn!(%error, "hand over a connection");
                        continue;
                    }
                },
            };
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    /// Serves one connection that a function has opened to Hearth's API: same routes, same authentication. Ends like
    /// those of [`serve`](Self::serve); at once if functions have too many open.
    pub async fn serve_connection<S>(&self, stream: S, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.0.from_functions).try_acquire_owned() else {
            tracing::warn!("closed a function's connection: functions have too many open");
            return;
        };
        let peer = Peer::plain((Ipv4Addr::LOCALHOST, 0).into(), permit);
        self.connection(stream, peer, shutdown).await;
    }
}

/// TLS on a connection; `None` if the client does not get there in time or at all.
async fn shake_hands(
    tls: &TlsAcceptor,
    stream: TcpStream,
    bound: Duration,
    shutdown: &CancellationToken,
) -> Option<TlsStream<TcpStream>> {
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(bound, tls.accept(stream)) => shaken,
        () = shutdown.cancelled() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection ended in its TLS handshake");
            None
        }
        Err(_) => {
            tracing::debug!("closed a connection whose TLS handshake did not end in time");
            None
        }
    }
}
