//! The store of storage events: what it promises of changes and their notifications, and what only a file on disk can show.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::PathBuf;

use hearth_store::storage::{
    Delivery, Knowledge, KnownObject, NewDelivery, Notification, NotificationId,
    NotificationSettings, ObjectChange, StorageStoreError,
};
use hearth_store::{SqliteStorageStore, StorageBounds, StoreError};
use hearth_types::name::BucketName;
use hearth_types::time::Timestamp;
use tempfile::TempDir;

const DAY_S: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn bucket() -> BucketName {
    "photos".parse().unwrap()
}

fn id(name: &str) -> NotificationId {
    NotificationId {
        account: "000000000000".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        name: name.to_owned(),
    }
}

fn notification(name: &str, prefix: &str) -> Notification {
    Notification {
        id: id(name),
        settings: NotificationSettings {
            bucket: bucket(),
            events: vec!["s3:ObjectCreated:*".to_owned()],
            prefix: prefix.to_owned(),
            suffix: String::new(),
            target: "arn".to_owned(),
        },
        created: at(1),
        modified: at(2),
    }
}

/// A change of which so many are told.
fn change(key: &str, knowledge: Knowledge, told: usize) -> ObjectChange {
    let delivery = |number| NewDelivery {
        target: format!("target {number}"),
        record: format!("{{\"key\":{key:?}}}"),
    };
    ObjectChange {
        key: key.to_owned(),
        knowledge,
        deliveries: (0..told).map(delivery).collect(),
    }
}

fn there(key: &str, stamp: &str) -> ObjectChange {
    change(key, Knowledge::There(stamp.to_owned()), 1)
}

struct Rig {
    folder: TempDir,
    bounds: StorageBounds,
    store: SqliteStorageStore,
}

impl Rig {
    fn new(bounds: StorageBounds) -> Self {
        let folder = TempDir::new().unwrap();
        let store = SqliteStorageStore::open(folder.path().join("storage.db"), bounds).unwrap();
        Self {
            folder,
            bounds,
            store,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("storage.db")
    }

    fn reopen(self) -> Self {
        let Self {
            folder,
            bounds,
            store,
        } = self;
        drop(store);
        let store = SqliteStorageStore::open(folder.path().join("storage.db"), bounds).unwrap();
        Self {
            folder,
            bounds,
            store,
        }
    }

    async fn note(&self, changes: Vec<ObjectChange>) -> Result<(), StorageStoreError> {
        self.store.note(&bucket(), changes, at(10)).await
    }

    async fn known(&self, key: &str) -> Vec<(String, String)> {
        let known = self.store.objects(&bucket(), key).await.unwrap();
        let pair = |KnownObject { key, stamp }| (key, stamp);
        known.into_iter().map(pair).collect()
    }

    /// What is due, none of it damaged.
    async fn due(&self, seconds: i64) -> Vec<Delivery> {
        let due = self.store.due(at(seconds), 100).await.unwrap();
        due.into_iter().map(Result::unwrap).collect()
    }
}

#[tokio::test]
async fn what_was_taken_in_is_there_after_a_restart() {
    let rig = Rig::new(StorageBounds::default());
    let opening = rig.store.opening();
    rig.store
        .put_notification(notification("n", "in/"))
        .await
        .unwrap();
    rig.note(vec![there("a", "1"), there("b", "1")])
        .await
        .unwrap();
    let rig = rig.reopen();
    assert_eq!(rig.store.opening(), opening + 1);
    let all = rig.store.notifications().await.unwrap();
    assert_eq!(all, [notification("n", "in/")]);
    let known = [("a", "1"), ("b", "1")].map(|(key, stamp)| (key.to_owned(), stamp.to_owned()));
    assert_eq!(rig.known("").await, known);
    let due = rig.due(10).await;
    let records: Vec<_> = due.iter().map(|one| one.told.record.as_str()).collect();
    assert_eq!(records, [r#"{"key":"a"}"#, r#"{"key":"b"}"#]);

    // One is done with, the other put off.
    let ends = vec![(due[0].number, None), (due[1].number, Some(at(60)))];
    rig.store.settle(ends).await.unwrap();
    let rig = rig.reopen();
    assert_eq!(rig.due(59).await, []);
    assert_eq!(rig.store.next_due().await.unwrap(), Some(at(60)));
    let [later] = rig.due(60).await.try_into().unwrap();
    assert_eq!((later.number, later.failed), (due[1].number, 1));
    assert_eq!(later.accepted, at(10));
    // A number is never given again, though nothing is left of the first.
    rig.store.settle(vec![(later.number, None)]).await.unwrap();
    let rig = rig.reopen();
    rig.note(vec![there("c", "1")]).await.unwrap();
    assert!(rig.due(10).await[0].number > later.number);
}

#[tokio::test]
async fn a_full_store_takes_nothing_in_by_halves() {
    let bounds = StorageBounds {
        notifications: 2,
        deliveries: 3,
    };
    let rig = Rig::new(bounds);
    for name in ["a", "b"] {
        let made = rig.store.put_notification(notification(name, "")).await;
        made.unwrap();
    }
    let full = rig.store.put_notification(notification("c", "")).await;
    assert!(matches!(full, Err(StorageStoreError::Full)));
    let replaced = rig.store.put_notification(notification("b", "in/")).await;
    replaced.unwrap();
    rig.store.delete_notification(id("a")).await.unwrap();
    let gone = rig.store.delete_notification(id("a")).await;
    assert!(matches!(gone, Err(StorageStoreError::Missing)));
    let left = rig.store.notifications().await.unwrap();
    assert_eq!(left, [notification("b", "in/")]);

    rig.note(vec![there("a", "1"), there("b", "1")])
        .await
        .unwrap();
    let full = rig.note(vec![there("c", "1"), there("d", "1")]).await;
    assert!(matches!(full, Err(StorageStoreError::Full)));
    assert_eq!((rig.known("").await.len(), rig.due(10).await.len()), (2, 2));
    assert_eq!(rig.store.count_objects(&bucket()).await.unwrap(), 2);
    // What nobody is told of needs no room.
    let quiet = change("e", Knowledge::There("1".to_owned()), 0);
    rig.note(vec![there("c", "1"), quiet.clone()])
        .await
        .unwrap();
    rig.note(vec![quiet]).await.unwrap();
    let first = rig.due(10).await[0].number;
    rig.store.settle(vec![(first, None)]).await.unwrap();
    rig.note(vec![there("d", "1")]).await.unwrap();
}

#[tokio::test]
async fn objects_are_known_by_key_and_folder_and_bucket() {
    let rig = Rig::new(StorageBounds::default());
    let changes = ["a", "a/b", "a/c/d", "a0", "a-"].map(|key| there(key, "1"));
    rig.note(changes.into()).await.unwrap();
    let keys = async |at: &str| {
        let known = rig.known(at).await;
        known.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys("a").await, ["a", "a/b", "a/c/d"]);
    assert_eq!(keys("a/c").await, ["a/c/d"]);
    assert_eq!(keys("").await, ["a", "a-", "a/b", "a/c/d", "a0"]);
    let other: BucketName = "others".parse().unwrap();
    assert_eq!(rig.store.objects(&other, "").await.unwrap(), []);
    rig.note(vec![there("a", "2"), change("a/b", Knowledge::Gone, 1)])
        .await
        .unwrap();
    assert_eq!(rig.known("a").await[0].1, "2");
    assert_eq!(keys("a").await, ["a", "a/c/d"]);
}

#[tokio::test]
async fn what_others_tell_is_taken_in_once_until_its_mark_is_forgotten() {
    let rig = Rig::new(StorageBounds::default());
    let told = |mark: u8, now: i64| {
        let knowledge = Knowledge::Elsewhere {
            mark: [mark; 32],
            until: at(now + DAY_S),
        };
        (vec![change("k", knowledge, 2)], at(now))
    };
    let note = async |(changes, now): (Vec<ObjectChange>, Timestamp)| {
        rig.store.note(&bucket(), changes, now).await.unwrap();
        rig.due(10 * DAY_S).await.len()
    };
    assert_eq!(note(told(1, 0)).await, 2);
    assert_eq!(note(told(1, DAY_S)).await, 2);
    assert_eq!(note(told(2, DAY_S)).await, 4);
    // The first mark's day is over: another's coming has removed it.
    assert_eq!(note(told(3, DAY_S + 1)).await, 6);
    assert_eq!(note(told(1, DAY_S + 2)).await, 8);
    assert_eq!(rig.known("").await, []);
}

#[tokio::test]
async fn a_damaged_delivery_is_told_from_the_others() {
    for damage in [
        "record = replace(record, 'a', 'b')",
        "target = 'target 1'",
        "accepted = accepted + 1",
        "checksum = x'00'",
        "record = CAST(x'ff' AS TEXT)",
    ] {
        let rig = Rig::new(StorageBounds::default());
        rig.note(vec![there("a", "1"), there("c", "1")])
            .await
            .unwrap();
        let first = rig.due(10).await[0].number;
        rusqlite::Connection::open(rig.path())
            .unwrap()
            .execute(
                &format!("UPDATE deliveries SET {damage} WHERE number = ?1"),
                (first,),
            )
            .unwrap();
        let due = rig.store.due(at(10), 10).await.unwrap();
        assert_eq!(due[0], Err(first), "{damage}");
        assert!(due[1].is_ok(), "{damage}");
        rig.store.settle(vec![(first, None)]).await.unwrap();
        assert_eq!(rig.due(10).await.len(), 1, "{damage}");
    }
}

#[tokio::test]
async fn a_file_that_lacks_answered_transactions_is_refused() {
    let rig = Rig::new(StorageBounds::default());
    rig.note(vec![there("a", "1")]).await.unwrap();
    let rig = rig.reopen();
    let early = fs::read(rig.path()).unwrap();
    rig.note(vec![there("b", "1")]).await.unwrap();
    let Rig { folder, store, .. } = rig;
    drop(store);
    let path = folder.path().join("storage.db");
    fs::write(&path, early).unwrap();
    for left in ["storage.db-wal", "storage.db-shm"] {
        match fs::remove_file(folder.path().join(left)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
    let opened = SqliteStorageStore::open(&path, StorageBounds::default());
    assert!(matches!(opened, Err(StoreError::Corrupt(_))), "{opened:?}");
}
