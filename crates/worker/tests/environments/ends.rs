//! How an invocation ends, well or badly: types and messages are Lambda's.

use std::time::Duration;

use serde_json::json;

use crate::rig::{Rig, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        a_result_comes_back,
        an_exception_is_passed_on,
        a_timeout_ends_the_environment,
        a_runtime_that_exits,
        a_runtime_that_is_killed,
        out_of_memory,
        a_response_above_the_limit_keeps_the_environment,
        a_response_at_the_limit_arrives,
        a_caller_that_goes_away_leaves_the_environment_usable,
        an_environment_that_ends_between_invocations_is_replaced,
    ]
}

async fn a_result_comes_back() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python("def handler(event, context): return {'got': event}")
        .await;
    assert_eq!(
        rig.result(&function, json!({"a": [1, "ü"]})).await,
        json!({"got": {"a": [1, "ü"]}})
    );
    rig.end().await;
}

async fn an_exception_is_passed_on() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python("def handler(event, context): raise ValueError('no ' + event)")
        .await;
    let ended = rig.invoke(&function, json!("way")).await.unwrap();
    assert_eq!(
        ended.error(),
        ("ValueError".to_owned(), "no way".to_owned())
    );
    assert!(ended.json()["stackTrace"].is_array());
    let again = rig.invoke(&function, json!("again")).await.unwrap();
    assert_eq!(again.error().1, "no again");
    assert_eq!(
        rig.stats().started,
        1,
        "an exception does not end the environment"
    );
    rig.end().await;
}

async fn a_timeout_ends_the_environment() {
    let rig = Rig::new(|_| {}).await;
    let source = "import time\ncount = 0\ndef handler(event, context):\n    global count\n    count += 1\n    \
                  print('working', flush=True)\n    time.sleep(event)\n    return count";
    let function = rig
        .deploy(crate::rig::PYTHON, &[("app.py", source)], |configuration| {
            configuration.timeout_s = 1;
        })
        .await;
    assert_eq!(rig.result(&function, json!(0)).await, json!(1));
    let ended = rig.invoke(&function, json!(60)).await.unwrap();
    assert_eq!(
        ended.error(),
        (
            "Sandbox.Timedout".to_owned(),
            "RequestId: <id> Error: Task timed out after 1.00 seconds".to_owned()
        )
    );
    let tail = ended.tail();
    assert!(tail.contains("working\n"), "{tail}");
    assert!(
        tail.contains(" <id> Task timed out after 1.00 seconds\nEND RequestId: <id>\n"),
        "{tail}"
    );
    assert!(tail.ends_with("Status: timeout\n"), "{tail}");
    assert!(ended.outcome.report.duration >= Duration::from_secs(1));
    assert_eq!(
        rig.result(&function, json!(0)).await,
        json!(1),
        "a new environment"
    );
    rig.end().await;
}

async fn a_runtime_that_exits() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python("import os\ndef handler(event, context):\n    print('bye', flush=True)\n    os._exit(event)")
        .await;
    for (status, reason) in [
        (1, "Runtime exited with error: exit status 1"),
        (7, "Runtime exited with error: exit status 7"),
        (0, "Runtime exited without providing a reason"),
    ] {
        let ended = rig.invoke(&function, json!(status)).await.unwrap();
        assert_eq!(
            ended.error(),
            (
                "Runtime.ExitError".to_owned(),
                format!("RequestId: <id> Error: {reason}")
            )
        );
        let tail = ended.tail();
        assert!(tail.contains("bye\n"), "{tail}");
        assert!(
            tail.ends_with("Status: error\tError Type: Runtime.ExitError\n"),
            "{tail}"
        );
    }
    rig.end().await;
}

async fn a_runtime_that_is_killed() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python("import os\ndef handler(event, context): os.kill(os.getpid(), event)")
        .await;
    for (signal, name) in [(9, "killed"), (11, "segmentation fault"), (6, "aborted")] {
        let ended = rig.invoke(&function, json!(signal)).await.unwrap();
        assert_eq!(
            ended.error(),
            (
                "Runtime.ExitError".to_owned(),
                format!("RequestId: <id> Error: Runtime exited with error: signal: {name}")
            )
        );
    }
    rig.end().await;
}

async fn out_of_memory() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python("def handler(event, context): return len(bytearray(event) + b'x')")
        .await;
    let small = rig.invoke(&function, json!(1000)).await.unwrap();
    assert_eq!(small.result(), json!(1001));
    let used = small.outcome.report.max_memory_mib;
    assert!((1..256).contains(&used), "{used}");
    let ended = rig.invoke(&function, json!(1 << 30)).await.unwrap();
    assert_eq!(
        ended.error(),
        (
            "Runtime.OutOfMemory".to_owned(),
            "RequestId: <id> Error: Runtime exited with error: signal: killed".to_owned()
        )
    );
    assert_eq!(rig.result(&function, json!(1)).await, json!(2));
    rig.end().await;
}

const REPEAT: &str = "count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    \
                      return count if event is None else 'x' * event";

async fn a_response_above_the_limit_keeps_the_environment() {
    let rig = Rig::new(|_| {}).await;
    let function = rig.python(REPEAT).await;
    for size in [6_291_555, 7_000_000, 20_000_000] {
        let ended = rig.invoke(&function, json!(size)).await.unwrap();
        assert_eq!(
            ended.error(),
            (
                "Function.ResponseSizeTooLarge".to_owned(),
                "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
                    .to_owned()
            )
        );
        // The caller has its answer while the runtime still sends: a caller that comes now may get a new environment.
        rig.until("the environment is idle again", |stats| stats.idle == 1)
            .await;
    }
    assert_eq!(
        rig.result(&function, json!(null)).await,
        json!(4),
        "the same environment"
    );
    rig.end().await;
}

async fn a_response_at_the_limit_arrives() {
    let rig = Rig::new(|_| {}).await;
    let function = rig.python(REPEAT).await;
    // The quotes count.
    let ended = rig.invoke(&function, json!(6_291_554)).await.unwrap();
    assert_eq!(ended.outcome.error, None);
    assert_eq!(ended.outcome.payload.len(), 6_291_556);
    rig.end().await;
}

async fn a_caller_that_goes_away_leaves_the_environment_usable() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python("import time\ncount = 0\ndef handler(event, context):\n    global count\n    count += 1\n    time.sleep(event)\n    return count")
        .await;
    rig.result(&function, json!(0)).await;
    {
        let leaves = rig.invoke(&function, json!(0.3));
        let left = tokio::time::timeout(Duration::from_millis(50), leaves).await;
        assert!(left.is_err());
    }
    rig.until("the environment is idle again", |stats| stats.idle == 1)
        .await;
    assert_eq!(rig.result(&function, json!(0)).await, json!(3));
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

async fn an_environment_that_ends_between_invocations_is_replaced() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python(
            "import os, threading\ndef handler(event, context):\n    if event:\n        \
             threading.Timer(0.05, os._exit, [3]).start()\n    return 'ok'",
        )
        .await;
    assert_eq!(rig.result(&function, json!(true)).await, json!("ok"));
    rig.until("the environment has ended", |stats| stats.environments == 0)
        .await;
    assert_eq!(rig.result(&function, json!(false)).await, json!("ok"));
    assert_eq!(rig.stats().started, 2);
    rig.end().await;
}
