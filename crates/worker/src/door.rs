//! The one way from inside of an environment to the platform: connections to `127.0.0.1:9002` there are accepted here
//! and handed to whoever serves Hearth's API.

use std::sync::Arc;

use hearth_types::name::FunctionKey;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::options::Door;

/// Connections of one environment at once. SDKs pool ten by default (botocore's `max_pool_connections`).
const CONNECTIONS: usize = 32;

/// Serves the door until it is dropped. Cancel safe: all connections end with it.
pub(crate) async fn serve(listener: TcpListener, key: FunctionKey, door: Door) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Further connections wait in the listener's own bounded queue.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "set TCP_NODELAY");
                }
                let connection = door(&key, stream);
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accept a function's connection");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}
