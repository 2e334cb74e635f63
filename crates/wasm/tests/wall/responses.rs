//! Responses, from those that end well to those that break off.

use bytes::Bytes;
use hearth_wasm::Failure;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::{LONG, call, chunk, exchange, failure, function, get, request, run, text};

#[test]
fn a_short_response_is_complete_with_its_head() {
    run(async {
        for guest in ["hello.wasm", "hello-p3.wasm"] {
            let hello = function(guest, |_| {}).await;
            // Code that is read in meanwhile, and a guest would give its thread back in the middle.
            let (answer, ..) = exchange(&hello, get("/"), LONG).await;
            answer.expect("a response");
            let (call, mut watch) = call(LONG);
            let response = hello.request(get("/"), call).await.expect("a response");
            assert_eq!(response.status(), 200, "{guest}");
            assert_eq!(response.body().size_hint().exact(), Some(14), "{guest}");
            let body = response.into_body().collect().await.expect("a body");
            assert_eq!(body.to_bytes(), "Hello, World!\n", "{guest}");

            let ending = watch.ending().await;
            assert_eq!(ending.failure, None, "{guest}");
            assert!(ending.usage.init.is_some(), "{guest}");
            assert!(ending.usage.peak_memory_bytes >= 64 << 10, "{guest}");
        }
    });
}

#[test]
fn a_request_without_a_host_is_taken() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let mut nameless = get("/headers");
        nameless.headers_mut().remove("host");
        let (answer, ending, _) = exchange(&abuse, nameless, LONG).await;
        assert_eq!(ending.failure, None);
        let body = answer.expect("a response").into_body().expect("a body");
        assert!(body.starts_with(b":method"));
    });
}

#[test]
fn bodies_stream_in_and_out() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let sent = Bytes::from(vec![b'y'; 3 << 20]);
        let (answer, ending, _) =
            exchange(&abuse, request("POST", "/echo", sent.clone()), LONG).await;
        assert_eq!(ending.failure, None);
        let body = answer.expect("a response").into_body().expect("a body");
        assert_eq!(body, sent);
    });
}

#[test]
fn more_output_than_granted_breaks_the_body_off() {
    run(async {
        let abuse = function("abuse.wasm", |grants| grants.output_bytes = 1 << 20).await;
        let (answer, ending, _) = exchange(&abuse, get("/big?mib=2048"), LONG).await;
        let body = answer.expect("a response").into_body();
        assert_eq!(body, Err(Failure::OutputTooLarge));
        assert_eq!(ending.failure, Some(Failure::OutputTooLarge));
    });
}

#[test]
fn a_body_that_is_dropped_by_the_guest_is_an_error() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        assert!(matches!(
            failure(&abuse, "/unfinished").await,
            Failure::BadResponse(_)
        ));
    });
}

#[test]
fn a_body_that_never_ends_ends_at_the_deadline() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let (call, mut watch) = call(std::time::Duration::from_millis(300));
        let response = abuse.request(get("/never-finish"), call).await;
        let mut body = response.expect("a response").into_body();
        assert_eq!(chunk(&mut body).await, Some(Ok(Bytes::from("begun\n"))));
        assert_eq!(chunk(&mut body).await, Some(Err(Failure::Timeout)));
        assert_eq!(watch.ending().await.failure, Some(Failure::Timeout));
        assert_eq!(chunk(&mut body).await, None);
    });
}

#[test]
fn a_guest_whose_caller_leaves_is_ended() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let (first, mut watch) = call(LONG);
        let response = abuse.request(get("/never-finish"), first).await;
        let mut body = response.expect("a response").into_body();
        assert_eq!(chunk(&mut body).await, Some(Ok(Bytes::from("begun\n"))));
        drop(body);
        assert_eq!(watch.ending().await.failure, Some(Failure::Abandoned));

        let (second, mut watch) = call(LONG);
        let mut response = Box::pin(abuse.request(get("/sleep?ms=3600000"), second));
        // Its instance is made and it sleeps.
        assert!(futures_util::poll!(&mut response).is_pending());
        drop(response);
        assert_eq!(watch.ending().await.failure, Some(Failure::Abandoned));
    });
}

#[test]
fn a_guest_goes_on_after_its_answer_up_to_the_deadline() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let (call, mut watch) = call(std::time::Duration::from_millis(300));
        let response = abuse.request(get("/after"), call).await;
        let body = response.expect("a response").into_body();
        let body = body.collect().await.expect("a body").to_bytes();
        assert_eq!(body, "answered\n");
        assert_eq!(watch.ending().await.failure, Some(Failure::Timeout));
    });
}

#[test]
fn lengths_that_are_wrong_never_reach_the_client_as_right() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        for path in ["/length?say=10&write=4", "/length?say=4&write=10"] {
            assert!(
                matches!(failure(&abuse, path).await, Failure::BadResponse(_)),
                "{path}"
            );
        }
        let right = text(&abuse, "/length?say=4&write=4").await;
        assert_eq!(right, "xxxx");
    });
}

#[test]
fn head_and_no_content_have_no_body() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        for asked in [
            request("HEAD", "/length?say=9000000&write=9000000", Bytes::new()),
            get("/status?code=204"),
            get("/status?code=304"),
        ] {
            let (answer, ending, log) = exchange(&abuse, asked, LONG).await;
            let body = answer.expect("a response").into_body();
            assert_eq!(body, Ok(Bytes::new()), "{}", log.text("stderr"));
            let whole = ending.failure.is_none();
            assert!(whole || ending.failure == Some(Failure::OutputTooLarge));
        }
    });
}

#[test]
fn a_status_that_ends_nothing_is_refused() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        assert!(matches!(
            failure(&abuse, "/status?code=101").await,
            Failure::BadResponse(_)
        ));
        assert!(text(&abuse, "/status?code=599").await.contains("Ok"));
    });
}
