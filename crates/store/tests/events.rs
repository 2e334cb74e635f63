//! The store of events: its suite, and what only a file on disk can show.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use hearth_store::conformance::events::memory::{MemoryEventStore, MemoryEvents};
use hearth_store::conformance::events::{BOUNDS, Home, check};
use hearth_store::conformance::samples::key;
use hearth_store::events::{Event, EventError, EventStore as _, State, Step};
use hearth_store::{EventOptions, SqliteEventStore, StoreError};
use hearth_types::event_invoke::Condition;
use hearth_types::invoke::RequestId;
use hearth_types::time::Timestamp;
use support::{SmallDisk, again, answers_after_fsync, strace};
use tempfile::TempDir;

struct SqliteHome(TempDir);

fn database(folder: &Path) -> PathBuf {
    folder.join("events.db")
}

impl Home for SqliteHome {
    type Store = SqliteEventStore;

    async fn open(&self) -> Result<SqliteEventStore, StoreError> {
        SqliteEventStore::open(database(self.0.path()), BOUNDS)
    }
}

impl Home for MemoryHome {
    type Store = MemoryEventStore;

    async fn open(&self) -> Result<MemoryEventStore, StoreError> {
        Ok(self.0.open())
    }
}

struct MemoryHome(MemoryEvents);

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    check(|| SqliteHome(TempDir::new().unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_keeps_the_contract() {
    check(|| MemoryHome(MemoryEvents::new(BOUNDS))).await;
}

fn open(path: &Path) -> SqliteEventStore {
    SqliteEventStore::open(path, EventOptions::default()).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn event(n: u64) -> Event {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    Event {
        id: RequestId::from_random(bytes),
        function: key("f"),
        qualifier: None,
        payload: Bytes::from(n.to_string()),
        client_context: None,
        trace_id: String::new(),
        accepted: at(0),
        due: at(0),
    }
}

/// Tells the test binary, run again, that it is the child: where its database is.
const DATABASE: &str = "HEARTH_STORE_TEST_EVENTS";
/// And how many events it accepts.
const EVENTS: &str = "HEARTH_STORE_TEST_EVENTS_COUNT";
/// And which is the first.
const FROM: &str = "HEARTH_STORE_TEST_EVENTS_FROM";
/// And that it accepts one after the other, and runs none.
const ALONE: &str = "HEARTH_STORE_TEST_EVENTS_ALONE";
/// How far the numbers of events that are accepted beside others are from theirs.
const BESIDE: u64 = 1_000_000;
/// Kills: enough to hit every part of a commit.
const ROUNDS: u64 = 20;

/// Accepts events, some at the same time, and runs every second one to its end; says what was answered.
#[test]
fn child() {
    let Ok(path) = std::env::var(DATABASE) else {
        return;
    };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let (from, events) = (number(FROM), number(EVENTS));
    let alone = std::env::var(ALONE).is_ok();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let store = Arc::new(open(Path::new(&path)));
    let say = |line: String| {
        // One write call a line, so that the parent never reads half of one.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    };
    runtime.block_on(async {
        for n in from..from.saturating_add(events) {
            if !alone {
                // Often in the same transaction as the next.
                let (other, n) = (Arc::clone(&store), n + BESIDE);
                let beside = tokio::spawn(async move { other.accept(event(n)).await });
                store.accept(event(n - BESIDE)).await.unwrap();
                say(format!("answered {}\n", n - BESIDE));
                beside.await.unwrap().unwrap();
                say(format!("answered {n}\n"));
                let taken = store.take(&key("f"), at(0), 1).await.unwrap();
                let leased = &taken.events[0];
                store.settle(leased.lease, Step::Done).await.unwrap();
                say(format!("done {}\n", payload(&leased.event)));
            } else {
                store.accept(event(n)).await.unwrap();
                say(format!("answered {n}\n"));
            }
        }
        // Nothing is dropped: the store is not closed.
        std::process::exit(0);
    });
}

fn payload(event: &Event) -> u64 {
    std::str::from_utf8(&event.payload)
        .unwrap()
        .parse()
        .unwrap()
}

fn child_of(wrapper: &[&str], database: &Path, from: u64, events: u64) -> Command {
    let mut command = again(wrapper);
    command
        .env(DATABASE, database)
        .env(FROM, from.to_string())
        .env(EVENTS, events.to_string());
    command
}

#[tokio::test]
async fn killed_at_any_moment_all_that_was_answered_is_there() {
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    let (mut answered, mut done) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        let mut child = child_of(&[], &path, round * 10_000_000, BESIDE)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter(|line| line.starts_with("answered ") || line.starts_with("done "));
        let mut note = |line: String| {
            let (word, n) = line.split_once(' ').unwrap();
            let n: u64 = n.parse().unwrap();
            match word {
                "answered" => answered.insert(n),
                _ => done.insert(n),
            }
        };
        for _ in 0..=round {
            note(lines.next().expect("the child answers"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was still in the pipe was answered, too.
        lines.for_each(|line| {
            note(line);
        });

        let store = open(&path);
        store.reclaim(Box::new(|_| at(0))).await.unwrap();
        let mut there = BTreeSet::new();
        let mut after = None;
        loop {
            let page = store.list(&key("f"), State::Waiting, after, 1_000).await;
            let page = page.unwrap();
            for listed in page.events {
                let id = listed.id.to_string();
                there.insert(u64::from_str_radix(&id[24..], 16).unwrap());
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(
            done.is_disjoint(&there),
            "round {round}: one that was done with is back"
        );
        // A kill explains one that was done with before that was said.
        let open: BTreeSet<_> = answered.difference(&done).copied().collect();
        let missing: Vec<_> = open.difference(&there).collect();
        assert!(
            missing.len() as u64 <= round + 1,
            "round {round}: {missing:?} are lost"
        );
    }
}

#[test]
fn an_fsync_comes_before_each_answer() {
    const EVENTS: u64 = 40;
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let Some(wrapper) = strace(&trace) else {
        return;
    };
    let database = database(folder.path());
    let mut child = child_of(&wrapper, &database, 0, EVENTS);
    let ended = child.env(ALONE, "").output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(answers_after_fsync(&trace, &database), EVENTS);
}

#[tokio::test]
async fn what_finds_nothing_to_do_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(&database(folder.path()));
    store.accept(event(1)).await.unwrap();
    let written = || {
        fs::metadata(folder.path().join("events.db-wal"))
            .unwrap()
            .len()
    };
    let before = written();
    for _ in 0..3 {
        let taken = store.take(&key("other"), at(0), 10).await.unwrap();
        assert!(taken.events.is_empty());
    }
    assert_eq!(written(), before);
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let path = database(disk.path());
    let store = open(&path);
    let large = |n| Event {
        payload: Bytes::from(vec![b'1'; 64 << 10]),
        ..event(n)
    };
    let mut accepted = Vec::new();
    store.accept(large(0)).await.unwrap();
    accepted.push(0);
    for round in 1..3 {
        let ballast = disk.fill();
        let before = store.counts().await.unwrap();
        let full = |result: Result<(), EventError>| {
            let error = result.unwrap_err();
            assert!(
                matches!(error, EventError::Store(StoreError::Full(_))),
                "{error}"
            );
        };
        // Alone, again and again, and together with others.
        for n in 0..3 {
            full(store.accept(large(100 * round + n)).await);
        }
        let (a, b) = tokio::join!(
            store.accept(large(100 * round + 3)),
            store.accept(large(100 * round + 4))
        );
        full(a);
        full(b);
        assert_eq!(
            store.counts().await.unwrap(),
            before,
            "nothing was accepted"
        );
        fs::remove_file(ballast).unwrap();
        store.accept(large(round)).await.unwrap();
        accepted.push(round);
    }
    drop(store);
    let store = open(&path);
    let taken = store.take(&key("f"), at(0), 10).await.unwrap();
    let found: Vec<_> = taken
        .events
        .into_iter()
        .map(|leased| leased.event)
        .collect();
    let expected: Vec<_> = accepted.into_iter().map(large).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_damaged_event_is_never_given_out() {
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    let marked = Event {
        payload: Bytes::from_static(b"\"the payload to look for\""),
        ..event(1)
    };
    let store = open(&path);
    store.accept(marked.clone()).await.unwrap();
    store.accept(event(2)).await.unwrap();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes
        .windows(marked.payload.len())
        .position(|window| window == &marked.payload[..])
        .unwrap();
    bytes[place + 5] ^= 4;
    fs::write(&path, bytes).unwrap();

    let store = open(&path);
    let taken = store.take(&key("f"), at(0), 10).await.unwrap();
    assert_eq!(taken.events.len(), 1);
    assert_eq!(taken.events[0].event, event(2));
    let dead = store.list(&key("f"), State::Dead, None, 10).await.unwrap();
    let (_, condition) = dead.events[0].ended.unwrap();
    assert_eq!(
        (dead.events[0].id, condition),
        (marked.id, Condition::Damaged)
    );
    // Nothing makes it run.
    assert_eq!(store.redrive(&key("f"), None, at(0)).await.unwrap(), 0);
    assert_eq!(store.dead(marked.id).await.unwrap(), None);
    assert_eq!(store.purge(&key("f"), None).await.unwrap(), 1);
}

#[tokio::test]
async fn a_log_whose_end_is_lost_is_found() {
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    let ended = child_of(&[], &path, 0, 10).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    // The child did not close it: what it was answered is in the log.
    let log = folder.path().join("events.db-wal");
    let length = fs::metadata(&log).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    file.set_len(length / 2).unwrap();
    let error = SqliteEventStore::open(&path, EventOptions::default()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}

#[test]
fn a_file_that_is_not_one_is_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    fs::write(
        &path,
        "not a database, but longer than the header of one: ".repeat(100),
    )
    .unwrap();
    let before = fs::read(&path).unwrap();
    let opened = SqliteEventStore::open(&path, EventOptions::default());
    assert!(matches!(opened, Err(StoreError::Corrupt(_))));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn its_files_are_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let _store = open(&database(folder.path()));
    for entry in fs::read_dir(folder.path()).unwrap() {
        let mode = entry.as_ref().unwrap().metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{entry:?}");
    }
}
