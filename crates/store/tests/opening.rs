//! What a store shows before it is believed, and who may hold it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use hearth_store::conformance::samples;
use hearth_store::contract::Change;
use hearth_store::{SqliteStore, Store, StoreError};
use support::{Sequence, be_the_child, child_of, database, kill_after};
use tempfile::TempDir;

#[test]
fn child() {
    be_the_child();
}

async fn filled(folder: &TempDir) -> Sequence {
    let mut sequence = Sequence::new(1);
    let store = SqliteStore::open(database(folder.path())).unwrap();
    store.commit(sequence.next_commit()).await.unwrap();
    sequence
}

fn sql(folder: &TempDir, statement: &str) {
    let connection = rusqlite::Connection::open(database(folder.path())).unwrap();
    connection.execute_batch(statement).unwrap();
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    sql(&folder, "PRAGMA user_version = 1000");
    let before = fs::read(database(folder.path())).unwrap();
    let error = SqliteStore::open(database(folder.path())).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(error.to_string().contains("newer version"), "{error}");
    assert_eq!(fs::read(database(folder.path())).unwrap(), before);
}

#[tokio::test]
async fn a_store_of_an_earlier_version_is_brought_up_to_date() {
    let folder = TempDir::new().unwrap();
    let key = samples::key("f");
    {
        let store = SqliteStore::open(database(folder.path())).unwrap();
        let create = Change::CreateFunction(samples::function(&key, 1, 0));
        store.commit(vec![create]).await.unwrap();
    }
    // What later migrations make was not there in the first version.
    sql(
        &folder,
        "DROP TABLE function_urls; DROP TABLE policies; DROP TABLE routes; DROP TABLE route_keys; \
         DROP TABLE event_invokes; DROP TABLE topics; DROP TABLE mappings; PRAGMA user_version = 1",
    );
    let store = SqliteStore::open(database(folder.path())).unwrap();
    let url = samples::function_url("$LATEST", 1, 0);
    store
        .commit(vec![Change::CreateFunctionUrl(key, url.clone())])
        .await
        .unwrap();
    let stored = store.load().await.unwrap().functions.remove(0);
    assert_eq!(stored.urls, [url]);
}

#[tokio::test]
async fn other_files_are_not_taken_for_a_store() {
    let folder = TempDir::new().unwrap();
    sql(&folder, "CREATE TABLE recipes (name TEXT)");
    let before = fs::read(database(folder.path())).unwrap();
    let error = SqliteStore::open(database(folder.path())).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert_eq!(fs::read(database(folder.path())).unwrap(), before);

    let folder = TempDir::new().unwrap();
    fs::write(database(folder.path()), "a shopping list").unwrap();
    assert!(matches!(
        SqliteStore::open(database(folder.path())),
        Err(StoreError::Corrupt(_))
    ));
    let nowhere = folder.path().join("none/hearth.db");
    assert!(matches!(
        SqliteStore::open(nowhere),
        Err(StoreError::Unavailable(_))
    ));
}

#[tokio::test]
async fn a_row_that_is_gone_or_older_is_found_and_named() {
    for (statement, says) in [
        (
            "DELETE FROM layers; DELETE FROM layer_versions; DELETE FROM functions",
            "rows are missing",
        ),
        (
            "UPDATE head SET content = zeroblob(32)",
            "not what was answered",
        ),
        ("UPDATE head SET sequence = 0", "transaction 1 was answered"),
        (
            "UPDATE functions SET name = 'other'",
            "not what was written",
        ),
        (
            "UPDATE functions SET record = replace(record, 'Json', 'Xml')",
            "",
        ),
        ("DROP TABLE aliases", "its tables"),
        (
            "CREATE TRIGGER t AFTER INSERT ON head BEGIN DELETE FROM functions; END",
            "its tables",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(database(folder.path())).unwrap();
        let key = hearth_store::conformance::samples::key("f");
        let record = hearth_store::conformance::samples::function(&key, 1, 0);
        store
            .commit(vec![hearth_store::Change::CreateFunction(record)])
            .await
            .unwrap();
        let written = store.load().await.unwrap();
        drop(store);
        sql(&folder, statement);
        let loaded = match SqliteStore::open(database(folder.path())) {
            Ok(store) => store.load().await,
            Err(error) => Err(error),
        };
        match loaded {
            Err(error @ StoreError::Corrupt(_)) => {
                assert!(error.to_string().contains(says), "{statement}: {error}")
            }
            Ok(contents) if says.is_empty() => assert_eq!(contents, written, "{statement}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_lost_database_is_not_a_new_one_unless_it_is_said() {
    let folder = TempDir::new().unwrap();
    filled(&folder).await;
    fs::remove_file(database(folder.path())).unwrap();
    let error = SqliteStore::open(database(folder.path())).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    // Saying it: what the message tells to do.
    let mark = folder.path().join("hearth.db-watermark");
    assert!(
        error.to_string().contains(mark.to_str().unwrap()),
        "{error}"
    );
    fs::remove_file(mark).unwrap();
    let store = SqliteStore::open(database(folder.path())).unwrap();
    assert!(store.load().await.unwrap().functions.is_empty());
}

#[tokio::test]
async fn one_process_holds_it_until_it_ends_however_it_ends() {
    let folder = TempDir::new().unwrap();
    let path = database(folder.path());
    let mut child = child_of(&[], &path, 5, u64::MAX);
    // The last thing that opening makes: once it is there, the child holds the store.
    while !path.with_extension("db-watermark").exists() {
        assert_eq!(child.try_wait().unwrap(), None, "the child ended by itself");
        std::thread::yield_now();
    }
    let held = SqliteStore::open(&path).map(drop);
    assert!(matches!(held, Err(StoreError::Locked(_))), "{held:?}");
    kill_after(child, 1, std::time::Duration::ZERO);
    let store = SqliteStore::open(&path).unwrap();
    // And not twice in one process either.
    assert!(matches!(
        SqliteStore::open(&path),
        Err(StoreError::Locked(_))
    ));
    drop(store);
    SqliteStore::open(&path).unwrap();
}

#[tokio::test]
async fn its_files_are_for_the_owner_alone_and_a_closed_one_has_no_log() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(database(folder.path())).unwrap();
    store.commit(Sequence::new(1).next_commit()).await.unwrap();
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{entry:?}"
        );
        files += 1;
    }
    assert_eq!(files, 3);
    drop(store);
    assert!(!folder.path().join("hearth.db-wal").exists());
}
