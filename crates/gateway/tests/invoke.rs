//! Invoke over HTTP, as its clients see it.

mod node;

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth_types::wire::events::{ListEventQueuesResponse, ListEventsResponse};
use hearth_types::wire::lambda::PutFunctionConcurrencyRequest;
use node::{INVOKE, Node, PATIENCE, Request, scope};

#[tokio::test]
async fn an_event_comes_back_with_its_headers() {
    let node = Node::start().await;
    let answer = node.invoke(b"{\"a\": [1, 2]}").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, b"{\"a\": [1, 2]}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-amz-executed-version"), Some("$LATEST"));
    assert_eq!(answer.header("x-amzn-remapped-content-length"), Some("0"));
    assert_eq!(answer.header("x-amz-function-error"), None);
    assert_eq!(answer.header("x-amz-log-result"), None);
    assert!(
        answer
            .header("x-amzn-trace-id")
            .unwrap()
            .starts_with("Root=1-")
    );
    assert_eq!(answer.header("x-amzn-requestid").unwrap().len(), 36);
    let last = node.player.last.lock().unwrap().clone().unwrap();
    assert_eq!(
        last.request_id.as_str(),
        answer.header("x-amzn-requestid").unwrap()
    );
    assert_eq!(
        last.invoked_arn,
        "arn:aws:lambda:us-east-1:000000000000:function:f"
    );
}

#[tokio::test]
async fn nothing_is_an_empty_object() {
    let node = Node::start().await;
    assert_eq!(node.invoke(b"").await.body, b"{}");
}

#[tokio::test]
async fn what_the_caller_asks_for_in_headers_is_done() {
    let node = Node::start().await;
    let context = STANDARD.encode("{\"custom\":{\"a\":1}}");
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let headers = [
        ("x-amz-log-type", "Tail"),
        ("x-amz-client-context", context.as_str()),
        ("x-amzn-trace-id", trace),
    ];
    let answer = node.call("POST", INVOKE, &headers, b"\"fail\"").await;
    assert_eq!(
        (answer.status, answer.header("x-amz-function-error")),
        (200, Some("Unhandled"))
    );
    assert_eq!(
        STANDARD
            .decode(answer.header("x-amz-log-result").unwrap())
            .unwrap(),
        b"REPORT\n\xff"
    );
    // The trace goes on, and counts this invocation.
    let answered = answer.header("x-amzn-trace-id").unwrap();
    let chain = answered.strip_prefix(trace).unwrap();
    assert!(
        chain.starts_with(";Lineage=") && chain.ends_with(":1"),
        "{answered}"
    );
    let last = node.player.last.lock().unwrap().clone().unwrap();
    assert_eq!(
        last.client_context.as_deref(),
        Some("{\"custom\":{\"a\":1}}")
    );
    assert_eq!(last.trace_id, answered);
}

#[tokio::test]
async fn a_dry_run_runs_nothing() {
    let node = Node::start().await;
    let dry = [("x-amz-invocation-type", "DryRun")];
    let answer = node.call("POST", INVOKE, &dry, b"{}").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let missing = "/2015-03-31/functions/missing/invocations";
    node.call("POST", missing, &dry, b"{}")
        .await
        .expect(404, "ResourceNotFoundException");
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_event_is_queued_and_not_waited_for() {
    let node = Node::start().await;
    let headers = [("x-amz-invocation-type", "Event")];
    let answer = node.call("POST", INVOKE, &headers, b"{\"a\": 1}").await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    assert_eq!(answer.header("x-amzn-remapped-content-length"), Some("0"));
    assert_eq!(answer.header("x-amz-executed-version"), None);
    let id = answer.header("x-amzn-requestid").unwrap().to_owned();
    let old = "/2014-11-13/functions/f/invoke-async/";
    let answer = node.call("POST", old, &[], b"{}").await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));

    // This node gives functions no events: they stay where they are.
    let list = "/hearth/2026-11-01/events/f?MaxItems=1";
    let answer = node.call("GET", list, &[], b"").await;
    let page: ListEventsResponse = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(page.events[0].request_id, id);
    assert_eq!(
        (page.events[0].payload_bytes, page.events[0].attempts),
        (8, 0)
    );
    let next = format!("{list}&Marker={}", page.next_marker.unwrap());
    let answer = node.call("GET", &next, &[], b"").await;
    let page: ListEventsResponse = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((page.events.len(), page.next_marker), (1, None));
    let answer = node
        .call("GET", "/hearth/2026-11-01/events", &[], b"")
        .await;
    let queues: ListEventQueuesResponse = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((queues.queues.len(), queues.queues[0].queued), (1, 2));
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_can_not_be_queued_is_said_and_queues_nothing() {
    let node = Node::start().await;
    let event = [("x-amz-invocation-type", "Event")];
    let call = async |target: &str, body: &[u8]| node.call("POST", target, &event, body).await;
    call(INVOKE, b"{oops}")
        .await
        .expect(400, "InvalidRequestContentException");
    call("/2015-03-31/functions/missing/invocations", b"{}")
        .await
        .expect(404, "ResourceNotFoundException");
    let elsewhere =
        "/2015-03-31/functions/arn:aws:lambda:us-east-1:111111111111:function:f/invocations";
    call(elsewhere, b"{}")
        .await
        .expect(403, "AccessDeniedException");
    let large = vec![b' '; 1_048_577];
    call(INVOKE, &large)
        .await
        .expect(413, "RequestTooLargeException");
    for bad in ["?State=Asleep", "?Marker=x", "?Marker=1"] {
        let target = format!("/hearth/2026-11-01/events/f{bad}");
        node.call("GET", &target, &[], b"")
            .await
            .expect(400, "ValidationException");
    }
    for (method, target, status, code) in [
        ("GET", "dead-events/x", 400, "ValidationException"),
        (
            "GET",
            "dead-events/00000000-0000-4000-8000-000000000000",
            404,
            "ResourceNotFoundException",
        ),
        (
            "POST",
            "events/f/redrive?RequestId=1",
            400,
            "ValidationException",
        ),
        (
            "POST",
            "events/f/purge?RequestId=00000000-0000-4000-8000-000000000000",
            404,
            "ResourceNotFoundException",
        ),
    ] {
        let target = format!("/hearth/2026-11-01/{target}");
        node.call(method, &target, &[], b"")
            .await
            .expect(status, code);
    }
    let answer = node
        .call("GET", "/hearth/2026-11-01/events", &[], b"")
        .await;
    assert_eq!(answer.body, b"{\"Queues\":[]}");
}

#[tokio::test]
async fn what_can_not_be_done_is_said_and_runs_nothing() {
    let node = Node::start().await;
    let with = async |headers: &[(&str, &str)], body: &[u8]| {
        node.call("POST", INVOKE, headers, body).await
    };
    with(&[("x-amz-invocation-type", "Later")], b"{}")
        .await
        .expect(400, "ValidationException");
    with(&[("x-amz-log-type", "All")], b"{}")
        .await
        .expect(400, "ValidationException");
    with(&[("x-amz-client-context", "e30")], b"{}")
        .await
        .expect(400, "InvalidRequestContentException");
    let answer = with(&[], b"{oops}")
        .await
        .expect(400, "InvalidRequestContentException");
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("Could not parse request body into json: "),
        "{message}"
    );
    let to = async |name: &str| {
        let target = format!("/2015-03-31/functions/{name}/invocations");
        node.call("POST", &target, &[], b"{}").await
    };
    to("missing").await.expect(404, "ResourceNotFoundException");
    to("f:7").await.expect(404, "ResourceNotFoundException");
    to("a%20b").await.expect(400, "ValidationException");
    to("a%2F..%2Fb").await.expect(400, "ValidationException");
    to("arn%253Aaws").await.expect(400, "ValidationException");
    to("arn%3Aaws%3Alambda%3Aus-east-1%3A111111111111%3Afunction%3Af")
        .await
        .expect(403, "AccessDeniedException");
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
    let full = to("arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af").await;
    assert_eq!(full.status, 200);
    assert_eq!(
        to("arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_end_the_invocation() {
    let node = Node::start().await;
    let reserve = PutFunctionConcurrencyRequest {
        reserved_concurrent_executions: Some(1),
    };
    let function = "f".parse().unwrap();
    node.registry
        .put_function_concurrency(&scope(), &function, reserve)
        .await
        .unwrap();
    let mut wire = node.connect().await;
    let request = Request::new("POST", INVOKE, &[], b"\"hold\"").signed(node.address);
    wire.send(&request.to_bytes()).await;
    node.player.holding.acquire().await.unwrap().forget();
    drop(wire);
    // It still runs, so there is no room for another.
    let refused = node
        .invoke(b"{}")
        .await
        .expect(429, "TooManyRequestsException");
    assert_eq!(
        refused.json()["Reason"],
        "ReservedFunctionConcurrentInvocationLimitExceeded"
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    node.player.release.add_permits(1);
    let room = async { while node.invoke(b"{}").await.status != 200 {} };
    tokio::time::timeout(PATIENCE, room).await.unwrap();
    assert_eq!(node.player.ended.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_invocation_that_panics_is_a_failure_of_the_platform_and_frees_its_place() {
    let node = Node::start().await;
    let reserve = PutFunctionConcurrencyRequest {
        reserved_concurrent_executions: Some(1),
    };
    let function = "f".parse().unwrap();
    node.registry
        .put_function_concurrency(&scope(), &function, reserve)
        .await
        .unwrap();
    node.invoke(b"\"panic\"")
        .await
        .expect(500, "ServiceException");
    assert_eq!(node.invoke(b"{}").await.status, 200);
}

#[tokio::test]
async fn shutting_down_lets_a_running_request_end_and_takes_no_new_one() {
    let node = Node::start().await;
    let mut wire = node.connect().await;
    let request = Request::new("POST", INVOKE, &[], b"\"hold\"").signed(node.address);
    wire.send(&request.to_bytes()).await;
    node.player.holding.acquire().await.unwrap().forget();
    node.shutdown.cancel();
    node.player.release.add_permits(1);
    assert_eq!(wire.answer().await.status, 200);
    wire.end().await;
    tokio::time::timeout(PATIENCE, node.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(tokio::net::TcpStream::connect(node.address).await.is_err());
}

#[tokio::test]
async fn a_function_reaches_the_same_door_through_its_own() {
    let node = Node::start().await;
    let (inside, outside) = tokio::io::duplex(64 * 1024);
    let (gateway, shutdown) = (node.gateway.clone(), node.shutdown.clone());
    let serving = tokio::spawn(async move { gateway.serve_connection(outside, shutdown).await });
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(inside))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = |signed: Option<&Request>| {
        let mut request = hyper::Request::builder().method("POST").uri(INVOKE);
        for (name, value) in signed.into_iter().flat_map(|signed| &signed.headers) {
            request = request.header(name, value);
        }
        request
            .body(http_body_util::Full::new(bytes::Bytes::from_static(b"7")))
            .unwrap()
    };
    let signed = Request::new("POST", INVOKE, &[], b"7").signed(node.address);
    assert_eq!(
        sender
            .send_request(request(Some(&signed)))
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        sender.send_request(request(None)).await.unwrap().status(),
        403
    );
    node.shutdown.cancel();
    tokio::time::timeout(PATIENCE, serving)
        .await
        .unwrap()
        .unwrap();
}
