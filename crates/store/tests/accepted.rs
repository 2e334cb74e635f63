//! What the stores of rules and of schedules accept is on the disk before they say so, and on a full disk they refuse.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use hearth_store::rules::{Address, NewRuleEvent, RuleInput, RuleStoreError, RuleTarget, Told};
use hearth_store::schedules::{
    Due, NewSchedule, Place, Schedule, ScheduleStoreError, Settings, Target,
};
use hearth_store::{RuleBounds, ScheduleBounds, SqliteRuleStore, SqliteScheduleStore, StoreError};
use hearth_types::time::Timestamp;
use support::{ANSWERED, SmallDisk, again, answers_after_fsync, strace};
use tempfile::TempDir;

/// Tells the test binary, run again, that it is the child: where its databases are.
const FOLDER: &str = "HEARTH_STORE_TEST_ACCEPTED";
/// And in which of the two it writes.
const KIND: &str = "HEARTH_STORE_TEST_ACCEPTED_KIND";
/// How often.
const TIMES: u64 = 30;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn rules(folder: &Path) -> SqliteRuleStore {
    SqliteRuleStore::open(folder.join("rules.db"), RuleBounds::default()).unwrap()
}

fn schedules(folder: &Path) -> SqliteScheduleStore {
    SqliteScheduleStore::open(folder.join("schedules.db"), ScheduleBounds::default()).unwrap()
}

/// An event on its way to two targets.
fn event(body: String) -> NewRuleEvent {
    let told = ["a", "b"].map(|arn| {
        let target = RuleTarget {
            arn: arn.to_owned(),
            role: None,
            input: RuleInput::Whole,
            message_group: None,
            dead_letters: None,
            most_age_seconds: None,
            most_retries: None,
        };
        let rule = "rule".to_owned();
        Arc::new(Address::new(&Told { rule, target }).unwrap())
    });
    NewRuleEvent {
        body,
        trace: None,
        told: told.to_vec(),
    }
}

fn place() -> Place {
    Place {
        account: "000000000000".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
    }
}

fn settings(input: &str) -> Settings {
    Settings {
        expression: "rate(1 minute)".to_owned(),
        zone: "UTC".to_owned(),
        start: None,
        end: None,
        description: None,
        enabled: true,
        window_minutes: None,
        delete_after: false,
        target: Target {
            arn: "arn".to_owned(),
            role: "role".to_owned(),
            input: Some(input.to_owned()),
            message_group: None,
            dead_letters: None,
            most_age_seconds: None,
            most_retries: None,
        },
    }
}

async fn make_group(store: &SqliteScheduleStore) {
    store
        .create_group(&place(), "g".to_owned(), BTreeMap::new(), None, at(0))
        .await
        .unwrap();
}

async fn make(
    store: &SqliteScheduleStore,
    name: String,
    input: String,
) -> Result<(), ScheduleStoreError> {
    let new = move |_| NewSchedule {
        settings: settings(&input),
        next: Some(Due {
            scheduled: at(10),
            at: at(10),
        }),
    };
    let place = place();
    store
        .create((&place, "g".to_owned(), name), new, None, at(0))
        .await
}

async fn due(store: &SqliteScheduleStore) -> Vec<Schedule> {
    let due = store.due(at(10), 100).await.unwrap();
    due.into_iter().map(|(_, one)| one.unwrap()).collect()
}

/// Accepts one after the other, and says so each time.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let say = |n| {
        // One write call a line, as the trace shows it.
        let line = format!("{ANSWERED}{n}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    };
    runtime.block_on(async {
        if std::env::var(KIND).unwrap() == "rules" {
            let store = rules(folder);
            for n in 0..TIMES {
                let events = vec![event(n.to_string()), event(n.to_string())];
                store.accept(events, at(0)).await.unwrap();
                say(n);
            }
        } else {
            let store = schedules(folder);
            make_group(&store).await;
            say(0);
            for n in 1..TIMES {
                make(&store, n.to_string(), "1".to_owned()).await.unwrap();
                say(n);
            }
        }
        // Nothing is dropped: the store is not closed.
        std::process::exit(0);
    });
}

#[tokio::test]
async fn an_fsync_comes_before_each_answer() {
    for kind in ["rules", "schedules"] {
        let folder = TempDir::new().unwrap();
        let trace = folder.path().join("trace");
        let Some(wrapper) = strace(&trace) else {
            return;
        };
        let mut child = again(&wrapper);
        let ended = child.env(FOLDER, folder.path()).env(KIND, kind).output();
        let ended = ended.unwrap();
        assert!(ended.status.success(), "{kind}: {ended:?}");
        let database = folder.path().join(format!("{kind}.db"));
        assert_eq!(answers_after_fsync(&trace, &database), TIMES, "{kind}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_events_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let store = rules(disk.path());
    let large = |n: u64| event(format!("{n}{}", "x".repeat(64 << 10)));
    let mut accepted = vec![large(0).body];
    store.accept(vec![large(0)], at(0)).await.unwrap();
    for round in 1..3 {
        let ballast = disk.fill();
        let full = |result: Result<(), RuleStoreError>| {
            let error = result.unwrap_err();
            let kind = matches!(error, RuleStoreError::Store(StoreError::Full(_)));
            assert!(kind, "{error}");
        };
        // Alone, together with others in one request, and with other requests in one transaction.
        full(store.accept(vec![large(9)], at(0)).await);
        full(store.accept(vec![large(9), large(9)], at(0)).await);
        let both = tokio::join!(
            store.accept(vec![large(9)], at(0)),
            store.accept(vec![large(9)], at(0))
        );
        full(both.0);
        full(both.1);
        fs::remove_file(ballast).unwrap();
        store.accept(vec![large(round)], at(0)).await.unwrap();
        accepted.push(large(round).body);
    }
    drop(store);
    let due = rules(disk.path())
        .due(at(0), 100, usize::MAX)
        .await
        .unwrap();
    let found: Vec<_> = due.into_iter().map(|one| one.unwrap().body).collect();
    // Each for both of its targets, and nothing of what was refused.
    let twice = accepted
        .iter()
        .flat_map(|body| [body.clone(), body.clone()]);
    assert_eq!(found, twice.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_disk_refuses_schedules_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let store = schedules(disk.path());
    make_group(&store).await;
    let large = || "x".repeat(64 << 10);
    make(&store, "0".to_owned(), large()).await.unwrap();
    for round in 1..3 {
        let ballast = disk.fill();
        for n in 0..3 {
            let error = make(&store, format!("refused{n}"), large())
                .await
                .unwrap_err();
            let kind = matches!(error, ScheduleStoreError::Store(StoreError::Full(_)));
            assert!(kind, "{error}");
        }
        // What is there is read, and so fires.
        assert_eq!(due(&store).await.len(), round);
        fs::remove_file(ballast).unwrap();
        make(&store, round.to_string(), large()).await.unwrap();
    }
    drop(store);
    let found: Vec<_> = due(&schedules(disk.path())).await;
    let names: Vec<_> = found.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["0", "1", "2"]);
}
