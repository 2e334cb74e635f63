//! Where connections come from: listeners, and functions through their environments' doors.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gateway::Gateway;

/// Pause after the operating system has refused a connection (most often: out of file descriptors), so that the
/// loop does not spin until some are closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Gateway {
    /// Serves a listener until `shutdown` is cancelled, and then until its connections have ended, for at most
    /// [`ConnectionOptions::drain`](crate::ConnectionOptions::drain). Dropping the future leaves running connections
    /// to their end.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
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
            let stream = match accepted {
                Ok((stream, _)) => stream,
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
            let (gateway, shutdown) = (self.clone(), shutdown.clone());
            connections.spawn(async move {
                gateway.connection(stream, shutdown).await;
                drop(permit);
            });
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
        self.connection(stream, shutdown).await;
        drop(permit);
    }
}
