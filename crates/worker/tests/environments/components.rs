//! Functions that are WebAssembly components: made ready, invoked, served, logged and let go.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_egress::Outside;
use hearth_types::ErrorKind;
use hearth_types::function::Deployment;
use hearth_types::invoke::{Body, HttpInvocation, Invoker as _, RequestId, Served};
use hearth_types::walls::Walls;
use hearth_wasm::{Wall, WallOptions};
use hearth_worker::{ComponentOptions, ProcessOptions, WorkerOptions};
use http_body_util::{BodyExt as _, Empty};
use serde_json::{Value, json};

use crate::rig::{PYTHON, Rig, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        a_component_by_itself_is_invoked_and_logged,
        a_component_in_a_zip_is_found_by_its_content,
        an_event_of_a_url_reaches_the_component_as_a_request,
        bad_ends_read_as_those_of_processes,
        a_command_reads_the_event_and_writes_the_result,
        http_is_handed_over_without_json,
        failures_of_served_requests_end_what_has_begun,
        whoever_goes_away_frees_the_lane,
        instances_are_used_again_as_often_as_the_tag_says,
        what_is_no_component_is_refused_in_words,
        idle_and_retired_deployments_are_let_go,
        nothing_begins_during_shutdown,
    ]
}

tokio::task_local! {
    /// Makes [`rig`] run components in processes of their accounts', with this much memory, MiB.
    pub(crate) static PROCESS_MEMORY_MIB: u32;
}

/// A rig with the wall; the folder is the wall's.
pub(crate) async fn rig(change: impl FnOnce(&mut WorkerOptions)) -> (Rig, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let wall = Wall::new(WallOptions {
        cache_dir: dir.path().join("wasm"),
        cache_bytes: 1 << 30,
        secret: [7; 32],
        parallel_compilations: 2,
        loaded_programs: 8,
        loaded_bytes: 1 << 28,
        instances: 8,
        memory_bytes: 1 << 30,
        wait: Duration::from_secs(10),
        outside: Outside::default(),
    })
    .unwrap();
    let rig = Rig::new(|options| {
        options.components = Some(ComponentOptions {
            wall,
            allowed_hosts: Default::default(),
            buckets: None,
            processes: PROCESS_MEMORY_MIB
                .try_with(|memory_mib| ProcessOptions {
                    dir: dir.path().join("processes"),
                    memory_mib: *memory_mib,
                })
                .ok(),
        });
        change(options);
    })
    .await;
    (rig, dir)
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/wasm");
    std::fs::read(format!("{folder}/{name}.wasm")).unwrap()
}

/// A deployment of a prebuilt component with these tags.
pub(crate) async fn deploy(
    rig: &Rig,
    name: &str,
    tags: &[(&str, &str)],
    timeout_s: u32,
) -> Arc<Deployment> {
    let package = rig.packages.put(fixture(name).into()).await.unwrap();
    let tags = tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let walls = Walls::from_tags(&tags).unwrap();
    rig.deploy_package("wasm", package, walls, |configuration| {
        configuration.timeout_s = timeout_s;
    })
}

pub(crate) fn event(path: &str) -> Value {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    json!({
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"x-amzn-requestid": "spoofed"},
        "requestContext": {"http": {"method": "GET"}},
    })
}

async fn serve(rig: &Rig, deployment: &Arc<Deployment>, path: &str) -> Served {
    let invocation = HttpInvocation {
        request_id: RequestId::from_random([9; 16]),
        deployment: Arc::clone(deployment),
        trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793".to_owned(),
    };
    let body = Body::new(Empty::<Bytes>::new().map_err(|never| match never {}));
    let request = http::Request::get(format!("http://localhost{path}"))
        .body(body)
        .unwrap();
    rig.worker.serve(invocation, request).await.unwrap()
}

fn response(served: Served) -> http::Response<Body> {
    match served {
        Served::Response(response) => response,
        Served::Failed(outcome) => panic!("failed: {:?}", outcome.payload),
        Served::TakesEvents(_) => panic!("takes events"),
    }
}

async fn a_component_by_itself_is_invoked_and_logged() {
    let (rig, _dir) = rig(|_| {}).await;
    let function = deploy(&rig, "hello", &[], 30).await;
    rig.worker.prepare(Arc::clone(&function)).await.unwrap();
    let first = rig.invoke(&function, json!({})).await.unwrap();
    assert_eq!(
        first.result(),
        json!({"statusCode": 200, "body": "Hello, World!\n", "isBase64Encoded": false})
    );
    let second = rig.invoke(&function, json!({})).await.unwrap();
    let log = rig.log().await;
    assert!(
        log[0].starts_with("INIT_START Runtime Version: wasm:"),
        "{log:?}"
    );
    assert_eq!(
        log[1],
        format!("START RequestId: {} Version: $LATEST", first.request_id)
    );
    assert_eq!(log[2], format!("END RequestId: {}", first.request_id));
    assert!(
        log[3].contains("Init Duration: "),
        "the lane's first call: {log:?}"
    );
    assert!(log[3].contains("Memory Size: 256 MB\tMax Memory Used: "));
    assert_eq!(
        log[4],
        format!("START RequestId: {} Version: $LATEST", second.request_id)
    );
    assert!(!log[6].contains("Init Duration"), "a warm lane: {log:?}");
    assert_eq!(log.len(), 7, "one lane: {log:?}");
    assert!(
        first
            .tail()
            .contains("END RequestId: <id>\nREPORT RequestId: <id>\t")
    );
    let stats = rig.stats();
    assert_eq!(
        (stats.components, stats.idle_lanes, stats.busy_lanes),
        (1, 1, 0)
    );
    rig.end().await;
}

async fn a_component_in_a_zip_is_found_by_its_content() {
    let (rig, _dir) = rig(|_| {}).await;
    let package = rig
        .pack_bytes(&[("app.wasm", &fixture("hello")), ("README", b"x")])
        .await;
    for runtime in ["wasm", "provided.al2023"] {
        let function = rig.deploy_package(runtime, package, Walls::default(), |_| {});
        let result = rig.result(&function, json!({})).await;
        assert_eq!(result["body"], "Hello, World!\n", "{runtime}");
    }
    // With a bootstrap beside it, it is data.
    let package = rig
        .pack_bytes(&[
            ("app.wasm", &fixture("hello")),
            ("bootstrap*", b"#!/bin/false"),
        ])
        .await;
    let function = rig.deploy_package("provided.al2023", package, Walls::default(), |_| {});
    rig.worker.prepare(Arc::clone(&function)).await.unwrap();
    let (kind, _) = rig.invoke(&function, json!({})).await.unwrap().error();
    assert_eq!(kind, "Runtime.ExitError");
    rig.end().await;
}

async fn an_event_of_a_url_reaches_the_component_as_a_request() {
    let (rig, _dir) = rig(|_| {}).await;
    let function = deploy(&rig, "abuse", &[], 30).await;
    let ended = rig.invoke(&function, event("/headers?a=1")).await.unwrap();
    let body = ended.result()["body"].as_str().unwrap().to_owned();
    for line in [
        ":method=Method::Get".to_owned(),
        ":path=Some(\"/headers?a=1\")".to_owned(),
        format!("x-amzn-requestid={}", ended.request_id),
        "x-amzn-trace-id=Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0".to_owned(),
    ] {
        assert!(body.lines().any(|l| l == line), "{line}: {body}");
    }
    assert!(!body.contains("spoofed"), "{body}");
    let environment = rig.result(&function, event("/env")).await;
    let environment = environment["body"].as_str().unwrap();
    assert!(environment.contains("AWS_LAMBDA_FUNCTION_NAME=hello"));
    assert!(!environment.contains("SECRET"), "{environment}");
    assert_eq!(rig.result(&function, json!({})).await["statusCode"], 404);
    rig.end().await;
}

async fn bad_ends_read_as_those_of_processes() {
    let (rig, _dir) = rig(|_| {}).await;
    // Only the loop is to meet its deadline, however busy the host is.
    let hasty = deploy(&rig, "abuse", &[], 2).await;
    let patient = deploy(&rig, "abuse", &[], 60).await;
    for (path, kind, words) in [
        ("/trap", "Runtime.ExitError", "unreachable"),
        ("/panic", "Runtime.ExitError", "unreachable"),
        (
            "/loop",
            "Sandbox.Timedout",
            "Task timed out after 2.00 seconds",
        ),
        (
            "/no-response",
            "Runtime.ExitError",
            "without providing a reason",
        ),
        ("/gobble", "Runtime.OutOfMemory", "out of memory"),
        ("/big?mib=8", "Function.ResponseSizeTooLarge", "6291556"),
    ] {
        let function = match kind {
            "Sandbox.Timedout" => &hasty,
            _ => &patient,
        };
        let ended = rig.invoke(function, event(path)).await.unwrap();
        let (found, message) = ended.error();
        assert_eq!(found, kind, "{path}: {message}");
        assert!(message.contains(words), "{path}: {message}");
        let tail = ended.tail();
        let status = match kind {
            "Sandbox.Timedout" => "Status: timeout".to_owned(),
            kind => format!("Status: error\tError Type: {kind}"),
        };
        assert!(tail.trim_end().ends_with(&status), "{path}: {tail}");
    }
    let panicked = rig.invoke(&patient, event("/panic")).await.unwrap();
    assert!(
        panicked
            .tail()
            .contains("this is what it says when it panics"),
        "{}",
        panicked.tail()
    );
    // It works as before.
    assert_eq!(rig.result(&patient, event("/counter")).await["body"], "1\n");
    rig.end().await;
}

async fn a_command_reads_the_event_and_writes_the_result() {
    let (rig, _dir) = rig(|_| {}).await;
    let function = deploy(&rig, "command", &[], 2).await;
    let result = rig
        .result(&function, json!({"n": 1, "log": "a line"}))
        .await;
    assert_eq!(result["event"], json!({"n": 1, "log": "a line"}));
    assert!(rig.log().await.contains(&"a line".to_owned()));
    let silent = rig.result(&function, json!({"silent": 1})).await;
    assert_eq!(silent, Value::Null);
    for (event, kind, message) in [
        (
            json!({"exit": 3, "log": "the reason"}),
            "Runtime.ExitError",
            // `wasi:cli/run` knows success and failure alone.
            "RequestId: <id> Error: Runtime exited with error: exit status 1: the reason",
        ),
        (
            json!({"loop": 1}),
            "Sandbox.Timedout",
            "RequestId: <id> Error: Task timed out after 2.00 seconds",
        ),
        (
            json!({"write_mib": 8}),
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        ),
    ] {
        let ended = rig.invoke(&function, event.clone()).await.unwrap();
        assert_eq!(
            ended.error(),
            (kind.to_owned(), message.to_owned()),
            "{event}"
        );
    }
    rig.end().await;
}

async fn http_is_handed_over_without_json() {
    let (rig, _dir) = rig(|_| {}).await;
    for name in ["hello", "hello-p3"] {
        let function = deploy(&rig, name, &[], 30).await;
        let response = response(serve(&rig, &function, "/").await);
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "Hello, World!\n");
        rig.until("the lane is free", |stats| stats.busy_lanes == 0)
            .await;
    }
    let log = rig.log().await;
    assert!(log.iter().any(|line| line.starts_with("REPORT")), "{log:?}");
    for function in [
        deploy(&rig, "command", &[], 30).await,
        rig.deploy(PYTHON, &[("app.py", "")], |_| {}).await,
    ] {
        let Served::TakesEvents(request) = serve(&rig, &function, "/here").await else {
            panic!("handed over");
        };
        assert_eq!(request.uri().path(), "/here");
        assert!(request.headers().is_empty(), "untouched");
    }
    rig.end().await;
}

async fn failures_of_served_requests_end_what_has_begun() {
    let (rig, _dir) = rig(|_| {}).await;
    let function = deploy(&rig, "abuse", &[], 2).await;
    let Served::Failed(outcome) = serve(&rig, &function, "/trap").await else {
        panic!("it trapped before its response began");
    };
    let error: Value = serde_json::from_slice(&outcome.payload).unwrap();
    assert_eq!(error["errorType"], "Runtime.ExitError");
    let broken = response(serve(&rig, &function, "/never-finish").await);
    assert_eq!(broken.status(), 200);
    let mut body = broken.into_body();
    let mut text = Vec::new();
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => text.extend(frame.into_data().unwrap()),
            Err(error) => break error,
        }
    };
    assert_eq!(text, b"begun\n");
    assert!(error.to_string().contains("in time"), "{error}");
    drop(body);
    rig.until("both lanes are free", |stats| stats.busy_lanes == 0)
        .await;
    let log = rig.log().await;
    for status in [
        "Status: error\tError Type: Runtime.ExitError",
        "Status: timeout",
    ] {
        let reports = log.iter().filter(|line| line.ends_with(status));
        assert_eq!(reports.count(), 1, "{status}: {log:?}");
    }
    rig.end().await;
}

async fn whoever_goes_away_frees_the_lane() {
    let (rig, _dir) = rig(|_| {}).await;
    let function = deploy(&rig, "abuse", &[], 60).await;
    let first = response(serve(&rig, &function, "/never-finish").await);
    let second = response(serve(&rig, &function, "/never-finish").await);
    assert_eq!(rig.stats().busy_lanes, 2, "one call a lane");
    drop((first, second));
    rig.until("the lanes are free", |stats| {
        (stats.busy_lanes, stats.idle_lanes) == (0, 2)
    })
    .await;
    let log = rig.log().await;
    let count = |start: &str| log.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(count("INIT_START"), 2, "{log:?}");
    assert_eq!((count("END"), count("REPORT")), (2, 2), "{log:?}");
    rig.end().await;
}

async fn instances_are_used_again_as_often_as_the_tag_says() {
    let (rig, _dir) = rig(|_| {}).await;
    for (tags, expected) in [
        (&[][..], ["1\n", "1\n", "1\n"]),
        (&[("hearth:wasm-reuse", "2")][..], ["1\n", "2\n", "1\n"]),
    ] {
        let function = deploy(&rig, "abuse", tags, 30).await;
        for served in expected {
            assert_eq!(
                rig.result(&function, event("/counter")).await["body"],
                served,
                "{tags:?}"
            );
        }
    }
    rig.end().await;
}

async fn what_is_no_component_is_refused_in_words() {
    let (rig, _dir) = rig(|_| {}).await;
    for (name, words) in [
        ("core", "core"),
        ("unknown-import", "acme:vault/secrets"),
        ("no-entry", "wasi:"),
        ("wrong-type", "wasi:cli/run"),
    ] {
        let function = deploy(&rig, name, &[], 30).await;
        let prepared = rig.worker.prepare(Arc::clone(&function)).await;
        let reason = prepared.expect_err(name);
        assert_eq!(reason.code, "InvalidZipFileException", "{name}");
        assert!(reason.message.contains(words), "{name}: {}", reason.message);
        let error = rig.invoke(&function, json!({})).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidZipFile, "{name}");
    }
    let package = rig.pack(&[("a.txt", "x")]).await;
    let function = rig.deploy_package("wasm", package, Walls::default(), |_| {});
    let reason = rig.worker.prepare(function).await.unwrap_err();
    assert!(
        reason.message.contains("no WebAssembly component"),
        "{reason:?}"
    );
    // A node without key-value stores says so.
    let function = deploy(&rig, "hello", &[("hearth:keyvalue", "function")], 30).await;
    let reason = rig.worker.prepare(function).await.unwrap_err();
    assert!(reason.message.contains("hearth:keyvalue"), "{reason:?}");
    assert_eq!(rig.stats().components, 0);
    rig.end().await;
}

async fn idle_and_retired_deployments_are_let_go() {
    let (rig, _dir) = rig(|options| options.keep_warm = Duration::from_millis(50)).await;
    let function = deploy(&rig, "hello", &[], 30).await;
    rig.result(&function, json!({})).await;
    rig.until("it is let go", |stats| stats.components == 0)
        .await;
    // It comes back by itself.
    rig.result(&function, json!({})).await;
    rig.end().await;

    let (rig, _dir) = self::rig(|_| {}).await;
    let old = deploy(&rig, "hello", &[], 30).await;
    let new = deploy(&rig, "hello", &[], 30).await;
    rig.result(&old, json!({})).await;
    rig.result(&new, json!({})).await;
    assert_eq!(rig.stats().components, 2);
    rig.worker.retire(&new.key, new.version, Some(new.id));
    assert_eq!(rig.stats().components, 1);
    rig.worker.retire(&new.key, new.version, None);
    assert_eq!(rig.stats().components, 0);
    rig.end().await;
}

async fn nothing_begins_during_shutdown() {
    let (rig, _dir) = rig(|_| {}).await;
    let function = deploy(&rig, "abuse", &[], 60).await;
    let held = response(serve(&rig, &function, "/never-finish").await);
    let worker = rig.worker.clone();
    let shutdown = tokio::spawn(async move { worker.shutdown(Duration::from_secs(60)).await });
    let refused = async {
        while rig.invoke(&function, event("/counter")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    refused.await;
    assert!(!shutdown.is_finished(), "a call runs");
    drop(held);
    shutdown.await.unwrap();
    rig.end().await;
}
