//! Bounds of the host: memory, number, time; and who goes when there is no room.

use std::sync::Arc;
use std::time::Duration;

use hearth_types::function::Deployment;
use hearth_types::{ApiError, ErrorKind};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::rig::{Ended, MEET, PYTHON, Rig, gate, invoke, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        the_least_recently_used_environment_makes_room,
        without_room_callers_are_told_to_try_again,
        a_function_that_never_fits,
        a_busy_function_shares_the_host,
        idle_environments_leave,
        an_old_environment_is_replaced,
        a_full_queue_is_throttled,
    ]
}

async fn sized(rig: &Rig, memory_mib: u32, source: &str) -> Arc<Deployment> {
    rig.deploy(PYTHON, &[("app.py", source)], |configuration| {
        configuration.memory_mib = memory_mib;
    })
    .await
}

const COUNT: &str =
    "count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count";

async fn the_least_recently_used_environment_makes_room() {
    let rig = Rig::new(|options| options.memory_bytes = 512 << 20).await;
    let first = sized(&rig, 256, COUNT).await;
    let second = sized(&rig, 256, COUNT).await;
    let third = sized(&rig, 256, COUNT).await;
    assert_eq!(rig.result(&first, json!({})).await, json!(1));
    assert_eq!(rig.result(&second, json!({})).await, json!(1));
    rig.until("both are idle", |stats| stats.idle == 2).await;
    assert_eq!(rig.result(&first, json!({})).await, json!(2));
    rig.until("both are idle", |stats| stats.idle == 2).await;
    assert_eq!(rig.result(&third, json!({})).await, json!(1));
    assert!(rig.stats().memory_mib <= 512);
    assert_eq!(
        rig.result(&first, json!({})).await,
        json!(3),
        "the one used later was kept"
    );
    rig.end().await;
}

const SLEEP: &str =
    "import time\ndef handler(event, context):\n    time.sleep(event)\n    return event";

/// A call in a task of its own.
fn call(
    rig: &Rig,
    function: &Arc<Deployment>,
    event: &'static str,
) -> JoinHandle<Result<Ended, ApiError>> {
    let (worker, function) = (rig.worker.clone(), Arc::clone(function));
    tokio::spawn(async move { invoke(&worker, &function, json!(event)).await })
}

async fn without_room_callers_are_told_to_try_again() {
    let (gate, change) = gate();
    let rig = Rig::new(|options| {
        change(options);
        options.max_environments = 1;
        options.queue_wait = Duration::from_secs(3);
    })
    .await;
    let busy = sized(&rig, 256, MEET).await;
    let other = sized(&rig, 256, MEET).await;
    let running = call(&rig, &busy, "meet");
    gate.asked.notified().await;
    let error = rig.invoke(&other, json!("")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ServiceUnavailable);
    gate.open.notify_one();
    running.await.unwrap().unwrap().result();
    rig.result(&other, json!("")).await;
    assert_eq!(rig.stats().environments, 1, "the idle one made room");
    rig.end().await;
}

async fn a_function_that_never_fits() {
    let rig = Rig::new(|options| options.memory_bytes = 256 << 20).await;
    let function = sized(&rig, 512, COUNT).await;
    let error = rig.invoke(&function, json!({})).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ServiceUnavailable);
    assert!(error.message.contains("512 MB"), "{error}");
    rig.end().await;
}

async fn a_busy_function_shares_the_host() {
    let rig = Rig::new(|options| options.max_environments = 2).await;
    let greedy = sized(&rig, 256, SLEEP).await;
    let modest = sized(&rig, 256, SLEEP).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (worker, greedy, stop) = (rig.worker.clone(), Arc::clone(&greedy), stop.clone());
            tokio::spawn(async move {
                while !stop.is_cancelled() {
                    invoke(&worker, &greedy, json!(0.05))
                        .await
                        .unwrap()
                        .result();
                }
            })
        })
        .collect();
    rig.until("it has taken all room", |stats| stats.busy == 2)
        .await;
    assert_eq!(rig.result(&modest, json!(0)).await, json!(0));
    stop.cancel();
    for caller in callers {
        caller.await.unwrap();
    }
    rig.end().await;
}

async fn idle_environments_leave() {
    let rig = Rig::new(|options| options.keep_warm = Duration::from_millis(100)).await;
    let function = sized(&rig, 256, COUNT).await;
    assert_eq!(rig.result(&function, json!({})).await, json!(1));
    rig.until("nothing is left", |stats| {
        stats.environments == 0 && stats.deployments == 0
    })
    .await;
    assert_eq!(
        rig.result(&function, json!({})).await,
        json!(1),
        "a new one"
    );
    rig.end().await;
}

async fn an_old_environment_is_replaced() {
    let rig = Rig::new(|options| options.max_lifetime = Duration::ZERO).await;
    let function = sized(&rig, 256, COUNT).await;
    // Each is too old as soon as it is ready; it must serve whoever waited for it all the same.
    for _ in 0..2 {
        assert_eq!(rig.result(&function, json!({})).await, json!(1));
    }
    rig.until("nothing is left", |stats| stats.environments == 0)
        .await;
    rig.end().await;
}

async fn a_full_queue_is_throttled() {
    let (gate, change) = gate();
    let rig = Rig::new(|options| {
        change(options);
        options.max_environments = 1;
        options.queue_length = 1;
    })
    .await;
    let function = sized(&rig, 256, MEET).await;
    let running = call(&rig, &function, "meet");
    gate.asked.notified().await;
    let waiting = call(&rig, &function, "");
    rig.until("one waits", |stats| stats.waiting == 1).await;
    let error = rig.invoke(&function, json!("")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooManyRequests);
    gate.open.notify_one();
    assert!(running.await.unwrap().is_ok() && waiting.await.unwrap().is_ok());
    rig.end().await;
}
