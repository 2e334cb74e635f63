//! The Init phase: what goes wrong in it, and that it is tried again within the first invocation.

use std::time::Duration;

use serde_json::json;

use crate::rig::{Rig, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        an_import_error_is_the_invocations_error,
        a_crash_in_init,
        an_init_that_takes_too_long_gets_the_functions_timeout,
        an_init_that_never_ends_times_out,
        no_bootstrap,
        a_bootstrap_that_is_not_executable,
        a_bootstrap_that_is_no_program,
        a_bootstrap_in_a_layer,
        init_duration_is_reported_once,
    ]
}

async fn an_import_error_is_the_invocations_error() {
    let rig = Rig::new(|_| {}).await;
    let function = rig.python("import nothing_like_that").await;
    for _ in 0..2 {
        let ended = rig.invoke(&function, json!({})).await.unwrap();
        let (kind, message) = ended.error();
        assert_eq!(kind, "Runtime.ImportModuleError");
        assert!(
            message.contains("No module named 'nothing_like_that'"),
            "{message}"
        );
        let tail = ended.tail();
        assert!(
            tail.contains("Phase: invoke\tStatus: error\tError Type: Runtime.ImportModuleError\n"),
            "{tail}"
        );
    }
    let log = rig.log().await.join("\n");
    assert!(
        log.contains("Phase: init\tStatus: error\tError Type: Runtime.ImportModuleError"),
        "{log}"
    );
    rig.end().await;
}

async fn a_crash_in_init() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python("import os, sys\nprint('loading', flush=True)\nos._exit(5)\ndef handler(event, context): pass")
        .await;
    let ended = rig.invoke(&function, json!({})).await.unwrap();
    assert_eq!(
        ended.error(),
        (
            "Runtime.ExitError".to_owned(),
            "RequestId: <id> Error: Runtime exited with error: exit status 5".to_owned()
        )
    );
    assert!(ended.tail().contains("loading\n"));
    rig.end().await;
}

const SLOW_INIT: &str = "import time\ntime.sleep(0.7)\ndef handler(event, context): return 'slow'";

async fn an_init_that_takes_too_long_gets_the_functions_timeout() {
    let rig = Rig::new(|options| options.init_timeout = Duration::from_millis(300)).await;
    let function = rig.python(SLOW_INIT).await;
    let ended = rig.invoke(&function, json!({})).await.unwrap();
    assert_eq!(ended.result(), json!("slow"));
    assert!(
        ended.outcome.report.duration >= Duration::from_millis(700),
        "Init is within it"
    );
    assert_eq!(ended.outcome.report.init, None);
    let log = rig.log().await.join("\n");
    assert!(log.contains("Phase: init\tStatus: timeout"), "{log}");
    assert_eq!(rig.result(&function, json!({})).await, json!("slow"));
    assert_eq!(rig.stats().started, 1, "the second try stays");
    rig.end().await;
}

async fn an_init_that_never_ends_times_out() {
    let rig = Rig::new(|options| options.init_timeout = Duration::from_millis(300)).await;
    let function = rig
        .deploy(
            crate::rig::PYTHON,
            &[("app.py", "import time\ntime.sleep(1000)")],
            |configuration| configuration.timeout_s = 1,
        )
        .await;
    let ended = rig.invoke(&function, json!({})).await.unwrap();
    assert_eq!(
        ended.error(),
        (
            "Sandbox.Timedout".to_owned(),
            "RequestId: <id> Error: Task timed out after 1.00 seconds".to_owned()
        )
    );
    rig.end().await;
}

async fn entrypoint_error(file: (&str, &str)) -> String {
    let rig = Rig::new(|_| {}).await;
    let function = rig.deploy("provided.al2023", &[file], |_| {}).await;
    let ended = rig.invoke(&function, json!({})).await.unwrap();
    let (kind, message) = ended.error();
    assert_eq!(kind, "Runtime.InvalidEntrypoint");
    rig.end().await;
    message
}

async fn no_bootstrap() {
    assert_eq!(
        entrypoint_error(("other", "x")).await,
        "RequestId: <id> Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
    );
}

async fn a_bootstrap_that_is_not_executable() {
    assert_eq!(
        entrypoint_error(("bootstrap", "#!/bin/sh\n")).await,
        "RequestId: <id> Error: fork/exec /var/task/bootstrap: permission denied"
    );
}

async fn a_bootstrap_that_is_no_program() {
    assert_eq!(
        entrypoint_error(("bootstrap*", "\x7fELF but not really")).await,
        "RequestId: <id> Error: fork/exec /var/task/bootstrap: exec format error"
    );
}

async fn a_bootstrap_in_a_layer() {
    let rig = Rig::new(|_| {}).await;
    let source = format!(
        "#!/usr/bin/python3\n{}\npeer = Peer()\nwhile True:\n    id, event = peer.next()\n    peer.respond(id, sys.argv[0])",
        crate::rig::CLIENT
    );
    let package = rig.pack(&[("bootstrap*", &source)]).await;
    let function = rig
        .deploy("provided", &[("readme", "no code here")], |configuration| {
            configuration.layers.push(hearth_types::function::LayerUse {
                arn: "arn:aws:lambda:us-east-1:000000000000:layer:boot:1"
                    .parse()
                    .unwrap(),
                package,
            });
        })
        .await;
    assert_eq!(
        rig.result(&function, json!({})).await,
        json!("/opt/bootstrap")
    );
    rig.end().await;
}

async fn init_duration_is_reported_once() {
    let rig = Rig::new(|_| {}).await;
    let function = rig.python("def handler(event, context): return 1").await;
    let first = rig.invoke(&function, json!({})).await.unwrap();
    let init = first.outcome.report.init.expect("it waited for Init");
    assert!(init > Duration::ZERO && first.tail().contains("\tInit Duration: "));
    assert!(first.outcome.report.billed_ms() >= u64::try_from(init.as_millis()).unwrap());
    let second = rig.invoke(&function, json!({})).await.unwrap();
    assert_eq!(second.outcome.report.init, None);
    assert!(!second.tail().contains("Init Duration"));
    rig.end().await;
}
