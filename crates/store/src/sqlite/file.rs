//! A database file beside the control plane's, and the settings of its connections.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::fault::{corrupt, sql};
use super::schema::{create_private, pragma, settle};
use crate::contract::StoreError;

/// What a file is for.
#[derive(Debug)]
pub(super) struct Kind {
    /// Marks the file as ours in its header (SQLite, "Database File Format", 1.3.20).
    pub(super) application_id: i32,
    /// What its tables have been through, in order; the file's `user_version` counts them. A released one never
    /// changes: another follows it.
    pub(super) migrations: &'static [&'static str],
    /// What it is called in messages: a database "of …".
    pub(super) of: &'static str,
    /// Pages in the log before they are moved to the database.
    pub(super) checkpoint_pages: u32,
}

/// How long a connection waits for another of this process: the writer while it moves its log, mostly.
const BUSY: Duration = Duration::from_secs(5);

/// Pages that a reader keeps in memory, KiB (negative, as SQLite wants it): 4 readers take 8 MiB.
const READER_CACHE_KIB: i32 = -2048;

/// Statements that the writer keeps prepared: more than any kind of file has.
const STATEMENTS: usize = 64;

/// Bytes that the log keeps on disk after it was moved: one large call does not hold space for ever.
const LOG_KEPT: u32 = 64 << 20;

/// Opens or makes the database, for its one writer.
pub(super) fn open(path: &Path, kind: &Kind) -> Result<Connection, StoreError> {
    create_private(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    connection.busy_timeout(BUSY).map_err(sql)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let known = recognise(&connection, kind)?;
    settle(&connection, kind.checkpoint_pages, LOG_KEPT)?;
    if known < kind.migrations.len() {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql)?;
        for migration in kind.migrations.get(known..).unwrap_or_default() {
            transaction.execute_batch(migration).map_err(sql)?;
        }
        pragma(&transaction, "application_id", kind.application_id)?;
        pragma(&transaction, "user_version", kind.migrations.len())?;
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

/// How many migrations the file has been through; 0 for a new one.
fn recognise(connection: &Connection, kind: &Kind) -> Result<usize, StoreError> {
    let get = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application = get("application_id").map_err(sql)?;
    let version = get("user_version").map_err(sql)?;
    let objects: u64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sql)?;
    let latest = kind.migrations.len();
    match (application, usize::try_from(version), objects) {
        (0, Ok(0), 0) => Ok(0),
        (id, Ok(known @ 1..), 1..) if id == kind.application_id && known <= latest => Ok(known),
        (id, Ok(newer @ 1..), 1..) if id == kind.application_id => {
            Err(StoreError::Unavailable(format!(
                "a newer version of Hearth wrote it (schema {newer}, this one knows up to {latest}): run that version"
            )))
        }
        _ => Err(corrupt(format_args!(
            "the file is a database, but not one of {} of Hearth",
            kind.of
        ))),
    }
}
