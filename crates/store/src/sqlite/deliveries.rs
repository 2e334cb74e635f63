//! What the stores of storage events and of rules do alike to their tables `deliveries`, of which each row has a `number`,
//! when it is `due`, and how many attempts have `failed`.

use hearth_types::time::Timestamp;
use rusqlite::Connection;

use super::statement::{execute, first};
use crate::contract::StoreError;

/// When the first is due.
pub(super) fn next_due(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<Option<i64>> =
        first(connection, "SELECT min(due) FROM deliveries", (), |row| {
            row.get(0)
        })?;
    Ok(due.flatten().map(Timestamp::from_millis))
}

/// Takes one out.
pub(super) fn delete(connection: &Connection, number: i64) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM deliveries WHERE number = ?1",
        (number,),
    )
    .map(drop)
}

/// Notes that an attempt has failed, and when the next is due.
pub(super) fn put_off(
    connection: &Connection,
    number: i64,
    due: Timestamp,
) -> Result<(), StoreError> {
    execute(
        connection,
        "UPDATE deliveries SET failed = failed + 1, due = ?2 WHERE number = ?1",
        (number, due.as_millis()),
    )
    .map(drop)
}
