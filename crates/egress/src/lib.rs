//! Requests of functions to the outside, where their wall has no network: denied unless the host is listed, and never to
//! an address that is closed.
//!
//! The order of checks is the point. [`target`] brings the request to one spelling; the function's list is asked about
//! that host; [`resolve`] finds addresses; [`reach`] leaves those that are open; [`connect`] dials one of these and
//! looks no name up again, so that an answer of DNS that changes between check and use (rebinding) changes nothing;
//! [`exchange`] speaks HTTP/1.1. A redirect is an answer like any other: the request that a function makes of it comes
//! through here again.
//!
//! One connection a request: nothing of a connection is shared between functions, or between two of their requests. No
//! proxy is used, whatever the host's environment says. What comes from outside is bounded; what it says is hostile.

mod connect;
mod error;
mod exchange;
mod options;
mod reach;
mod resolve;
mod target;
mod task;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use hearth_types::network::{Host, Hosts};
use http::{Request, Response};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use exchange::exchange;
use reach::{Closed, Reach};
use resolve::{Resolve, SystemResolver};
use task::Task;

pub use error::Error;
pub use exchange::Incoming;
pub use options::{Outside, ThisHost, Times};
pub use target::{Target, clean, is_forbidden};

/// What all functions of a wall share to reach the outside.
#[derive(Debug)]
pub struct Egress {
    reach: Reach,
    resolver: Arc<dyn Resolve>,
    requests: Arc<Semaphore>,
    tls: OnceLock<Option<Arc<ClientConfig>>>,
    runtime: Handle,
}

impl Egress {
    /// Must be called inside a tokio runtime, in which connections live.
    #[must_use]
    pub fn new(options: Outside) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(options.requests)),
            reach: Reach::new(options),
            resolver: Arc::new(SystemResolver::new()),
            tls: OnceLock::new(),
            runtime: Handle::current(),
        }
    }

    /// Sends a request, if its host is one of `hosts` and has an address that is open. `turns` bounds how many of the
    /// same function run at the same time. Dropping what it gives, or the response's body, ends the connection.
    ///
    /// # Errors
    /// If it is not to be sent at all.
    pub fn send<B>(
        self: &Arc<Self>,
        mut request: Request<B>,
        hosts: &Hosts,
        turns: &Arc<Semaphore>,
        times: Times,
    ) -> Result<Sending, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let target = Target::take_from(&mut request)?;
        if !hosts.allows(target.scheme, &target.host, target.port) {
            return Err(Error::NotListed(target));
        }
        let (egress, turns) = (Arc::clone(self), Arc::clone(turns));
        let answer = async move {
            let connected = async {
                let turn = turns.acquire_owned().await;
                let place = Arc::clone(&egress.requests).acquire_owned().await;
                // Neither is ever closed.
                let held = (turn.ok(), place.ok());
                let addresses = egress.addresses(&target).await?;
                let connection = connect::connect(&target, &addresses, || egress.tls()).await?;
                Ok((connection, held))
            };
            let (connection, held) = timeout(times.connect, connected)
                .await
                .map_err(|_| Error::ConnectTimeout)??;
            exchange(connection, request, times, held).await
        };
        // On the node's runtime: a guest that computes may be on one without I/O.
        Ok(Sending(Task::new(self.runtime.spawn(answer))))
    }

    /// The addresses of a host that may be connected to; at least one.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Error> {
        let found = match &target.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self
                .resolver
                .resolve(name)
                .await
                .map_err(|_| Error::Unknown(target.clone()))?,
        };
        let (open, closed) = self.reach.open(&found).await.map_err(|error| {
            tracing::error!(%error, "can't ask the kernel which addresses are this host's own");
            Error::Internal
        })?;
        match closed {
            _ if !open.is_empty() => Ok(open),
            Some(Closed::To(what)) => Err(Error::Closed {
                target: target.clone(),
                what,
            }),
            Some(Closed::NoRoute) => Err(Error::NoRoute(target.clone())),
            None => Err(Error::Unknown(target.clone())),
        }
    }

    /// TLS with the roots that this host trusts, read when they are first needed.
    fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        self.tls
            .get_or_init(|| match roots().and_then(client_config) {
                Ok(config) => Some(Arc::new(config)),
                Err(error) => {
                    tracing::error!(%error, "functions can't use https");
                    None
                }
            })
            .clone()
            .ok_or(Error::NoTls)
    }
}

/// A response on its way.
#[derive(Debug)]
pub struct Sending(Task<Response<Incoming>>);

impl Future for Sending {
    type Output = Result<Response<Incoming>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// The roots that this host trusts.
fn roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(
            "this host has no root certificates; install its ca-certificates package".to_owned(),
        );
    }
    Ok(roots)
}

fn client_config(roots: RootCertStore) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
