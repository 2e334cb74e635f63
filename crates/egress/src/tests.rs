//! Requests through all checks, to real servers on loopback.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::options::{CONNECT, MOST_PATIENCE, PATIENCE};

/// Answers to look-ups, one after the other; the last one again and again.
#[derive(Debug)]
struct Answers {
    left: Mutex<VecDeque<Vec<&'static str>>>,
    asked: Mutex<Vec<String>>,
}

impl Answers {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        Arc::new(Self {
            left: Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("what was asked").clone()
    }
}

#[async_trait]
impl Resolve for Answers {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked
            .lock()
            .expect("what was asked")
            .push(name.to_owned());
        let answer = {
            let mut left = self.left.lock().expect("answers");
            match left.len() {
                0 => None,
                1 => left.front().cloned(),
                _ => left.pop_front(),
            }
        };
        match answer {
            Some(answer) => Ok(answer
                .iter()
                .map(|text| text.parse().expect("an address"))
                .collect()),
            None => std::future::pending().await,
        }
    }
}

/// A function's way out, with what it is made of.
struct Way {
    egress: Arc<Egress>,
    hosts: Hosts,
    turns: Arc<Semaphore>,
    answers: Arc<Answers>,
}

impl Way {
    /// To `hosts`, in a world where names have `answers`.
    fn new(hosts: &str, answers: &[&[&'static str]]) -> Self {
        Self::within(
            Outside {
                this_host: ThisHost::Open,
                ..Outside::default()
            },
            hosts,
            answers,
        )
    }

    fn within(outside: Outside, hosts: &str, answers: &[&[&'static str]]) -> Self {
        let answers = Answers::new(answers);
        let mut egress = Egress::new(outside);
        egress.resolver = Arc::clone(&answers) as Arc<dyn Resolve>;
        Self::through(Arc::new(egress), answers, hosts)
    }

    fn through(egress: Arc<Egress>, answers: Arc<Answers>, hosts: &str) -> Self {
        Self {
            egress,
            hosts: hosts.parse().expect("hosts"),
            turns: Arc::new(Semaphore::new(32)),
            answers,
        }
    }

    async fn send(&self, uri: &str, times: Times) -> Result<Response<Incoming>, Error> {
        let request = Request::builder()
            .uri(uri)
            .header("x-hearth-account", "000000000000")
            .header("accept", "*/*")
            .body(Full::new(Bytes::new()))
            .expect("a request");
        self.egress
            .send(request, &self.hosts, &self.turns, times)?
            .await
    }

    async fn get(&self, uri: &str) -> Result<Response<Incoming>, Error> {
        self.send(uri, Times::default()).await
    }

    /// Status and body.
    async fn text(&self, uri: &str) -> (u16, String) {
        let response = self.get(uri).await.expect("a response");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body");
        (
            status,
            String::from_utf8(body.to_bytes().to_vec()).expect("text"),
        )
    }

    async fn error(&self, uri: &str) -> Error {
        match self.get(uri).await {
            Ok(response) => panic!("{uri}: {}", response.status()),
            Err(error) => error,
        }
    }
}

/// A server on loopback that answers the first request of each connection with `answer`, and gives the heads that it
/// got. Connections stay open until the client ends them.
async fn server(answer: impl Into<Vec<u8>>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (answer, told) = (answer.clone(), Arc::clone(&told));
            tokio::spawn(async move {
                let head = head(&mut stream).await;
                told.lock().expect("heads").push(head);
                let _ = stream.write_all(&answer).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    (port, heads)
}

async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).expect("a head")
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_listed_host_is_reached_with_what_was_checked() {
    let (port, heads) = server(HELLO).await;
    let way = Way::new(&format!("api.example:{port}"), &[&["127.0.0.1"]]);
    let uri = format!("http://API.example.:{port}/path?query");
    assert_eq!(way.text(&uri).await, (200, "hello".to_owned()));
    assert_eq!(way.answers.asked(), ["api.example"]);
    assert_eq!(
        heads.lock().expect("heads").clone(),
        [format!(
            "GET /path?query HTTP/1.1\r\naccept: */*\r\nhost: api.example:{port}\r\n\r\n"
        )]
    );
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_not_even_looked_up() {
    let way = Way::new("api.example .sub.example", &[&["127.0.0.1"]]);
    for (uri, entry) in [
        ("http://other.example/", "other.example"),
        ("http://sub.example/", "sub.example"),
        ("https://api.example:8443/", "api.example:8443"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("http://[::1]/", "[::1]"),
    ] {
        let error = way.error(uri).await;
        assert!(matches!(error, Error::NotListed(_)), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains(&format!(
                "add {entry} to the function's tag hearth:allowed-hosts"
            )),
            "{said}"
        );
    }
    assert!(way.answers.asked().is_empty());
    let error = Way::new("", &[]).error("http://api.example/").await;
    assert!(matches!(error, Error::NotListed(_)), "nothing by default");
}

#[tokio::test]
async fn a_listed_name_that_leads_inside_is_denied() {
    let (port, heads) = server(HELLO).await;
    for address in [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "64:ff9b::127.0.0.1",
        "fd00::1",
    ] {
        let answer: &[&'static str] = &[address];
        let hosts = format!("api.example:{port}");
        let way = Way::within(Outside::default(), &hosts, &[answer]);
        let error = way.error(&format!("http://api.example:{port}/")).await;
        assert!(
            matches!(error, Error::Closed { .. }),
            "{address}: {error:?}"
        );
        let said = error.to_string();
        assert!(
            said.contains("no address that is open to functions"),
            "{said}"
        );
        assert!(
            !said.contains(address),
            "what names lead to inside stays inside"
        );
    }
    // A listed address is looked at as well.
    let way = Way::within(Outside::default(), &format!("127.0.0.1:{port}"), &[]);
    let error = way.error(&format!("http://127.0.0.1:{port}/")).await;
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    assert!(heads.lock().expect("heads").is_empty());
}

#[tokio::test]
async fn of_a_mixed_answer_only_what_is_open_is_dialled() {
    let (port, _) = server(HELLO).await;
    // The first would take the whole time to connect, if it were tried.
    let mixed: &[&'static str] = &["10.255.255.1", "192.168.255.1", "127.0.0.1"];
    let way = Way::new(&format!("api.example:{port}"), &[mixed]);
    let (status, _) = way.text(&format!("http://api.example:{port}/")).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn each_request_asks_once_and_dials_what_it_checked() {
    let (port, heads) = server(HELLO).await;
    let way = Way::new(
        &format!("api.example:{port}"),
        &[&["127.0.0.1"], &["10.0.0.1"]],
    );
    let uri = format!("http://api.example:{port}/");
    assert_eq!(way.text(&uri).await.0, 200);
    assert_eq!(way.answers.asked().len(), 1, "no second look-up to dial");
    // The name now leads elsewhere: no connection is left that would still be used.
    let error = way.error(&uri).await;
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    assert_eq!(heads.lock().expect("heads").len(), 1);
}

#[tokio::test]
async fn redirects_are_the_guests_to_follow() {
    let (inner, inner_heads) = server(HELLO).await;
    let (port, _) = server(format!(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{inner}/\r\ncontent-length: 0\r\n\r\n"
    ))
    .await;
    let way = Way::new(&format!("api.example:{port}"), &[&["127.0.0.1"]]);
    let (status, _) = way.text(&format!("http://api.example:{port}/")).await;
    assert_eq!(status, 302);
    let error = way.error(&format!("http://127.0.0.1:{inner}/")).await;
    assert!(matches!(error, Error::NotListed(_)), "{error:?}");
    assert!(inner_heads.lock().expect("heads").is_empty());
}

/// Shorter than anybody waits for what does not come.
const SOON: Option<Duration> = Some(Duration::from_millis(20));

#[tokio::test]
async fn every_wait_ends() {
    let (silent, _) = server("").await;
    let (stalling, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").await;
    let hosts = format!("api.example:{silent} api.example:{stalling} lost.example");
    let way = Way::new(&hosts, &[&["127.0.0.1"]]);

    let times = Times::within_bounds(None, SOON, None);
    let error = way
        .send(&format!("http://api.example:{silent}/"), times)
        .await
        .expect_err("no head comes");
    assert!(matches!(error, Error::ReadTimeout), "{error:?}");

    let times = Times::within_bounds(None, None, SOON);
    let response = way
        .send(&format!("http://api.example:{stalling}/"), times)
        .await
        .expect("a head");
    let error = response.into_body().collect().await.expect_err("no end");
    assert!(matches!(error, Error::ReadTimeout), "{error:?}");

    let nobody_knows = Way::new("lost.example", &[]);
    let times = Times::within_bounds(SOON, None, None);
    let error = nobody_knows
        .send("http://lost.example/", times)
        .await
        .expect_err("no address comes");
    assert!(matches!(error, Error::ConnectTimeout), "{error:?}");
}

#[test]
fn guests_shorten_waits_and_lengthen_them_within_bounds() {
    let hour = Duration::from_secs(3600);
    for (time, connect, patience) in [
        (None, CONNECT, PATIENCE),
        (SOON, SOON.expect("short"), SOON.expect("short")),
        (Some(hour), CONNECT, MOST_PATIENCE),
    ] {
        let times = Times::within_bounds(time, time, time);
        assert_eq!(times.connect, connect);
        assert_eq!(times.first_byte, patience);
        assert_eq!(times.between_bytes, patience);
    }
}

#[tokio::test]
async fn what_a_server_sends_is_bounded() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100 << 10));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(500));
    for (answer, name) in [
        (large, "large"),
        (many, "many"),
        ("SSH-2.0-x\r\n\r\n".to_owned(), "no HTTP"),
    ] {
        let (port, _) = server(answer).await;
        let way = Way::new(&format!("api.example:{port}"), &[&["127.0.0.1"]]);
        let error = way.error(&format!("http://api.example:{port}/")).await;
        assert!(
            matches!(error, Error::HeadTooLarge(_) | Error::Protocol),
            "{name}: {error:?}"
        );
    }
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("its address").port()
    };
    let way = Way::new(&format!("api.example:{nobody}"), &[&["127.0.0.1"]]);
    let error = way.error(&format!("http://api.example:{nobody}/")).await;
    assert!(matches!(error, Error::Refused), "{error:?}");
}

#[tokio::test]
async fn requests_at_the_same_time_are_bounded_and_give_their_place_back() {
    let (port, _) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").await;
    let outside = Outside {
        this_host: ThisHost::Open,
        requests: 1,
        ..Outside::default()
    };
    let way = Way::within(outside, &format!("api.example:{port}"), &[&["127.0.0.1"]]);
    let uri = format!("http://api.example:{port}/");
    let first = way.get(&uri).await.expect("a head");
    let times = Times::within_bounds(SOON, None, None);
    let error = way.send(&uri, times).await.expect_err("no place");
    assert!(matches!(error, Error::ConnectTimeout), "{error:?}");
    drop(first);
    drop(way.get(&uri).await.expect("a place"));
}

#[tokio::test]
async fn who_drops_a_response_ends_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let way = Way::new(&format!("api.example:{port}"), &[&["127.0.0.1"]]);
    let uri = format!("http://api.example:{port}/");
    let answer = async {
        let (mut stream, _): (TcpStream, SocketAddr) = listener.accept().await.expect("a client");
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\nendless")
            .await
            .expect("a head");
        stream
    };
    let (response, mut stream) = tokio::join!(way.get(&uri), answer);
    drop(response.expect("a head"));
    // Its end, or a reset because something was not read.
    let end = stream.read(&mut [0; 1]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

/// A server of TLS on loopback, by a name that nobody but `roots` vouches for.
async fn tls_server(name: &str) -> (u16, rustls::RootCertStore) {
    let issued = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.cert.der().clone()).expect("a root");
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der())
        .expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                head(&mut stream).await;
                let _ = stream.write_all(HELLO.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (port, roots)
}

fn trusting(roots: rustls::RootCertStore) -> Egress {
    let egress = Egress::new(Outside {
        this_host: ThisHost::Open,
        ..Outside::default()
    });
    let config = client_config(roots).expect("a client");
    egress
        .tls
        .set(Some(Arc::new(config)))
        .expect("not yet read");
    egress
}

#[tokio::test]
async fn https_is_for_the_name_that_was_asked_for() {
    let (port, roots) = tls_server("secure.example").await;
    let reach = async |roots, name: &str| {
        let answers = Answers::new(&[&["127.0.0.1"]]);
        let mut egress = trusting(roots);
        egress.resolver = Arc::clone(&answers) as Arc<dyn Resolve>;
        let way = Way::through(Arc::new(egress), answers, &format!("{name}:{port}"));
        let response = way.get(&format!("https://{name}:{port}/")).await?;
        response
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes())
    };
    let body = reach(roots.clone(), "secure.example").await;
    assert_eq!(body.expect("a response"), "hello");
    let error = reach(roots, "other.example")
        .await
        .expect_err("not its name");
    assert!(matches!(error, Error::Certificate), "{error:?}");
    let nobody = rustls::RootCertStore::empty();
    let error = reach(nobody, "secure.example")
        .await
        .expect_err("nobody vouches");
    assert!(matches!(error, Error::Certificate), "{error:?}");
}
