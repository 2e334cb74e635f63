//! TLS in front of a listener: the certificate that new connections see, which can be replaced while old ones go on.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// Protocols within TLS, best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate of a listener. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Certificates {
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

struct Current {
    provider: Arc<CryptoProvider>,
    shown: ArcSwap<CertifiedKey>,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No certificate chain in PEM form.
    #[error("the certificate file holds no certificate in PEM form (BEGIN CERTIFICATE)")]
    NoCertificate,
    /// No private key in PEM form.
    #[error(
        "the key file holds no private key in PEM form (BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY)"
    )]
    NoKey,
    /// They don't fit each other, or the key is of a kind that TLS does not use.
    #[error("the certificate and its key can't be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

impl Certificates {
    /// The certificate chain (the server's own first) and its private key, both as PEM text.
    ///
    /// # Errors
    /// If one of them can't be read or they don't fit each other.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let provider = Arc::new(ring::default_provider());
        let shown = ArcSwap::from_pointee(certified(&provider, chain, key)?);
        let current = Arc::new(Current {
            provider: Arc::clone(&provider),
            shown,
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            current,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }

    /// Shows another certificate to connections from now on; established ones go on.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem); then nothing has changed.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), CertificateError> {
        let certified = certified(&self.current.provider, chain, key)?;
        self.current.shown.store(Arc::new(certified));
        Ok(())
    }

    /// What makes TLS connections of TCP connections.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown.load_full())
    }
}

fn certified(
    provider: &CryptoProvider,
    chain: &[u8],
    key: &[u8],
) -> Result<CertifiedKey, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.unwrap_or_default();
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}
