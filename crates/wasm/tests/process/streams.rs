//! Bodies and logs on their way through the line.

use std::pin::Pin;

use bytes::Bytes;
use hearth_wasm::Failure;
use http::Request;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;

use crate::{LONG, Rig, call, exchange, get, text};

#[tokio::test]
async fn a_short_response_has_its_length_and_its_end() {
    let rig = Rig::working().await;
    for name in ["hello.wasm", "hello-p3.wasm"] {
        let hello = rig.function(name, |_| {}).await;
        let (call, _log, ended) = call(LONG);
        let response = hello.request(get("/"), call).await.expect("a response");
        assert_eq!(response.body().size_hint().exact(), Some(14), "{name}");
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.to_bytes(), "Hello, World!\n");
        let ending = ended.await.expect("an end");
        assert_eq!(ending.failure, None);
        assert!(ending.usage.init.is_some());
        assert!(ending.usage.peak_memory_bytes > 0);
    }
}

#[tokio::test]
async fn a_body_goes_in_and_out_while_both_are_unfinished() {
    let rig = Rig::working().await;
    let abuse = rig.function("abuse.wasm", |_| {}).await;
    let (send, mut sent) = mpsc::channel::<Bytes>(1);
    let body = futures_util::stream::poll_fn(move |cx| {
        sent.poll_recv(cx)
            .map(|part| part.map(|part| Ok::<_, std::io::Error>(Frame::data(part))))
    });
    let request = Request::post("http://localhost/echo")
        .body(StreamBody::new(body))
        .expect("a request");
    let (call, _log, ended) = call(LONG);
    let response = abuse.request(request, call).await.expect("a response");
    let mut body = response.into_body();
    for part in ["one", "two", "three"] {
        send.send(Bytes::from(part)).await.expect("it is taken");
        let mut echoed = Vec::new();
        while echoed.len() < part.len() {
            let frame = Pin::new(&mut body).frame().await.expect("a frame");
            echoed.extend(frame.expect("a frame").into_data().expect("data"));
        }
        assert_eq!(echoed, part.as_bytes());
    }
    drop(send);
    assert!(body.frame().await.is_none());
    assert_eq!(ended.await.expect("an end").failure, None);
}

#[tokio::test]
async fn nobody_holds_what_a_slow_reader_does_not_take() {
    let rig = Rig::working().await;
    let abuse = rig.function("abuse.wasm", |_| {}).await;
    let (call, _log, ended) = call(LONG);
    let response = abuse.request(get("/big?mib=32"), call).await;
    let mut body = response.expect("a response").into_body();
    // Others are served while this one is not read.
    assert_eq!(text(&abuse, "/counter").await, "1\n");
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.expect("a frame").into_data().expect("data").len();
    }
    assert_eq!(bytes, 32 << 20);
    assert_eq!(ended.await.expect("an end").failure, None);
}

#[tokio::test]
async fn whoever_drops_a_body_ends_its_guest() {
    let rig = Rig::working().await;
    let abuse = rig.function("abuse.wasm", |_| {}).await;
    // More than there are instances: each gives its place back.
    for _ in 0..20 {
        let (call, _log, ended) = call(LONG);
        let response = abuse.request(get("/never-finish"), call).await;
        drop(response.expect("a response"));
        assert_eq!(
            ended.await.expect("an end").failure,
            Some(Failure::Abandoned)
        );
    }
    assert_eq!(text(&abuse, "/counter").await, "1\n");
}

#[tokio::test]
async fn failures_are_told_as_they_are_and_logs_precede_them() {
    let rig = Rig::working().await;
    let abuse = rig.function("abuse.wasm", |_| {}).await;
    let (answer, ending, log) = exchange(&abuse, "/panic").await;
    assert!(matches!(&answer, Err(Failure::Trap(text)) if text.contains("unreachable")));
    assert_eq!(ending.failure, answer.err());
    assert!(log.contains("this is what it says when it panics"), "{log}");

    let (answer, ending, _) = exchange(&abuse, "/late-trap").await;
    assert!(matches!(answer, Err(Failure::Trap(_))));
    assert_eq!(ending.failure, answer.err());

    let small = rig
        .function("abuse.wasm", |grants| grants.output_bytes = 1 << 20)
        .await;
    let (answer, ending, _) = exchange(&small, "/big?mib=2").await;
    assert_eq!(answer.err(), Some(Failure::OutputTooLarge));
    assert_eq!(ending.failure, Some(Failure::OutputTooLarge));
    assert!(rig.process.is_usable());
}
