//! The store of keys and values: its suite, and what only a file on disk can show.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hearth_store::conformance::key_value::{BUCKET_BYTES, Home, check};
use hearth_store::key_value::{BucketId, KeyValueStore as _};
use hearth_store::{KeyValueOptions, SqliteKeyValueStore, SqliteStore, StoreError};
use tempfile::TempDir;

struct SqliteHome(TempDir);

fn database(folder: &Path) -> PathBuf {
    folder.join("keyvalue.db")
}

fn open(path: &Path) -> Result<SqliteKeyValueStore, StoreError> {
    let options = KeyValueOptions {
        bucket_bytes: BUCKET_BYTES,
    };
    SqliteKeyValueStore::open(path, options)
}

impl Home for SqliteHome {
    type Store = SqliteKeyValueStore;

    async fn open(&self) -> Result<SqliteKeyValueStore, StoreError> {
        open(&database(self.0.path()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    check(|| SqliteHome(TempDir::new().unwrap())).await;
}

fn bucket() -> BucketId {
    BucketId::shared("000000000000".parse().unwrap(), "b")
}

/// Tells the test binary, run again, that it is the child: where its database is.
const DATABASE: &str = "HEARTH_STORE_TEST_KEY_VALUE";
/// Kills: enough to hit every part of a commit.
const ROUNDS: u32 = 20;

#[test]
fn child() {
    let Ok(path) = std::env::var(DATABASE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = open(Path::new(&path)).unwrap();
    runtime.block_on(async {
        loop {
            let sum = store.increment(&bucket(), "n".to_owned(), 1).await.unwrap();
            // One write call a line, so that the parent never reads half of one.
            std::io::stderr()
                .write_all(format!("answered {sum}\n").as_bytes())
                .unwrap();
        }
    });
}

#[tokio::test]
async fn killed_at_any_moment_all_that_was_answered_is_there() {
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    let mut last = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(DATABASE, &path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut answered = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("answered ")?.parse::<i64>().ok());
        for _ in 0..=round {
            last = answered.next().expect("the child answers");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was still in the pipe was answered, too.
        last = answered.last().unwrap_or(last);

        let store = open(&path).unwrap();
        let there = store.increment(&bucket(), "n".to_owned(), 0).await.unwrap();
        // One more may have been committed, and not yet been answered.
        assert!(
            (last..=last + 1).contains(&there),
            "{there}, answered {last}"
        );
    }
}

#[test]
fn a_file_that_is_not_one_is_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    std::fs::write(
        &path,
        "not a database, but longer than the header of one: ".repeat(100),
    )
    .unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Corrupt(_))));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let other = folder.path().join("hearth.db");
    drop(SqliteStore::open(&other).unwrap());
    assert!(matches!(open(&other), Err(StoreError::Corrupt(_))));
    drop(SqliteStore::open(&other).unwrap());
}

#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    let store = open(&path).unwrap();
    for name in ["keyvalue.db", "keyvalue.db-wal", "keyvalue.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(store);
}
