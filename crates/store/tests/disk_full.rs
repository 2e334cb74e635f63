//! A full disk: no false answer, nothing half applied, and on again by itself once there is space.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::fs;

use hearth_store::conformance::samples::{alias, function, key};
use hearth_store::{Change, SqliteStore, Store, StoreError};
use support::SmallDisk;

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let path = disk.path().join("hearth.db");
    let store = SqliteStore::open(&path).unwrap();
    let create = |n: u64| {
        let key = key(&format!("f{n}"));
        let mut record = function(&key, 1, n);
        record.latest.configuration.description = "x".repeat(64 << 10);
        vec![
            Change::CreateFunction(record),
            Change::CreateAlias(key, alias("live", n)),
        ]
    };
    store.commit(create(0)).await.unwrap();
    let mut next = 1;
    for _ in 0..2 {
        let ballast = disk.fill();
        let before = store.load().await.unwrap();
        // More than the log has room for; asked again and again, alone and together with others.
        for _ in 0..3 {
            let error = store.commit(create(next)).await.unwrap_err();
            assert!(matches!(error, StoreError::Full(_)), "{error}");
        }
        let (a, b) = tokio::join!(store.commit(create(next)), store.commit(create(next + 1)));
        assert!(
            matches!(
                (&a, &b),
                (Err(StoreError::Full(_)), Err(StoreError::Full(_)))
            ),
            "{a:?} {b:?}"
        );
        assert_eq!(store.load().await.unwrap(), before, "nothing was applied");

        fs::remove_file(ballast).unwrap();
        store.commit(create(next)).await.unwrap();
        next += 1;
        let functions = store.load().await.unwrap().functions;
        assert_eq!(functions.len() as u64, next);
        assert!(functions.iter().all(|f| f.aliases.len() == 1));
    }
    let before = store.load().await.unwrap();
    // Closed and opened while full: what was answered is there.
    let ballast = disk.fill();
    drop(store);
    fs::remove_file(ballast).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.load().await.unwrap(), before);
    drop(store);
}
