//! Components in processes of their accounts': what is between these and the rest, and how they end.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hearth_types::ErrorKind;
use hearth_types::function::{Deployment, DeploymentId};
use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::components::{PROCESS_MEMORY_MIB, deploy, event, rig};
use crate::rig::{self, Body, Rig, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        a_process_that_is_killed_takes_its_calls_with_it_and_no_more,
        accounts_have_a_process_each,
        a_process_sees_nothing_and_reaches_nobody,
        a_process_ends_when_it_is_idle,
        processes_that_cannot_start_are_not_tried_for_ever,
        a_folder_to_write_in_is_refused,
    ]
}

/// A memory size that no other test's processes have: their command lines tell them apart.
fn memory_mib() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs a test with components in processes.
pub(crate) fn inside(body: fn() -> Body) -> Body {
    Box::pin(async move { PROCESS_MEMORY_MIB.scope(memory_mib(), body()).await })
}

/// Runs a test with components in processes of a memory size that it is told.
async fn with_memory<T>(test: impl AsyncFnOnce(u32) -> T) -> T {
    let memory_mib = memory_mib();
    PROCESS_MEMORY_MIB.scope(memory_mib, test(memory_mib)).await
}

/// The processes of this memory size.
fn processes(memory_mib: u32) -> Vec<Pid> {
    // What they are told of their guests' memory.
    let marker = format!("\"memory_bytes\":{},", u64::from(memory_mib - 128) << 20);
    let running = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&marker)
    };
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(running)
        .filter_map(Pid::from_raw)
        .collect()
}

fn one(memory_mib: u32) -> Pid {
    let found = processes(memory_mib);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]
}

/// The same function of another account.
fn of_account(deployment: &Deployment, account: &str) -> Arc<Deployment> {
    let mut other = deployment.clone();
    other.id = DeploymentId::from_random(account.parse().unwrap());
    other.key.account = account.parse().unwrap();
    Arc::new(other)
}

async fn count(rig: &Rig, deployment: &Arc<Deployment>) {
    assert_eq!(
        rig.result(deployment, event("/counter")).await["body"],
        "1\n"
    );
}

async fn a_process_that_is_killed_takes_its_calls_with_it_and_no_more() {
    with_memory(async |memory_mib| {
        let (rig, _dir) = rig(|_| {}).await;
        let function = deploy(&rig, "abuse", &[], 60).await;
        count(&rig, &function).await;
        let before = one(memory_mib);
        for path in ["/sleep?ms=3600000", "/loop", "/never-finish"] {
            let process = one(memory_mib);
            let call = rig.invoke(&function, event(path));
            let killing = async {
                rig.until("it runs", |stats| stats.busy_lanes == 1).await;
                rustix::process::kill_process(process, Signal::KILL).unwrap();
            };
            let (ended, ()) = tokio::join!(call, killing);
            let error = ended.expect_err("the process is gone");
            assert_eq!(
                error.kind,
                ErrorKind::ServiceUnavailable,
                "{path}: {error:?}"
            );
            assert!(error.message.contains("process"), "{error:?}");
            // The next one comes to another process.
            count(&rig, &function).await;
        }
        assert_ne!(one(memory_mib), before);
        rig.end().await;
        assert_eq!(processes(memory_mib), []);
    })
    .await;
}

async fn accounts_have_a_process_each() {
    with_memory(async |memory_mib| {
        let (rig, _dir) = rig(|_| {}).await;
        let mine = deploy(&rig, "abuse", &[], 60).await;
        let theirs = of_account(&mine, "111111111111");
        count(&rig, &mine).await;
        let my_process = one(memory_mib);
        count(&rig, &theirs).await;
        assert_eq!(processes(memory_mib).len(), 2);
        // Another function of an account comes to the account's.
        count(&rig, &deploy(&rig, "abuse", &[], 60).await).await;
        assert_eq!(processes(memory_mib).len(), 2);

        let slow = rig.invoke(&theirs, event("/sleep?ms=300"));
        let killing = async {
            rig.until("it runs", |stats| stats.busy_lanes == 1).await;
            rustix::process::kill_process(my_process, Signal::KILL).unwrap();
        };
        let (ended, ()) = tokio::join!(slow, killing);
        assert_eq!(ended.unwrap().result()["body"], "slept\n");
        rig.end().await;
    })
    .await;
}

async fn a_process_sees_nothing_and_reaches_nobody() {
    with_memory(async |memory_mib| {
        let (rig, _dir) = rig(|_| {}).await;
        let function = deploy(&rig, "abuse", &[], 60).await;
        count(&rig, &function).await;
        let pid = one(memory_mib).as_raw_pid();

        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.unwrap_or_default().trim().to_owned()
        };
        assert_eq!(field("Seccomp"), "2");
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!(field("CapEff"), "0000000000000000");
        assert_eq!(field("CapBnd"), "0000000000000000");

        if rustix::process::geteuid().is_root() {
            assert_ne!(field("Uid").split('\t').next(), Some("0"));
            let root = PathBuf::from(format!("/proc/{pid}/root"));
            for hidden in ["home", "root", "var/lib", "sys", "run", "etc/shadow"] {
                assert!(!root.join(hidden).exists(), "{hidden}");
            }
            // What was mapped has no name any more, and nothing else was ever there.
            assert_eq!(fs::read_dir(root.join("var/task")).unwrap().count(), 0);
            assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
            // Its own loopback, and no way out of it.
            let links = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
            assert_eq!(links.lines().skip(2).count(), 1, "{links}");
            let routes = fs::read_to_string(format!("/proc/{pid}/net/route")).unwrap();
            assert_eq!(routes.lines().skip(1).count(), 0, "{routes}");
        }
        rig.end().await;
    })
    .await;
}

async fn a_process_ends_when_it_is_idle() {
    with_memory(async |memory_mib| {
        let (rig, _dir) = rig(|options| options.keep_warm = Duration::from_millis(50)).await;
        let function = deploy(&rig, "abuse", &[], 60).await;
        count(&rig, &function).await;
        rig.until("it is idle", |_| processes(memory_mib).is_empty())
            .await;
        count(&rig, &function).await;
        rig.end().await;
    })
    .await;
}

async fn processes_that_cannot_start_are_not_tried_for_ever() {
    with_memory(async |_| {
        let (rig, _dir) = rig(|options| {
            let components = options.components.as_mut().unwrap();
            // No folder, and never one.
            components.processes.as_mut().unwrap().dir = "/dev/null/processes".into();
        })
        .await;
        let function = deploy(&rig, "abuse", &[], 60).await;
        let mut kinds = Vec::new();
        // Each pause is twice as long as the one before: after a few, nobody waits.
        for _ in 0..8 {
            let error = rig.invoke(&function, event("/counter")).await;
            kinds.push(error.expect_err("no process").kind);
        }
        assert_eq!(kinds[0], ErrorKind::Service, "{kinds:?}");
        assert_eq!(kinds[7], ErrorKind::ServiceUnavailable, "{kinds:?}");
        rig.end().await;
    })
    .await;
}

async fn a_folder_to_write_in_is_refused() {
    with_memory(async |_| {
        let (rig, _dir) = rig(|_| {}).await;
        let function = deploy(&rig, "abuse", &[("hearth:tmp", "private")], 60).await;
        let error = rig.invoke(&function, event("/counter")).await;
        let error = error.expect_err("no wall for it");
        assert!(error.message.contains("/tmp"), "{error:?}");
        rig.end().await;
    })
    .await;
}

/// Prints what a call takes in the worker's own process and in the account's.
pub(crate) fn report() -> Body {
    Box::pin(async {
        here().await;
        with_memory(async |_| here().await).await;
    })
}

async fn here() {
    let (rig, _dir) = rig(|_| {}).await;
    let function = deploy(&rig, "hello", &[], 60).await;
    for _ in 0..200 {
        rig.result(&function, json!({})).await;
    }
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let begin = Instant::now();
        rig::invoke(&rig.worker, &function, json!({}))
            .await
            .unwrap();
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    println!("p50 {:?}, p99 {:?}", times[1_000], times[1_980]);
    rig.end().await;
}
