//! What SQLite says, in the contract's words.

use rusqlite::ErrorCode;

use crate::contract::StoreError;

/// What to do about a damaged database; ends every message about one.
pub(super) const REMEDY: &str = "stop the node and restore the data folder from a backup";

/// A [`StoreError::Corrupt`] that names what is damaged.
pub(super) fn corrupt(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}; {REMEDY}"))
}

/// For `map_err` on what rusqlite returns.
pub(super) fn sql(error: rusqlite::Error) -> StoreError {
    use rusqlite::Error as E;
    match &error {
        E::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DiskFull => StoreError::Full(error.to_string()),
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed => StoreError::Locked(error.to_string()),
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => corrupt(error),
            ErrorCode::TooBig => {
                StoreError::Conflict(format!("a record is too large to be stored: {error}"))
            }
            _ => StoreError::Unavailable(error.to_string()),
        },
        // A column holds something that none of our statements has put there.
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::Utf8Error(..)
        | E::InvalidColumnType(..)
        | E::QueryReturnedNoRows => corrupt(error),
        _ => StoreError::Unavailable(error.to_string()),
    }
}
