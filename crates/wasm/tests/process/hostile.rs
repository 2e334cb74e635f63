//! A process that says what it must not.

use std::convert::Infallible;

use bytes::{BufMut as _, Bytes, BytesMut};
use hearth_wasm::Failure;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::{Rig, exchange};

const HEAD: u8 = 1;
const DATA: u8 = 2;
const BODY_END: u8 = 5;
const ENDING: u8 = 6;

fn frame(kind: u8, content: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(kind);
    frame.put_u32(content.len() as u32);
    frame.put_slice(content);
    frame.freeze()
}

/// A process that takes every function, and answers this to every call.
async fn saying(status: StatusCode, answer: Vec<Bytes>) -> Rig {
    let answer = Bytes::from(answer.concat());
    Rig::new(move |[line, way_out], _| async move {
        let serve = http2::Builder::new(TokioExecutor::new()).serve_connection(
            TokioIo::new(line),
            service_fn(move |request: Request<Incoming>| {
                let mut response = Response::new(Full::default());
                if request.method() == "POST" {
                    *response.status_mut() = status;
                    *response.body_mut() = Full::new(answer.clone());
                }
                async move { Ok::<_, Infallible>(response) }
            }),
        );
        let _ = serve.await;
        drop(way_out);
    })
    .await
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_process_and_the_call_with_it() {
    let ok = b"HTTP/1.1 200 OK\r\n\r\n";
    let end = br#"{"duration_ns":1,"peak_memory_bytes":1}"#;
    for (what, answer) in [
        (
            "not frames",
            vec![Bytes::from_static(b"\x00\x00\x00\x00\x01")],
        ),
        (
            "not frames",
            vec![Bytes::from_static(b"\x01\xff\xff\xff\xff")],
        ),
        ("out of order", vec![frame(DATA, b"x")]),
        ("out of order", vec![frame(BODY_END, b"")]),
        ("out of order", vec![frame(HEAD, ok), frame(HEAD, ok)]),
        (
            "out of order",
            vec![frame(HEAD, ok), frame(BODY_END, b""), frame(DATA, b"x")],
        ),
        (
            "HTTP can't carry",
            vec![frame(HEAD, b"HTTP/1.1 101\r\n\r\n")],
        ),
        (
            "HTTP can't carry",
            vec![frame(HEAD, b"HTTP/1.1 200\r\nconnection: close\r\n\r\n")],
        ),
        ("without an ending", vec![]),
        (
            "without an ending",
            vec![frame(HEAD, ok), frame(DATA, b"x")],
        ),
        ("can't be read", vec![frame(ENDING, b"{}")]),
        (
            "longer than its length",
            vec![
                frame(HEAD, b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"),
                frame(DATA, b"xx"),
            ],
        ),
        (
            "more output",
            vec![frame(HEAD, ok), frame(DATA, &[b'x'; 2_000])],
        ),
    ] {
        let rig = saying(StatusCode::OK, answer).await;
        let hello = rig
            .function("hello.wasm", |grants| grants.output_bytes = 1_000)
            .await;
        let (answer, ending, _) = exchange(&hello, "/").await;
        let Some(Failure::Crashed(why)) = &ending.failure else {
            panic!("{what}: {ending:?}");
        };
        assert!(why.contains(what), "{what}: {why}");
        // Unless all of the body had come.
        assert!(answer.is_err() || what == "out of order", "{what}");
        assert!(!rig.process.is_usable());
        assert!(rig.process.condemned().await.contains(what));
    }

    let rig = saying(StatusCode::NOT_FOUND, vec![]).await;
    let hello = rig.function("hello.wasm", |_| {}).await;
    let (answer, ..) = exchange(&hello, "/").await;
    assert!(matches!(answer, Err(Failure::Crashed(_))));

    // The same answers, in order, are one.
    let rig = saying(
        StatusCode::OK,
        vec![
            frame(HEAD, ok),
            frame(DATA, b"fine"),
            frame(BODY_END, b""),
            frame(ENDING, end),
        ],
    )
    .await;
    let hello = rig.function("hello.wasm", |_| {}).await;
    assert_eq!(crate::text(&hello, "/").await, "fine");
}

#[tokio::test]
async fn usage_is_no_more_than_it_can_be() {
    let end = format!(
        r#"{{"init_ns":{max},"duration_ns":{max},"peak_memory_bytes":{max}}}"#,
        max = u64::MAX
    );
    let ok = frame(HEAD, b"HTTP/1.1 200 OK\r\n\r\n");
    let answer = vec![ok, frame(BODY_END, b""), frame(ENDING, end.as_bytes())];
    let rig = saying(StatusCode::OK, answer).await;
    let hello = rig.function("hello.wasm", |_| {}).await;
    let (_, ending, _) = exchange(&hello, "/").await;
    let most = crate::LONG;
    assert!(ending.usage.duration < most);
    assert!(ending.usage.init.is_some_and(|init| init < most));
    assert_eq!(ending.usage.peak_memory_bytes, 128 << 20);
}
