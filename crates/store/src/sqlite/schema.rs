//! The database file: its tables, its settings, and what it must show before it is believed.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fault::{corrupt, sql};
use super::row::Content;
use super::statement::{execute, first};
use crate::contract::StoreError;

/// Marks the file as ours in its header (SQLite, "Database File Format", 1.3.20): `Hrth`.
const APPLICATION_ID: i32 = 0x4872_7468;

/// Migrations in order; the file's `user_version` counts those that it has been through. One that was released
/// never changes: another follows it.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_functions_and_layers.sql"),
    include_str!("migrations/0002_function_urls_and_policies.sql"),
    include_str!("migrations/0003_routes.sql"),
    include_str!("migrations/0004_event_invokes_and_topics.sql"),
    include_str!("migrations/0005_mappings.sql"),
];

/// How long to wait for a node that is closing the same store (a checkpoint of milliseconds).
const BUSY: Duration = Duration::from_millis(250);

/// Pages in the log before they are moved to the database: SQLite's own default, 4 MiB.
const CHECKPOINT_PAGES: u32 = 1000;

/// Bytes that the log keeps on disk after it was moved; a single great commit does not hold space for ever.
const LOG_KEPT: u32 = 16 << 20;

/// How far the database has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Counts the transactions that changed something.
    pub(super) sequence: u64,
    /// The digest of all rows.
    pub(super) content: Content,
}

impl Head {
    pub(super) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let found: Option<(u64, [u8; 32])> = first(
            connection,
            "SELECT sequence, content FROM head",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        match found {
            Some((sequence, content)) => Ok(Self {
                sequence,
                content: Content(content),
            }),
            None => Err(corrupt("its head is missing")),
        }
    }

    pub(super) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        match execute(
            connection,
            "UPDATE head SET sequence = ?1, content = ?2",
            (self.sequence, self.content.0),
        )? {
            1 => Ok(()),
            n => Err(corrupt(format_args!("it has {n} heads"))),
        }
    }
}

/// Opens or makes the database, holds it against every other process, brings it up to date and checks it.
pub(super) fn open(path: &Path) -> Result<(Connection, Head), StoreError> {
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY).map_err(sql)?;
    // Until all checks are passed, closing must leave the files as they are: they may be evidence, or belong to
    // a newer version.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(sql)?;
    // The lock is SQLite's own: POSIX record locks end with the process, however it ends, and are not inherited
    // by children that outlive it (a lock by `flock` would be).
    pragma(&connection, "locking_mode", "EXCLUSIVE")?;
    let known = recognise(&connection)?;
    settle(&connection, CHECKPOINT_PAGES, LOG_KEPT)?;
    migrate(&mut connection, known)?;
    compare_schema(&connection)?;
    check_integrity(&connection)?;
    let head = Head::read(&connection)?;
    Ok((connection, head))
}

/// From here on, closing moves the log into the database.
pub(super) fn checkpoint_on_close(connection: &Connection) -> Result<(), StoreError> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(sql)?;
    Ok(())
}

/// Makes the file for its owner alone, if it is not there. SQLite gives its log the same mode. An existing file
/// is not opened here: closing it again would drop the locks that this process has on it.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == ErrorKind::StorageFull => Err(StoreError::Full(e.to_string())),
        Err(e) => Err(StoreError::Unavailable(format!(
            "can't make {}: {e}",
            path.display()
        ))),
    }
}

pub(super) fn pragma(
    connection: &Connection,
    name: &str,
    value: impl rusqlite::ToSql,
) -> Result<(), StoreError> {
    connection.pragma_update(None, name, value).map_err(sql)
}

/// How many migrations the file has been through; 0 for a new one.
fn recognise(connection: &Connection) -> Result<usize, StoreError> {
    let get = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = get("application_id").map_err(sql)?;
    let version = get("user_version").map_err(sql)?;
    let objects: u64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sql)?;
    match (application, usize::try_from(version), objects) {
        (0, Ok(0), 0) => Ok(0),
        (APPLICATION_ID, Ok(known @ 1..), 1..) if known <= MIGRATIONS.len() => Ok(known),
        (APPLICATION_ID, Ok(newer @ 1..), 1..) => Err(StoreError::Unavailable(format!(
            "a newer version of Hearth wrote it (schema {newer}, this one knows up to {}): run that version, or \
             restore a backup from before the upgrade",
            MIGRATIONS.len()
        ))),
        _ => Err(corrupt("the file is a database, but not a store of Hearth")),
    }
}

/// Settings of a connection that writes: pages in the log before they are moved to the database, and bytes that the log
/// keeps then. Durability is synchronous FULL: in WAL mode, each transaction's log is synced before its COMMIT returns,
/// and before a reader sees it.
pub(super) fn settle(
    connection: &Connection,
    checkpoint_pages: u32,
    log_kept: u32,
) -> Result<(), StoreError> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(sql)?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "its file system does not allow a write-ahead log (journal mode stays {mode})"
        )));
    }
    pragma(connection, "synchronous", "FULL")?;
    pragma(connection, "foreign_keys", true)?;
    pragma(connection, "trusted_schema", false)?;
    pragma(connection, "cell_size_check", true)?;
    pragma(connection, "wal_autocheckpoint", checkpoint_pages)?;
    pragma(connection, "journal_size_limit", log_kept)
}

/// Runs the migrations after the first `known`, all or none. Takes the write lock even when there are none.
fn migrate(connection: &mut Connection, known: usize) -> Result<(), StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sql)?;
    for migration in MIGRATIONS.get(known..).unwrap_or_default() {
        transaction.execute_batch(migration).map_err(sql)?;
    }
    if known < MIGRATIONS.len() {
        pragma(&transaction, "application_id", APPLICATION_ID)?;
        pragma(&transaction, "user_version", MIGRATIONS.len())?;
    }
    transaction.commit().map_err(sql)
}

/// The tables must be, to the letter, those that the migrations make: SQLite acts on the text that it finds.
fn compare_schema(connection: &Connection) -> Result<(), StoreError> {
    fn text(connection: &Connection) -> rusqlite::Result<Vec<[String; 4]>> {
        connection
            .prepare(
                "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY name",
            )?
            .query_map([], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
            })?
            .collect()
    }
    let model = Connection::open_in_memory().map_err(sql)?;
    for migration in MIGRATIONS {
        model.execute_batch(migration).map_err(sql)?;
    }
    if text(connection).map_err(sql)? == text(&model).map_err(sql)? {
        Ok(())
    } else {
        Err(corrupt("its tables are not those that Hearth made"))
    }
}

/// The whole check, indexes against tables included: a key that an index does not show could be made twice.
fn check_integrity(connection: &Connection) -> Result<(), StoreError> {
    let finding: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(sql)?;
    if finding == "ok" {
        Ok(())
    } else {
        Err(corrupt(finding))
    }
}
