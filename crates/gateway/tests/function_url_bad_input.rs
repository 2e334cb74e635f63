//! Requests at function URLs that break the rules of HTTP or of this node, and functions whose responses do.

#![allow(clippy::unwrap_used, reason = "code of tests")]

mod node;

use std::sync::atomic::Ordering;
use std::time::Duration;

use hearth_gateway::{ConnectionOptions, Pace};
use hearth_types::wire::lambda::{AddPermissionRequest, FunctionUrlConfigRequest};
use node::{Node, Request, scope};

/// A URL that everyone may use: its identifier.
async fn open(node: &Node, function: &str) -> String {
    let key = function.parse().unwrap();
    let request = FunctionUrlConfigRequest {
        auth_type: Some("NONE".to_owned()),
        ..FunctionUrlConfigRequest::default()
    };
    let created = node
        .registry
        .create_function_url(&scope(), &key, None, request)
        .await
        .unwrap();
    let everything = AddPermissionRequest {
        statement_id: Some("all".to_owned()),
        action: Some("lambda:*".to_owned()),
        principal: Some("*".to_owned()),
        ..AddPermissionRequest::default()
    };
    node.registry
        .add_permission(&scope(), &key, None, everything)
        .await
        .unwrap();
    created.id().to_string()
}

fn request(id: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::new(method, &format!("/_url/{id}{path}"), headers, b"");
    request
        .headers
        .insert(0, ("host".to_owned(), "127.0.0.1".to_owned()));
    request
}

/// Bytes of a request that must never be read as one.
const SMUGGLED: &[u8] = b"GET /_url/x/ HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test]
async fn there_is_nothing_at_unknown_urls() {
    let node = Node::start().await;
    let id = open(&node, "f").await;
    let nobodys = "a".repeat(32);
    for (host, path) in [
        ("127.0.0.1".to_owned(), format!("/_url/{nobodys}/")),
        ("127.0.0.1".to_owned(), "/_url/".to_owned()),
        ("127.0.0.1".to_owned(), "/_url//".to_owned()),
        (
            "127.0.0.1".to_owned(),
            format!("/_url/{}/", id.to_uppercase()),
        ),
        ("127.0.0.1".to_owned(), format!("/_url/{id}x/")),
        ("127.0.0.1".to_owned(), format!("/_url/%61{}/", &id[1..])),
        (
            format!("{nobodys}.lambda-url.us-east-1.localhost"),
            "/".to_owned(),
        ),
        (
            format!("{id}.lambda-url.eu-west-1.localhost"),
            "/".to_owned(),
        ),
        (
            "x.lambda-url.us-east-1.localhost".to_owned(),
            "/".to_owned(),
        ),
    ] {
        let mut wire = node.connect().await;
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes())
            .await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 404, "{host} {path}");
        assert!(answer.json()["Message"].is_string());
    }
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_request_must_name_one_host() {
    let node = Node::start().await;
    let id = open(&node, "f").await;
    for head in [
        format!("GET /_url/{id}/ HTTP/1.1\r\n\r\n"),
        format!("GET /_url/{id}/ HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        format!("GET /_url/{id}/ HTTP/1.1\r\nhost: a/b\r\n\r\n"),
        format!("GET /_url/{id}/ HTTP/1.1\r\nhost: \r\n\r\n"),
        format!("GET /_url/{id}/ HTTP/1.1\r\nhost: a@b\r\n\r\n"),
        format!("GET http://a/_url/{id}/ HTTP/1.1\r\nhost: b\r\n\r\n"),
        format!("GET http://a/ HTTP/1.1\r\nhost: {id}.lambda-url.us-east-1.localhost\r\n\r\n"),
    ] {
        let mut wire = node.connect().await;
        wire.send(head.as_bytes()).await;
        assert_eq!(wire.answer().await.status, 400, "{head}");
    }
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_runs_nothing_twice() {
    let node = Node::start().await;
    node.create("http-f").await;
    for function in ["f", "http-f"] {
        let id = open(&node, function).await;
        let head = request(&id, "POST", "/", &[]);
        for framing in [
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "content-length: 0\r\ncontent-length: 5\r\n",
            "content-length: +5\r\n",
            "content-length: 5, 5\r\n",
            "transfer-encoding: xchunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        ] {
            let before = node.player.begun.load(Ordering::SeqCst);
            let mut wire = node.connect().await;
            let mut bytes = head.head(framing);
            bytes.extend_from_slice(b"0\r\n\r\n");
            let is_chunked = framing.contains(": chunked") && framing.contains("length");
            if !is_chunked {
                bytes.extend_from_slice(SMUGGLED);
            }
            // The node may have closed before all of it was written.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.stream, &bytes).await;
            let answer = wire.try_answer().await.expect("an answer");
            let begun = node.player.begun.load(Ordering::SeqCst) - before;
            if is_chunked {
                // The chunks count; the length has not reached the function.
                assert_eq!((answer.status, begun), (200, 1), "{framing}");
                let seen = answer.json();
                assert!(seen["headers"].get("content-length").is_none(), "{framing}");
                assert!(seen["headers"].get("transfer-encoding").is_none());
            } else {
                assert_eq!((answer.status, begun), (400, 0), "{framing}");
                wire.end().await;
            }
        }
    }
}

#[tokio::test]
async fn chunks_that_are_none_end_the_request() {
    let node = Node::start().await;
    let id = open(&node, "f").await;
    let head = request(&id, "POST", "/", &[]).head("transfer-encoding: chunked\r\n");
    for chunks in [
        &b"zz\r\n{}\r\n0\r\n\r\n"[..],
        b"2\r\n{}XX0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    ] {
        let mut wire = node.connect().await;
        wire.send(&head).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.stream, chunks).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 400, "{chunks:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        wire.end().await;
    }
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_head_is_bounded() {
    let node = Node::start().await;
    let id = open(&node, "f").await;
    let long = "x".repeat(70_000);
    let many: Vec<(String, String)> = (0..150)
        .map(|n| (format!("x-{n}"), "1".to_owned()))
        .collect();
    let many: Vec<_> = many.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    for headers in [&[("x-long", &long[..])][..], &many] {
        let mut wire = node.connect().await;
        let head = request(&id, "GET", "/", headers).head("");
        let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.stream, &head).await;
        if let Some(answer) = wire.try_answer().await {
            assert_eq!(answer.status, 431);
        }
    }
    let mut wire = node.connect().await;
    wire.send(b"CONNECT h:1 HTTP/1.1\r\nhost: h:1\r\n\r\n")
        .await;
    assert!(wire.answer().await.status >= 400);
    let mut wire = node.connect().await;
    let host = format!("{id}.lambda-url.us-east-1.localhost");
    wire.send(format!("CONNECT {host}:80 HTTP/1.1\r\nhost: {host}:80\r\n\r\n").as_bytes())
        .await;
    assert_eq!(wire.answer().await.status, 405);
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_without_an_end_holds_no_function() {
    let pace = Pace {
        idle: Duration::from_millis(200),
        ..Pace::default()
    };
    let options = ConnectionOptions {
        pace,
        ..ConnectionOptions::default()
    };
    let node = Node::with(options, 512 << 20).await;
    node.create("http-f").await;
    let id = open(&node, "f").await;
    let mut wire = node.connect().await;
    wire.send(&request(&id, "POST", "/", &[]).head("transfer-encoding: chunked\r\n"))
        .await;
    wire.send(b"1\r\nx\r\n").await;
    let answer = wire.answer().await.expect(408, "RequestTimeoutException");
    assert_eq!(answer.header("connection"), Some("close"));
    wire.end().await;
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);

    // A function that does not read it answers; the rest can't be taken for another request.
    let id = open(&node, "http-f").await;
    let mut wire = node.connect().await;
    wire.send(&request(&id, "POST", "/", &[]).head("content-length: 1000000\r\n"))
        .await;
    wire.send(SMUGGLED).await;
    assert_eq!(wire.answer().await.status, 200);
    wire.end().await;
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_event_is_bounded() {
    let node = Node::start().await;
    let id = open(&node, "f").await;
    let mut wire = node.connect().await;
    wire.send(&request(&id, "POST", "/", &[]).head("content-length: 6291457\r\n"))
        .await;
    wire.answer().await.expect(413, "RequestTooLargeException");
    // In base64 it is a third larger.
    let mut large = request(&id, "POST", "/", &[("content-type", "image/png")]);
    large.body = vec![0xff; 5_000_000];
    let mut wire = node.connect().await;
    wire.send(&large.to_bytes()).await;
    wire.answer().await.expect(413, "RequestTooLargeException");
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
    large.body.truncate(4_000_000);
    wire.send(&large.to_bytes()).await;
    assert_eq!(wire.answer().await.status, 200);
}

#[tokio::test]
async fn a_functions_head_does_not_decide_the_framing() {
    let node = Node::start().await;
    node.create("http-f").await;
    let id = open(&node, "http-f").await;
    let mut wire = node.connect().await;
    // On one connection: what leaked from one answer would be read as part of the next.
    for _ in 0..3 {
        wire.send(&request(&id, "GET", "/lie", &[]).head("")).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
        assert_eq!(answer.header("x-kept"), Some("1"));
        assert_ne!(answer.header("x-amzn-requestid"), Some("forged"));
        for name in ["connection", "upgrade", "x-private", "x-hearth-account"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
        wire.send(&request(&id, "HEAD", "/lie", &[]).head("")).await;
        assert_eq!(wire.head_answer().await.status, 200);
        for path in ["/fail", "/informational"] {
            wire.send(&request(&id, "GET", path, &[]).head("")).await;
            let answer = wire.answer().await;
            assert_eq!(answer.status, 502, "{path}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
        }
    }
}
