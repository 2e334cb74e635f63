//! TLS listeners: both protocols, a certificate that is replaced, and clients that don't speak TLS.

#![allow(clippy::unwrap_used, reason = "code of tests")]

mod node;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_gateway::{CertificateError, Certificates, ConnectionOptions};
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use node::Node;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

struct Pair {
    chain: String,
    key: String,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    Pair {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

/// A TLS listener of `node`, which is served until the node ends.
async fn listen(node: &Node, certificates: &Certificates) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (gateway, shutdown) = (node.gateway.clone(), node.shutdown.clone());
    let certificates = certificates.clone();
    tokio::spawn(async move { gateway.serve(listener, Some(&certificates), shutdown).await });
    address
}

/// A connection by someone who trusts `pair` alone.
async fn connect(
    address: std::net::SocketAddr,
    pair: &Pair,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn health(stream: TlsStream<TcpStream>) -> String {
    let (mut read, mut write) = tokio::io::split(stream);
    write
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // The other side may close without a farewell.
    let _ = read.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn both_protocols_are_spoken_over_tls() {
    let node = Node::start().await;
    let pair = pair();
    let certificates = Certificates::from_pem(pair.chain.as_bytes(), pair.key.as_bytes()).unwrap();
    let address = listen(&node, &certificates).await;

    let old = connect(address, &pair, "http/1.1").await.unwrap();
    assert!(health(old).await.starts_with("HTTP/1.1 200 "));

    let new = connect(address, &pair, "h2").await.unwrap();
    assert_eq!(new.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(new))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get("https://localhost/health")
        .body(Empty::<Bytes>::new())
        .unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_replaced_certificate_is_seen_by_new_connections_and_a_bad_one_changes_nothing() {
    let node = Node::start().await;
    let (first, second) = (pair(), pair());
    let certificates =
        Certificates::from_pem(first.chain.as_bytes(), first.key.as_bytes()).unwrap();
    let address = listen(&node, &certificates).await;
    let established = connect(address, &first, "http/1.1").await.unwrap();

    for (chain, key) in [
        (&second.chain, &first.key),
        (&String::new(), &second.key),
        (&second.chain, &"nonsense".to_owned()),
    ] {
        certificates
            .replace(chain.as_bytes(), key.as_bytes())
            .unwrap_err();
    }
    connect(address, &first, "http/1.1").await.unwrap();

    certificates
        .replace(second.chain.as_bytes(), second.key.as_bytes())
        .unwrap();
    connect(address, &second, "http/1.1").await.unwrap();
    connect(address, &first, "http/1.1").await.unwrap_err();
    assert!(health(established).await.starts_with("HTTP/1.1 200 "));
}

#[test]
fn what_is_wrong_with_a_pair_is_said() {
    let (one, other) = (pair(), pair());
    let refusal = |chain: &str, key: &str| {
        Certificates::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err()
    };
    assert!(matches!(
        refusal(&one.key, &one.key),
        CertificateError::NoCertificate
    ));
    assert!(matches!(
        refusal(&one.chain, &one.chain),
        CertificateError::NoKey
    ));
    assert!(matches!(
        refusal(&one.chain, &other.key),
        CertificateError::Unusable(_)
    ));
}

#[tokio::test]
async fn who_does_not_speak_tls_is_cut_off() {
    let options = ConnectionOptions {
        handshake: Duration::from_millis(200),
        ..ConnectionOptions::default()
    };
    let node = Node::with(options, 1 << 20).await;
    let pair = pair();
    let certificates = Certificates::from_pem(pair.chain.as_bytes(), pair.key.as_bytes()).unwrap();
    let address = listen(&node, &certificates).await;

    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "answered in plain text");
    // Ends because the listener closes it.
    assert_eq!(silent.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    connect(address, &pair, "http/1.1").await.unwrap();
}
