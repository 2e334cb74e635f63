//! Which brokers there are, and how each is reached.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hearth_types::name::BrokerName;
use hearth_types::source::{BrokerKind, BrokerSource, KAFKA_PORT, KnownBroker};
use url::Url;

use crate::error::BrokerError;
use crate::shelf::Shelves;
use crate::subscription::Subscription;

/// The brokers of the node's configuration.
#[derive(Clone, Debug, Default)]
pub struct Brokers {
    servers: Arc<BTreeMap<BrokerName, Arc<Server>>>,
    shelves: Arc<Shelves>,
}

/// How a broker is reached.
#[derive(Debug)]
pub struct Server {
    /// What it is called.
    pub name: BrokerName,
    /// Where it is; the scheme says of which kind, and whether it speaks TLS.
    pub url: Url,
    /// More servers of the same cluster, each as `host:port`; of Kafka alone.
    pub more: Vec<String>,
    /// Who asks.
    pub username: Option<String>,
    /// How it is shown.
    pub password: Option<Password>,
    /// How TLS is spoken.
    pub tls: Tls,
}

/// A password. Files are read for each connection, so that one that changes is used without a restart.
#[derive(Clone)]
pub enum Password {
    /// Itself.
    Text(String),
    /// A file that has it, with or without a line's end.
    File(PathBuf),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("…"),
            Self::File(path) => path.fmt(f),
        }
    }
}

/// PEM files of TLS, read for each connection.
#[derive(Debug, Default)]
pub struct Tls {
    /// Authorities that the broker's certificate may be of, besides those of the host.
    pub ca: Option<PathBuf>,
    /// The node's certificate chain and its private key, if the broker asks for them.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// What the files of [`Tls`] hold.
pub(crate) struct Certificates {
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) own: Option<(Vec<u8>, Vec<u8>)>,
}

impl Brokers {
    /// These brokers.
    pub fn new(servers: impl IntoIterator<Item = Server>) -> Self {
        let servers = servers.into_iter();
        let named = servers.map(|server| (server.name.clone(), Arc::new(server)));
        Self {
            servers: Arc::new(named.collect()),
            shelves: Arc::default(),
        }
    }

    /// Of which kind each is, and where.
    pub fn known(&self) -> BTreeMap<BrokerName, KnownBroker> {
        let known = self.servers.iter().filter_map(|(name, server)| {
            let kind = BrokerKind::of_scheme(server.url.scheme())?;
            let servers = server.servers();
            Some((name.clone(), KnownBroker { kind, servers }))
        });
        known.collect()
    }

    /// A share of what `source` names, for the mapping `mapping`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`].
    pub fn subscribe(
        &self,
        source: &BrokerSource,
        mapping: &str,
    ) -> Result<Subscription, BrokerError> {
        let server = self.servers.get(&source.broker).filter(|server| {
            BrokerKind::of_scheme(server.url.scheme()) == Some(source.origin.kind())
        });
        let server = server.ok_or_else(|| BrokerError::Unknown(source.broker.clone()))?;
        Ok(Subscription::new(
            Arc::clone(server),
            source.clone(),
            mapping.to_owned(),
            self.shelves.of(mapping),
        ))
    }
}

impl Server {
    /// The host of the URL; an address of IPv6 without the brackets that URLs have around it.
    pub(crate) fn host(&self) -> &str {
        let host = self.url.host_str().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// All of its servers, each as `host:port`.
    pub(crate) fn servers(&self) -> Vec<String> {
        let port = self.url.port_or_known_default().unwrap_or(KAFKA_PORT);
        let first = format!("{}:{port}", self.url.host_str().unwrap_or_default());
        std::iter::once(first)
            .chain(self.more.iter().cloned())
            .collect()
    }

    /// The password, if there is one.
    pub(crate) async fn password(&self) -> Result<Option<String>, BrokerError> {
        match &self.password {
            None => Ok(None),
            Some(Password::Text(text)) => Ok(Some(text.clone())),
            Some(Password::File(path)) => {
                let bytes = self.read(path).await?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| self.bad(format!("{} holds no text", path.display())))?;
                Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
        }
    }

    pub(crate) async fn certificates(&self) -> Result<Certificates, BrokerError> {
        let ca = match &self.tls.ca {
            Some(path) => Some(self.read(path).await?),
            None => None,
        };
        let own = match &self.tls.own {
            Some((chain, key)) => Some((self.read(chain).await?, self.read(key).await?)),
            None => None,
        };
        Ok(Certificates { ca, own })
    }

    async fn read(&self, path: &PathBuf) -> Result<Vec<u8>, BrokerError> {
        let read = tokio::fs::read(path).await;
        read.map_err(|error| self.bad(format!("read {}: {error}", path.display())))
    }

    pub(crate) fn bad(&self, why: String) -> BrokerError {
        BrokerError::Configuration {
            broker: self.name.clone(),
            why,
        }
    }

    /// For errors of a library.
    pub(crate) fn failed(&self, what: &'static str, why: impl ToString) -> BrokerError {
        BrokerError::Broker {
            broker: self.name.clone(),
            what,
            why: why.to_string(),
        }
    }
}
