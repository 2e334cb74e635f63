//! One statement with its parameters, prepared once for each connection.

use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::fault::sql;
use crate::contract::StoreError;

/// Runs a statement that changes rows; answers how many.
pub(super) fn execute(
    connection: &Connection,
    statement: &str,
    parameters: impl Params,
) -> Result<usize, StoreError> {
    connection
        .prepare_cached(statement)
        .and_then(|mut statement| statement.execute(parameters))
        .map_err(sql)
}

/// The first row of a query, if it has one.
pub(super) fn first<T>(
    connection: &Connection,
    query: &str,
    parameters: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    connection
        .prepare_cached(query)
        .and_then(|mut query| query.query_row(parameters, read).optional())
        .map_err(sql)
}

/// All rows of a query.
pub(super) fn collect<T>(
    connection: &Connection,
    query: &str,
    parameters: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    connection
        .prepare_cached(query)
        .and_then(|mut query| query.query_map(parameters, read)?.collect())
        .map_err(sql)
}
