//! What is asked of the tables, statement by statement.

use hearth_types::name::AccountId;
use hearth_types::name::Region;
use hearth_types::time::Timestamp;
use rusqlite::{Connection, Row};
use sha2::{Digest as _, Sha256};

use crate::contract::StoreError;
use crate::queues::{NewMessage, Queue, QueueKey};
use crate::sqlite::fault::corrupt;
use crate::sqlite::statement::{collect, execute, first};

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Unavailable(format!("can't write a queue as JSON: {error}")))
}

pub(super) fn put_queue(connection: &Connection, queue: &Queue) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO queues (queue, heap, account, region, name, target, created, modified, settings, tags)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        (
            queue.number,
            queue.heap,
            queue.key.account.as_str(),
            queue.key.region.as_str(),
            &queue.key.name,
            queue.settings.redrive.as_ref().map(|redrive| &redrive.target),
            queue.created.as_millis(),
            queue.modified.as_millis(),
            json(&queue.settings)?,
            json(&queue.tags)?,
        ),
    )
    .map(drop)
}

pub(super) fn queue(connection: &Connection, key: &QueueKey) -> Result<Option<Queue>, StoreError> {
    let found = first(
        connection,
        "SELECT queue, heap, created, modified, settings, tags FROM queues
         WHERE account = ?1 AND region = ?2 AND name = ?3",
        (key.account.as_str(), key.region.as_str(), &key.name),
        |row| {
            let texts: (String, String) = (row.get(4)?, row.get(5)?);
            let numbers: (i64, i64) = (row.get(0)?, row.get(1)?);
            let times: (i64, i64) = (row.get(2)?, row.get(3)?);
            Ok((texts, numbers, times))
        },
    )?;
    let Some(((settings, tags), (number, heap), (created, modified))) = found else {
        return Ok(None);
    };
    let damaged = |_| corrupt(format_args!("it has a queue {} that can't be", key.name));
    Ok(Some(Queue {
        key: key.clone(),
        settings: serde_json::from_str(&settings).map_err(damaged)?,
        tags: serde_json::from_str(&tags).map_err(damaged)?,
        created: Timestamp::from_millis(created),
        modified: Timestamp::from_millis(modified),
        number,
        heap,
    }))
}

/// The queue of a number.
pub(super) fn key_of(connection: &Connection, number: i64) -> Result<Option<QueueKey>, StoreError> {
    let found = queue_after(connection, number - 1)?;
    Ok(found
        .filter(|(found, _)| *found == number)
        .map(|(_, key)| key))
}

/// All queues, by number: for the sweep.
pub(super) fn queue_after(
    connection: &Connection,
    after: i64,
) -> Result<Option<(i64, QueueKey)>, StoreError> {
    let found = first(
        connection,
        "SELECT queue, account, region, name FROM queues WHERE queue > ?1 ORDER BY queue LIMIT 1",
        (after,),
        |row| {
            let texts: (String, String) = (row.get(1)?, row.get(2)?);
            Ok((row.get::<_, i64>(0)?, texts, row.get::<_, String>(3)?))
        },
    )?;
    let Some((number, (account, region), name)) = found else {
        return Ok(None);
    };
    let damaged = |_| corrupt("it names a queue that can't be");
    let key = QueueKey {
        account: account.parse::<AccountId>().map_err(damaged)?,
        region: region.parse::<Region>().map_err(damaged)?,
        name,
    };
    Ok(Some((number, key)))
}

/// A row of `places`.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) message: i64,
    pub(super) heap: i64,
    pub(super) due: Timestamp,
    pub(super) sent: Timestamp,
    pub(super) bytes: u64,
    pub(super) received: i64,
    pub(super) held: bool,
    pub(super) first: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
    pub(super) group: Option<String>,
    pub(super) came_from: Option<String>,
}

/// The columns that [`place`] reads.
macro_rules! place_columns {
    () => {
        "message, heap, due, sent, bytes, received, held, first, last, grp, came_from"
    };
}

fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    Ok(Place {
        message: row.get(0)?,
        heap: row.get(1)?,
        due: Timestamp::from_millis(row.get(2)?),
        sent: Timestamp::from_millis(row.get(3)?),
        bytes: row.get(4)?,
        received: row.get(5)?,
        held: row.get(6)?,
        first: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
        last: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
        group: row.get(9)?,
        came_from: row.get(10)?,
    })
}

pub(super) fn put_place(connection: &Connection, place: &Place) -> Result<(), StoreError> {
    execute(
        connection,
        concat!(
            "INSERT OR REPLACE INTO places (",
            place_columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ),
        (
            place.message,
            place.heap,
            place.due.as_millis(),
            place.sent.as_millis(),
            place.bytes,
            place.received,
            place.held,
            place.first.map(Timestamp::as_millis),
            place.last.map(Timestamp::as_millis),
            &place.group,
            &place.came_from,
        ),
    )
    .map(drop)
}

pub(super) fn place_of(connection: &Connection, message: i64) -> Result<Option<Place>, StoreError> {
    first(
        connection,
        concat!(
            "SELECT ",
            place_columns!(),
            " FROM places WHERE message = ?1"
        ),
        (message,),
        place,
    )
}

/// What is due in a heap, the longest due first.
pub(super) fn due(
    connection: &Connection,
    heap: i64,
    now: Timestamp,
    most: usize,
) -> Result<Vec<Place>, StoreError> {
    collect(
        connection,
        concat!(
            "SELECT ",
            place_columns!(),
            " FROM places WHERE heap = ?1 AND due <= ?2 ORDER BY due, message LIMIT ?3"
        ),
        (heap, now.as_millis(), most),
        place,
    )
}

/// The first of a group, in order.
pub(super) fn of_group(
    connection: &Connection,
    heap: i64,
    group: &str,
    most: usize,
) -> Result<Vec<Place>, StoreError> {
    collect(
        connection,
        concat!(
            "SELECT ",
            place_columns!(),
            " FROM places WHERE heap = ?1 AND grp = ?2 ORDER BY message LIMIT ?3"
        ),
        (heap, group, most),
        place,
    )
}

/// What was sent before an instant.
pub(super) fn older(
    connection: &Connection,
    heap: i64,
    before: Timestamp,
    most: usize,
) -> Result<Vec<Place>, StoreError> {
    collect(
        connection,
        concat!(
            "SELECT ",
            place_columns!(),
            " FROM places WHERE heap = ?1 AND sent < ?2 ORDER BY sent LIMIT ?3"
        ),
        (heap, before.as_millis(), most),
        place,
    )
}

pub(super) fn due_groups(
    connection: &Connection,
    heap: i64,
    now: Timestamp,
    most: usize,
) -> Result<Vec<String>, StoreError> {
    collect(
        connection,
        "SELECT grp FROM groups WHERE heap = ?1 AND due <= ?2 ORDER BY due LIMIT ?3",
        (heap, now.as_millis(), most),
        |row| row.get(0),
    )
}

/// Says anew when a group can be received from: when none of it is in flight and its first is due.
pub(super) fn regroup(
    connection: &Connection,
    heap: i64,
    group: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let head: Option<i64> = first(
        connection,
        "SELECT due FROM places WHERE heap = ?1 AND grp = ?2 ORDER BY message LIMIT 1",
        (heap, group),
        |row| row.get(0),
    )?;
    let Some(head) = head else {
        return execute(
            connection,
            "DELETE FROM groups WHERE heap = ?1 AND grp = ?2",
            (heap, group),
        )
        .map(drop);
    };
    let held: Option<i64> = first(
        connection,
        "SELECT max(due) FROM places WHERE heap = ?1 AND grp = ?2 AND held = 1 AND due > ?3",
        (heap, group, now.as_millis()),
        |row| row.get(0),
    )?
    .flatten();
    execute(
        connection,
        "INSERT OR REPLACE INTO groups (heap, grp, due) VALUES (?1, ?2, ?3)",
        (heap, group, head.max(held.unwrap_or(i64::MIN))),
    )
    .map(drop)
}

/// When something of a heap is next due.
pub(super) fn next_due(
    connection: &Connection,
    queue: &Queue,
) -> Result<Option<Timestamp>, StoreError> {
    let statement = if queue.settings.fifo.is_some() {
        "SELECT due FROM groups WHERE heap = ?1 ORDER BY due LIMIT 1"
    } else {
        "SELECT due FROM places WHERE heap = ?1 ORDER BY due LIMIT 1"
    };
    let due = first(connection, statement, (queue.heap,), |row| row.get(0))?;
    Ok(due.map(Timestamp::from_millis))
}

/// Over a message as it was sent.
fn checksum(message: &NewMessage, sent: i64) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |part: Option<&str>| {
        // Nothing and empty text differ.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        digest.update(length.to_le_bytes());
        digest.update(part.unwrap_or_default());
    };
    add(Some(&message.id));
    add(message.group.as_deref());
    add(message.deduplication.as_deref());
    add(message.trace.as_deref());
    add(Some(&message.attributes));
    add(Some(&message.body));
    digest.update(sent.to_le_bytes());
    digest.finalize().into()
}

pub(super) fn insert_message(
    connection: &Connection,
    number: i64,
    message: &NewMessage,
    sent: Timestamp,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT INTO messages (message, id, sent, group_id, deduplication, trace, attributes, checksum, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            number,
            &message.id,
            sent.as_millis(),
            &message.group,
            &message.deduplication,
            &message.trace,
            &message.attributes,
            checksum(message, sent.as_millis()),
            &message.body,
        ),
    )
    .map(drop)
}

/// A message; `None` if it is not what was sent.
pub(super) fn message(
    connection: &Connection,
    number: i64,
) -> Result<Option<NewMessage>, StoreError> {
    let found = first(
        connection,
        "SELECT id, sent, group_id, deduplication, trace, attributes, checksum, body FROM messages WHERE message = ?1",
        (number,),
        |row| {
            let sums: (i64, Vec<u8>) = (row.get(1)?, row.get(6)?);
            let message = NewMessage {
                id: row.get(0)?,
                group: row.get(2)?,
                deduplication: row.get(3)?,
                trace: row.get(4)?,
                attributes: row.get(5)?,
                body: row.get(7)?,
                delay_seconds: None,
            };
            Ok((message, sums))
        },
    );
    match found {
        Ok(Some((message, (sent, sum)))) => {
            Ok((sum == checksum(&message, sent)).then_some(message))
        }
        // A column of another type, or text that is none: as good as a wrong checksum.
        Ok(None) | Err(StoreError::Corrupt(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Removes a message and its place.
pub(super) fn remove(connection: &Connection, number: i64) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM places WHERE message = ?1",
        (number,),
    )?;
    execute(
        connection,
        "DELETE FROM messages WHERE message = ?1",
        (number,),
    )
    .map(drop)
}

/// What was sent under a deduplication id that is still remembered.
pub(super) fn duplicate(
    connection: &Connection,
    (queue, scope, id): (i64, &str, &str),
    now: Timestamp,
) -> Result<Option<(i64, String)>, StoreError> {
    first(
        connection,
        "SELECT message, sent_id FROM duplicates
         WHERE queue = ?1 AND scope = ?2 AND id = ?3 AND expires > ?4",
        (queue, scope, id, now.as_millis()),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

pub(super) fn remember(
    connection: &Connection,
    (queue, scope, id): (i64, &str, &str),
    (number, sent_id): (i64, &str),
    expires: i64,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO duplicates (queue, scope, id, message, sent_id, expires)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (queue, scope, id, number, sent_id, expires),
    )
    .map(drop)
}

/// Forgets deduplication ids whose time is over, and says how many.
pub(super) fn forget_duplicates(
    connection: &Connection,
    now: Timestamp,
    most: usize,
) -> Result<usize, StoreError> {
    execute(
        connection,
        "DELETE FROM duplicates WHERE (queue, scope, id) IN
         (SELECT queue, scope, id FROM duplicates WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        (now.as_millis(), most),
    )
}
