//! The tables: rows are read and written here, but for what [`deliveries`](crate::sqlite::deliveries) does.

use hearth_types::name::BucketName;
use hearth_types::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};
use sha2::{Digest as _, Sha256};

use crate::contract::StoreError;
use crate::sqlite::fault::corrupt;
use crate::sqlite::statement::{collect, execute, first};
use crate::storage::{
    Delivery, KnownObject, NewDelivery, Notification, NotificationId, NotificationSettings,
};

/// Marks that are forgotten with each that is noted: more than come, so that they go.
const FORGOTTEN: usize = 4;

/// Counts an opening, and gives its number.
pub(super) fn open(connection: &Connection) -> Result<u32, StoreError> {
    let counted = first(
        connection,
        "UPDATE counts SET openings = openings + 1 RETURNING openings",
        (),
        |row| row.get(0),
    )?;
    counted.ok_or_else(no_counts)
}

fn no_counts() -> StoreError {
    corrupt(format_args!("the counts of storage events are missing"))
}

/// A text that is a name of some kind.
fn name<T>(text: &str) -> rusqlite::Result<T>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into())
    })
}

pub(super) fn notifications(connection: &Connection) -> Result<Vec<Notification>, StoreError> {
    collect(
        connection,
        "SELECT account, region, name, created, modified, settings FROM notifications",
        (),
        |row| {
            let settings: String = row.get(5)?;
            let settings: NotificationSettings =
                serde_json::from_str(&settings).map_err(|error| {
                    rusqlite::Error::FromSqlConversionFailure(5, Type::Text, error.into())
                })?;
            Ok(Notification {
                id: NotificationId {
                    account: name(&row.get::<_, String>(0)?)?,
                    region: name(&row.get::<_, String>(1)?)?,
                    name: row.get(2)?,
                },
                settings,
                created: Timestamp::from_millis(row.get(3)?),
                modified: Timestamp::from_millis(row.get(4)?),
            })
        },
    )
}

pub(super) fn count_notifications(connection: &Connection) -> Result<u64, StoreError> {
    let count = first(
        connection,
        "SELECT count(*) FROM notifications",
        (),
        |row| row.get(0),
    )?;
    Ok(count.unwrap_or(0))
}

pub(super) fn put_notification(
    connection: &Connection,
    notification: &Notification,
) -> Result<(), StoreError> {
    let settings = serde_json::to_string(&notification.settings)
        .map_err(|error| StoreError::Conflict(format!("it can't be written as JSON: {error}")))?;
    let id = &notification.id;
    execute(
        connection,
        "INSERT OR REPLACE INTO notifications VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            id.account.as_str(),
            id.region.as_str(),
            &id.name,
            notification.created.as_millis(),
            notification.modified.as_millis(),
            settings,
        ),
    )
    .map(drop)
}

/// Whether it was there.
pub(super) fn delete_notification(
    connection: &Connection,
    id: &NotificationId,
) -> Result<bool, StoreError> {
    let removed = execute(
        connection,
        "DELETE FROM notifications WHERE account = ?1 AND region = ?2 AND name = ?3",
        (id.account.as_str(), id.region.as_str(), &id.name),
    )?;
    Ok(removed > 0)
}

/// Objects at the key `at` and under it as a folder, in the order of their keys; all of the bucket if it is empty.
pub(super) fn objects(
    connection: &Connection,
    bucket: &BucketName,
    at: &str,
) -> Result<Vec<KnownObject>, StoreError> {
    let read = |row: &Row<'_>| {
        Ok(KnownObject {
            key: row.get(0)?,
            stamp: row.get(1)?,
        })
    };
    if at.is_empty() {
        return collect(
            connection,
            "SELECT key, stamp FROM objects WHERE bucket = ?1 ORDER BY key",
            (bucket.as_str(),),
            read,
        );
    }
    collect(
        connection,
        // '0' is the character after '/'.
        "SELECT key, stamp FROM objects
         WHERE bucket = ?1 AND (key = ?2 OR (key >= ?2 || '/' AND key < ?2 || '0')) ORDER BY key",
        (bucket.as_str(), at),
        read,
    )
}

pub(super) fn count_objects(
    connection: &Connection,
    bucket: &BucketName,
) -> Result<usize, StoreError> {
    let count = first(
        connection,
        "SELECT count(*) FROM objects WHERE bucket = ?1",
        (bucket.as_str(),),
        |row| row.get(0),
    )?;
    Ok(count.unwrap_or(0))
}

pub(super) fn put_object(
    connection: &Connection,
    bucket: &BucketName,
    key: &str,
    stamp: &str,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3)",
        (bucket.as_str(), key, stamp),
    )
    .map(drop)
}

pub(super) fn delete_object(
    connection: &Connection,
    bucket: &BucketName,
    key: &str,
) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM objects WHERE bucket = ?1 AND key = ?2",
        (bucket.as_str(), key),
    )
    .map(drop)
}

/// Notes a mark; whether it is new.
pub(super) fn note(
    connection: &Connection,
    bucket: &BucketName,
    mark: &[u8],
    until: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let noted = execute(
        connection,
        "INSERT OR IGNORE INTO marks VALUES (?1, ?2, ?3)",
        (bucket.as_str(), mark, until.as_millis()),
    )?;
    execute(
        connection,
        "DELETE FROM marks WHERE (bucket, mark) IN
             (SELECT bucket, mark FROM marks WHERE until < ?1 ORDER BY until LIMIT ?2)",
        (now.as_millis(), FORGOTTEN),
    )?;
    Ok(noted > 0)
}

pub(super) fn count_deliveries(connection: &Connection) -> Result<u64, StoreError> {
    let count = first(connection, "SELECT deliveries FROM counts", (), |row| {
        row.get(0)
    })?;
    count.ok_or_else(no_counts)
}

pub(super) fn insert_delivery(
    connection: &Connection,
    delivery: &NewDelivery,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT INTO deliveries (accepted, due, failed, checksum, target, record) VALUES (?1, ?1, 0, ?2, ?3, ?4)",
        (
            now.as_millis(),
            checksum(now, delivery),
            &delivery.target,
            &delivery.record,
        ),
    )
    .map(drop)
}

/// Those that are due; of one that is not what was written, its number.
pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Result<Delivery, i64>>, StoreError> {
    collect(
        connection,
        "SELECT number, accepted, failed, checksum, target, record FROM deliveries WHERE due <= ?1
         ORDER BY due, number LIMIT ?2",
        (now.as_millis(), limit),
        |row| {
            let number = row.get(0)?;
            // A column of another type, or text that is none: as good as a wrong checksum.
            Ok(read_delivery(number, row).ok().flatten().ok_or(number))
        },
    )
}

/// A delivery, if it is what was written.
fn read_delivery(number: i64, row: &Row<'_>) -> rusqlite::Result<Option<Delivery>> {
    let delivery = Delivery {
        number,
        accepted: Timestamp::from_millis(row.get(1)?),
        failed: row.get(2)?,
        told: NewDelivery {
            target: row.get(4)?,
            record: row.get(5)?,
        },
    };
    let is_whole = row.get::<_, Vec<u8>>(3)? == checksum(delivery.accepted, &delivery.told);
    Ok(Some(delivery).filter(|_| is_whole))
}

/// Over what is told.
fn checksum(accepted: Timestamp, told: &NewDelivery) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(accepted.as_millis().to_le_bytes());
    digest.update((told.target.len() as u64).to_le_bytes());
    digest.update(&told.target);
    digest.update(&told.record);
    digest.finalize().into()
}
