//! From a name to addresses.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;

/// Look-ups at the same time: each holds a thread of tokio's pool for blocking work, which has 512.
const LOOKUPS: usize = 64;

/// Addresses of one answer that are looked at. Names with more are not meant to be tried one by one.
const MOST_ADDRESSES: usize = 16;

/// Who knows the addresses of names.
#[async_trait]
pub(crate) trait Resolve: Send + Sync + std::fmt::Debug {
    /// The addresses of a name, the preferred first; may be none.
    ///
    /// # Errors
    /// If the name is not known, or nobody answered.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The host's own resolver, as `/etc/nsswitch.conf`, `/etc/hosts` and `/etc/resolv.conf` set it up.
#[derive(Debug)]
pub(crate) struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl SystemResolver {
    pub(crate) fn new() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
        }
    }
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await;
        let name = name.to_owned();
        let lookup = tokio::task::spawn_blocking(move || {
            // Held by the look-up, which goes on when nobody waits for it any more.
            let _permit = permit;
            let found = (name.as_str(), 0).to_socket_addrs()?;
            Ok(found
                .map(|address| address.ip())
                .take(MOST_ADDRESSES)
                .collect())
        });
        lookup.await.map_err(io::Error::other)?
    }
}
