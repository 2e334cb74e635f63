//! Requests that break the rules of HTTP or of this node, byte by byte.

mod node;

use std::sync::atomic::Ordering;
use std::time::Duration;

use hearth_gateway::{ConnectionOptions, Pace};
use node::{INVOKE, Node, Request};

/// Bounds that are met at once.
fn impatient() -> ConnectionOptions {
    ConnectionOptions {
        head: Duration::from_millis(200),
        pace: Pace {
            idle: Duration::from_millis(200),
            ..Pace::default()
        },
        ..ConnectionOptions::default()
    }
}

fn invoke(node: &Node, body: &[u8]) -> Request {
    Request::new("POST", INVOKE, &[], body).signed(node.address)
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let node = Node::with(impatient(), 1 << 20).await;
    for start in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n",
        "POST",
    ] {
        let mut wire = node.connect().await;
        wire.send(start.as_bytes()).await;
        match wire.try_answer().await {
            None => {}
            Some(answer) => {
                assert_eq!(answer.status, 408, "{start:?}");
                wire.end().await;
            }
        }
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let node = Node::with(impatient(), 1 << 20).await;
    let mut wire = node.connect().await;
    wire.send(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, 200);
    wire.end().await;
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_a_timeout_and_runs_nothing() {
    let node = Node::with(impatient(), 1 << 20).await;
    let request = invoke(&node, b"{\"a\":1}");
    for (framing, part) in [
        ("content-length: 7\r\n", &b"{\"a\""[..]),
        ("transfer-encoding: chunked\r\n", b"4\r\n{\"a\""),
    ] {
        let mut wire = node.connect().await;
        wire.send(&request.head(framing)).await;
        wire.send(part).await;
        let answer = wire.answer().await.expect(408, "RequestTimeoutException");
        assert_eq!(answer.header("connection"), Some("close"));
        wire.end().await;
    }
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_that_trickles_is_a_timeout() {
    let pace = Pace {
        idle: Duration::from_secs(20),
        grace: Duration::from_millis(100),
        bytes_per_second: 1_000_000,
    };
    let node = Node::with(
        ConnectionOptions {
            pace,
            ..ConnectionOptions::default()
        },
        1 << 20,
    )
    .await;
    let mut wire = node.connect().await;
    wire.send(&invoke(&node, b"{}").head("content-length: 100\r\n"))
        .await;
    wire.send(b"{").await;
    wire.answer().await.expect(408, "RequestTimeoutException");
}

#[tokio::test]
async fn bodies_are_bounded_before_they_are_read() {
    let node = Node::start().await;
    let mut wire = node.connect().await;
    let request = invoke(&node, b"{}");
    wire.send(&request.head("content-length: 6291457\r\n"))
        .await;
    let answer = wire.answer().await.expect(413, "RequestTooLargeException");
    assert_eq!(
        answer.json()["message"],
        "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    );
    let mut wire = node.connect().await;
    let tags = Request::new("POST", "/2017-03-31/tags/x", &[], b"").signed(node.address);
    wire.send(&tags.head("content-length: 1048577\r\n")).await;
    wire.answer().await.expect(413, "RequestTooLargeException");
    let mut wire = node.connect().await;
    let create = Request::new("POST", "/2015-03-31/functions", &[], b"").signed(node.address);
    wire.send(&create.head("content-length: 69905068\r\n"))
        .await;
    wire.answer().await.expect(413, "RequestTooLargeException");
}

#[tokio::test]
async fn a_client_that_sends_all_of_a_refused_body_still_finds_the_answer() {
    let node = Node::start().await;
    let body = vec![b' '; 6_291_457];
    let mut wire = node.connect().await;
    wire.send(&invoke(&node, &body).to_bytes()).await;
    wire.answer().await.expect(413, "RequestTooLargeException");
    // The connection has been read clean, so it serves on.
    wire.send(&invoke(&node, b"{}").to_bytes()).await;
    assert_eq!(wire.answer().await.status, 200);
    // Without a length the bound is met on the way.
    let mut wire = node.connect().await;
    let mut request = invoke(&node, b"").head("transfer-encoding: chunked\r\n");
    request.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
    request.extend_from_slice(&body);
    request.extend_from_slice(b"\r\n0\r\n\r\n");
    wire.send(&request).await;
    wire.answer().await.expect(413, "RequestTooLargeException");
}

#[tokio::test]
async fn the_largest_event_is_taken() {
    let node = Node::start().await;
    let mut body = vec![b' '; 6_291_456];
    body[0] = b'1';
    assert_eq!(node.invoke(&body).await.status, 200);
}

#[tokio::test]
async fn bodies_share_a_bounded_memory() {
    let node = Node::with(ConnectionOptions::default(), 1 << 20).await;
    let mut body = vec![b' '; 2 << 20];
    body[0] = b'1';
    let answer = node
        .invoke(&body)
        .await
        .expect(503, "ServiceUnavailableException");
    assert_eq!(answer.header("retry-after"), Some("1"));
    body.truncate(1 << 20);
    assert_eq!(node.invoke(&body).await.status, 200);
    assert_eq!(node.invoke(&body).await.status, 200);
}

#[tokio::test]
async fn two_lengths_are_never_both_believed() {
    let node = Node::start().await;
    // The second request is smuggled if the first's body is taken to end earlier than it does.
    let smuggled = invoke(&node, b"\"smuggled\"").to_bytes();
    let request = invoke(&node, b"{}");
    for framing in [
        "content-length: 2\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 2\r\n",
        "content-length: 2\r\ncontent-length: 12\r\n",
        "content-length: 2, 12\r\n",
        "content-length: +2\r\n",
        "content-length: 0x2\r\n",
        "content-length: -1\r\n",
        "content-length: 99999999999999999999999\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding : chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    ] {
        let before = node.player.begun.load(Ordering::SeqCst);
        let mut wire = node.connect().await;
        let mut bytes = request.head(framing);
        bytes.extend_from_slice(b"{}");
        bytes.extend_from_slice(&smuggled);
        // The node may have closed before all of it was written.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.stream, &bytes).await;
        let mut answers = Vec::new();
        while let Some(answer) = wire.try_answer().await {
            let refused = answer.status >= 400;
            answers.push(answer.status);
            if refused {
                break;
            }
        }
        assert!(
            answers.iter().all(|status| *status >= 400),
            "{framing:?}: {answers:?}"
        );
        assert_eq!(
            node.player.begun.load(Ordering::SeqCst),
            before,
            "{framing:?}"
        );
    }
}

#[tokio::test]
async fn bad_chunks_are_refused() {
    let node = Node::start().await;
    let head = invoke(&node, b"{}").head("transfer-encoding: chunked\r\n");
    for chunks in [
        &b"zz\r\n{}\r\n0\r\n\r\n"[..],
        b"2\r\n{}XX0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        b"2;\n{}\r\n0\r\n\r\n",
    ] {
        let mut wire = node.connect().await;
        wire.send(&head).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.stream, chunks).await;
        if let Some(answer) = wire.try_answer().await {
            assert!(answer.status >= 400, "{chunks:?}: {}", answer.status);
        }
    }
    let mut wire = node.connect().await;
    wire.send(&head).await;
    wire.send(b"1\r\n{\r\n1\r\n}\r\n0\r\nx-trailer: 1\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let node = Node::start().await;
    let mut wire = node.connect().await;
    let both = [
        invoke(&node, b"1").to_bytes(),
        invoke(&node, b"2").to_bytes(),
        b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(),
    ]
    .concat();
    wire.send(&both).await;
    assert_eq!(wire.answer().await.body, b"1");
    assert_eq!(wire.answer().await.body, b"2");
    assert_eq!(wire.answer().await.status, 200);
}

#[tokio::test]
async fn a_client_that_waits_is_told_to_go_on_or_not_to() {
    let node = Node::start().await;
    let request = invoke(&node, b"{}");
    let mut wire = node.connect().await;
    wire.send(&request.head("content-length: 2\r\nexpect: 100-continue\r\n"))
        .await;
    assert_eq!(wire.answer().await.status, 100);
    wire.send(b"{}").await;
    assert_eq!(wire.answer().await.status, 200);
    let mut unsigned = node.connect().await;
    let request = Request::new("POST", INVOKE, &[("host", "a")], b"");
    unsigned
        .send(&request.head("content-length: 2\r\nexpect: 100-continue\r\n"))
        .await;
    unsigned
        .answer()
        .await
        .expect(403, "MissingAuthenticationTokenException");
    let mut large = node.connect().await;
    let request = invoke(&node, b"");
    large
        .send(&request.head("content-length: 7000000\r\nexpect: 100-continue\r\n"))
        .await;
    large.answer().await.expect(413, "RequestTooLargeException");
}

#[tokio::test]
async fn heads_are_bounded() {
    let node = Node::start().await;
    for head in [
        format!(
            "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
            "a".repeat(100_000)
        ),
        format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(100_000)),
        format!(
            "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
            "x: a\r\n".repeat(200)
        ),
        "GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n".to_owned(),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        let mut wire = node.connect().await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.stream, head.as_bytes()).await;
        if let Some(answer) = wire.try_answer().await {
            assert!((400..500).contains(&answer.status), "{}", answer.status);
        }
    }
    assert_eq!(node.invoke(b"{}").await.status, 200);
}

#[tokio::test]
async fn paths_and_methods_that_there_are_not() {
    let node = Node::start().await;
    for target in [
        "/nothing",
        "/2015-03-31/functions/x/y/z",
        "/2015-03-31//functions",
        "/2015-03-31/functions/../functions/f",
        "/2015-03-31/./functions",
        "/_hearth",
    ] {
        node.call("GET", target, &[], b"")
            .await
            .expect(404, "UnknownOperationException");
        let mut wire = node.connect().await;
        wire.send(&Request::new("GET", target, &[("host", "a")], b"").to_bytes())
            .await;
        wire.answer()
            .await
            .expect(403, "MissingAuthenticationTokenException");
    }
    let answer = node
        .call("PATCH", "/2015-03-31/functions", &[], b"")
        .await
        .expect(405, "MethodNotAllowedException");
    assert_eq!(answer.header("allow"), Some("GET, POST"));
    assert_eq!(
        node.call("GET", "/2015-03-31/functions/", &[], b"")
            .await
            .status,
        200
    );
    let answer = node
        .call("GET", "/2020-04-22/code-signing-configs/", &[], b"")
        .await
        .expect(501, "NotImplementedException");
    assert!(
        answer.json()["message"]
            .as_str()
            .unwrap()
            .contains("ListCodeSigningConfigs")
    );
}

#[tokio::test]
async fn bodies_of_the_wrong_shape_are_refused() {
    let node = Node::start().await;
    for body in [
        &b"{"[..],
        b"[]",
        b"{\"Timeout\": \"3\"}",
        b"{\"Layers\": 1}",
        b"\xff",
        b"{\"Role\": {}}",
    ] {
        node.call("PUT", "/2015-03-31/functions/f/configuration", &[], body)
            .await
            .expect(400, "SerializationException");
    }
    node.call("GET", "/2015-03-31/functions?MaxItems=many", &[], b"")
        .await
        .expect(400, "SerializationException");
    node.call("POST", "/2015-03-31/functions", &[], b"{\"Unknown\": 1}")
        .await
        .expect(400, "ValidationException");
}

#[tokio::test]
async fn health_says_nothing_else() {
    let node = Node::start().await;
    let mut wire = node.connect().await;
    wire.send(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    wire.send(b"POST /health HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.header("allow"), Some("GET, HEAD"));
}
