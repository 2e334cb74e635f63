//! TLS to brokers: one configuration for all kinds.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::error::BrokerError;
use crate::server::Server;

/// How TLS is spoken with a broker: its certificate is of an authority of the host, or of the file that the configuration
/// names; the node shows its own if it has one.
pub(crate) async fn configuration(server: &Server) -> Result<ClientConfig, BrokerError> {
    let files = server.certificates().await?;
    let bad = |what: &str, error: &dyn std::fmt::Display| server.bad(format!("{what}: {error}"));
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| bad("read ca", &error))?;
                roots
                    .add(certificate)
                    .map_err(|error| bad("read ca", &error))?;
            }
            if roots.is_empty() {
                return Err(server.bad("the file of ca holds no certificate".to_owned()));
            }
        }
        None => {
            let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
            let found = found.map_err(|error| bad("read the host's authorities", &error))?;
            roots.add_parsable_certificates(found.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("speak TLS", &error))?
        .with_root_certificates(roots);
    match &files.own {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
            let chain = chain.map_err(|error| bad("read certificate", &error))?;
            let key = PrivateKeyDer::from_pem_slice(key);
            let key = key.map_err(|error| bad("read key", &error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| bad("use certificate and key", &error))
        }
    }
}

/// What speaks TLS with the host of the URL, for streams that are opened here.
pub(crate) async fn connector(
    server: &Server,
) -> Result<(TlsConnector, ServerName<'static>), BrokerError> {
    let name = ServerName::try_from(server.host().to_owned());
    let name = name.map_err(|error| server.bad(format!("the url's host: {error}")))?;
    let connector = TlsConnector::from(Arc::new(configuration(server).await?));
    Ok((connector, name))
}
