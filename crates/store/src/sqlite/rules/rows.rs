//! The tables: rows are read and written here, but for what [`deliveries`](crate::sqlite::deliveries) does.

use std::sync::Arc;

use hearth_types::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::contract::StoreError;
use crate::rules::{
    Address, Bus, BusId, DueDelivery, NewRuleEvent, Rule, RuleDelivery, RuleId, TargetCounts,
};
use crate::sqlite::deliveries;
use crate::sqlite::fault::{corrupt, sql};
use crate::sqlite::statement::{collect, execute, first};

/// A digest over parts of a row, each with its length.
fn checksum(parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Conflict(format!("it can't be written as JSON: {error}")))
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

/// The settings in column `at`, if what is in the row is what was written.
fn settings<T: DeserializeOwned>(
    row: &Row<'_>,
    at: usize,
    parts: &[&[u8]],
    what: &str,
) -> rusqlite::Result<T> {
    let text: String = row.get(at)?;
    let expected = checksum(&[parts, &[text.as_bytes()]].concat());
    let damaged = || {
        let why = format!("the {what} is not what was stored");
        rusqlite::Error::FromSqlConversionFailure(at, Type::Text, why.into())
    };
    if row.get::<_, Vec<u8>>(at - 1)? != expected {
        return Err(damaged());
    }
    serde_json::from_str(&text).map_err(|_| damaged())
}

fn bus_parts(id: &BusId) -> [&[u8]; 3] {
    [
        id.account.as_str().as_bytes(),
        id.region.as_str().as_bytes(),
        id.name.as_bytes(),
    ]
}

fn rule_parts(id: &RuleId) -> [&[u8]; 4] {
    let [account, region, bus] = bus_parts(&id.bus);
    [account, region, bus, id.name.as_bytes()]
}

fn read_bus(row: &Row<'_>) -> rusqlite::Result<BusId> {
    Ok(BusId {
        account: name(&row.get::<_, String>(0)?)?,
        region: name(&row.get::<_, String>(1)?)?,
        name: row.get(2)?,
    })
}

pub(super) fn buses(connection: &Connection) -> Result<Vec<Bus>, StoreError> {
    collect(
        connection,
        "SELECT account, region, name, created, modified, checksum, settings FROM buses",
        (),
        |row| {
            let id = read_bus(row)?;
            Ok(Bus {
                settings: settings(row, 6, &bus_parts(&id), &format!("event bus {}", id.name))?,
                id,
                created: Timestamp::from_millis(row.get(3)?),
                modified: Timestamp::from_millis(row.get(4)?),
            })
        },
    )
}

pub(super) fn count_buses(connection: &Connection) -> Result<u64, StoreError> {
    let count = first(connection, "SELECT count(*) FROM buses", (), |row| {
        row.get(0)
    })?;
    Ok(count.unwrap_or(0))
}

pub(super) fn put_bus(connection: &Connection, bus: &Bus) -> Result<(), StoreError> {
    let settings = json(&bus.settings)?;
    let parts = [&bus_parts(&bus.id)[..], &[settings.as_bytes()]].concat();
    execute(
        connection,
        "INSERT INTO buses VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            bus.id.account.as_str(),
            bus.id.region.as_str(),
            &bus.id.name,
            bus.created.as_millis(),
            bus.modified.as_millis(),
            checksum(&parts),
            &settings,
        ),
    )
    .map(drop)
}

pub(super) fn delete_bus(connection: &Connection, id: &BusId) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM buses WHERE account = ?1 AND region = ?2 AND name = ?3",
        (id.account.as_str(), id.region.as_str(), &id.name),
    )
    .map(drop)
}

pub(super) fn rules(connection: &Connection) -> Result<Vec<Rule>, StoreError> {
    collect(
        connection,
        "SELECT account, region, bus, name, created, checksum, settings FROM rules",
        (),
        |row| {
            let id = RuleId {
                bus: read_bus(row)?,
                name: row.get(3)?,
            };
            Ok(Rule {
                settings: settings(row, 6, &rule_parts(&id), &format!("rule {}", id.name))?,
                id,
                created: Timestamp::from_millis(row.get(4)?),
            })
        },
    )
}

pub(super) fn count_rules(connection: &Connection) -> Result<u64, StoreError> {
    let count = first(connection, "SELECT count(*) FROM rules", (), |row| {
        row.get(0)
    })?;
    Ok(count.unwrap_or(0))
}

pub(super) fn put_rule(connection: &Connection, rule: &Rule) -> Result<(), StoreError> {
    let settings = json(&rule.settings)?;
    let parts = [&rule_parts(&rule.id)[..], &[settings.as_bytes()]].concat();
    execute(
        connection,
        "INSERT INTO rules VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            rule.id.bus.account.as_str(),
            rule.id.bus.region.as_str(),
            &rule.id.bus.name,
            &rule.id.name,
            rule.created.as_millis(),
            checksum(&parts),
            &settings,
        ),
    )
    .map(drop)
}

pub(super) fn delete_rule(connection: &Connection, id: &RuleId) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM rules WHERE account = ?1 AND region = ?2 AND bus = ?3 AND name = ?4",
        (
            id.bus.account.as_str(),
            id.bus.region.as_str(),
            &id.bus.name,
            &id.name,
        ),
    )
    .map(drop)
}

/// How many deliveries there are, and the bytes that they and their events take.
pub(super) fn counts(connection: &Connection) -> Result<(u64, u64), StoreError> {
    let counts = first(
        connection,
        "SELECT deliveries, bytes FROM counts",
        (),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    counts.ok_or_else(|| corrupt("its counts are missing"))
}

/// How many deliveries there are to a target.
pub(super) fn count_to(connection: &Connection, target: &str) -> Result<u64, StoreError> {
    let count = first(
        connection,
        "SELECT deliveries FROM targets WHERE target = ?1",
        (target,),
        |row| row.get(0),
    )?;
    Ok(count.unwrap_or(0))
}

fn event_checksum(accepted: i64, trace: Option<&str>, body: &str) -> [u8; 32] {
    checksum(&[
        &accepted.to_le_bytes(),
        trace.unwrap_or_default().as_bytes(),
        body.as_bytes(),
    ])
}

fn delivery_checksum(event: i64, told: &str) -> [u8; 32] {
    checksum(&[&event.to_le_bytes(), told.as_bytes()])
}

pub(super) fn insert(
    connection: &Connection,
    event: &NewRuleEvent,
    now: Timestamp,
) -> Result<(), StoreError> {
    let accepted = now.as_millis();
    execute(
        connection,
        "INSERT INTO events (accepted, trace, checksum, body) VALUES (?1, ?2, ?3, ?4)",
        (
            accepted,
            &event.trace,
            event_checksum(accepted, event.trace.as_deref(), &event.body),
            &event.body,
        ),
    )?;
    let number = connection.last_insert_rowid();
    for Address { target, told } in event.told.iter().map(Arc::as_ref) {
        execute(
            connection,
            "INSERT INTO deliveries (event, due, failed, target, checksum, told) VALUES (?1, ?2, 0, ?3, ?4, ?5)",
            (
                number,
                accepted,
                target,
                delivery_checksum(number, told),
                told,
            ),
        )?;
    }
    Ok(())
}

pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
    bytes: usize,
) -> Result<Vec<DueDelivery>, StoreError> {
    let mut query = connection
        .prepare_cached(
            "SELECT d.number, d.event, d.failed, d.checksum, d.told, e.accepted, e.trace, e.checksum, e.body
             FROM deliveries d LEFT JOIN events e ON e.number = d.event
             WHERE d.due <= ?1 ORDER BY d.due, d.number LIMIT ?2",
        )
        .map_err(sql)?;
    let mut found = query.query((now.as_millis(), limit)).map_err(sql)?;
    let (mut due, mut room) = (Vec::new(), bytes);
    while let Some(row) = found.next().map_err(sql)? {
        let number = row.get(0).map_err(sql)?;
        // A column of another type, or text that is none: as good as a wrong checksum.
        let delivery = read_delivery(row).ok().flatten();
        let size = delivery.as_ref().map_or(0, |one| one.body.len());
        if size > room && !due.is_empty() {
            break;
        }
        room = room.saturating_sub(size);
        due.push(delivery.ok_or(number));
    }
    Ok(due)
}

/// A delivery, if it and its event are what was written.
fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Option<RuleDelivery>> {
    let (event, told): (i64, String) = (row.get(1)?, row.get(4)?);
    let (accepted, body): (i64, String) = (row.get(5)?, row.get(8)?);
    let trace: Option<String> = row.get(6)?;
    let is_whole = row.get::<_, Vec<u8>>(3)? == delivery_checksum(event, &told)
        && row.get::<_, Vec<u8>>(7)? == event_checksum(accepted, trace.as_deref(), &body);
    let Some(told) = serde_json::from_str(&told).ok().filter(|_| is_whole) else {
        return Ok(None);
    };
    Ok(Some(RuleDelivery {
        number: row.get(0)?,
        accepted: Timestamp::from_millis(accepted),
        failed: row.get(2)?,
        body,
        trace,
        told,
    }))
}

/// All targets to which something is on its way, or was given up; of those that begin so.
pub(super) fn targets(
    connection: &Connection,
    prefixes: [String; 2],
) -> Result<Vec<TargetCounts>, StoreError> {
    let mut all = Vec::new();
    for prefix in prefixes {
        // ';' is the character after ':', with which both end.
        let end = format!("{};", prefix.trim_end_matches(':'));
        let found = collect(
            connection,
            "SELECT target, deliveries, given_up FROM targets WHERE target >= ?1 AND target < ?2 ORDER BY target",
            (prefix, end),
            |row| {
                Ok(TargetCounts {
                    target: row.get(0)?,
                    waiting: row.get(1)?,
                    given_up: row.get(2)?,
                })
            },
        )?;
        all.extend(found);
    }
    Ok(all)
}

pub(super) fn give_up(connection: &Connection, number: i64) -> Result<(), StoreError> {
    execute(
        connection,
        "UPDATE targets SET given_up = given_up + 1
         WHERE target = (SELECT target FROM deliveries WHERE number = ?1)",
        (number,),
    )?;
    deliveries::delete(connection, number)
}
