//! A connection to one of some checked addresses, with TLS where the scheme asks for it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::Error;
use crate::target::Target;
use hearth_types::network::{Host, Scheme};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long one address has before the next is tried beside it (RFC 8305, section 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to `addresses`, each of which was checked; names are not looked up again.
///
/// # Errors
/// What the last of them said, or TLS.
pub(crate) async fn connect(
    target: &Target,
    addresses: &[IpAddr],
    tls: impl FnOnce() -> Result<Arc<ClientConfig>, Error>,
) -> Result<Connection, Error> {
    let stream = dial(addresses, target.port).await?;
    // A request is one write, mostly: nothing is gained by waiting for more.
    stream.set_nodelay(true).map_err(of_connect)?;
    match target.scheme {
        Scheme::Http => Ok(Connection::Plain(stream)),
        Scheme::Https => {
            let name = match &target.host {
                Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Error::Url)?,
                Host::Address(address) => ServerName::from(*address),
            };
            let stream = TlsConnector::from(tls()?)
                .connect(name, stream)
                .await
                .map_err(of_tls)?;
            Ok(Connection::Tls(Box::new(stream)))
        }
    }
}

/// The first of `addresses` that answers; each next one is tried when the one before failed or was slow.
async fn dial(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Error> {
    let mut attempts = JoinSet::new();
    let mut left = addresses.iter();
    let mut last = Error::Unavailable;
    loop {
        match left.next() {
            Some(address) => {
                attempts.spawn(TcpStream::connect(SocketAddr::new(*address, port)));
            }
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let ended = if left.len() == 0 {
            attempts.join_next().await
        } else {
            match tokio::time::timeout(HEAD_START, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => last = of_connect(error),
            Some(Err(error)) => last = of_task(&error),
            None => {}
        }
    }
}

fn of_task(error: &tokio::task::JoinError) -> Error {
    tracing::error!(%error, "connect for a function");
    Error::Internal
}

fn of_connect(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::Refused,
        io::ErrorKind::TimedOut => Error::ConnectTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::Unreachable,
        _ => Error::Unavailable,
    }
}

fn of_tls(error: io::Error) -> Error {
    let Some(error) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        return Error::Ended;
    };
    match error {
        rustls::Error::InvalidCertificate(_) => Error::Certificate,
        rustls::Error::AlertReceived(alert) => Error::TlsAlert {
            number: u8::from(*alert),
            name: format!("{alert:?}"),
        },
        _ => Error::Tls,
    }
}

/// A connection of either scheme.
#[derive(Debug)]
pub(crate) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Calls the same method on either.
macro_rules! either {
    ($self:ident.$method:ident($($argument:ident),*)) => {
        match $self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Self::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.poll_read(context, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_shutdown(context))
    }
}
