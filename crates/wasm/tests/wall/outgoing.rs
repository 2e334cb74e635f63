//! Requests of guests to the outside, and the sockets that nobody has.

use std::sync::LazyLock;

use hearth_egress::ThisHost;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A wall whose guests reach this host: where the tests' servers are.
static OPEN: LazyLock<Wall> = LazyLock::new(|| {
    let _inside = SHARED.0.enter();
    Wall::new(WallOptions {
        outside: Outside {
            this_host: ThisHost::Open,
            ..Outside::default()
        },
        ..options(4, 1 << 30)
    })
    .expect("a wall")
});

async fn fetching(wall: &Wall, hosts: &str) -> Function {
    let grants = Grants {
        hosts: hosts.parse().expect("hosts"),
        ..grants()
    };
    wall.function(program(wall, "abuse.wasm").await, grants)
}

/// A server that greets every connection once it has sent something.
async fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
                .await;
        }
    });
    port
}

#[test]
fn a_guest_reaches_the_hosts_that_it_was_granted() {
    run(async {
        let port = server().await;
        let function = fetching(&OPEN, &format!("127.0.0.1:{port} localhost:{port}")).await;
        for host in ["127.0.0.1", "localhost", "LOCALHOST."] {
            let said = text(&function, &format!("/fetch?url=http://{host}:{port}/")).await;
            assert_eq!(said.trim(), "status=200\nbody=hello", "{host}");
        }
    });
}

#[test]
fn what_was_not_granted_is_denied_and_said_how_to_allow() {
    run(async {
        let port = server().await;
        let function = fetching(&OPEN, "").await;
        let path = format!("/fetch?url=http://127.0.0.1:{port}/");
        let (answer, ending, log) = exchange(&function, get(&path), LONG).await;
        assert_eq!(ending.failure, None);
        let body = answer.expect("a response").into_body().expect("a body");
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("HttpRequestDenied"), "{body}");
        let log = log.text("stderr");
        let wanted = format!("add 127.0.0.1:{port} to the function's tag hearth:allowed-hosts");
        assert!(log.contains(&wanted), "{log}");
    });
}

#[test]
fn a_granted_host_that_is_inside_stays_closed() {
    run(async {
        let port = server().await;
        let function = fetching(&SHARED.1, &format!("127.0.0.1:{port} localhost:{port}")).await;
        for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1"] {
            let said = text(&function, &format!("/fetch?url=http://{host}:{port}/")).await;
            assert!(said.contains("DestinationIpProhibited"), "{host}: {said}");
        }
    });
}

#[test]
fn nobody_has_sockets() {
    run(async {
        let port = server().await;
        let function = fetching(&OPEN, &format!("127.0.0.1:{port}")).await;
        let said = text(&function, &format!("/sockets?address=127.0.0.1:{port}")).await;
        assert_eq!(said.lines().count(), 5, "{said}");
        for line in said.lines() {
            assert!(line.contains("=refused"), "{line}");
        }
    });
}
