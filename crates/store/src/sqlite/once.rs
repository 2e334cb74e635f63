//! Marks of series ([`Once`]), in the file of whatever they are marks of.

use hearth_types::time::Timestamp;
use rusqlite::Connection;

use super::statement::{execute, first};
use crate::contract::StoreError;
use crate::once::Once;

/// The table; a migration of a file that has it.
pub(super) const TABLE: &str = include_str!("once.sql");

/// Series that are forgotten with each mark that is noted: more than come, so that they go.
const FORGOTTEN: usize = 4;

/// Notes a mark that was not noted yet.
pub(super) fn note(connection: &Connection, once: &Once, now: Timestamp) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO once VALUES (?1, ?2, ?3)",
        (&once.series, once.mark, once.until.as_millis()),
    )?;
    execute(
        connection,
        "DELETE FROM once WHERE series IN (SELECT series FROM once WHERE until < ?1 ORDER BY until LIMIT ?2)",
        (now.as_millis(), FORGOTTEN),
    )
    .map(drop)
}

/// Whether a mark was noted.
pub(super) fn is_noted(connection: &Connection, once: &Once) -> Result<bool, StoreError> {
    let mark: Option<i64> = first(
        connection,
        "SELECT mark FROM once WHERE series = ?1",
        (&once.series,),
        |row| row.get(0),
    )?;
    Ok(mark.is_some_and(|mark| mark >= once.mark))
}
