//! The store of schedules: what it promises of changes that meet, and what only a file on disk can show.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeMap;

use hearth_store::schedules::{
    After, Due, Fate, Firing, NewSchedule, Order, Place, Schedule, ScheduleStoreError, Settings,
    Target, Token,
};
use hearth_store::sqlite::schedules::{Left, Wanted};
use hearth_store::{ScheduleBounds, SqliteScheduleStore, StoreError};
use hearth_types::time::Timestamp;
use tempfile::TempDir;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn due(seconds: i64) -> Due {
    Due {
        scheduled: at(seconds),
        at: at(seconds),
    }
}

fn place(region: &str) -> Place {
    Place {
        account: "000000000000".parse().unwrap(),
        region: region.parse().unwrap(),
    }
}

fn here() -> Place {
    place("us-east-1")
}

fn settings() -> Settings {
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
            input: None,
            message_group: None,
            dead_letters: None,
            most_age_seconds: None,
            most_retries: None,
        },
    }
}

fn token(token: &str, request: u8) -> Option<Token> {
    Some(Token {
        token: token.to_owned(),
        request: [request; 32],
    })
}

fn again(schedule: &Schedule, seconds: i64) -> Box<Firing> {
    Box::new(Firing {
        schedule: schedule.number,
        scheduled: at(seconds),
        order: Order {
            arn: "arn".to_owned(),
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            due: at(seconds),
            target: settings().target,
        },
        failed: 1,
        due: at(seconds + 1),
    })
}

struct Rig {
    folder: TempDir,
    bounds: ScheduleBounds,
    store: SqliteScheduleStore,
}

impl Rig {
    async fn new(bounds: ScheduleBounds) -> Self {
        let folder = TempDir::new().unwrap();
        let store = SqliteScheduleStore::open(folder.path().join("schedules.db"), bounds).unwrap();
        let rig = Self {
            folder,
            bounds,
            store,
        };
        rig.group("g").await.unwrap();
        rig
    }

    async fn group(&self, name: &str) -> Result<(), ScheduleStoreError> {
        let store = &self.store;
        store
            .create_group(&here(), name.to_owned(), BTreeMap::new(), None, at(0))
            .await
    }

    async fn make(&self, name: &str, next: Option<Due>) -> Result<(), ScheduleStoreError> {
        self.make_with(name, next, None).await
    }

    async fn make_with(
        &self,
        name: &str,
        next: Option<Due>,
        token: Option<Token>,
    ) -> Result<(), ScheduleStoreError> {
        let new = move |_| NewSchedule {
            settings: settings(),
            next,
        };
        let place = here();
        let name = (&place, "g".to_owned(), name.to_owned());
        self.store.create(name, new, token, at(0)).await
    }

    async fn get(&self, name: &str) -> Option<Schedule> {
        self.store.schedule(&here(), "g", name).await.unwrap()
    }

    /// What is due, by name.
    async fn due(&self, seconds: i64) -> Vec<Schedule> {
        let due = self.store.due(at(seconds), 100).await.unwrap();
        due.into_iter()
            .map(|(_, schedule)| schedule.unwrap())
            .collect()
    }

    /// Firings that are due.
    async fn firings(&self, seconds: i64) -> Vec<Firing> {
        let due = self.store.due_firings(at(seconds), 100).await.unwrap();
        due.into_iter().map(Result::unwrap).collect()
    }

    async fn update(&self, name: &str, next: Option<Due>) {
        let place = here();
        let name = (&place, "g".to_owned(), name.to_owned());
        let change = move |_: &Schedule| (settings(), next);
        self.store.update(name, change, None, at(0)).await.unwrap();
    }

    fn reopen(self) -> Self {
        let Self {
            folder,
            bounds,
            store,
        } = self;
        drop(store);
        let store = SqliteScheduleStore::open(folder.path().join("schedules.db"), bounds).unwrap();
        Self {
            folder,
            bounds,
            store,
        }
    }
}

#[tokio::test]
async fn schedules_with_what_is_left_of_their_firings_are_there_after_a_restart() {
    let rig = Rig::new(ScheduleBounds::default()).await;
    rig.make("a", Some(due(10))).await.unwrap();
    rig.make("b", None).await.unwrap();
    let [a] = rig.due(10).await.try_into().unwrap();
    let left = again(&a, 10);
    let noted = Some(Left::Again(left.clone()));
    let next = After::Due(due(20));
    rig.store
        .advance(&a, due(10), next, 3, noted)
        .await
        .unwrap();
    let rig = rig.reopen();
    let a = rig.get("a").await.unwrap();
    assert_eq!((a.next, a.last, a.missed), (Some(due(20)), Some(at(10)), 3));
    assert_eq!(rig.store.next_due().await.unwrap(), Some(at(11)));
    let [firing] = rig.firings(11).await.try_into().unwrap();
    assert_eq!(firing, *left);
    let later = Fate::Again(at(15));
    rig.store.settle(&firing, later).await.unwrap();
    let rig = rig.reopen();
    let [firing] = rig.firings(15).await.try_into().unwrap();
    assert_eq!((firing.failed, firing.due), (2, at(15)));
    rig.store.settle(&firing, Fate::GivenUp).await.unwrap();
    assert_eq!(rig.get("a").await.unwrap().failed, 1);
    assert_eq!(rig.store.next_due().await.unwrap(), Some(at(20)));
}

#[tokio::test]
async fn a_change_between_reading_and_noting_neither_repeats_nor_stops_a_schedule() {
    let rig = Rig::new(ScheduleBounds::default()).await;
    rig.make("s", Some(due(10))).await.unwrap();
    let [read] = rig.due(10).await.try_into().unwrap();
    // Its due time stays: whoever reads it next notes it again, and it goes on.
    rig.update("s", Some(due(10))).await;
    let left = Left::Again(again(&read, 10));
    rig.store
        .advance(&read, due(10), After::Due(due(20)), 0, Some(left))
        .await
        .unwrap();
    let [read] = rig.due(10).await.try_into().unwrap();
    assert_eq!(read.last, Some(at(10)));
    rig.store
        .advance(&read, due(10), After::Due(due(20)), 0, None)
        .await
        .unwrap();
    assert_eq!(rig.due(10).await, []);
    assert_eq!(rig.firings(100).await, [], "it was made");
    // Its due time is another: that holds.
    let [read] = rig.due(20).await.try_into().unwrap();
    rig.update("s", Some(due(50))).await;
    rig.store
        .advance(&read, due(20), After::Removed, 0, None)
        .await
        .unwrap();
    assert_eq!(rig.get("s").await.unwrap().next, Some(due(50)));
    // It is gone: nothing of it comes back.
    let [read] = rig.due(50).await.try_into().unwrap();
    let place = here();
    rig.store
        .delete((&place, "g".to_owned(), "s".to_owned()), None, at(0))
        .await
        .unwrap();
    let left = Left::Again(again(&read, 50));
    rig.store
        .advance(&read, due(50), After::Due(due(60)), 0, Some(left))
        .await
        .unwrap();
    assert_eq!(rig.store.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn of_two_that_fire_the_same_time_the_first_is_believed() {
    let rig = Rig::new(ScheduleBounds::default()).await;
    rig.make("s", Some(due(10))).await.unwrap();
    for (first, second, firings) in [
        (false, true, 0),
        (true, false, 0),
        (true, true, 1),
        (false, false, 0),
    ] {
        let [read] = rig.due(1_000).await.try_into().unwrap();
        let time = read.next.unwrap();
        let seconds = time.scheduled.as_millis() / 1000;
        let next = After::Due(due(seconds + 10));
        for has_failed in [first, second] {
            let left = has_failed.then(|| Left::Again(again(&read, seconds)));
            rig.store
                .advance(&read, time, next.clone(), 1, left)
                .await
                .unwrap();
        }
        let left = rig.firings(10_000).await;
        assert_eq!(left.len(), firings, "{first} {second}");
        for firing in left {
            rig.store.settle(&firing, Fate::Done).await.unwrap();
        }
    }
    assert_eq!(rig.get("s").await.unwrap().missed, 4);
}

#[tokio::test]
async fn a_token_makes_a_change_once_for_an_hour() {
    let rig = Rig::new(ScheduleBounds::default()).await;
    rig.make_with("s", None, token("t", 1)).await.unwrap();
    rig.make_with("s", None, token("t", 1)).await.unwrap();
    let other = rig.make_with("s", None, token("t", 2)).await;
    assert!(matches!(other, Err(ScheduleStoreError::OtherRequest)));
    let place = here();
    let name = || (&place, "g".to_owned(), "s".to_owned());
    for _ in 0..2 {
        rig.store
            .delete(name(), token("u", 3), at(10))
            .await
            .unwrap();
    }
    let late = rig.store.delete(name(), token("u", 3), at(10 + 3600)).await;
    assert!(matches!(late, Err(ScheduleStoreError::Missing)));
}

#[tokio::test]
async fn bounds_hold_and_what_goes_makes_room() {
    let bounds = ScheduleBounds {
        schedules: 3,
        groups: 4,
        groups_of_place: 2,
    };
    let rig = Rig::new(bounds).await;
    for name in ["a", "b", "c"] {
        rig.make(name, None).await.unwrap();
    }
    assert!(matches!(
        rig.make("d", None).await,
        Err(ScheduleStoreError::Full)
    ));
    assert!(matches!(
        rig.make("a", None).await,
        Err(ScheduleStoreError::Exists)
    ));
    let place_ = here();
    rig.store
        .delete((&place_, "g".to_owned(), "a".to_owned()), None, at(0))
        .await
        .unwrap();
    rig.make("d", None).await.unwrap();

    rig.group("h").await.unwrap();
    assert!(matches!(
        rig.group("i").await,
        Err(ScheduleStoreError::Full)
    ));
    for (region, fits) in [
        ("eu-west-1", true),
        ("eu-west-2", true),
        ("eu-west-3", false),
    ] {
        let place = place(region);
        let made = rig
            .store
            .create_group(&place, "g".to_owned(), BTreeMap::new(), None, at(0));
        assert_eq!(made.await.is_ok(), fits, "{region}");
    }
    // A group goes with what it has.
    rig.store
        .delete_group(&here(), "g".to_owned(), None, at(0))
        .await
        .unwrap();
    assert!(matches!(
        rig.make("e", None).await,
        Err(ScheduleStoreError::MissingGroup)
    ));
    while rig.store.clear().await.unwrap() {}
    rig.group("g").await.unwrap();
    assert_eq!(rig.get("b").await, None);
    for name in ["a", "b", "c"] {
        rig.make(name, None).await.unwrap();
    }
}

#[tokio::test]
async fn lists_go_by_group_and_name() {
    let rig = Rig::new(ScheduleBounds::default()).await;
    for name in ["b", "a2", "a1", "A"] {
        rig.make(name, None).await.unwrap();
    }
    let list = async |wanted: Wanted, limit| {
        let found = rig.store.list(&here(), wanted, limit).await.unwrap();
        found
            .into_iter()
            .map(|schedule| schedule.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(Wanted::default(), 9).await, ["A", "a1", "a2", "b"]);
    let after = Wanted {
        after: Some(("g".to_owned(), "A".to_owned())),
        ..Wanted::default()
    };
    assert_eq!(list(after.clone(), 2).await, ["a1", "a2"]);
    let prefix = Wanted {
        prefix: "a".to_owned(),
        ..after
    };
    assert_eq!(list(prefix, 9).await, ["a1", "a2"]);
    let disabled = Wanted {
        enabled: Some(false),
        ..Wanted::default()
    };
    assert_eq!(list(disabled, 9).await, [""; 0]);
    assert_eq!(
        rig.store
            .list(&place("eu-west-1"), Wanted::default(), 9)
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn a_damaged_schedule_is_told_from_the_others() {
    let rig = Rig::new(ScheduleBounds::default()).await;
    for name in ["a", "b"] {
        rig.make(name, Some(due(10))).await.unwrap();
    }
    let path = rig.folder.path().join("schedules.db");
    let change = rusqlite::Connection::open(path).unwrap();
    change
        .execute("UPDATE schedules SET due = 9000 WHERE name = 'a'", ())
        .unwrap();
    let found = rig.store.due(at(10), 10).await.unwrap();
    let fit: Vec<_> = found.iter().map(|(_, schedule)| schedule.is_ok()).collect();
    assert_eq!(fit, [false, true]);
    let read = rig.store.schedule(&here(), "g", "a").await;
    assert!(matches!(
        read,
        Err(ScheduleStoreError::Store(StoreError::Corrupt(_)))
    ));
    rig.store.halt(found[0].0).await.unwrap();
    assert_eq!(rig.due(10).await.len(), 1);
    // A firing, too.
    let [b] = rig.due(10).await.try_into().unwrap();
    let left = Some(Left::Again(again(&b, 10)));
    rig.store
        .advance(&b, due(10), After::Over, 0, left)
        .await
        .unwrap();
    let damage = "UPDATE firings SET fired = replace(fired, 'role', 'rule')";
    change.execute(damage, ()).unwrap();
    let found = rig.store.due_firings(at(100), 10).await.unwrap();
    assert_eq!(found, [Err((b.number, at(10)))]);
    rig.store.give_up(b.number, at(10)).await.unwrap();
    assert_eq!(rig.store.next_due().await.unwrap(), None);
    assert_eq!(rig.get("b").await.unwrap().failed, 1);
}
