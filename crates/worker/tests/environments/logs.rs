//! What stands in the function's log, and in which order.

use hearth_types::function::LogFormat;
use serde_json::{Value, json};

use crate::rig::{PYTHON, Rig, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        lines_are_whole_and_in_order,
        everything_written_before_the_answer_is_before_end,
        the_tail_is_the_last_4_kilobytes,
        platform_lines_are_json_if_asked_for,
        a_flood_is_bounded_and_does_not_hold_up_others,
    ]
}

async fn lines_are_whole_and_in_order() {
    let rig = Rig::new(|_| {}).await;
    let source = "import sys\nprint('loading')\ndef handler(event, context):\n    print('one\\ntwo')\n    \
                  sys.stdout.write('no end')\n    return 1";
    let function = rig.python(source).await;
    let ended = rig.invoke(&function, json!({})).await.unwrap();
    ended.result();
    let log = rig.log().await;
    let log: Vec<&str> = log.iter().map(String::as_str).collect();
    let id = &ended.request_id;
    assert!(
        log[0].starts_with("INIT_START Runtime Version: python:3."),
        "{log:?}"
    );
    assert_eq!(
        &log[1..7],
        [
            "loading",
            &format!("START RequestId: {id} Version: $LATEST"),
            "one",
            "two",
            "no end",
            &format!("END RequestId: {id}")
        ]
    );
    assert!(
        log[7].starts_with(&format!("REPORT RequestId: {id}\tDuration: ")),
        "{log:?}"
    );
    assert_eq!(log.len(), 8);
    rig.end().await;
}

async fn everything_written_before_the_answer_is_before_end() {
    let rig = Rig::new(|_| {}).await;
    let source = "import os\ndef handler(event, context):\n    for n in range(500):\n        \
                  os.write(1 + n % 2, b'%d\\n' % n)\n    return 1";
    let function = rig.python(source).await;
    for _ in 0..10 {
        rig.invoke(&function, json!({})).await.unwrap().result();
    }
    let log = rig.log().await;
    let mut inside = false;
    let mut lines = 0;
    for line in &log {
        if line.starts_with("START") {
            inside = true;
        } else if line.starts_with("END") {
            assert_eq!(lines % 500, 0, "END came too early");
            inside = false;
        } else if line.parse::<u32>().is_ok() {
            assert!(inside);
            lines += 1;
        }
    }
    assert_eq!(lines, 10 * 500);
    rig.end().await;
}

async fn the_tail_is_the_last_4_kilobytes() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python("def handler(event, context):\n    for n in range(event): print(f'line {n}')")
        .await;
    let short = rig.invoke(&function, json!(2)).await.unwrap().tail();
    assert!(
        short.starts_with("START RequestId: <id> Version: $LATEST\nline 0\nline 1\nEND"),
        "{short}"
    );
    let ended = rig.invoke(&function, json!(10_000)).await.unwrap();
    assert_eq!(ended.outcome.log_tail.as_ref().unwrap().len(), 4096);
    assert!(
        ended
            .tail()
            .contains("line 9999\nEND RequestId: <id>\nREPORT"),
        "{}",
        ended.tail()
    );
    rig.end().await;
}

async fn platform_lines_are_json_if_asked_for() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .deploy(
            PYTHON,
            &[("app.py", "def handler(event, context): return 1")],
            |configuration| {
                configuration.logging.format = LogFormat::Json;
            },
        )
        .await;
    rig.result(&function, json!({})).await;
    let kinds: Vec<String> = rig
        .log()
        .await
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        kinds,
        ["platform.initStart", "platform.start", "platform.report"]
    );
    rig.end().await;
}

async fn a_flood_is_bounded_and_does_not_hold_up_others() {
    let rig = Rig::new(|_| {}).await;
    let flood = rig
        .deploy(
            PYTHON,
            &[(
                "app.py",
                "def handler(event, context):\n    while True: print('x' * 1000)",
            )],
            |configuration| configuration.timeout_s = 2,
        )
        .await;
    let victim = rig
        .python("def handler(event, context): return event")
        .await;
    let flooding = tokio::spawn({
        let (worker, flood) = (rig.worker.clone(), flood.clone());
        async move { crate::rig::invoke(&worker, &flood, json!({})).await }
    });
    rig.until("it runs", |stats| stats.busy == 1).await;
    let mut served = 0;
    while !flooding.is_finished() {
        assert_eq!(rig.result(&victim, json!(served)).await, json!(served));
        served += 1;
    }
    assert!(served > 20, "{served} invocations beside a flood");
    let ended = flooding.await.unwrap().unwrap();
    assert_eq!(ended.error().0, "Sandbox.Timedout");
    assert!(ended.tail().ends_with("Status: timeout\n"));
    rig.end().await;
}
