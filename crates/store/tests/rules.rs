//! The store of rules: what it promises of events that come, and what only a file on disk can show.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_store::rules::{
    Address, Bus, BusId, BusSettings, DeliveryEnd, NewRuleEvent, Rule, RuleId, RuleInput,
    RuleSettings, RuleStoreError, RuleTarget, TargetCounts, Told,
};
use hearth_store::{RuleBounds, SqliteRuleStore, StoreError};
use hearth_types::time::Timestamp;
use tempfile::TempDir;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn bus(region: &str, name: &str) -> BusId {
    BusId {
        account: "000000000000".parse().unwrap(),
        region: region.parse().unwrap(),
        name: name.to_owned(),
    }
}

fn target(arn: &str) -> RuleTarget {
    RuleTarget {
        arn: arn.to_owned(),
        role: Some("role".to_owned()),
        input: RuleInput::Template {
            paths: BTreeMap::from([("a".to_owned(), "$.a".to_owned())]),
            text: "<a>".to_owned(),
        },
        message_group: Some("g".to_owned()),
        dead_letters: Some("d".to_owned()),
        most_age_seconds: Some(60),
        most_retries: Some(3),
    }
}

fn rule(region: &str, name: &str) -> Rule {
    Rule {
        id: RuleId {
            bus: bus(region, "b"),
            name: name.to_owned(),
        },
        settings: RuleSettings {
            pattern: "{}".to_owned(),
            description: Some("what for".to_owned()),
            role: None,
            enabled: true,
            tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            targets: BTreeMap::from([("1".to_owned(), target("t"))]),
        },
        created: at(1),
    }
}

fn event(body: &str, targets: &[&str]) -> NewRuleEvent {
    let told = targets.iter().map(|arn| {
        let told = Told {
            rule: "rule".to_owned(),
            target: target(arn),
        };
        Arc::new(Address::new(&told).unwrap())
    });
    NewRuleEvent {
        body: body.to_owned(),
        trace: Some("trace".to_owned()),
        told: told.collect(),
    }
}

struct Rig {
    folder: TempDir,
    bounds: RuleBounds,
    store: SqliteRuleStore,
}

impl Rig {
    fn new(bounds: RuleBounds) -> Self {
        let folder = TempDir::new().unwrap();
        let store = SqliteRuleStore::open(folder.path().join("rules.db"), bounds).unwrap();
        Self {
            folder,
            bounds,
            store,
        }
    }

    fn reopen(self) -> Self {
        drop(self.store);
        let path = self.folder.path().join("rules.db");
        Self {
            store: SqliteRuleStore::open(path, self.bounds).unwrap(),
            ..self
        }
    }

    /// Changes the file beside the store.
    fn change(&self, sql: &str) {
        let path = self.folder.path().join("rules.db");
        let file = rusqlite::Connection::open(path).unwrap();
        assert!(file.execute(sql, ()).unwrap() > 0, "{sql}");
    }

    /// What the file has of a number.
    fn number(&self, sql: &str) -> i64 {
        let path = self.folder.path().join("rules.db");
        let file = rusqlite::Connection::open(path).unwrap();
        file.query_row(sql, (), |row| row.get(0)).unwrap()
    }

    /// What is due: to whom, and what.
    async fn due(&self, seconds: i64) -> Vec<(String, String)> {
        let due = self.store.due(at(seconds), 100, usize::MAX).await.unwrap();
        let due = due.into_iter().map(|one| one.unwrap());
        due.map(|one| (one.told.target.arn, one.body)).collect()
    }
}

fn pair(target: &str, body: &str) -> (String, String) {
    (target.to_owned(), body.to_owned())
}

#[tokio::test]
async fn what_was_put_is_there_until_it_is_deleted() {
    let rig = Rig::new(RuleBounds::default());
    let made = Bus {
        id: bus("us-east-1", "b"),
        settings: BusSettings {
            description: Some("x".to_owned()),
            tags: BTreeMap::new(),
        },
        created: at(1),
        modified: at(2),
    };
    rig.store.put_bus(made.clone()).await.unwrap();
    for (region, name) in [("us-east-1", "a"), ("us-east-1", "b"), ("eu-west-1", "a")] {
        rig.store.put_rule(rule(region, name)).await.unwrap();
    }
    let mut changed = rule("us-east-1", "a");
    changed.settings.enabled = false;
    rig.store.put_rule(changed.clone()).await.unwrap();
    let gone = rule("eu-west-1", "a").id;
    rig.store.delete_rule(gone.clone()).await.unwrap();
    rig.store.delete_rule(gone).await.unwrap();
    let rig = rig.reopen();
    assert_eq!(
        rig.store.buses().await.unwrap(),
        std::slice::from_ref(&made)
    );
    let rules = rig.store.rules().await.unwrap();
    assert_eq!(rules, [changed, rule("us-east-1", "b")]);
    rig.store.delete_bus(made.id).await.unwrap();
    assert_eq!(rig.store.buses().await.unwrap(), []);
}

#[tokio::test]
async fn an_event_is_there_until_the_last_of_its_targets_has_it() {
    let rig = Rig::new(RuleBounds::default());
    let events = vec![event("one", &["t1", "t2"]), event("two", &["t1"])];
    rig.store.accept(events, at(10)).await.unwrap();
    assert_eq!(rig.due(9).await, []);
    let rig = rig.reopen();
    assert_eq!(rig.store.next_due().await.unwrap(), Some(at(10)));
    let all = [pair("t1", "one"), pair("t2", "one"), pair("t1", "two")];
    assert_eq!(rig.due(10).await, all);
    let due = rig.store.due(at(10), 1, 0).await.unwrap();
    let first = due[0].as_ref().unwrap();
    assert_eq!((first.accepted, first.failed), (at(10), 0));
    assert_eq!(first.trace.as_deref(), Some("trace"));
    assert_eq!(first.told.target, target("t1"));
    let number = first.number;
    rig.store
        .settle(vec![
            (number, DeliveryEnd::Done),
            (number + 1, DeliveryEnd::Again(at(20))),
        ])
        .await
        .unwrap();
    assert_eq!(rig.due(10).await, [pair("t1", "two")]);
    assert_eq!(rig.number("SELECT count(*) FROM events"), 2);
    let due = rig.store.due(at(20), 100, usize::MAX).await.unwrap();
    let again = due[1].as_ref().unwrap();
    assert_eq!((again.number, again.failed), (number + 1, 1));
    let ends = vec![
        (number + 1, DeliveryEnd::Done),
        (number + 2, DeliveryEnd::Done),
    ];
    rig.store.settle(ends.clone()).await.unwrap();
    // Settled twice is settled.
    rig.store.settle(ends).await.unwrap();
    for sql in [
        "SELECT count(*) FROM events",
        "SELECT count(*) FROM deliveries",
        "SELECT count(*) FROM targets",
        "SELECT deliveries FROM counts",
        "SELECT bytes FROM counts",
    ] {
        assert_eq!(rig.number(sql), 0, "{sql}");
    }
    assert_eq!(rig.store.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_taken_at_once_is_bounded_in_bytes() {
    let rig = Rig::new(RuleBounds::default());
    let body = "x".repeat(1_000);
    let events = (0..5).map(|_| event(&body, &["t"])).collect();
    rig.store.accept(events, at(0)).await.unwrap();
    for (bytes, count) in [(0, 1), (999, 1), (2_500, 2), (usize::MAX, 5)] {
        let due = rig.store.due(at(0), 100, bytes).await.unwrap();
        assert_eq!(due.len(), count, "{bytes}");
    }
    assert_eq!(rig.store.due(at(0), 3, usize::MAX).await.unwrap().len(), 3);
}

#[tokio::test]
async fn past_a_bound_nothing_is_taken_in() {
    let bounds = RuleBounds {
        rules: 1,
        buses: 1,
        deliveries: 4,
        to_one_target: 2,
        bytes: 10_000,
    };
    let rig = Rig::new(bounds);
    let accept = async |events| rig.store.accept(events, at(0)).await;
    // All or none.
    let three = vec![event("1", &["a", "b"]), event("2", &["a", "a"])];
    let full = accept(three).await.unwrap_err();
    assert!(matches!(full, RuleStoreError::FullTarget(target) if target == "a"));
    assert_eq!(rig.due(0).await, []);
    accept(vec![event("1", &["a", "a"])]).await.unwrap();
    let full = accept(vec![event("2", &["b", "a"])]).await.unwrap_err();
    assert!(matches!(full, RuleStoreError::FullTarget(target) if target == "a"));
    accept(vec![event("3", &["b", "b"])]).await.unwrap();
    let full = accept(vec![event("4", &["c"])]).await.unwrap_err();
    assert!(matches!(full, RuleStoreError::Full));
    let due = rig.store.due(at(0), 1, 0).await.unwrap();
    let number = due[0].as_ref().unwrap().number;
    rig.store
        .settle(vec![(number, DeliveryEnd::Done)])
        .await
        .unwrap();
    let full = accept(vec![event(&"x".repeat(10_000), &["c"])])
        .await
        .unwrap_err();
    assert!(matches!(full, RuleStoreError::Full));
    accept(vec![event("5", &["a"])]).await.unwrap();

    rig.store.put_rule(rule("us-east-1", "a")).await.unwrap();
    rig.store.put_rule(rule("us-east-1", "a")).await.unwrap();
    let full = rig.store.put_rule(rule("us-east-1", "b")).await;
    assert!(matches!(full, Err(RuleStoreError::Full)));
    assert_eq!(rig.store.rules().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_given_up_is_counted_for_its_owner() {
    let rig = Rig::new(RuleBounds::default());
    let queue =
        |region: &str, account: &str, name: &str| format!("arn:aws:sqs:{region}:{account}:{name}");
    let own = queue("us-east-1", "000000000000", "a");
    let function = "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned();
    let others = [
        queue("eu-west-1", "000000000000", "a"),
        queue("us-east-1", "111111111111", "a"),
    ];
    let all = [&own, &function, &others[0], &others[1]].map(String::as_str);
    rig.store
        .accept(vec![event("1", &all), event("2", &all)], at(0))
        .await
        .unwrap();
    let ends = vec![
        (1, DeliveryEnd::GivenUp),
        (2, DeliveryEnd::Done),
        (6, DeliveryEnd::Done),
    ];
    rig.store.settle(ends).await.unwrap();
    let rig = rig.reopen();
    let owner = bus("us-east-1", "b");
    let counts = async || {
        rig.store
            .targets(&owner.account, &owner.region)
            .await
            .unwrap()
    };
    let counted = |target: &String, waiting, given_up| TargetCounts {
        target: target.clone(),
        waiting,
        given_up,
    };
    assert_eq!(counts().await, [counted(&own, 1, 1)]);
    rig.store
        .settle(vec![(5, DeliveryEnd::GivenUp)])
        .await
        .unwrap();
    assert_eq!(counts().await, [counted(&own, 0, 2)]);
}

#[tokio::test]
async fn who_waits_is_told_of_what_comes() {
    let rig = Rig::new(RuleBounds::default());
    let changed = rig.store.changed();
    rig.store
        .accept(vec![event("1", &["t"])], at(0))
        .await
        .unwrap();
    changed.await;
}

#[tokio::test]
async fn a_damaged_rule_or_bus_is_no_rule() {
    for (table, sql) in [
        (
            "rules",
            "UPDATE rules SET settings = replace(settings, 'true', 'false')",
        ),
        ("rules", "UPDATE rules SET name = 'other'"),
        ("rules", "UPDATE rules SET account = 'x'"),
        ("buses", "UPDATE buses SET settings = '{}'"),
    ] {
        let rig = Rig::new(RuleBounds::default());
        rig.store.put_rule(rule("us-east-1", "a")).await.unwrap();
        let made = Bus {
            id: bus("us-east-1", "b"),
            settings: BusSettings::default(),
            created: at(1),
            modified: at(1),
        };
        rig.store.put_bus(made).await.unwrap();
        rig.change(sql);
        let error = match table {
            "rules" => rig.store.rules().await.map(drop).unwrap_err(),
            _ => rig.store.buses().await.map(drop).unwrap_err(),
        };
        assert!(matches!(error, StoreError::Corrupt(_)), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_damaged_delivery_is_told_from_the_others() {
    for sql in [
        "UPDATE deliveries SET told = replace(told, 'role', 'rule') WHERE number = 1",
        "UPDATE deliveries SET event = 2 WHERE number = 1",
        "UPDATE events SET body = 'other' WHERE number = 1",
        "UPDATE events SET trace = 'other' WHERE number = 1",
        "UPDATE events SET accepted = 0 WHERE number = 1",
        "DELETE FROM events WHERE number = 1",
    ] {
        let rig = Rig::new(RuleBounds::default());
        let events = vec![event("one", &["a"]), event("two", &["b"])];
        rig.store.accept(events, at(10)).await.unwrap();
        rig.change(sql);
        let found = rig.store.due(at(10), 10, usize::MAX).await.unwrap();
        assert_eq!(found[0], Err(1), "{sql}");
        assert_eq!(found[1].as_ref().unwrap().body, "two", "{sql}");
        rig.store
            .settle(vec![(1, DeliveryEnd::GivenUp)])
            .await
            .unwrap();
        assert_eq!(rig.due(10).await, [pair("b", "two")], "{sql}");
    }
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rules.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute("CREATE TABLE t (a)", ()).unwrap();
    drop(other);
    let error = SqliteRuleStore::open(&path, RuleBounds::default()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)));
}
