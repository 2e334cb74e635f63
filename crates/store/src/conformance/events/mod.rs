//! The suite that every store of events must pass: each sentence of [`crate::events`] has a case here.

pub mod memory;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use hearth_types::event_invoke::Condition;
use hearth_types::invoke::{FunctionError, RequestId};
use hearth_types::name::{FunctionKey, Version};
use hearth_types::time::Timestamp;

use super::random::Random;
use super::samples::key;
use crate::contract::StoreError;
use crate::events::{
    CAUSE_BYTES, Counts, End, Event, EventError, EventStore, Fault, FullQueue, Leased, MOST_DEAD,
    Settled, State, Step, TAKE_BYTES,
};
use crate::once::Once;
use crate::sqlite::EventOptions;
use memory::MemoryEvents;

/// The bounds that stores have in homes of this suite.
pub const BOUNDS: EventOptions = EventOptions {
    function_events: 400,
    function_bytes: 40 << 20,
    events: 1_000,
    bytes: 60 << 20,
    dead_bytes: 1 << 20,
};

/// A place that keeps the state of one store while it is closed. Its bounds are [`BOUNDS`].
pub trait Home: Send + Sync + 'static {
    /// The implementation.
    type Store: EventStore;

    /// Opens the store: the first time it is empty, later it has what was kept. It is closed by dropping it.
    fn open(&self) -> impl Future<Output = Result<Self::Store, StoreError>> + Send;
}

/// Runs every case, each in a home that `fresh` makes empty for it.
///
/// # Panics
/// If the store breaks the contract.
pub async fn check<H: Home>(fresh: impl Fn() -> H) {
    macro_rules! cases {
        ($($case:ident)+) => {
            $(
                eprintln!("event conformance: {}", stringify!($case));
                $case(&fresh()).await;
            )+
        };
    }
    cases! {
        events_read_back those_due_first_come_first functions_are_apart large_ones_come_a_few_at_a_time
            an_old_lease_changes_nothing tries_are_counted leases_of_the_gone_are_reclaimed
            full_queues_refuse_and_accept_again news_names_each_function ends_are_told_and_kept
            the_dead_are_shown_redriven_and_purged the_dead_have_bounds what_is_counted_is_there lists_give_each_event_once
            accepted_once_for_a_mark accepted_by_many_at_once dropped_calls_are_whole_or_not_there random_calls_equal_the_model
    }
}

async fn open<H: Home>(home: &H) -> H::Store {
    home.open().await.expect("the store opens")
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// An identifier that tells which event of a test it is.
fn id(n: u64) -> RequestId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    RequestId::from_random(bytes)
}

/// An event of the function `name`, accepted and due at `due`.
fn event(name: &str, n: u64, due: i64) -> Event {
    Event {
        id: id(n),
        function: key(name),
        qualifier: None,
        payload: Bytes::from(format!("{{\"n\":{n}}}")),
        client_context: None,
        trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793".to_owned(),
        accepted: at(due),
        due: at(due),
    }
}

fn end(millis: i64, message: &str) -> End {
    End {
        at: at(millis),
        condition: Condition::RetriesExhausted,
        attempts: 3,
        version: Some(Version::Number(7)),
        error: Some(FunctionError::Unhandled),
        message: message.to_owned(),
        response: Some(Bytes::from_static(b"{\"errorType\":\"E\"}")),
    }
}

async fn accept(store: &impl EventStore, event: Event) {
    store.accept(event).await.expect("there is room");
}

async fn take(store: &impl EventStore, name: &str, now: i64, most: usize) -> Vec<Leased> {
    let taken = store.take(&key(name), at(now), most).await;
    taken.expect("a take").events
}

async fn take_one(store: &impl EventStore, name: &str, now: i64) -> Leased {
    take(store, name, now, 1).await.pop().expect("one is due")
}

async fn settle(store: &impl EventStore, leased: &Leased, step: Step) {
    let settled = store.settle(leased.lease, step).await;
    assert_eq!(settled.expect("a settlement"), Settled::Yes);
}

fn again(due: i64) -> Step {
    Step::Again {
        due: at(due),
        fault: Fault::Function,
        cause: "it failed".to_owned(),
    }
}

async fn counts(store: &impl EventStore, name: &str) -> Counts {
    let all = store.counts().await.expect("counts");
    let own = all.into_iter().find(|(function, _)| *function == key(name));
    own.map(|(_, counts)| counts).unwrap_or_default()
}

async fn events_read_back<H: Home>(home: &H) {
    let store = open(home).await;
    let whole = Event {
        qualifier: Some("live".parse().expect("an alias")),
        payload: Bytes::from_static(b"\"\xf0\x9f\x94\xa5 \\u0000\""),
        client_context: Some("{\"custom\":{\"\u{e9}\":1}}".to_owned()),
        accepted: at(1_000),
        ..event("f", 1, 2_000)
    };
    let numbered = Event {
        qualifier: Some("12".parse().expect("a version")),
        payload: Bytes::new(),
        ..event("f", 2, 3_000)
    };
    accept(&store, whole.clone()).await;
    accept(&store, numbered.clone()).await;
    drop(store);
    let store = open(home).await;
    let taken = store.take(&key("f"), at(2_999), 10).await.expect("a take");
    assert_eq!(taken.events.len(), 1);
    assert_eq!(taken.events[0].event, whole);
    assert_eq!(taken.events[0].end, None);
    assert_eq!(taken.next, Some(at(3_000)));
    let taken = store.take(&key("f"), at(3_000), 10).await.expect("a take");
    assert_eq!(taken.events[0].event, numbered);
    assert_eq!(taken.next, None);
    // What is leased is not given again; what succeeded is gone.
    assert!(take(&store, "f", 9_000, 10).await.is_empty());
    settle(&store, &taken.events[0], Step::Done).await;
    assert_eq!(counts(&store, "f").await.running, 1);
}

async fn those_due_first_come_first<H: Home>(home: &H) {
    let store = open(home).await;
    for (n, due) in [(1, 300), (2, 100), (3, 200), (4, 100)] {
        accept(&store, event("f", n, due)).await;
    }
    assert!(take(&store, "f", 99, 10).await.is_empty());
    let first = take_one(&store, "f", 1_000).await;
    assert_eq!(
        first.event.id,
        id(2),
        "what was accepted first, if due at once"
    );
    // It is due again behind the others.
    settle(&store, &first, again(250)).await;
    let order: Vec<_> = take(&store, "f", 1_000, 10)
        .await
        .iter()
        .map(|leased| leased.event.id)
        .collect();
    assert_eq!(order, [id(4), id(3), id(2), id(1)]);
}

async fn functions_are_apart<H: Home>(home: &H) {
    let store = open(home).await;
    accept(&store, event("f", 1, 0)).await;
    accept(&store, event("g", 2, 0)).await;
    let mut elsewhere = event("f", 3, 0);
    elsewhere.function.region = "eu-central-1".parse().expect("a region");
    accept(&store, elsewhere.clone()).await;
    assert!(take(&store, "nobody", 1, 10).await.is_empty());
    let taken = take(&store, "f", 1, 10).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].event.id, id(1));
    let taken = store.take(&elsewhere.function, at(1), 10).await;
    assert_eq!(taken.expect("a take").events[0].event, elsewhere);
    assert_eq!(counts(&store, "g").await.queued, 1);
}

async fn large_ones_come_a_few_at_a_time<H: Home>(home: &H) {
    let store = open(home).await;
    let large = Bytes::from(vec![b'x'; TAKE_BYTES / 3]);
    for n in 0..4 {
        accept(
            &store,
            Event {
                payload: large.clone(),
                ..event("f", n, 0)
            },
        )
        .await;
    }
    let larger = Bytes::from(vec![b'x'; TAKE_BYTES + 1]);
    accept(
        &store,
        Event {
            payload: larger.clone(),
            ..event("f", 4, 0)
        },
    )
    .await;
    assert_eq!(take(&store, "f", 0, 10).await.len(), 2);
    let rest = store.take(&key("f"), at(0), 10).await.expect("a take");
    assert_eq!(rest.events.len(), 2);
    assert_eq!(rest.next, Some(at(0)));
    assert_eq!(take_one(&store, "f", 0).await.event.payload, larger);
}

async fn an_old_lease_changes_nothing<H: Home>(home: &H) {
    let store = open(home).await;
    accept(&store, event("f", 1, 0)).await;
    let first = take_one(&store, "f", 0).await;
    settle(&store, &first, again(5)).await;
    for step in [
        Step::Done,
        again(0),
        Step::Dead(end(0, "x")),
        Step::Tell {
            end: end(0, "x"),
            due: at(0),
        },
    ] {
        // While it waits, and while the next attempt runs.
        let settled = store.settle(first.lease, step.clone()).await;
        assert_eq!(settled.expect("a settlement"), Settled::Stale);
    }
    let second = take_one(&store, "f", 5).await;
    assert_ne!(second.lease, first.lease);
    let settled = store.settle(first.lease, Step::Done).await;
    assert_eq!(settled.expect("a settlement"), Settled::Stale);
    // A lease of a process that is gone does not hold for the next one.
    drop(store);
    let store = open(home).await;
    assert_eq!(
        store
            .reclaim(Box::new(|_| at(7)))
            .await
            .expect("it reclaims"),
        1
    );
    let settled = store.settle(second.lease, Step::Done).await;
    assert_eq!(settled.expect("a settlement"), Settled::Stale);
    let third = take_one(&store, "f", 7).await;
    let settled = store.settle(second.lease, Step::Done).await;
    assert_eq!(settled.expect("a settlement"), Settled::Stale);
    settle(&store, &third, Step::Done).await;
    let settled = store.settle(third.lease, Step::Done).await;
    assert_eq!(settled.expect("a settlement"), Settled::Stale);
    assert_eq!(counts(&store, "f").await, Counts::default());
}

async fn tries_are_counted<H: Home>(home: &H) {
    let store = open(home).await;
    accept(&store, event("f", 1, 0)).await;
    let steps = [
        (Fault::Platform, (1, 0, 0)),
        (Fault::Platform, (2, 0, 1)),
        (Fault::Function, (3, 0, 2)),
        (Fault::Platform, (4, 1, 0)),
        (Fault::Function, (5, 1, 1)),
    ];
    for (fault, seen) in steps {
        let leased = take_one(&store, "f", 0).await;
        let tries = leased.tries;
        assert_eq!((tries.begun, tries.failed, tries.deferred), seen);
        let step = Step::Again {
            due: at(0),
            fault,
            cause: "\u{e9}".repeat(CAUSE_BYTES),
        };
        settle(&store, &leased, step).await;
    }
    let listed = store.list(&key("f"), State::Waiting, None, 10).await;
    let listed = listed.expect("a list").events.remove(0);
    assert_eq!(listed.tries.begun, 5);
    assert_eq!(listed.tries.failed, 2);
    assert_eq!(listed.cause.expect("a cause").len(), CAUSE_BYTES);
    assert_eq!(counts(&store, "f").await.retrying, 1);
}

async fn leases_of_the_gone_are_reclaimed<H: Home>(home: &H) {
    let store = open(home).await;
    for n in 0..3 {
        accept(&store, event("f", n, 0)).await;
    }
    let taken = take(&store, "f", 0, 2).await;
    settle(&store, &taken[0], Step::Done).await;
    // One's own leases are not those of the gone.
    assert_eq!(
        store
            .reclaim(Box::new(|_| at(0)))
            .await
            .expect("it reclaims"),
        0
    );
    drop(store);

    let store = open(home).await;
    assert_eq!(
        counts(&store, "f").await.running,
        1,
        "nobody has reclaimed it yet"
    );
    let due = |lost: u32| at(100 * i64::from(lost));
    assert_eq!(store.reclaim(Box::new(due)).await.expect("it reclaims"), 1);
    assert_eq!(take_one(&store, "f", 99).await.event.id, id(2));
    let lost = take_one(&store, "f", 100).await;
    assert_eq!(lost.event.id, id(1));
    assert_eq!((lost.tries.begun, lost.tries.lost), (2, 1));
    drop(store);

    let store = open(home).await;
    assert_eq!(store.reclaim(Box::new(due)).await.expect("it reclaims"), 2);
    let again = take(&store, "f", 200, 10).await;
    assert_eq!(again.len(), 2);
    assert_eq!(again[1].tries.lost, 2);
}

async fn full_queues_refuse_and_accept_again<H: Home>(home: &H) {
    let store = open(home).await;
    for n in 0..BOUNDS.function_events {
        accept(&store, event("f", n, 0)).await;
    }
    let full = |result: Result<(), EventError>| match result {
        Err(EventError::Full(full)) => full,
        other => panic!("expected a full queue, got {other:?}"),
    };
    let before = counts(&store, "f").await;
    assert_eq!(
        full(store.accept(event("f", 9_000, 0)).await),
        FullQueue::Function
    );
    assert_eq!(counts(&store, "f").await, before, "nothing was accepted");
    // What runs counts; what is done with makes room.
    let leased = take_one(&store, "f", 0).await;
    assert_eq!(
        full(store.accept(event("f", 9_000, 0)).await),
        FullQueue::Function
    );
    settle(&store, &leased, Step::Done).await;
    accept(&store, event("f", 9_000, 0)).await;
    // And it holds after a restart.
    drop(store);
    let store = open(home).await;
    assert_eq!(
        full(store.accept(event("f", 9_001, 0)).await),
        FullQueue::Function
    );
    // Another function has its own, until all together are at their bound.
    for n in 0..BOUNDS.events - BOUNDS.function_events {
        accept(&store, event(&format!("g{}", n % 3), 10_000 + n, 0)).await;
    }
    assert_eq!(
        full(store.accept(event("h", 9_001, 0)).await),
        FullQueue::Node
    );
    let large = Event {
        payload: Bytes::from(vec![b' '; 41 << 20]),
        ..event("h", 9_001, 0)
    };
    assert_eq!(full(store.accept(large).await), FullQueue::Function);
}

async fn news_names_each_function<H: Home>(home: &H) {
    let store = open(home).await;
    let mut quiet = Box::pin(store.news());
    let poll = quiet.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll.is_pending(), "there is nothing to say");
    drop(quiet);
    accept(&store, event("f", 1, 30)).await;
    accept(&store, event("f", 2, 20)).await;
    accept(&store, event("g", 3, 10)).await;
    let mut news = store.news().await;
    news.sort_by(|a, b| a.function.cmp(&b.function));
    let said = |news: &[crate::events::Head]| -> Vec<(FunctionKey, Timestamp)> {
        news.iter()
            .map(|head| (head.function.clone(), head.due))
            .collect()
    };
    assert_eq!(said(&news), [(key("f"), at(20)), (key("g"), at(10))]);
    let leased = take_one(&store, "g", 10).await;
    settle(&store, &leased, again(40)).await;
    assert_eq!(said(&store.news().await), [(key("g"), at(40))]);
    // A new process hears of all that waits, and of what it reclaims.
    let _running = take_one(&store, "g", 40).await;
    drop(store);
    let store = open(home).await;
    assert_eq!(said(&store.news().await), [(key("f"), at(20))]);
    store
        .reclaim(Box::new(|_| at(50)))
        .await
        .expect("it reclaims");
    assert_eq!(said(&store.news().await), [(key("g"), at(50))]);
}

async fn ends_are_told_and_kept<H: Home>(home: &H) {
    let store = open(home).await;
    accept(&store, event("f", 1, 0)).await;
    let leased = take_one(&store, "f", 0).await;
    let told = End {
        condition: Condition::Success,
        error: None,
        ..end(5, "")
    };
    settle(
        &store,
        &leased,
        Step::Tell {
            end: told.clone(),
            due: at(10),
        },
    )
    .await;
    drop(store);
    let store = open(home).await;
    let leased = take_one(&store, "f", 10).await;
    assert_eq!(leased.end, Some(told.clone()));
    assert_eq!(leased.tries.begun, 1);
    settle(
        &store,
        &leased,
        Step::Again {
            due: at(20),
            fault: Fault::Platform,
            cause: "the destination is away".to_owned(),
        },
    )
    .await;
    let leased = take_one(&store, "f", 20).await;
    assert_eq!(leased.end, Some(told));
    settle(&store, &leased, Step::Done).await;
    assert_eq!(counts(&store, "f").await, Counts::default());
}

async fn dead<H: Home>(home: &H, dead: std::ops::Range<u64>) -> H::Store {
    let store = open(home).await;
    for n in dead {
        accept(&store, event("f", n, 0)).await;
        let leased = take_one(&store, "f", 0).await;
        settle(&store, &leased, Step::Dead(end(1_000 + n as i64, "why"))).await;
    }
    store
}

async fn the_dead_are_shown_redriven_and_purged<H: Home>(home: &H) {
    let store = dead(home, 0..4).await;
    drop(store);
    let store = open(home).await;
    let found = store
        .dead(id(2))
        .await
        .expect("a read")
        .expect("it is dead");
    assert_eq!(found.event, event("f", 2, 0));
    assert_eq!(found.end, end(1_002, "why"));
    assert_eq!(store.dead(id(9)).await.expect("a read"), None);
    assert!(take(&store, "f", i64::MAX, 10).await.is_empty());

    // Another function's name does not reach them.
    let moved = store.redrive(&key("g"), Some(id(2)), at(5_000)).await;
    assert_eq!(moved.expect("a redrive"), 0);
    let moved = store.redrive(&key("f"), Some(id(2)), at(5_000)).await;
    assert_eq!(moved.expect("a redrive"), 1);
    assert_eq!(store.dead(id(2)).await.expect("a read"), None);
    let leased = take_one(&store, "f", 5_000).await;
    let as_new = Event {
        accepted: at(5_000),
        due: at(5_000),
        ..event("f", 2, 0)
    };
    assert_eq!((leased.event, leased.end), (as_new, None));
    assert_eq!((leased.tries.begun, leased.tries.failed), (1, 0));

    assert_eq!(
        store.purge(&key("f"), Some(id(0))).await.expect("a purge"),
        1
    );
    let moved = store.redrive(&key("f"), None, at(6_000)).await;
    assert_eq!(moved.expect("a redrive"), 2);
    assert_eq!(store.purge(&key("f"), None).await.expect("a purge"), 0);
    assert_eq!(take(&store, "f", 6_000, 10).await.len(), 2);
}

async fn the_dead_have_bounds<H: Home>(home: &H) {
    let store = open(home).await;
    let large = Bytes::from(vec![b'1'; 300 << 10]);
    for n in 0..5 {
        let event = Event {
            payload: large.clone(),
            ..event("f", n, 0)
        };
        accept(&store, event).await;
        let leased = take_one(&store, "f", 0).await;
        settle(&store, &leased, Step::Dead(end(n as i64, ""))).await;
    }
    // Three of them fit; the oldest have made room.
    assert_eq!(counts(&store, "f").await.dead, 3);
    assert!(counts(&store, "f").await.dead_bytes <= BOUNDS.dead_bytes);
    assert_eq!(store.dead(id(1)).await.expect("a read"), None);
    assert_eq!(store.forget(at(3)).await.expect("it forgets"), 1);
    assert!(store.dead(id(3)).await.expect("a read").is_some());
    drop(store);
    assert_eq!(counts(&open(home).await, "f").await.dead, 2);
}

async fn what_is_counted_is_there<H: Home>(home: &H) {
    let store = Arc::new(open(home).await);
    for n in 1..=50 {
        accept(&*store, event("f", n, 0)).await;
        let leased = take_one(&*store, "f", 0).await;
        let settling = Arc::clone(&store);
        let settled =
            tokio::spawn(async move { settle(&*settling, &leased, Step::Dead(end(0, "x"))).await });
        while counts(&*store, "f").await.dead < n {
            tokio::task::yield_now().await;
        }
        assert!(store.dead(id(n)).await.expect("an answer").is_some());
        settled.await.expect("it is settled");
    }
}

async fn lists_give_each_event_once<H: Home>(home: &H) {
    let store = dead(home, 0..5).await;
    for n in 10..17 {
        accept(&store, event("f", n, (n % 3) as i64)).await;
    }
    let _running = take(&store, "f", 0, 2).await;
    for (state, there) in [(State::Dead, 5), (State::Waiting, 5), (State::Running, 2)] {
        for limit in [1, 2, 100] {
            let mut seen = Vec::new();
            let mut after = None;
            loop {
                let page = store.list(&key("f"), state, after, limit).await;
                let page = page.expect("a list");
                assert!(page.events.len() <= limit);
                seen.extend(page.events.iter().map(|listed| listed.id));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let mut distinct = seen.clone();
            distinct.sort_by_key(|id| id.to_string());
            distinct.dedup();
            assert_eq!((seen.len(), distinct.len()), (there, there), "{state:?}");
        }
    }
    let page = store.list(&key("f"), State::Dead, None, 1).await;
    let first = page.expect("a list").events.remove(0);
    assert_eq!(first.ended, Some((at(1_000), Condition::RetriesExhausted)));
    assert_eq!(first.cause.as_deref(), Some("why"));
    assert_eq!(first.tries.begun, 3);
    assert_eq!(first.payload_bytes, 7);
}

async fn accepted_once_for_a_mark<H: Home>(home: &H) {
    let once = |series: &str, mark| Once {
        series: series.to_owned(),
        mark,
        until: at(1_000_000),
    };
    let store = open(home).await;
    let accept = async |store: &H::Store, n, once| {
        let event = event("one", n, 0);
        store.accept_once(event, once).await.expect("there is room")
    };
    assert!(!store.is_noted(&once("a", 1)).await.expect("an answer"));
    assert!(accept(&store, 1, once("a", 1)).await);
    assert!(store.is_noted(&once("a", 1)).await.expect("an answer"));
    assert!(!accept(&store, 2, once("a", 1)).await);
    assert!(accept(&store, 3, once("b", 1)).await);
    assert!(accept(&store, 4, once("a", 3)).await);
    drop(store);

    let store = open(home).await;
    for mark in 1..=3 {
        assert!(!accept(&store, 5, once("a", mark)).await, "{mark}");
    }
    let (one, other) = tokio::join!(
        accept(&store, 6, once("a", 4)),
        accept(&store, 6, once("a", 4))
    );
    assert!(one != other);
    assert_eq!(counts(&store, "one").await.queued, 4);
    // What is refused is not noted; what was taken in before is not refused.
    for n in 10..10 + BOUNDS.function_events - 4 {
        self::accept(&store, event("one", n, 0)).await;
    }
    let refused = store.accept_once(event("one", 7, 0), once("a", 5)).await;
    assert!(matches!(refused, Err(EventError::Full(_))));
    assert!(!store.is_noted(&once("a", 5)).await.expect("an answer"));
    assert!(!accept(&store, 6, once("a", 4)).await);
}

async fn accepted_by_many_at_once<H: Home>(home: &H) {
    let store = Arc::new(open(home).await);
    let callers: Vec<_> = (0..300)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.accept(event(&format!("f{}", n % 7), n, 0)).await })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic").expect("there is room");
    }
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.extend(
            take(&*store, &format!("f{n}"), 0, 400)
                .await
                .iter()
                .map(|leased| leased.event.id.to_string()),
        );
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 300);
}

async fn dropped_calls_are_whole_or_not_there<H: Home>(home: &H) {
    let store = open(home).await;
    for n in 0..64 {
        // Polled as often as `n` says, then dropped wherever it is.
        let mut pending = store.accept(event("f", n, 0));
        for _ in 0..n % 4 {
            let mut context = Context::from_waker(Waker::noop());
            if pending.as_mut().poll(&mut context).is_ready() {
                break;
            }
        }
        drop(pending);
    }
    accept(&store, event("f", 100, 1)).await;
    let there = counts(&store, "f").await.queued;
    let taken = take(&store, "f", 1, 400).await;
    assert_eq!(taken.len() as u64, there);
    assert_eq!(taken.last().expect("the last").event.id, id(100));
    drop(store);
    assert_eq!(counts(&open(home).await, "f").await.running, there);
}

/// What can be asked of the counts and lists, to be compared.
async fn seen(store: &impl EventStore) -> String {
    let counts = store.counts().await.expect("counts");
    let mut text = format!("{counts:#?}");
    for (function, _) in &counts {
        for state in [State::Waiting, State::Running, State::Dead] {
            let page = store.list(function, state, None, 1_000).await;
            text += &format!("{:#?}", page.expect("a list"));
        }
    }
    text
}

async fn random_calls_equal_the_model<H: Home>(home: &H) {
    // Enough for each kind of call to meet each state many times.
    const CALLS: u64 = 1_500;
    const REOPENED_EVERY: u64 = 250;
    let kept = MemoryEvents::new(BOUNDS);
    let (mut store, mut model) = (open(home).await, kept.open());
    let mut random = Random::new(5);
    let mut leases: Vec<(Leased, Leased)> = Vec::new();
    let mut now = 0;
    for n in 1..=CALLS {
        now += random.below(10) as i64;
        let name = format!("f{}", random.below(3));
        match random.below(10) {
            0..=3 => {
                let due = now + random.below(20) as i64;
                let event = event(&name, n, due);
                let (a, b) = (store.accept(event.clone()).await, model.accept(event).await);
                assert_eq!(format!("{a:?}"), format!("{b:?}"));
            }
            4..=5 => {
                let most = 1 + random.below(4) as usize;
                let a = store
                    .take(&key(&name), at(now), most)
                    .await
                    .expect("a take");
                let b = model
                    .take(&key(&name), at(now), most)
                    .await
                    .expect("a take");
                assert_eq!(a.next, b.next, "call {n}");
                assert_eq!(a.events.len(), b.events.len(), "call {n}");
                for (a, b) in a.events.into_iter().zip(b.events) {
                    assert_eq!(
                        (&a.event, a.tries, &a.cause, &a.end),
                        (&b.event, b.tries, &b.cause, &b.end)
                    );
                    leases.push((a, b));
                }
            }
            6..=7 if !leases.is_empty() => {
                let which = random.below(leases.len() as u64) as usize;
                // Now and then one that was settled already.
                let (a, b) = if random.below(4) == 0 {
                    leases[which].clone()
                } else {
                    leases.swap_remove(which)
                };
                let step = match random.below(5) {
                    0 | 1 => Step::Done,
                    2 => again(now + random.below(30) as i64),
                    3 => Step::Dead(end(now, "m")),
                    _ => Step::Tell {
                        end: end(now, "t"),
                        due: at(now),
                    },
                };
                let a = store.settle(a.lease, step.clone()).await;
                let b = model.settle(b.lease, step).await;
                assert_eq!(a.expect("settled"), b.expect("settled"), "call {n}");
            }
            8 => {
                let (a, b) = match random.below(3) {
                    0 => (
                        store
                            .redrive(&key(&name), None, at(now))
                            .await
                            .expect("redriven"),
                        model
                            .redrive(&key(&name), None, at(now))
                            .await
                            .expect("redriven"),
                    ),
                    1 => (
                        store.purge(&key(&name), None).await.expect("purged"),
                        model.purge(&key(&name), None).await.expect("purged"),
                    ),
                    _ => (
                        store.forget(at(now - 500)).await.expect("forgotten"),
                        model.forget(at(now - 500)).await.expect("forgotten"),
                    ),
                };
                assert_eq!(a, b, "call {n}");
                assert!(a <= MOST_DEAD);
            }
            _ => {}
        }
        if n % 50 == 0 {
            assert_eq!(seen(&store).await, seen(&model).await, "after call {n}");
        }
        if n % REOPENED_EVERY == 0 {
            drop(store);
            drop(model);
            (store, model) = (open(home).await, kept.open());
            let due = move |lost: u32| at(now + i64::from(lost));
            let a = store.reclaim(Box::new(due)).await.expect("it reclaims");
            let b = model.reclaim(Box::new(due)).await.expect("it reclaims");
            assert_eq!(a, b, "reopened after call {n}");
            assert_eq!(
                seen(&store).await,
                seen(&model).await,
                "reopened after call {n}"
            );
        }
    }
}
