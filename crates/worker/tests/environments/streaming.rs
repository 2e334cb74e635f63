//! Responses that reach their caller as they are made.

use std::sync::Arc;

use hearth_types::ApiError;
use hearth_types::function::Deployment;
use hearth_types::invoke::{BoxFuture, Invoker as _, Outcome, ResponseStream, Streamed};
use hearth_types::limits::STREAMED_RESPONSE_BYTES;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::rig::{PATIENCE, Rig, gate, invocation, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        the_first_piece_comes_before_the_end,
        a_response_that_nobody_reads_ends_its_environment,
        a_reader_that_stops_holds_the_function_up_until_its_timeout,
        a_response_above_the_limit_is_cut,
    ]
}

/// A bootstrap whose event says in how many pieces it makes its response, and whether it asks the door before the last.
const STREAM: &str = r#"
peer = Peer()
while True:
    id, event = peer.next()
    stream = Peer()
    stream.send(("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\nContent-Type: text/x\r\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n" % id).encode())
    piece = event["piece"].encode() * event.get("times", 1)
    for number in range(event["pieces"]):
        if event.get("asks") and number == event["pieces"] - 1:
            door = socket.create_connection(("127.0.0.1", 9002))
            door.sendall(b"!")
            assert door.recv(1) == b"!"
        stream.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    stream.send(b"0\r\n\r\n")
    stream.answer()
"#;

async fn begun(rig: &Rig, function: &Arc<Deployment>, event: Value) -> ResponseStream {
    match rig
        .worker
        .stream(invocation(function, event))
        .await
        .unwrap()
    {
        Streamed::Begun(response) => response,
        Streamed::Whole(outcome) => panic!("not a stream: {outcome:?}"),
    }
}

/// How the invocation ended: the type of its error.
async fn error_of(ended: BoxFuture<'static, Result<Outcome, ApiError>>) -> String {
    let ended = tokio::time::timeout(PATIENCE, ended);
    let outcome = ended.await.unwrap().unwrap();
    let object: Value = serde_json::from_slice(&outcome.payload).unwrap_or_default();
    object["errorType"].as_str().unwrap_or("none").to_owned()
}

async fn the_first_piece_comes_before_the_end() {
    let (gate, door) = gate();
    let rig = Rig::new(door).await;
    let function = rig.own_bootstrap(STREAM, |_| {}).await;
    for _ in 0..3 {
        let event = json!({"pieces": 2, "piece": "abc", "asks": true});
        let mut response = begun(&rig, &function, event).await;
        assert_eq!(response.content_type.as_ref().unwrap(), "text/x");
        let first = response.body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "abc");
        // The function has not ended: it waits for this.
        gate.asked.notified().await;
        gate.open.notify_one();
        let rest = response.body.collect().await.unwrap().to_bytes();
        assert_eq!(rest, "abc");
        let outcome = response.ended.await.unwrap();
        assert!(outcome.error.is_none() && outcome.payload.is_empty());
        let tail = String::from_utf8(outcome.log_tail.unwrap().to_vec()).unwrap();
        assert!(tail.contains("REPORT RequestId"), "{tail}");
    }
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn a_response_that_nobody_reads_ends_its_environment() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .own_bootstrap(STREAM, |configuration| configuration.timeout_s = 300)
        .await;
    let event = json!({"pieces": 1_000_000_000, "piece": "x"});
    let mut response = begun(&rig, &function, event).await;
    response.body.frame().await.unwrap().unwrap();
    drop(response.body);
    assert_eq!(error_of(response.ended).await, "Runtime.Abandoned");
    rig.until("the environment has ended", |stats| stats.environments == 0)
        .await;
    rig.end().await;
}

async fn a_reader_that_stops_holds_the_function_up_until_its_timeout() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .own_bootstrap(STREAM, |configuration| configuration.timeout_s = 1)
        .await;
    // More than sockets hold: it could not end even if it had more time.
    let event = json!({"pieces": 1_000, "piece": "x", "times": 65_536});
    let ResponseStream { body, ended, .. } = begun(&rig, &function, event).await;
    assert_eq!(error_of(ended).await, "Sandbox.Timedout");
    drop(body);
    rig.end().await;
}

async fn a_response_above_the_limit_is_cut() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .own_bootstrap(STREAM, |configuration| configuration.timeout_s = 300)
        .await;
    let event =
        json!({"pieces": STREAMED_RESPONSE_BYTES / 65_536 + 1, "piece": "x", "times": 65_536});
    let mut response = begun(&rig, &function, event).await;
    let mut seen = 0;
    while let Some(frame) = response.body.frame().await {
        seen += frame.unwrap().into_data().unwrap().len() as u64;
    }
    assert_eq!(seen, STREAMED_RESPONSE_BYTES);
    assert_eq!(
        error_of(response.ended).await,
        "Function.ResponseSizeTooLarge"
    );
    rig.end().await;
}
