//! The store of queues: what it promises of messages, and what only a file on disk can show.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hearth_store::conformance::random::Random;
use hearth_store::once::Once;
use hearth_store::queues::{
    Created, Fate, Fifo, MOST_MOVE_TASKS, MoveState, NewMessage, NewMove, QueueKey,
    QueueStoreError, Received, Redrive, Settings, StartedMove,
};
use hearth_store::{QueueBounds, SqliteQueueStore};
use hearth_types::time::Timestamp;
use tempfile::TempDir;

fn key(name: &str) -> QueueKey {
    QueueKey {
        account: "000000000000".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        name: name.to_owned(),
    }
}

fn settings() -> Settings {
    Settings {
        delay_seconds: 0,
        message_bytes: 1 << 20,
        retention_seconds: 3_600,
        wait_seconds: 0,
        visibility_seconds: 30,
        fifo: None,
        redrive: None,
        redrive_allow: None,
    }
}

fn to_dead(most_receives: u32) -> Settings {
    Settings {
        redrive: Some(Redrive {
            target: "dead".to_owned(),
            most_receives,
        }),
        ..settings()
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn message(text: &str) -> NewMessage {
    NewMessage {
        id: format!("id of {text}"),
        body: text.to_owned(),
        attributes: String::new(),
        trace: None,
        group: None,
        deduplication: None,
        delay_seconds: None,
    }
}

fn in_group(text: &str, group: &str) -> NewMessage {
    NewMessage {
        group: Some(group.to_owned()),
        deduplication: Some(text.to_owned()),
        ..message(text)
    }
}

fn open(folder: &Path, bounds: QueueBounds, now: Timestamp) -> SqliteQueueStore {
    SqliteQueueStore::open(folder.join("queues.db"), bounds, now).unwrap()
}

struct Home {
    store: SqliteQueueStore,
    folder: TempDir,
}

impl Home {
    async fn with(queues: &[(&str, Settings)]) -> Self {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path(), QueueBounds::default(), at(0));
        for (name, settings) in queues {
            let made = store.create(key(name), settings.clone(), BTreeMap::new(), at(0));
            assert_eq!(made.await.unwrap(), Created::New);
        }
        Self { store, folder }
    }

    fn reopened(self, now: Timestamp) -> Self {
        drop(self.store);
        let store = open(self.folder.path(), QueueBounds::default(), now);
        Self {
            store,
            folder: self.folder,
        }
    }

    async fn send(&self, queue: &str, messages: &[NewMessage], now: i64) {
        let sent = self.store.send(key(queue), messages.to_vec(), at(now));
        sent.await.unwrap();
    }

    async fn receive(&self, queue: &str, now: i64) -> Received {
        let received = self.store.receive(key(queue), 10, None, at(now));
        received.await.unwrap()
    }

    async fn texts(&self, queue: &str, now: i64) -> Vec<String> {
        bodies(&self.receive(queue, now).await)
    }

    /// Visible, in flight, delayed.
    async fn counts(&self, queue: &str, now: i64) -> (u64, u64, u64) {
        let queue = self.store.queue(key(queue)).await.unwrap().unwrap();
        let counts = self.store.counts(&queue, at(now));
        (counts.visible, counts.in_flight, counts.delayed)
    }
}

fn bodies(received: &Received) -> Vec<String> {
    let texts = received.messages.iter();
    texts.map(|one| one.message.body.clone()).collect()
}

#[tokio::test]
async fn a_message_is_delivered_until_it_is_deleted_under_its_last_receipt() {
    let home = Home::with(&[("q", settings()), ("other", settings())]).await;
    home.send("q", &[message("a")], 1).await;
    let first = home.receive("q", 1).await;
    assert_eq!(bodies(&first), ["a"]);
    assert_eq!(first.next, Some(at(31)));
    assert_eq!(home.texts("q", 30).await, [""; 0]);
    let second = home.receive("q", 31).await;
    let (old, new) = (first.messages[0].receipt, second.messages[0].receipt);
    assert_eq!((old.delivery, new.delivery), (1, 2));
    assert_eq!(second.messages[0].first, at(1));

    let delete = |queue: &str, receipt| home.store.delete(key(queue), vec![receipt], at(32));
    assert_eq!(delete("q", old).await.unwrap(), [Fate::Stale]);
    assert_eq!(delete("other", new).await.unwrap(), [Fate::Foreign]);
    let change = |receipt, seconds, now| {
        let changes = vec![(receipt, seconds)];
        home.store.change_visibility(key("q"), changes, at(now))
    };
    assert_eq!(change(old, 0, 32).await.unwrap(), [Fate::Stale]);
    assert_eq!(change(new, 43_201, 32).await.unwrap(), [Fate::TooLong]);
    assert_eq!(change(new, 5, 32).await.unwrap(), [Fate::Done]);
    assert_eq!(change(new, 5, 37).await.unwrap(), [Fate::Visible]);
    let home = home.reopened(at(36));
    assert_eq!(home.counts("q", 36).await, (0, 1, 0));
    let third = home.receive("q", 37).await;
    let receipt = third.messages[0].receipt;
    let deleted = home.store.delete(key("q"), vec![receipt, receipt], at(37));
    assert_eq!(deleted.await.unwrap(), [Fate::Done, Fate::Stale]);
    assert_eq!(home.counts("q", 37).await, (0, 0, 0));
}

#[tokio::test]
async fn a_message_with_a_mark_is_taken_in_once() {
    let home = Home::with(&[("q", settings())]).await;
    let once = |mark, until| Once {
        series: "a".to_owned(),
        mark,
        until: at(until),
    };
    let send = async |home: &Home, queue: &str, text: &str, once: Once, now| {
        let sent = home
            .store
            .send_once(key(queue), message(text), once, at(now));
        sent.await
    };
    let missing = send(&home, "missing", "a", once(1, 100), 0).await;
    assert!(matches!(missing, Err(QueueStoreError::Missing)));
    assert!(!home.store.is_noted(once(1, 100)).await.unwrap());
    for text in ["a", "b"] {
        send(&home, "q", text, once(1, 100), 0).await.unwrap();
    }
    // A file that an earlier version wrote has no marks.
    let path = home.folder.path().join("queues.db");
    let home = home.reopened(at(0));
    assert!(home.store.is_noted(once(1, 100)).await.unwrap());
    send(&home, "q", "c", once(1, 100), 0).await.unwrap();
    assert_eq!(home.texts("q", 0).await, ["a"]);
    let Home { store, folder } = home;
    drop(store);
    let sql = "DROP TABLE once; DROP TABLE moves; PRAGMA user_version = 1";
    rusqlite::Connection::open(path)
        .unwrap()
        .execute_batch(sql)
        .unwrap();
    let store = open(folder.path(), QueueBounds::default(), at(0));
    let home = Home { store, folder };
    send(&home, "q", "d", once(1, 100), 0).await.unwrap();
    // It is forgotten some time after it may be: with later marks.
    let other = Once {
        series: "b".to_owned(),
        ..once(1, 300)
    };
    send(&home, "q", "e", other, 101).await.unwrap();
    assert!(!home.store.is_noted(once(1, 100)).await.unwrap());
    // The first is due again since 30 s.
    assert_eq!(home.texts("q", 101).await, ["d", "a", "e"]);
}

#[tokio::test]
async fn delayed_messages_come_when_they_are_due_and_old_ones_never() {
    let home = Home::with(&[("q", settings())]).await;
    let later = NewMessage {
        delay_seconds: Some(60),
        ..message("later")
    };
    home.send("q", &[later, message("now")], 0).await;
    assert_eq!(home.counts("q", 1).await, (1, 0, 1));
    assert_eq!(home.texts("q", 1).await, ["now"]);
    assert_eq!(home.counts("q", 1).await, (0, 1, 1));
    assert_eq!(home.texts("q", 60).await, ["now", "later"]);
    // An hour after they were sent both are gone, whether somebody asks or not.
    assert_eq!(home.texts("q", 3_600).await, [""; 0]);
    home.send("q", &[message("unread")], 4_000).await;
    assert!(!home.store.sweep(at(7_599)).await.unwrap());
    assert_eq!(home.counts("q", 7_599).await, (1, 0, 0));
    home.store.sweep(at(7_601)).await.unwrap();
    assert_eq!(home.counts("q", 7_601).await, (0, 0, 0));
}

#[tokio::test]
async fn what_is_received_too_often_goes_to_the_dead_letter_queue() {
    let redrive = Redrive {
        target: "dead".to_owned(),
        most_receives: 2,
    };
    let source = Settings {
        redrive: Some(redrive),
        ..settings()
    };
    let home = Home::with(&[("dead", settings()), ("q", source)]).await;
    home.send("q", &[message("poison"), message("good")], 0)
        .await;
    let first = home.receive("q", 0).await;
    let good = first.messages[1].receipt;
    home.store
        .delete(key("q"), vec![good], at(0))
        .await
        .unwrap();
    assert_eq!(home.texts("q", 30).await, ["poison"]);
    assert_eq!(home.texts("q", 60).await, [""; 0]);
    let home = home.reopened(at(60));
    assert_eq!(home.counts("q", 60).await, (0, 0, 0));
    let dead = home.receive("dead", 60).await;
    assert_eq!(bodies(&dead), ["poison"]);
    assert_eq!(dead.messages[0].came_from.as_deref(), Some("q"));
    // A receipt of the source has no power over it.
    let old = first.messages[0].receipt;
    let deleted = home
        .store
        .delete(key("q"), vec![old], at(60))
        .await
        .unwrap();
    assert_eq!(deleted, [Fate::Stale]);
    let sources = home.store.sources(key("dead"), String::new(), 10);
    assert_eq!(sources.await.unwrap(), ["q"]);
}

#[tokio::test]
async fn what_was_given_up_is_moved_back_whatever_happens_in_between() {
    let home = Home::with(&[
        ("a", to_dead(1)),
        ("b", to_dead(1)),
        ("dead", settings()),
        ("other", settings()),
    ])
    .await;
    for queue in ["a", "b"] {
        let texts = (0..3).map(|n| message(&format!("{queue}{n}")));
        home.send(queue, &texts.collect::<Vec<_>>(), 0).await;
        home.receive(queue, 0).await;
        home.receive(queue, 60).await;
    }
    assert_eq!(home.counts("dead", 60).await, (6, 0, 0));
    // One that somebody has now is left alone.
    let held = home.store.receive(key("dead"), 1, Some(1000), at(60));
    assert_eq!(bodies(&held.await.unwrap()).len(), 1);
    let back = NewMove {
        target: None,
        rate: Some(7),
    };
    let started = home.store.start_move(key("dead"), back.clone(), at(61));
    let StartedMove::New(task) = started.await.unwrap() else {
        panic!("none runs");
    };
    assert_eq!(
        home.store
            .start_move(key("dead"), back.clone(), at(61))
            .await
            .unwrap(),
        StartedMove::Another
    );
    assert!(home.store.advance_move(task, 2, at(62)).await.unwrap());
    let home = home.reopened(at(63));
    let running = home.store.running_moves().await.unwrap();
    assert_eq!(
        (running[0].task, running[0].moved, running[0].total),
        (task, 2, 5)
    );
    assert_eq!(running[0].rate, Some(7));
    // What comes while it runs is not its business.
    home.send("dead", &[message("late")], 63).await;
    assert!(home.store.advance_move(task, 3, at(64)).await.unwrap());
    assert!(!home.store.advance_move(task, 3, at(64)).await.unwrap());
    assert!(!home.store.advance_move(task, 3, at(64)).await.unwrap());
    let dead = home.store.queue(key("dead")).await.unwrap().unwrap();
    let tasks = home.store.moves(&dead).await.unwrap();
    assert_eq!((tasks[0].state, tasks[0].moved), (MoveState::Completed, 5));
    assert_eq!(home.counts("dead", 64).await, (1, 1, 0));
    let back_at_a = home.receive("a", 64).await;
    let back_at_b = home.receive("b", 64).await;
    assert_eq!(bodies(&back_at_a).len() + bodies(&back_at_b).len(), 5);
    for delivered in back_at_a.messages.iter().chain(&back_at_b.messages) {
        assert_eq!(delivered.receipt.delivery, 1, "its receives count anew");
        assert_eq!(
            (delivered.came_from.as_deref(), delivered.sent >= at(62)),
            (None, true)
        );
    }

    // A message that nobody gave up has nowhere to go back to; another queue takes it.
    let started = home.store.start_move(key("dead"), back, at(65));
    let StartedMove::New(task) = started.await.unwrap() else {
        panic!("none runs");
    };
    assert!(!home.store.advance_move(task, 9, at(65)).await.unwrap());
    let tasks = home.store.moves(&dead).await.unwrap();
    assert_eq!(tasks[0].state, MoveState::Failed);
    assert!(
        tasks[0]
            .reason
            .as_deref()
            .unwrap()
            .contains("DestinationArn")
    );
    let other = NewMove {
        target: Some("other".to_owned()),
        rate: None,
    };
    let started = home.store.start_move(key("dead"), other.clone(), at(66));
    let StartedMove::New(task) = started.await.unwrap() else {
        panic!("none runs");
    };
    let cancelled = home.store.cancel_move(key("dead"), task, at(66));
    assert_eq!(cancelled.await.unwrap(), Some(0));
    assert!(!home.store.advance_move(task, 9, at(66)).await.unwrap());
    let again = home.store.cancel_move(key("dead"), task, at(66));
    assert_eq!(again.await.unwrap(), None);
    for now in 67..80 {
        let started = home.store.start_move(key("dead"), other.clone(), at(now));
        let StartedMove::New(task) = started.await.unwrap() else {
            panic!("none runs");
        };
        assert!(!home.store.advance_move(task, 9, at(now)).await.unwrap());
    }
    assert_eq!(home.texts("other", 80).await, ["late"]);
    assert_eq!(
        home.store.moves(&dead).await.unwrap().len(),
        MOST_MOVE_TASKS
    );
    home.store.delete_queue(key("dead"), at(81)).await.unwrap();
    assert!(home.store.moves(&dead).await.unwrap().is_empty());
}

#[tokio::test]
async fn groups_are_in_order_and_wait_for_what_is_in_flight() {
    let fifo = Settings {
        fifo: Some(Fifo::default()),
        ..settings()
    };
    let home = Home::with(&[("q.fifo", fifo)]).await;
    let all = [("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a")];
    for (text, group) in all {
        home.send("q.fifo", &[in_group(text, group)], 0).await;
    }
    let one = home.store.receive(key("q.fifo"), 1, None, at(1));
    let one = one.await.unwrap();
    assert_eq!(bodies(&one), ["a1"]);
    assert_eq!(home.texts("q.fifo", 1).await, ["b1"]);
    // Both groups have something in flight.
    let none = home.receive("q.fifo", 2).await;
    assert_eq!((bodies(&none).len(), none.next), (0, Some(at(31))));
    let receipt = one.messages[0].receipt;
    home.store
        .delete(key("q.fifo"), vec![receipt], at(2))
        .await
        .unwrap();
    assert_eq!(home.texts("q.fifo", 2).await, ["a2", "a3"]);
    let home = home.reopened(at(31));
    assert_eq!(home.texts("q.fifo", 31).await, ["b1"]);
    assert_eq!(home.texts("q.fifo", 32).await, ["a2", "a3"]);
}

#[tokio::test]
async fn a_duplicate_is_the_message_that_was_there_first_for_five_minutes() {
    let fifo = Settings {
        fifo: Some(Fifo::default()),
        ..settings()
    };
    let home = Home::with(&[("q.fifo", fifo)]).await;
    let send = |now| {
        home.store
            .send(key("q.fifo"), vec![in_group("a", "g")], at(now))
    };
    let first = send(0).await.unwrap();
    assert_eq!(send(299).await.unwrap(), first);
    let receipt = home.receive("q.fifo", 1).await.messages[0].receipt;
    home.store
        .delete(key("q.fifo"), vec![receipt], at(1))
        .await
        .unwrap();
    // Deleting it does not make it forgotten.
    assert_eq!(send(299).await.unwrap(), first);
    assert_eq!(home.counts("q.fifo", 299).await, (0, 0, 0));
    assert!(send(300).await.unwrap()[0].number > first[0].number);
    home.store.sweep(at(700)).await.unwrap();
    assert_eq!(home.counts("q.fifo", 700).await, (1, 0, 0));
}

#[tokio::test]
async fn purged_and_deleted_queues_are_empty_at_once_and_leave_nothing() {
    let home = Home::with(&[("q", settings()), ("kept", settings())]).await;
    for n in 0..120 {
        let batch: Vec<_> = (0..10).map(|i| message(&format!("{n}/{i}"))).collect();
        home.send("q", &batch, 0).await;
    }
    home.send("kept", &[message("kept")], 0).await;
    let receipt = home.receive("q", 0).await.messages[0].receipt;
    home.store.purge(key("q"), at(1)).await.unwrap();
    assert_eq!(home.counts("q", 1).await, (0, 0, 0));
    let deleted = home.store.delete(key("q"), vec![receipt], at(1));
    assert_eq!(deleted.await.unwrap(), [Fate::Stale]);
    home.send("q", &[message("new")], 1).await;
    assert_eq!(home.texts("q", 1).await, ["new"]);
    home.store.delete_queue(key("q"), at(2)).await.unwrap();
    let gone = home.store.send(key("q"), vec![message("late")], at(2));
    assert!(matches!(gone.await, Err(QueueStoreError::Missing)));
    assert!(home.store.sweep(at(2)).await.unwrap());
    while home.store.sweep(at(2)).await.unwrap() {}
    // A new queue of the name has nothing of the old one's.
    let made = home
        .store
        .create(key("q"), settings(), BTreeMap::new(), at(2));
    assert_eq!(made.await.unwrap(), Created::New);
    assert_eq!(home.texts("q", 3).await, [""; 0]);
    let file = rusqlite::Connection::open(home.folder.path().join("queues.db")).unwrap();
    for table in ["messages", "places"] {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: u64 = file.query_row(&count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1, "{table}");
    }
}

#[tokio::test]
async fn bounds_refuse_before_anything_is_taken_in() {
    let folder = TempDir::new().unwrap();
    let bounds = QueueBounds {
        queues: 2,
        queue_messages: 3,
        messages: 4,
        bytes: 10_000,
    };
    let store = open(folder.path(), bounds, at(0));
    let make = |name: &str| store.create(key(name), settings(), BTreeMap::new(), at(0));
    assert_eq!(make("a").await.unwrap(), Created::New);
    assert_eq!(make("b").await.unwrap(), Created::New);
    assert_eq!(make("c").await.unwrap(), Created::Full);
    assert!(matches!(make("a").await.unwrap(), Created::Exists(_)));
    let send = |queue: &str, texts: &[&str]| {
        let messages = texts.iter().map(|text| message(text)).collect();
        store.send(key(queue), messages, at(0))
    };
    send("a", &["1", "2"]).await.unwrap();
    let full = |result| matches!(result, Err(QueueStoreError::Full));
    assert!(full(send("a", &["3", "4"]).await));
    assert!(full(send("b", &[&"x".repeat(9_000)]).await));
    send("b", &["1", "2"]).await.unwrap();
    assert!(full(send("b", &["3"]).await));
    let queue = store.queue(key("a")).await.unwrap().unwrap();
    assert_eq!(store.counts(&queue, at(0)).visible, 2);
}

#[tokio::test]
async fn a_damaged_message_is_not_delivered_and_holds_nobody_up() {
    let home = Home::with(&[("q", settings())]).await;
    home.send("q", &[message("flipped"), message("whole")], 0)
        .await;
    let path = home.folder.path().join("queues.db");
    drop(home.store);
    let file = rusqlite::Connection::open(&path).unwrap();
    let flip = "UPDATE messages SET body = 'flippee' WHERE body = 'flipped'";
    assert_eq!(file.execute(flip, []).unwrap(), 1);
    drop(file);
    let store = open(home.folder.path(), QueueBounds::default(), at(1));
    let received = store.receive(key("q"), 10, None, at(1)).await.unwrap();
    assert_eq!(bodies(&received), ["whole"]);
}

#[tokio::test]
async fn who_waits_is_told_of_each_message_once() {
    let home = Home::with(&[("q", settings())]).await;
    let queue = home.store.queue(key("q")).await.unwrap().unwrap();
    let waiter = home.store.waiter(&queue);
    let told = Arc::clone(&waiter);
    let told = tokio::spawn(async move { told.next().await });
    home.send("q", &[message("a")], 0).await;
    told.await.unwrap();
}

/// Tells the test binary, run again, that it is the child: where its folder is.
const FOLDER: &str = "HEARTH_STORE_TEST_QUEUES";

/// The child: sends, receives and deletes without end, and says what was answered.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let store = open(Path::new(&folder), QueueBounds::default(), at(0));
    let _ = store
        .create(key("q"), settings(), BTreeMap::new(), at(0))
        .await
        .unwrap();
    for n in 0_u64.. {
        let text = format!("{}-{n}", std::process::id());
        store
            .send(key("q"), vec![message(&text)], at(0))
            .await
            .unwrap();
        println!("sent {text}");
        if n % 3 == 0 {
            let received = store.receive(key("q"), 1, Some(0), at(0)).await.unwrap();
            for one in received.messages {
                let text = &one.message.body;
                println!("deleting {text}");
                let receipt = vec![one.receipt];
                store.delete(key("q"), receipt, at(0)).await.unwrap();
                println!("deleted {text}");
            }
        }
    }
}

/// Kills of a child, each at a moment of its own.
const KILLS: u64 = 12;

#[tokio::test]
async fn killed_at_any_moment_what_was_answered_is_there_and_what_was_deleted_is_not() {
    let folder = TempDir::new().unwrap();
    let mut random = Random::new(7);
    let (mut sent, mut deleting, mut deleted) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut left = 1 + random.below(60);
        for line in out.lines() {
            let line = line.unwrap();
            // The test runner's own words may be before it on the line.
            let Some((what, text)) = line.rsplit_once(' ') else {
                continue;
            };
            let set = match what.rsplit(' ').next() {
                Some("sent") => &mut sent,
                Some("deleting") => &mut deleting,
                Some("deleted") => &mut deleted,
                _ => continue,
            };
            set.insert(text.to_owned());
            if left == 1 {
                std::thread::sleep(Duration::from_micros(random.below(8000)));
                child.kill().unwrap();
            }
            left = left.saturating_sub(1);
        }
        child.wait().unwrap();
    }
    assert!(sent.len() > KILLS as usize && !deleted.is_empty());
    let store = open(folder.path(), QueueBounds::default(), at(1));
    let mut found = BTreeSet::new();
    loop {
        let received = store.receive(key("q"), 10, None, at(1)).await.unwrap();
        if received.messages.is_empty() {
            break;
        }
        found.extend(bodies(&received));
    }
    let lost: Vec<_> = sent.iter().filter(|text| !found.contains(*text)).collect();
    let explained = |text: &&&String| !deleting.contains(**text);
    let lost: Vec<_> = lost.iter().filter(explained).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let undead: Vec<_> = deleted.intersection(&found).collect();
    assert!(undead.is_empty(), "came back: {undead:?}");
}
