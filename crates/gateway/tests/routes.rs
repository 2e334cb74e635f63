//! Requests at routes: on the wire, on HTTP/1.1 and HTTP/2, to functions of both kinds and to fixed responses.

#![allow(clippy::unwrap_used, reason = "code of tests")]

mod node;

use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use node::{Answer, Node, PATIENCE, Request};
use serde_json::{Value, json};

const HOST: &str = "shop.example.com";

impl Node {
    /// Makes a route through the API.
    async fn put(&self, name: &str, route: Value) -> Answer {
        let target = format!("/hearth/2026-11-01/routes/{name}");
        self.call("PUT", &target, &[], route.to_string().as_bytes())
            .await
    }

    async fn must_put(&self, name: &str, route: Value) {
        let answer = self.put(name, route).await;
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = Request::new(method, path, headers, body);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request
                .headers
                .insert(0, ("host".to_owned(), HOST.to_owned()));
        }
        let mut wire = self.connect().await;
        wire.send(&request.to_bytes()).await;
        wire.answer().await
    }
}

fn to(function: &str, path: &str) -> Value {
    json!({ "Hosts": [HOST], "Path": path, "Target": { "FunctionName": function } })
}

fn fixed(path: &str) -> Value {
    json!({ "Hosts": [HOST], "Path": path, "Target": { "Response": { "Body": "fixed" } } })
}

#[tokio::test]
async fn a_change_is_met_by_the_next_request() {
    let node = Node::start().await;
    for round in 0..20 {
        let path = format!("/p{round}");
        node.must_put("moving", fixed(&path)).await;
        assert_eq!(node.ask("GET", &path, &[], b"").await.body, b"fixed");
        if round > 0 {
            let before = format!("/p{}", round - 1);
            assert_eq!(node.ask("GET", &before, &[], b"").await.status, 404);
        }
    }
    let gone = node
        .call("DELETE", "/hearth/2026-11-01/routes/moving", &[], b"")
        .await;
    assert_eq!(gone.status, 204);
    let answer = node.ask("GET", "/p19", &[], b"").await;
    answer.expect(403, "MissingAuthenticationTokenException");
}

#[tokio::test]
async fn bodies_stream_to_a_function_that_takes_http() {
    let node = Node::start().await;
    node.create("http-player").await;
    let mut route = to("http-player", "/api/{*rest}");
    route["Rewrite"] = json!({ "StripPrefix": "/api" });
    node.must_put("http", route).await;
    let body = vec![b'x'; 300_000];
    let answer = node.ask("POST", "/api/echo", &[], &body).await;
    assert_eq!((answer.status, answer.body.len()), (200, body.len()));
    // What its head may not say is taken out here too.
    let answer = node.ask("GET", "/api/lie", &[], b"").await;
    assert_eq!(
        (answer.header("x-kept"), answer.header("x-private")),
        (Some("1"), None)
    );
    assert_ne!(answer.header("x-amzn-requestid"), Some("forged"));
    node.ask("GET", "/api/fail", &[], b"")
        .await
        .expect(502, "InternalServerErrorException");
    // A client that goes away ends the function.
    let mut wire = node.connect().await;
    let request = Request::new("GET", "/api/endless", &[("host", HOST)], b"");
    wire.send(&request.to_bytes()).await;
    while !wire.has(b"\r\n\r\n") {
        wire.more().await.unwrap();
    }
    drop(wire);
    let dropped = tokio::time::timeout(PATIENCE, node.player.dropped.acquire());
    dropped.await.unwrap().unwrap().forget();
}

#[tokio::test]
async fn http2_names_its_host_in_the_request_line() {
    let node = Node::start().await;
    let mut route = to("f", "/old/{id}");
    route["Rewrite"] = json!({ "Path": "/new/{id}" });
    node.must_put("two", route).await;
    let stream = tokio::net::TcpStream::connect(node.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::builder()
        .uri(format!("http://{HOST}/old/7?a=b"))
        .body(Full::<bytes::Bytes>::default())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let event = response.into_body().collect().await.unwrap().to_bytes();
    let event: Value = serde_json::from_slice(&event).unwrap();
    assert_eq!(
        (&event["rawPath"], &event["rawQueryString"]),
        (&json!("/new/7"), &json!("a=b"))
    );
    assert_eq!(event["headers"]["host"], HOST);
    assert_eq!(event["requestContext"]["domainName"], HOST);
    assert_eq!(event["requestContext"]["http"]["protocol"], "HTTP/2.0");
}

#[tokio::test]
async fn a_connection_goes_on_after_a_refusal() {
    let node = Node::start().await;
    let mut route = to("f", "/guarded");
    route["Auth"] = json!({ "Type": "API_KEY" });
    node.must_put("guarded", route).await;
    node.must_put("open", fixed("/open")).await;
    let mut wire = node.connect().await;
    let body = vec![b'x'; 200_000];
    for _ in 0..3 {
        for (path, status) in [
            ("/guarded", 401),
            ("/none", 404),
            ("/a//b", 400),
            ("/open", 200),
        ] {
            let request = Request::new("POST", path, &[("host", HOST)], &body);
            wire.send(&request.to_bytes()).await;
            assert_eq!(wire.answer().await.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn concurrency_is_the_function_s_at_a_route_too() {
    let node = Node::start().await;
    node.must_put("f", to("f", "/x")).await;
    let none = node
        .call(
            "PUT",
            "/2017-10-31/functions/f/concurrency",
            &[],
            br#"{"ReservedConcurrentExecutions": 0}"#,
        )
        .await;
    assert_eq!(none.status, 200);
    node.ask("GET", "/x", &[], b"")
        .await
        .expect(429, "TooManyRequestsException");
}

#[tokio::test]
async fn errors_of_the_api_say_what_to_do() {
    let node = Node::start().await;
    let bad = node.put("r", json!({ "Path": "/x" })).await;
    let bad = bad.expect(400, "InvalidParameterValueException");
    assert!(
        bad.json()["message"]
            .as_str()
            .unwrap()
            .contains("FunctionName")
    );
    let unknown = node.put("r", json!({ "Path": "/x", "auth": {} })).await;
    unknown.expect(400, "SerializationException");
    let named = node.put("a%20b", fixed("/x")).await;
    named.expect(400, "ValidationException");
    let host = node.address.to_string();
    let own =
        json!({ "Hosts": ["*.localhost", "localhost"], "Path": "/", "Target": { "Response": {} } });
    let refused = node
        .put("r", own)
        .await
        .expect(400, "InvalidParameterValueException");
    assert!(
        refused.json()["message"]
            .as_str()
            .unwrap()
            .contains("localhost")
    );
    let missing = node
        .call("GET", "/hearth/2026-11-01/routes/none", &[], b"")
        .await;
    missing.expect(404, "ResourceNotFoundException");
    let health = node.ask("GET", "/health", &[("host", &host)], b"").await;
    assert_eq!(health.status, 200);
}
