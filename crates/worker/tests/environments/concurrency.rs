//! One invocation at a time in an environment; more environments when callers would wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth_worker::{Door, WorkerOptions};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Barrier;

use crate::rig::{MEET, Rig, gate, invocation, key, runs, tests};
use hearth_types::invoke::Invoker as _;
use hearth_types::name::Version;

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        an_environment_is_used_again,
        a_second_caller_gets_a_second_environment,
        handlers_that_wait_for_each_other_all_run,
        handlers_that_used_to_be_short_and_now_wait_for_each_other_all_run,
        many_callers_of_a_short_function_share_environments,
        an_update_retires_old_environments,
        a_retired_busy_environment_finishes_first,
        shutdown_lets_invocations_finish,
        shutdown_ends_what_does_not_finish,
        a_launcher_that_dies_is_replaced,
    ]
}

const COUNT: &str =
    "count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count";

async fn an_environment_is_used_again() {
    let rig = Rig::new(|_| {}).await;
    let function = rig.python(COUNT).await;
    for expected in 1..=20 {
        assert_eq!(rig.result(&function, json!({})).await, json!(expected));
    }
    assert_eq!(rig.stats().started, 1);
    rig.end().await;
}

/// A door that answers only when as many have asked as `barrier` says.
pub(crate) fn meeting(barrier: Arc<Barrier>) -> impl FnOnce(&mut WorkerOptions) {
    move |options| {
        let door: Door = Arc::new(move |_, mut stream| {
            let barrier = Arc::clone(&barrier);
            Box::pin(async move {
                let mut asked = [0];
                if stream.read_exact(&mut asked).await.is_ok() {
                    barrier.wait().await;
                    let _ = stream.write_all(b"!").await;
                }
            })
        });
        options.door = door;
    }
}

/// Runs the handler as often at once; gives how many environments did it.
async fn meet(
    rig: &Rig,
    function: &Arc<hearth_types::function::Deployment>,
    count: usize,
) -> usize {
    let calls = (0..count).map(|_| rig.result(function, json!("meet")));
    let environments = futures_util::future::join_all(calls).await;
    environments
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect::<std::collections::HashSet<_>>()
        .len()
}

async fn a_second_caller_gets_a_second_environment() {
    let rig = Rig::new(meeting(Arc::new(Barrier::new(2)))).await;
    let function = rig.python(MEET).await;
    assert_eq!(meet(&rig, &function, 2).await, 2);
    rig.until("both are idle", |stats| stats.idle == 2).await;
    assert_eq!(rig.stats().started, 2);
    rig.end().await;
}

async fn handlers_that_wait_for_each_other_all_run() {
    let rig = Rig::new(meeting(Arc::new(Barrier::new(8)))).await;
    let function = rig.python(MEET).await;
    assert_eq!(meet(&rig, &function, 8).await, 8);
    rig.end().await;
}

async fn handlers_that_used_to_be_short_and_now_wait_for_each_other_all_run() {
    let rig = Rig::new(meeting(Arc::new(Barrier::new(8)))).await;
    let function = rig.python(MEET).await;
    for _ in 0..20 {
        rig.result(&function, json!("short")).await;
    }
    assert_eq!(rig.stats().started, 1);
    assert_eq!(meet(&rig, &function, 8).await, 8);
    rig.end().await;
}

async fn many_callers_of_a_short_function_share_environments() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .python("def handler(event, context): return event")
        .await;
    // So many that how long it takes is known, whatever a busy host did to the first of them.
    for n in 0..20 {
        rig.result(&function, json!(n)).await;
    }
    let callers = (0..64).map(|caller| {
        let (rig, function) = (&rig, &function);
        async move {
            for n in 0..10 {
                assert_eq!(
                    rig.result(function, json!([caller, n])).await,
                    json!([caller, n])
                );
            }
        }
    });
    futures_util::future::join_all(callers).await;
    let started = rig.stats().started;
    assert!(
        started < 32,
        "{started} environments for 64 callers of a short function"
    );
    rig.end().await;
}

async fn an_update_retires_old_environments() {
    let rig = Rig::new(|_| {}).await;
    let old = rig
        .python("def handler(event, context): return 'old'")
        .await;
    let new = rig
        .python("def handler(event, context): return 'new'")
        .await;
    assert_eq!(rig.result(&old, json!({})).await, json!("old"));
    rig.until("the old one is idle", |stats| stats.idle == 1)
        .await;
    assert_eq!(rig.result(&new, json!({})).await, json!("new"));
    rig.until("both are idle", |stats| stats.idle == 2).await;
    rig.worker.retire(&key(), Version::Number(1), None);
    assert_eq!(rig.stats().idle, 2, "another version");
    rig.worker.retire(&key(), Version::Latest, Some(new.id));
    rig.until("the old one is gone", |stats| stats.environments == 1)
        .await;
    assert_eq!(rig.result(&new, json!({})).await, json!("new"));
    assert_eq!(rig.stats().started, 2);
    assert_eq!(
        rig.result(&old, json!({})).await,
        json!("old"),
        "whoever still asks is served"
    );
    rig.until("and leaves nothing", |stats| stats.environments == 1)
        .await;
    rig.worker.retire(&key(), Version::Latest, None);
    rig.until("a deleted function leaves nothing", |stats| {
        stats.environments == 0
    })
    .await;
    rig.end().await;
}

async fn a_retired_busy_environment_finishes_first() {
    let (gate, change) = gate();
    let rig = Rig::new(change).await;
    let function = rig.python(MEET).await;
    let running = tokio::spawn({
        let worker = rig.worker.clone();
        let invocation = invocation(&function, json!("meet"));
        async move { worker.invoke(invocation).await }
    });
    gate.asked.notified().await;
    rig.worker.retire(&key(), Version::Latest, None);
    assert_eq!(rig.stats().busy, 1);
    gate.open.notify_one();
    let outcome = running.await.unwrap().unwrap();
    assert_eq!(outcome.error, None);
    rig.until("it is gone", |stats| stats.environments == 0)
        .await;
    rig.end().await;
}

async fn shutdown_lets_invocations_finish() {
    let (gate, change) = gate();
    let rig = Rig::new(change).await;
    let function = rig.python(MEET).await;
    let running = tokio::spawn({
        let worker = rig.worker.clone();
        let invocation = invocation(&function, json!("meet"));
        async move { worker.invoke(invocation).await }
    });
    gate.asked.notified().await;
    let ending = tokio::spawn({
        let worker = rig.worker.clone();
        async move { worker.shutdown(Duration::from_secs(30)).await }
    });
    // Refused from the moment on that shutdown has begun.
    let refused = async {
        while rig.invoke(&function, json!("short")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused)
        .await
        .unwrap();
    gate.open.notify_one();
    assert_eq!(running.await.unwrap().unwrap().error, None);
    ending.await.unwrap();
    let error = rig.invoke(&function, json!("short")).await.unwrap_err();
    assert!(error.kind.retryable(), "{error}");
    rig.end().await;
}

async fn shutdown_ends_what_does_not_finish() {
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    let results = Arc::new(Mutex::new(Vec::new()));
    let rig = Rig::new(|options| {
        options.door = Arc::new(move |_, stream| {
            seen.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                let _stream = stream;
                std::future::pending().await
            })
        });
    })
    .await;
    let marker = format!("hearth-test-{}", std::process::id());
    let source = format!(
        "import socket, subprocess\ndef handler(event, context):\n    \
         subprocess.Popen(['/bin/sh', '-c', 'sleep 1000; echo {marker}'])\n    \
         s = socket.create_connection(('127.0.0.1', 9002))\n    s.recv(1)"
    );
    let function = rig.python(&source).await;
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let worker = rig.worker.clone();
            let results = Arc::clone(&results);
            let invocation = invocation(&function, json!({}));
            tokio::spawn(async move {
                let result = worker.invoke(invocation).await;
                results.lock().unwrap().push(result);
            })
        })
        .collect();
    rig.until("all run", |_| asked.load(Ordering::SeqCst) == 3)
        .await;
    assert!(
        runs(&marker),
        "the control: a process of the function is seen"
    );
    rig.worker.shutdown(Duration::from_millis(100)).await;
    assert!(!runs(&marker), "a process was left");
    futures_util::future::join_all(callers).await;
    for result in results.lock().unwrap().iter() {
        assert!(
            result.as_ref().is_err_and(|error| error.kind.retryable()),
            "{result:?}"
        );
    }
    rig.end().await;
}

async fn a_launcher_that_dies_is_replaced() {
    let (gate, change) = gate();
    let rig = Rig::new(change).await;
    let function = rig.python(MEET).await;
    let running = tokio::spawn({
        let worker = rig.worker.clone();
        let invocation = invocation(&function, json!("meet"));
        async move { worker.invoke(invocation).await }
    });
    gate.asked.notified().await;
    rig.launcher.shutdown().await;
    let error = running.await.unwrap().unwrap_err();
    assert!(
        error.kind.retryable(),
        "the function is not to blame: {error}"
    );
    rig.until("its environment is gone", |stats| stats.environments == 0)
        .await;
    // A caller that tries again, as it was told to.
    let served = async {
        loop {
            match rig.invoke(&function, json!("short")).await {
                Ok(ended) => break ended,
                Err(error) => assert!(error.kind.retryable(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), served)
        .await
        .unwrap()
        .result();
    rig.end().await;
}
