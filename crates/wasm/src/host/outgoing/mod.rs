//! Requests of guests to the outside: denied unless the host is listed, and never to an address that is closed.
//!
//! The order of checks is the point. [`target`] brings the request to one spelling; the function's list is asked about
//! that host; [`resolve`] finds addresses; [`reach`] leaves those that are open; [`connect`] dials one of these and
//! looks no name up again, so that an answer of DNS that changes between check and use (rebinding) changes nothing;
//! [`exchange`] speaks HTTP/1.1. A redirect is an answer like any other: the request that a guest makes of it comes
//! through here again.
//!
//! One connection a request: nothing of a connection is shared between functions, or between two of their requests. No
//! proxy is used, whatever the host's environment says.

mod connect;
mod exchange;
mod reach;
mod resolve;
mod target;
mod task;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hearth_types::network::Host;
use hearth_types::walls::Walls;
use http::Request;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::call::{Output, OutputStream};
use crate::grants::Grants;
use crate::options::Outside;
use exchange::exchange;
use reach::{Closed, Reach};
use resolve::{Resolve, SystemResolver};
use target::Target;
use task::Task;

pub(crate) use target::is_forbidden;

/// Requests of one instance at the same time; more wait. Browsers keep 6 to one host.
const REQUESTS_PER_INSTANCE: usize = 32;

/// From the request to a connection that can be used, name and TLS included, unless the guest asks for less.
const CONNECT: Duration = Duration::from_secs(10);

/// Until the head of the response, and between two parts of its body, unless the guest says otherwise: what Node's own
/// client waits. The function's deadline comes before, mostly.
const PATIENCE: Duration = Duration::from_secs(300);

/// Most that a guest can ask for: the longest time that a function may run.
const MOST_PATIENCE: Duration = Duration::from_secs(900);

/// What all guests of a wall share to reach the outside.
#[derive(Debug)]
pub(crate) struct Egress {
    reach: Reach,
    resolver: Arc<dyn Resolve>,
    requests: Arc<Semaphore>,
    tls: OnceLock<Option<Arc<ClientConfig>>>,
    runtime: Handle,
}

impl Egress {
    /// Must be called inside a tokio runtime, in which connections live.
    pub(crate) fn new(options: Outside) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(options.requests)),
            reach: Reach::new(options),
            resolver: Arc::new(SystemResolver::new()),
            tls: OnceLock::new(),
            runtime: Handle::current(),
        }
    }

    /// The addresses of `host` that may be connected to; at least one.
    async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Unreachable> {
        let found = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self
                .resolver
                .resolve(name)
                .await
                .map_err(|_| Unreachable::Unknown)?,
        };
        let (open, closed) = self.reach.open(&found).await.map_err(|error| {
            tracing::error!(%error, "can't ask the kernel which addresses are this host's own");
            Unreachable::Internal
        })?;
        match closed {
            _ if !open.is_empty() => Ok(open),
            Some(Closed::To(what)) => Err(Unreachable::Closed(what)),
            Some(Closed::NoRoute) => Err(Unreachable::NoRoute),
            None => Err(Unreachable::Unknown),
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
            .ok_or(Error::ConfigurationError)
    }
}

/// Why there is no address.
enum Unreachable {
    Unknown,
    Closed(&'static str),
    NoRoute,
    Internal,
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

/// The way out of one instance.
pub(crate) struct Outgoing {
    egress: Arc<Egress>,
    grants: Arc<Grants>,
    log: Arc<dyn Output>,
    /// Made with the first request: most instances send none.
    requests: Option<Arc<Semaphore>>,
}

/// A response on its way, with what drives its connection.
pub(crate) type Response = Box<dyn Future<Output = Result<Answer, Error>> + Send>;

/// A response, and what must be polled or kept until its body is over.
pub(crate) type Answer = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl Outgoing {
    /// A way out to the granted hosts alone. What is denied is told to `log`.
    pub(crate) fn new(egress: Arc<Egress>, grants: Arc<Grants>, log: Arc<dyn Output>) -> Self {
        Self {
            egress,
            grants,
            log,
            requests: None,
        }
    }

    /// Sends a request. Dropping the future, or what it gave, ends the connection.
    pub(crate) fn send(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Response {
        if let Some(way_out) = &self.grants.way_out {
            return Box::new(
                way_out
                    .clone()
                    .send(request, options, Arc::clone(&self.log)),
            );
        }
        let target = match Target::take_from(&mut request) {
            Ok(target) => target,
            Err(error) => return Box::new(async { Err(error) }),
        };
        if !self
            .grants
            .hosts
            .allows(target.scheme, &target.host, target.port)
        {
            self.log.write(
                OutputStream::Stderr,
                format!(
                    "The request to {target} was denied: the function may not send requests to this host. To allow \
                     it, add {} to the function's tag {}.\n",
                    target.authority(),
                    Walls::ALLOWED_HOSTS_TAG,
                )
                .as_bytes(),
            );
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let turn = Arc::clone(
            self.requests
                .get_or_insert_with(|| Arc::new(Semaphore::new(REQUESTS_PER_INSTANCE))),
        );
        let request = Sent {
            egress: Arc::clone(&self.egress),
            log: Arc::clone(&self.log),
            turn,
            target,
            request,
            times: Times::of(options.unwrap_or_default()),
        };
        // On the node's runtime: a guest that computes may be on one without I/O.
        let task = Task::new(self.egress.runtime.spawn(request.answer()));
        Box::new(async move {
            let (response, driver) = task.await?;
            let driver: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(driver);
            Ok((response, driver))
        })
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Outgoing")
            .field("hosts", &self.grants.hosts)
            .finish_non_exhaustive()
    }
}

/// How long a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Times {
    fn of(asked: RequestOptions) -> Self {
        Self {
            connect: asked.connect_timeout.unwrap_or(CONNECT).min(CONNECT),
            first_byte: asked
                .first_byte_timeout
                .unwrap_or(PATIENCE)
                .min(MOST_PATIENCE),
            between_bytes: asked
                .between_bytes_timeout
                .unwrap_or(PATIENCE)
                .min(MOST_PATIENCE),
        }
    }
}

/// A request that may be sent, if its host has an address that is open.
struct Sent {
    egress: Arc<Egress>,
    log: Arc<dyn Output>,
    turn: Arc<Semaphore>,
    target: Target,
    request: Request<WasiBody>,
    times: Times,
}

impl Sent {
    async fn answer(self) -> Result<(http::Response<WasiBody>, Task<()>), Error> {
        let Times {
            connect,
            first_byte,
            between_bytes,
        } = self.times;
        let connected = async {
            let turn = self.turn.acquire_owned().await;
            let place = Arc::clone(&self.egress.requests).acquire_owned().await;
            // Neither is ever closed.
            let held = (turn.ok(), place.ok());
            let addresses = match self.egress.addresses(&self.target.host).await {
                Ok(addresses) => addresses,
                Err(why) => return Err(say(&*self.log, &self.target, why)),
            };
            let connection =
                connect::connect(&self.target, &addresses, || self.egress.tls()).await?;
            Ok((connection, held))
        };
        let (connection, held) = timeout(connect, connected)
            .await
            .map_err(|_| Error::ConnectionTimeout)??;
        exchange(connection, self.request, first_byte, between_bytes, held).await
    }
}

/// Tells the function's log what its code can't know, and its code what `wasi:http` has a word for.
fn say(log: &dyn Output, target: &Target, why: Unreachable) -> Error {
    let (error, why) = match why {
        Unreachable::Closed(what) => (
            Error::DestinationIpProhibited,
            format!(
                "was denied: {} leads to no address that is open to functions, but to {what}",
                target.host
            ),
        ),
        Unreachable::Unknown => (
            Error::DnsError {
                rcode: None,
                info_code: None,
            },
            format!("failed: the name {} was not found", target.host),
        ),
        Unreachable::NoRoute => (
            Error::DestinationIpUnroutable,
            format!("failed: this node knows no way to {}", target.host),
        ),
        Unreachable::Internal => return Error::InternalError(None),
    };
    log.write(
        OutputStream::Stderr,
        format!("The request to {target} {why}.\n").as_bytes(),
    );
    error
}
