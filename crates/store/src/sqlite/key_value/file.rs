//! The database file of keys and values, and the settings of its connections.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::contract::StoreError;
use crate::sqlite::fault::{corrupt, sql};
use crate::sqlite::schema::{create_private, pragma};

/// Marks the file as ours in its header: `HrKV`.
const APPLICATION_ID: i32 = 0x4872_4b56;

/// Counts what the file's tables have been through. A released one never changes: a migration follows it.
const VERSION: i32 = 1;

/// How long a connection waits for another of this process: the writer while it moves its log, mostly.
const BUSY: Duration = Duration::from_secs(5);

/// Pages that a reader keeps in memory, KiB (negative, as SQLite wants it): 4 readers take 8 MiB.
const READER_CACHE_KIB: i32 = -2048;

/// Bytes that the log keeps on disk after it was moved: one large call does not hold space for ever.
const LOG_KEPT: u32 = 64 << 20;

/// Opens or makes the database, for its one writer. Durability is synchronous FULL: in WAL mode each transaction's log
/// is synced before its COMMIT returns, and before a reader sees it.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY).map_err(sql)?;
    let known = recognise(&connection)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(sql)?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "its file system does not allow a write-ahead log (journal mode stays {mode})"
        )));
    }
    pragma(&connection, "synchronous", "FULL")?;
    pragma(&connection, "foreign_keys", true)?;
    pragma(&connection, "trusted_schema", false)?;
    pragma(&connection, "cell_size_check", true)?;
    pragma(&connection, "journal_size_limit", LOG_KEPT)?;
    if !known {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql)?;
        transaction
            .execute_batch(include_str!("schema.sql"))
            .map_err(sql)?;
        pragma(&transaction, "application_id", APPLICATION_ID)?;
        pragma(&transaction, "user_version", VERSION)?;
        transaction.commit().map_err(sql)?;
    }
    Ok(connection)
}

/// A connection that reads, beside the writer's.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY).map_err(sql)?;
    pragma(&connection, "trusted_schema", false)?;
    pragma(&connection, "cell_size_check", true)?;
    pragma(&connection, "cache_size", READER_CACHE_KIB)?;
    Ok(connection)
}

/// Whether the file has our tables already.
fn recognise(connection: &Connection) -> Result<bool, StoreError> {
    let get = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = get("application_id").map_err(sql)?;
    let version = get("user_version").map_err(sql)?;
    let objects: u64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sql)?;
    match (application, version, objects) {
        (0, 0, 0) => Ok(false),
        (APPLICATION_ID, VERSION, 1..) => Ok(true),
        (APPLICATION_ID, newer, 1..) if newer > VERSION => Err(StoreError::Unavailable(format!(
            "a newer version of Hearth wrote it (schema {newer}, this one knows up to {VERSION}): run that version"
        ))),
        _ => Err(corrupt(
            "the file is a database, but not one of keys and values of Hearth",
        )),
    }
}
