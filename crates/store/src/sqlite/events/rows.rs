//! What is asked of the tables, statement by statement.

use bytes::Bytes;
use hearth_types::event_invoke::Condition;
use hearth_types::invoke::{FunctionError, RequestId};
use hearth_types::name::{FunctionKey, Qualifier};
use hearth_types::time::Timestamp;
use rusqlite::{Connection, Row};
use sha2::{Digest as _, Sha256};

use crate::contract::StoreError;
use crate::events::{End, Event, EventPage, Lease, Listed, Position, Tries};
use crate::sqlite::fault::corrupt;
use crate::sqlite::statement::{collect, execute, first};

/// Over an event as it was accepted.
pub(super) type Checksum = [u8; 32];

/// The checksum of an event.
pub(super) fn checksum(event: &Event) -> Checksum {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    add(event.id.as_str().as_bytes());
    add(event.function.account.as_str().as_bytes());
    add(event.function.region.as_str().as_bytes());
    add(event.function.name.as_str().as_bytes());
    match &event.qualifier {
        None => add(b""),
        Some(qualifier) => add(qualifier.to_string().as_bytes()),
    }
    add(&event.accepted.as_millis().to_le_bytes());
    add(&event.due.as_millis().to_le_bytes());
    add(event.trace_id.as_bytes());
    match &event.client_context {
        None => add(b""),
        Some(context) => add(context.as_bytes()),
    }
    add(&event.payload);
    digest.finalize().into()
}

/// What changes with each attempt: a row of `waiting` or `running`.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) function: i64,
    pub(super) event: i64,
    pub(super) bytes: u64,
    pub(super) tries: Tries,
    pub(super) cause: Option<String>,
}

/// Columns `function, event, bytes, begun, failed, deferred, lost, cause`, from the first on.
fn trial(row: &Row<'_>) -> rusqlite::Result<Trial> {
    Ok(Trial {
        function: row.get(0)?,
        event: row.get(1)?,
        bytes: row.get(2)?,
        tries: Tries {
            begun: row.get(3)?,
            failed: row.get(4)?,
            deferred: row.get(5)?,
            lost: row.get(6)?,
        },
        cause: row.get(7)?,
    })
}

pub(super) fn insert_function(
    connection: &Connection,
    number: i64,
    key: &FunctionKey,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT INTO functions (id, account, region, name) VALUES (?1, ?2, ?3, ?4)",
        (
            number,
            key.account.as_str(),
            key.region.as_str(),
            key.name.as_str(),
        ),
    )
    .map(drop)
}

/// Removes functions that have nothing any more.
pub(super) fn prune_functions(connection: &Connection) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM functions AS f WHERE NOT EXISTS (SELECT 1 FROM waiting WHERE function = f.id)
         AND NOT EXISTS (SELECT 1 FROM dead WHERE function = f.id)
         AND f.id NOT IN (SELECT function FROM running)",
        (),
    )
    .map(drop)
}

pub(super) fn insert_event(
    connection: &Connection,
    number: i64,
    function: i64,
    event: &Event,
    checksum: &Checksum,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT INTO events (event, function, id, qualifier, accepted, due, bytes, trace_id, client_context, checksum,
         payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        (
            number,
            function,
            event.id.as_str(),
            event.qualifier.as_ref().map(Qualifier::to_string),
            event.accepted.as_millis(),
            event.due.as_millis(),
            event.bytes(),
            &event.trace_id,
            &event.client_context,
            &checksum[..],
            &event.payload[..],
        ),
    )
    .map(drop)
}

/// An event, or `None` if what is there is not what was accepted.
pub(super) fn event(
    connection: &Connection,
    number: i64,
    function: &FunctionKey,
) -> Result<Option<Event>, StoreError> {
    let found = first(
        connection,
        "SELECT id, qualifier, accepted, due, trace_id, client_context, checksum, payload FROM events
         WHERE event = ?1",
        (number,),
        |row| {
            let texts: (String, Option<String>) = (row.get(0)?, row.get(1)?);
            let checksum: Vec<u8> = row.get(6)?;
            Ok((
                texts,
                checksum,
                Event {
                    id: RequestId::from_random([0; 16]),
                    function: function.clone(),
                    qualifier: None,
                    accepted: Timestamp::from_millis(row.get(2)?),
                    due: Timestamp::from_millis(row.get(3)?),
                    trace_id: row.get(4)?,
                    client_context: row.get(5)?,
                    payload: Bytes::from(row.get::<_, Vec<u8>>(7)?),
                },
            ))
        },
    );
    let ((id, qualifier), sum, mut event) = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        // A column of another type, or text that is none: as good as a wrong checksum.
        Err(StoreError::Corrupt(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let Some(id) = RequestId::parse(&id) else {
        return Ok(None);
    };
    event.id = id;
    event.qualifier = match qualifier.map(|text| text.parse()) {
        None => None,
        Some(Ok(qualifier)) => Some(qualifier),
        Some(Err(_)) => return Ok(None),
    };
    Ok((sum == checksum(&event)).then_some(event))
}

/// Removes an event with its end. What it waited, ran or was dead with is removed by its own function.
pub(super) fn remove_event(connection: &Connection, number: i64) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM events WHERE event = ?1", (number,))?;
    Ok(())
}

pub(super) fn insert_waiting(
    connection: &Connection,
    due: Timestamp,
    trial: &Trial,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT INTO waiting (function, due, event, bytes, begun, failed, deferred, lost, cause)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            trial.function,
            due.as_millis(),
            trial.event,
            trial.bytes,
            trial.tries.begun,
            trial.tries.failed,
            trial.tries.deferred,
            trial.tries.lost,
            &trial.cause,
        ),
    )
    .map(drop)
}

/// Up to `most` waiting events of a function that are due at `now`, and when each is.
pub(super) fn due(
    connection: &Connection,
    function: i64,
    now: Timestamp,
    most: usize,
) -> Result<Vec<(i64, Trial)>, StoreError> {
    collect(
        connection,
        "SELECT function, event, bytes, begun, failed, deferred, lost, cause, due FROM waiting
         WHERE function = ?1 AND due <= ?2 ORDER BY due, event LIMIT ?3",
        (function, now.as_millis(), most),
        |row| Ok((row.get(8)?, trial(row)?)),
    )
}

pub(super) fn remove_waiting(
    connection: &Connection,
    function: i64,
    due: i64,
    event: i64,
) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM waiting WHERE function = ?1 AND due = ?2 AND event = ?3",
        (function, due, event),
    )
    .map(drop)
}

/// When a function's next event is due.
pub(super) fn next_due(
    connection: &Connection,
    function: i64,
) -> Result<Option<Timestamp>, StoreError> {
    let due = first(
        connection,
        "SELECT due FROM waiting WHERE function = ?1 ORDER BY due LIMIT 1",
        (function,),
        |row| row.get(0),
    )?;
    Ok(due.map(Timestamp::from_millis))
}

pub(super) fn insert_running(
    connection: &Connection,
    token: i64,
    trial: &Trial,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT INTO running (event, function, token, bytes, begun, failed, deferred, lost, cause)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        (
            trial.event,
            trial.function,
            token,
            trial.bytes,
            trial.tries.begun,
            trial.tries.failed,
            trial.tries.deferred,
            trial.tries.lost,
            &trial.cause,
        ),
    )
    .map(drop)
}

/// Takes an event from those that run, if the lease holds.
pub(super) fn remove_running(
    connection: &Connection,
    lease: Lease,
) -> Result<Option<Trial>, StoreError> {
    first(
        connection,
        "DELETE FROM running WHERE event = ?1 AND token = ?2
         RETURNING function, event, bytes, begun, failed, deferred, lost, cause",
        (lease.event, lease.token),
        trial,
    )
}

/// Takes all events whose lease is of a transaction up to `token` from those that run.
pub(super) fn remove_running_until(
    connection: &Connection,
    token: i64,
) -> Result<Vec<Trial>, StoreError> {
    collect(
        connection,
        "DELETE FROM running WHERE token <= ?1
         RETURNING function, event, bytes, begun, failed, deferred, lost, cause",
        (token,),
        trial,
    )
}

pub(super) fn put_end(connection: &Connection, event: i64, end: &End) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO ends (event, at, condition, attempts, version, error, message, response)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        (
            event,
            end.at.as_millis(),
            end.condition.as_str(),
            end.attempts,
            end.version.map(|version| version.to_string()),
            end.error.map(FunctionError::as_str),
            &end.message,
            end.response.as_deref(),
        ),
    )
    .map(drop)
}

/// How an event ended, if it has.
pub(super) fn end(connection: &Connection, event: i64) -> Result<Option<End>, StoreError> {
    let found = first(
        connection,
        "SELECT at, condition, attempts, version, error, message, response FROM ends WHERE event = ?1",
        (event,),
        |row| {
            let texts: (String, Option<String>, Option<String>) =
                (row.get(1)?, row.get(3)?, row.get(4)?);
            Ok((
                texts,
                End {
                    at: Timestamp::from_millis(row.get(0)?),
                    condition: Condition::Damaged,
                    attempts: row.get(2)?,
                    version: None,
                    error: None,
                    message: row.get(5)?,
                    response: row.get::<_, Option<Vec<u8>>>(6)?.map(Bytes::from),
                },
            ))
        },
    )?;
    let Some(((condition, version, error), mut end)) = found else {
        return Ok(None);
    };
    let unknown = || corrupt("it has an end of an event that can't be");
    end.condition = condition_of(&condition).ok_or_else(unknown)?;
    end.version = match version {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| unknown())?),
    };
    end.error = match error.as_deref() {
        None => None,
        Some("Handled") => Some(FunctionError::Handled),
        Some("Unhandled") => Some(FunctionError::Unhandled),
        Some(_) => return Err(unknown()),
    };
    Ok(Some(end))
}

fn condition_of(text: &str) -> Option<Condition> {
    Condition::ALL
        .into_iter()
        .find(|condition| condition.as_str() == text)
}

pub(super) fn remove_end(connection: &Connection, event: i64) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM ends WHERE event = ?1", (event,)).map(drop)
}

/// A row of `dead`.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeadRow {
    pub(super) event: i64,
    pub(super) function: i64,
    pub(super) bytes: u64,
}

fn dead_row(row: &Row<'_>) -> rusqlite::Result<DeadRow> {
    Ok(DeadRow {
        event: row.get(0)?,
        function: row.get(1)?,
        bytes: row.get(2)?,
    })
}

pub(super) fn insert_dead(
    connection: &Connection,
    row: DeadRow,
    at: Timestamp,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT INTO dead (event, function, id, at, bytes)
         SELECT event, ?2, id, ?3, ?4 FROM events WHERE event = ?1",
        (row.event, row.function, at.as_millis(), row.bytes),
    )
    .map(drop)
}

/// The event of a dead one's row, and its end.
pub(super) fn remove_dead(connection: &Connection, event: i64) -> Result<(), StoreError> {
    execute(connection, "DELETE FROM dead WHERE event = ?1", (event,))?;
    remove_end(connection, event)?;
    remove_event(connection, event)
}

pub(super) fn dead_by_id(
    connection: &Connection,
    id: RequestId,
) -> Result<Option<DeadRow>, StoreError> {
    first(
        connection,
        "SELECT event, function, bytes FROM dead WHERE id = ?1",
        (id.as_str(),),
        dead_row,
    )
}

/// The oldest dead events of a function.
pub(super) fn dead_of(
    connection: &Connection,
    function: i64,
    most: usize,
) -> Result<Vec<DeadRow>, StoreError> {
    collect(
        connection,
        "SELECT event, function, bytes FROM dead WHERE function = ?1 ORDER BY at, event LIMIT ?2",
        (function, most),
        dead_row,
    )
}

/// The oldest dead events of all functions that died before `before`.
pub(super) fn dead_before(
    connection: &Connection,
    before: Timestamp,
    most: usize,
) -> Result<Vec<DeadRow>, StoreError> {
    collect(
        connection,
        "SELECT event, function, bytes FROM dead WHERE at < ?1 ORDER BY at, event LIMIT ?2",
        (before.as_millis(), most),
        dead_row,
    )
}

/// What lists read of an event: columns `id, qualifier, accepted, length of the payload`, from the first on.
fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let id: String = row.get(0)?;
    let qualifier: Option<String> = row.get(1)?;
    Ok(Listed {
        id: RequestId::parse(&id).unwrap_or_else(|| RequestId::from_random([0; 16])),
        qualifier: qualifier.and_then(|text| text.parse().ok()),
        accepted: Timestamp::from_millis(row.get(2)?),
        payload_bytes: row.get(3)?,
        due: None,
        tries: Tries::default(),
        cause: None,
        ended: None,
    })
}

fn page(mut found: Vec<(Position, Listed)>, limit: usize) -> EventPage {
    let more = found.len() > limit;
    found.truncate(limit);
    EventPage {
        next: found.last().filter(|_| more).map(|(position, _)| *position),
        events: found.into_iter().map(|(_, listed)| listed).collect(),
    }
}

pub(super) fn list_waiting(
    connection: &Connection,
    function: i64,
    after: Position,
    limit: usize,
) -> Result<EventPage, StoreError> {
    let found = collect(
        connection,
        "SELECT e.id, e.qualifier, e.accepted, length(e.payload), w.due, w.event, w.begun, w.failed, w.deferred, w.lost,
         w.cause FROM waiting w JOIN events e USING (event)
         WHERE w.function = ?1 AND (w.due, w.event) > (?2, ?3) ORDER BY w.due, w.event LIMIT ?4",
        (function, after.0, after.1, limit + 1),
        |row| {
            let position = Position(row.get(4)?, row.get(5)?);
            let listed = Listed {
                due: Some(Timestamp::from_millis(position.0)),
                tries: tries(row)?,
                cause: row.get(10)?,
                ..listed(row)?
            };
            Ok((position, listed))
        },
    )?;
    Ok(page(found, limit))
}

pub(super) fn list_running(
    connection: &Connection,
    function: i64,
    after: Position,
    limit: usize,
) -> Result<EventPage, StoreError> {
    let found = collect(
        connection,
        "SELECT e.id, e.qualifier, e.accepted, length(e.payload), 0, r.event, r.begun, r.failed, r.deferred, r.lost,
         r.cause FROM running r JOIN events e USING (event)
         WHERE r.function = ?1 AND r.event > ?2 ORDER BY r.event LIMIT ?3",
        (function, after.1, limit + 1),
        |row| {
            let listed = Listed {
                tries: tries(row)?,
                cause: row.get(10)?,
                ..listed(row)?
            };
            Ok((Position(0, row.get(5)?), listed))
        },
    )?;
    Ok(page(found, limit))
}

fn tries(row: &Row<'_>) -> rusqlite::Result<Tries> {
    Ok(Tries {
        begun: row.get(6)?,
        failed: row.get(7)?,
        deferred: row.get(8)?,
        lost: row.get(9)?,
    })
}

pub(super) fn list_dead(
    connection: &Connection,
    function: i64,
    after: Position,
    limit: usize,
) -> Result<EventPage, StoreError> {
    let found = collect(
        connection,
        "SELECT e.id, e.qualifier, e.accepted, length(e.payload), d.at, d.event, n.attempts, n.message, n.condition
         FROM dead d JOIN events e USING (event) JOIN ends n USING (event)
         WHERE d.function = ?1 AND (d.at, d.event) > (?2, ?3) ORDER BY d.at, d.event LIMIT ?4",
        (function, after.0, after.1, limit + 1),
        |row| {
            let position = Position(row.get(4)?, row.get(5)?);
            let condition: String = row.get(8)?;
            let condition = condition_of(&condition).unwrap_or(Condition::Damaged);
            let listed = Listed {
                tries: Tries {
                    begun: row.get(6)?,
                    ..Tries::default()
                },
                cause: row.get(7)?,
                ended: Some((Timestamp::from_millis(position.0), condition)),
                ..listed(row)?
            };
            Ok((position, listed))
        },
    )?;
    Ok(page(found, limit))
}
