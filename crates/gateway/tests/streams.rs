//! Responses that functions make piece by piece: at function URLs and by InvokeWithResponseStream.

#![allow(clippy::unwrap_used, reason = "code of tests")]

mod node;

use aws_smithy_eventstream::frame::read_message_from;
use hearth_types::wire::lambda::{AddPermissionRequest, FunctionUrlConfigRequest};
use node::{Answer, Node, PATIENCE, Request, scope};

/// The identifier of a URL of `f` that everyone may use.
async fn open(node: &Node, mode: &str) -> String {
    let f = "f".parse().unwrap();
    let request = FunctionUrlConfigRequest {
        auth_type: Some("NONE".to_owned()),
        invoke_mode: Some(mode.to_owned()),
        ..FunctionUrlConfigRequest::default()
    };
    let created = node
        .registry
        .create_function_url(&scope(), &f, None, request)
        .await
        .unwrap();
    let id = created.id().to_string();
    for action in ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"] {
        let request = AddPermissionRequest {
            statement_id: Some(action.replace(':', "-")),
            action: Some(action.to_owned()),
            principal: Some("*".to_owned()),
            ..AddPermissionRequest::default()
        };
        node.registry
            .add_permission(&scope(), &f, None, request)
            .await
            .unwrap();
    }
    id
}

fn request(method: &str, id: &str, path: &str, said: &[u8]) -> Request {
    let fields = [("host", "localhost"), ("content-type", "text/plain")];
    Request::new(method, &format!("/_url/{id}{path}"), &fields, said)
}

async fn ask(node: &Node, id: &str, path: &str, said: &[u8]) -> Answer {
    let mut wire = node.connect().await;
    wire.send(&request("POST", id, path, said).to_bytes()).await;
    wire.answer().await
}

const MODES: [&str; 2] = ["RESPONSE_STREAM", "BUFFERED"];

#[tokio::test]
async fn a_stream_is_the_body_of_a_200() {
    for mode in MODES {
        let node = Node::start().await;
        let id = open(&node, mode).await;
        let said = b"data: 1\n\ndata: 2\n\n";
        let answer = ask(&node, &id, "/stream/plain", said).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &said[..]));
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(
            answer.header("transfer-encoding").is_some(),
            mode == MODES[0]
        );
        assert!(answer.header("x-amzn-requestid").is_some());
        let answer = ask(&node, &id, "/stream/untyped", b"").await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
        assert_eq!(
            answer.header("content-type"),
            Some("application/octet-stream")
        );
        // One that answers in one piece is a result, in both modes.
        let answer = ask(
            &node,
            &id,
            "/return",
            br#"{"statusCode": 201, "body": "x"}"#,
        )
        .await;
        assert_eq!((answer.status, &answer.body[..]), (201, &b"x"[..]));
    }
}

#[tokio::test]
async fn a_prelude_is_the_head() {
    for mode in MODES {
        let node = Node::start().await;
        let id = open(&node, mode).await;
        let said = b"{\"statusCode\": 418, \"headers\": {\"X-A\": \"1\", \"content-type\": \"text/html\",
            \"Content-Length\": \"1\", \"Transfer-Encoding\": \"gzip\", \"x-hearth-account\": \"1\"},
            \"cookies\": [\"a=1\", \"b=2\"]}\0\0\0\0\0\0\0\0<p>\0</p>";
        let answer = ask(&node, &id, "/stream/prelude", said).await;
        assert_eq!((answer.status, &answer.body[..]), (418, &b"<p>\0</p>"[..]));
        assert_eq!(answer.header("content-type"), Some("text/html"));
        assert_eq!(answer.header("x-a"), Some("1"));
        assert_eq!(answer.header("x-hearth-account"), None);
        let cookies = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "set-cookie");
        assert_eq!(cookies.count(), 2);
        let none = b"{\"statusCode\": 204}\0\0\0\0\0\0\0\0not sent";
        let mut wire = node.connect().await;
        for _ in 0..2 {
            wire.send(&request("POST", &id, "/stream/prelude", none).to_bytes())
                .await;
            let answer = wire.answer().await;
            assert_eq!((answer.status, &answer.body[..]), (204, &b""[..]));
        }
        wire.send(&request("HEAD", &id, "/stream/prelude", said).to_bytes())
            .await;
        assert_eq!(wire.head_answer().await.status, 418);
        // The connection goes on: nothing of the body was sent.
        wire.send(&request("POST", &id, "/return", b"1").to_bytes())
            .await;
        assert_eq!(wire.answer().await.body, b"1");
    }
}

#[tokio::test]
async fn hostile_preludes_are_bad_gateways() {
    for mode in MODES {
        let node = Node::start().await;
        let id = open(&node, mode).await;
        let large = format!("{{\"headers\": {{\"a\": \"{}\"}}}}", "x".repeat(200_000));
        for bad in [
            "",
            "{\"statusCode\": 200}",
            "null\0\0\0\0\0\0\0\0",
            "{\"statusCode\": 101}\0\0\0\0\0\0\0\0",
            "{\"statusCode\": 200}\0\0\0\0\0\0\0x",
            "{\"headers\": {\"a\": \"b\\r\\nc: d\"}}\0\0\0\0\0\0\0\0x",
            "{\"headers\": {\"a\\r\\nb: c\": \"d\"}}\0\0\0\0\0\0\0\0x",
            &format!("{large}\0\0\0\0\0\0\0\0x"),
        ] {
            let answer = ask(&node, &id, "/stream/prelude", bad.as_bytes()).await;
            assert_eq!(answer.status, 502, "{bad:.80}");
            assert_eq!(answer.json()["Message"], "Internal Server Error");
        }
    }
}

#[tokio::test]
async fn a_stream_that_fails_does_not_look_whole() {
    let node = Node::start().await;
    let id = open(&node, MODES[0]).await;
    let mut wire = node.connect().await;
    wire.send(&request("POST", &id, "/stream/breaks", b"some of it").to_bytes())
        .await;
    let end = async { while wire.more().await.is_some() {} };
    tokio::time::timeout(PATIENCE, end).await.unwrap();
    assert!(wire.has(b"HTTP/1.1 200 OK") && wire.has(b"some of"));
    assert!(
        !wire.has(b"\r\n0\r\n"),
        "the last chunk ends a whole response"
    );
    // Before the first piece there is time to say so.
    let answer = ask(&node, &id, "/stream/breaks", b"").await;
    assert_eq!(answer.status, 502);

    let node = Node::start().await;
    let id = open(&node, MODES[1]).await;
    let answer = ask(&node, &id, "/stream/breaks", b"some of it").await;
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn a_client_that_goes_away_drops_the_response() {
    let node = Node::start().await;
    let id = open(&node, MODES[0]).await;
    let mut wire = node.connect().await;
    wire.send(&request("POST", &id, "/stream/endless", b"").to_bytes())
        .await;
    while !wire.has(b"endless") {
        wire.more().await.unwrap();
    }
    drop(wire);
    let dropped = node.player.dropped.acquire();
    tokio::time::timeout(PATIENCE, dropped)
        .await
        .unwrap()
        .unwrap()
        .forget();

    let node = Node::start().await;
    let id = open(&node, MODES[1]).await;
    let answer = ask(&node, &id, "/stream/endless", b"").await;
    assert_eq!(answer.status, 502, "more than a whole response may have");
    assert_eq!(node.player.dropped.available_permits(), 1);
}

const STREAM: &str = "/2021-11-15/functions/f/response-streaming-invocations";

/// The events of an answer: their type, and what they carry.
fn events(answer: &Answer) -> Vec<(String, String)> {
    let mut events = Vec::new();
    let mut rest = &answer.body[..];
    while !rest.is_empty() {
        let message = read_message_from(&mut rest).unwrap();
        let header = |name: &str| {
            let mut headers = message.headers().iter();
            let found = headers.find(|header| header.name().as_str() == name);
            found
                .unwrap()
                .value()
                .as_string()
                .unwrap()
                .as_str()
                .to_owned()
        };
        assert_eq!(header(":message-type"), "event");
        let payload = String::from_utf8(message.payload().to_vec()).unwrap();
        events.push((header(":event-type"), payload));
    }
    events
}

#[tokio::test]
async fn invoke_with_response_stream_answers_with_events() {
    let node = Node::start().await;
    let said = |events: &[(String, String)]| -> String {
        let chunks = events.iter().filter(|(kind, _)| kind == "PayloadChunk");
        chunks.map(|(_, payload)| payload.as_str()).collect()
    };
    let event =
        serde_json::json!({"version": "2.0", "rawPath": "/stream/plain", "body": "0123456789"});
    let answer = node
        .call("POST", STREAM, &[], event.to_string().as_bytes())
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/vnd.amazon.eventstream")
    );
    assert_eq!(answer.header("x-amz-executed-version"), Some("$LATEST"));
    let stream = events(&answer);
    assert_eq!(said(&stream), "0123456789");
    assert_eq!(stream.len(), 3, "two pieces and the end");
    assert_eq!(stream[2], ("InvokeComplete".to_owned(), "{}".to_owned()));

    // A result is a stream of one piece.
    let tail = [("x-amz-log-type", "Tail")];
    let answer = node.call("POST", STREAM, &tail, b"[1, 2]").await;
    let stream = events(&answer);
    assert_eq!(stream[0], ("PayloadChunk".to_owned(), "[1, 2]".to_owned()));
    assert_eq!(stream[1].1, r#"{"LogResult":"UkVQT1JUCv8="}"#);
    assert_eq!(stream.len(), 2);

    let answer = node.call("POST", STREAM, &[], b"\"fail\"").await;
    let stream = events(&answer);
    assert_eq!(stream.len(), 1);
    assert_eq!(
        stream[0].1,
        r#"{"ErrorCode":"Unhandled","ErrorDetails":"\"fail\""}"#
    );

    let broken = serde_json::json!({"version": "2.0", "rawPath": "/stream/breaks", "body": "x"});
    let answer = node
        .call("POST", STREAM, &[], broken.to_string().as_bytes())
        .await;
    let stream = events(&answer);
    assert_eq!(said(&stream), "x");
    assert!(stream[1].1.contains("ErrorCode"), "{}", stream[1].1);
}

#[tokio::test]
async fn what_is_wrong_before_the_stream_has_a_status() {
    let node = Node::start().await;
    let typed = |kind: &'static str| [("x-amz-invocation-type", kind)];
    let dry = node.call("POST", STREAM, &typed("DryRun"), b"{}").await;
    assert_eq!((dry.status, &dry.body[..]), (204, &b""[..]));
    assert_eq!(dry.header("x-amz-executed-version"), Some("$LATEST"));
    node.call("POST", STREAM, &typed("Event"), b"{}")
        .await
        .expect(400, "ValidationException");
    node.call("POST", STREAM, &[], b"{")
        .await
        .expect(400, "InvalidRequestContentException");
    let missing = STREAM.replace("/f/", "/missing/");
    node.call("POST", &missing, &[], b"{}")
        .await
        .expect(404, "ResourceNotFoundException");
}
