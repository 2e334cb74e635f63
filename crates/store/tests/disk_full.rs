//! A full disk: no false answer, nothing half applied, and on again by itself once there is space.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hearth_store::conformance::samples::{alias, function, key};
use hearth_store::{Change, SqliteStore, Store, StoreError};
use tempfile::TempDir;

/// A small file system of its own, taken away at the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn fill(disk: &SmallDisk) -> PathBuf {
    let ballast = disk.path().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while std::io::Write::write(&mut file, &[1; 4096]).is_ok() {}
    ballast
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: mounting a small file system needs root");
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
        let ballast = fill(&disk);
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
    let ballast = fill(&disk);
    drop(store);
    fs::remove_file(ballast).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.load().await.unwrap(), before);
    drop(store);
}
