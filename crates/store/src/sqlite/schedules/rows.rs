//! The tables: rows are read and written here, and nowhere else.

use std::collections::BTreeMap;

use hearth_types::time::Timestamp;
use rusqlite::{Connection, Row};
use sha2::{Digest as _, Sha256};

use super::{DueFiring, DueSchedule, Unfit, Wanted};
use crate::contract::StoreError;
use crate::schedules::{Due, Firing, Group, Place, Schedule, Token};
use crate::sqlite::fault::corrupt;
use crate::sqlite::statement::{collect, execute, first};

/// Sorts after whatever begins with the prefix that it is put behind: names are ASCII without it.
const AFTER_ALL: char = '\u{7f}';

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError::Conflict(format!("it can't be written as JSON: {error}")))
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

fn name<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    text: &str,
) -> rusqlite::Result<T> {
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

const GROUP: &str =
    "SELECT number, account, region, name, tags, created, modified, deleting FROM groups";

fn read_group(row: &Row<'_>) -> rusqlite::Result<Group> {
    Ok(Group {
        number: row.get(0)?,
        place: Place {
            account: name(&row.get::<_, String>(1)?)?,
            region: name(&row.get::<_, String>(2)?)?,
        },
        name: row.get(3)?,
        tags: read(&row.get::<_, String>(4)?)?,
        created: Timestamp::from_millis(row.get(5)?),
        modified: Timestamp::from_millis(row.get(6)?),
        deleting: row.get(7)?,
    })
}

pub(super) fn group(
    connection: &Connection,
    place: &Place,
    name: &str,
) -> Result<Option<Group>, StoreError> {
    first(
        connection,
        &format!("{GROUP} WHERE account = ?1 AND region = ?2 AND name = ?3"),
        (place.account.as_str(), place.region.as_str(), name),
        read_group,
    )
}

pub(super) fn groups(
    connection: &Connection,
    place: &Place,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<Group>, StoreError> {
    collect(
        connection,
        &format!(
            "{GROUP} WHERE account = ?1 AND region = ?2 AND name >= ?3 AND name < ?4 AND name > ?5
             ORDER BY name LIMIT ?6"
        ),
        (
            place.account.as_str(),
            place.region.as_str(),
            prefix,
            format!("{prefix}{AFTER_ALL}"),
            after,
            limit,
        ),
        read_group,
    )
}

/// How many groups there are, and how many of one place.
pub(super) fn count_groups(
    connection: &Connection,
    place: &Place,
) -> Result<(u64, u64), StoreError> {
    let counts = first(
        connection,
        "SELECT (SELECT count(*) FROM groups), count(*) FROM groups WHERE account = ?1 AND region = ?2",
        (place.account.as_str(), place.region.as_str()),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(counts.unwrap_or_default())
}

pub(super) fn insert_group(
    connection: &Connection,
    place: &Place,
    name: &str,
    tags: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT INTO groups (account, region, name, tags, created, modified, deleting)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, 0)",
        (
            place.account.as_str(),
            place.region.as_str(),
            name,
            json(tags)?,
            now.as_millis(),
        ),
    )
    .map(drop)
}

pub(super) fn tag_group(
    connection: &Connection,
    group: &Group,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute(
        connection,
        "UPDATE groups SET tags = ?2, modified = ?3 WHERE number = ?1",
        (group.number, json(&group.tags)?, now.as_millis()),
    )
    .map(drop)
}

pub(super) fn mark_group(
    connection: &Connection,
    number: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    execute(
        connection,
        "UPDATE groups SET deleting = 1, modified = ?2 WHERE number = ?1",
        (number, now.as_millis()),
    )
    .map(drop)
}

/// Removes up to `most` schedules of one of the groups that are being removed, or the group if it has none; whether
/// there was something to do.
pub(super) fn clear(connection: &Connection, most: usize) -> Result<bool, StoreError> {
    let group: Option<i64> = first(
        connection,
        "SELECT number FROM groups WHERE deleting = 1 LIMIT 1",
        (),
        |row| row.get(0),
    )?;
    let Some(group) = group else {
        return Ok(false);
    };
    execute(
        connection,
        "DELETE FROM firings WHERE schedule IN (SELECT number FROM schedules WHERE grp = ?1 ORDER BY name LIMIT ?2)",
        (group, most),
    )?;
    let removed = execute(
        connection,
        "DELETE FROM schedules WHERE number IN (SELECT number FROM schedules WHERE grp = ?1 ORDER BY name LIMIT ?2)",
        (group, most),
    )?;
    if removed == 0 {
        execute(connection, "DELETE FROM groups WHERE number = ?1", (group,))?;
    }
    Ok(true)
}

const SCHEDULE: &str = "SELECT s.number, s.name, s.revision, s.created, s.modified, s.scheduled, s.due, s.last, s.missed,
    s.failed, s.checksum, s.settings, g.number, g.account, g.region, g.name, g.deleting
    FROM schedules s JOIN groups g ON g.number = s.grp";

/// A schedule, if it is what was written.
fn read_schedule(row: &Row<'_>) -> rusqlite::Result<Option<Schedule>> {
    let text: String = row.get(11)?;
    let time = |at| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp::from_millis))
    };
    let next = match (time(5)?, time(6)?) {
        (Some(scheduled), Some(at)) => Some(Due { scheduled, at }),
        _ => None,
    };
    let Ok(settings) = serde_json::from_str(&text) else {
        return Ok(None);
    };
    let schedule = Schedule {
        number: row.get(0)?,
        name: row.get(1)?,
        revision: row.get(2)?,
        created: Timestamp::from_millis(row.get(3)?),
        modified: Timestamp::from_millis(row.get(4)?),
        next,
        last: time(7)?,
        missed: row.get(8)?,
        failed: row.get(9)?,
        settings,
        place: Place {
            account: name(&row.get::<_, String>(13)?)?,
            region: name(&row.get::<_, String>(14)?)?,
        },
        group: row.get(15)?,
    };
    let expected = checksum(row.get(12)?, &schedule, &text);
    let is_whole = row.get::<_, Vec<u8>>(10)? == expected;
    Ok(Some(schedule).filter(|_| is_whole))
}

fn whole(schedule: Option<Schedule>, name: &str) -> Result<Schedule, StoreError> {
    schedule.ok_or_else(|| corrupt(format_args!("the schedule {name} is not what was stored")))
}

/// Over what says when a schedule is due and what it does.
fn checksum(group: i64, schedule: &Schedule, settings: &str) -> [u8; 32] {
    let due = schedule.next.iter().flat_map(|due| [due.scheduled, due.at]);
    let times = [schedule.created].into_iter().chain(schedule.last);
    let mut digest = Sha256::new();
    for text in [schedule.name.as_str(), settings] {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    for times in [due.collect::<Vec<_>>(), times.collect()] {
        digest.update((times.len() as u64).to_le_bytes());
        for time in times {
            digest.update(time.as_millis().to_le_bytes());
        }
    }
    digest.update(group.to_le_bytes());
    digest.finalize().into()
}

pub(super) fn schedule(
    connection: &Connection,
    group: &Group,
    name: &str,
) -> Result<Option<Schedule>, StoreError> {
    first(
        connection,
        &format!("{SCHEDULE} WHERE s.grp = ?1 AND s.name = ?2"),
        (group.number, name),
        read_schedule,
    )?
    .map(|schedule| whole(schedule, name))
    .transpose()
}

/// A schedule's number, whatever else its row holds.
pub(super) fn number(
    connection: &Connection,
    group: &Group,
    name: &str,
) -> Result<Option<i64>, StoreError> {
    first(
        connection,
        "SELECT number FROM schedules WHERE grp = ?1 AND name = ?2",
        (group.number, name),
        |row| row.get(0),
    )
}

pub(super) fn by_number(
    connection: &Connection,
    number: i64,
) -> Result<Option<Schedule>, StoreError> {
    first(
        connection,
        &format!("{SCHEDULE} WHERE s.number = ?1"),
        (number,),
        read_schedule,
    )?
    .map(|schedule| whole(schedule, &number.to_string()))
    .transpose()
}

pub(super) fn list(
    connection: &Connection,
    place: &Place,
    wanted: &Wanted,
    limit: usize,
) -> Result<Vec<Schedule>, StoreError> {
    let (after_group, after_name) = match &wanted.after {
        Some((group, name)) => (group.as_str(), name.as_str()),
        None => ("", ""),
    };
    let groups: Vec<(i64, String)> = match &wanted.group {
        Some(name) => {
            let group = group(connection, place, name)?;
            group
                .into_iter()
                .map(|group| (group.number, group.name))
                .collect()
        }
        None => collect(
            connection,
            "SELECT number, name FROM groups WHERE account = ?1 AND region = ?2 AND name >= ?3 ORDER BY name",
            (place.account.as_str(), place.region.as_str(), after_group),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?,
    };
    let mut listed = Vec::new();
    for (number, group) in groups {
        if listed.len() >= limit {
            break;
        }
        let after = if group == after_group { after_name } else { "" };
        let found = collect(
            connection,
            &format!(
                "{SCHEDULE} WHERE s.grp = ?1 AND s.name >= ?2 AND s.name < ?3 AND s.name > ?4
                 AND (?5 IS NULL OR s.enabled = ?5) ORDER BY s.name LIMIT ?6"
            ),
            (
                number,
                &wanted.prefix,
                format!("{}{AFTER_ALL}", wanted.prefix),
                after,
                wanted.enabled,
                limit - listed.len(),
            ),
            read_schedule,
        )?;
        for schedule in found {
            listed.push(whole(schedule, "that is listed")?);
        }
    }
    Ok(listed)
}

/// The number that the next schedule gets.
pub(super) fn next_number(connection: &Connection) -> Result<i64, StoreError> {
    let last: Option<i64> = first(
        connection,
        "SELECT seq FROM sqlite_sequence WHERE name = 'schedules'",
        (),
        |row| row.get(0),
    )?;
    Ok(last.unwrap_or(0) + 1)
}

/// How many schedules there are.
pub(super) fn count(connection: &Connection) -> Result<u64, StoreError> {
    let count = first(connection, "SELECT schedules FROM counts", (), |row| {
        row.get(0)
    })?;
    count.ok_or_else(|| corrupt("its counts are missing"))
}

pub(super) fn insert(
    connection: &Connection,
    group: i64,
    schedule: &Schedule,
) -> Result<(), StoreError> {
    let settings = json(&schedule.settings)?;
    execute(
        connection,
        "INSERT INTO schedules (number, grp, name, revision, enabled, created, modified, scheduled, due, last, missed, failed,
             checksum, settings)
         VALUES (?1, ?2, ?3, 0, ?4, ?5, ?5, ?6, ?7, NULL, 0, 0, ?8, ?9)",
        (
            schedule.number,
            group,
            &schedule.name,
            schedule.settings.enabled,
            schedule.created.as_millis(),
            schedule.next.map(|due| due.scheduled.as_millis()),
            schedule.next.map(|due| due.at.as_millis()),
            checksum(group, schedule, &settings),
            settings,
        ),
    )
    .map(drop)
}

/// Writes all that can change of a schedule, and counts that.
pub(super) fn update(connection: &Connection, schedule: &Schedule) -> Result<(), StoreError> {
    let group: Option<i64> = first(
        connection,
        "SELECT grp FROM schedules WHERE number = ?1",
        (schedule.number,),
        |row| row.get(0),
    )?;
    let group = group.ok_or_else(|| corrupt("a schedule has gone while it was changed"))?;
    let settings = json(&schedule.settings)?;
    execute(
        connection,
        "UPDATE schedules SET revision = revision + 1, enabled = ?2, modified = ?3, scheduled = ?4, due = ?5, last = ?6,
             missed = ?7, failed = ?8, checksum = ?9, settings = ?10 WHERE number = ?1",
        (
            schedule.number,
            schedule.settings.enabled,
            schedule.modified.as_millis(),
            schedule.next.map(|due| due.scheduled.as_millis()),
            schedule.next.map(|due| due.at.as_millis()),
            schedule.last.map(Timestamp::as_millis),
            schedule.missed,
            schedule.failed,
            checksum(group, schedule, &settings),
            settings,
        ),
    )
    .map(drop)
}

pub(super) fn remove(connection: &Connection, number: i64) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM schedules WHERE number = ?1",
        (number,),
    )
    .map(drop)
}

/// A schedule is due no more, whatever else its row holds.
pub(super) fn halt(connection: &Connection, number: i64) -> Result<(), StoreError> {
    execute(
        connection,
        "UPDATE schedules SET due = NULL WHERE number = ?1",
        (number,),
    )
    .map(drop)
}

pub(super) fn next_due(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<Option<i64>> = first(
        connection,
        "SELECT min(due) FROM (SELECT min(due) AS due FROM schedules WHERE due IS NOT NULL
         UNION ALL SELECT min(due) FROM firings)",
        (),
        |row| row.get(0),
    )?;
    Ok(due.flatten().map(Timestamp::from_millis))
}

pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    most: usize,
) -> Result<Vec<DueSchedule>, StoreError> {
    collect(
        connection,
        &format!("{SCHEDULE} WHERE s.due <= ?1 ORDER BY s.due LIMIT ?2"),
        (now.as_millis(), most),
        |row| {
            let unfit = if row.get(16)? {
                Unfit::Removed
            } else {
                Unfit::Damaged
            };
            // A column of another type, or text that is none: as good as a wrong checksum.
            let schedule = read_schedule(row).ok().flatten();
            let schedule = schedule.filter(|_| unfit == Unfit::Damaged);
            Ok((row.get(0)?, schedule.ok_or(unfit)))
        },
    )
}

fn firing_checksum(schedule: i64, scheduled: Timestamp, order: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(schedule.to_le_bytes());
    digest.update(scheduled.as_millis().to_le_bytes());
    digest.update(order);
    digest.finalize().into()
}

pub(super) fn due_firings(
    connection: &Connection,
    now: Timestamp,
    most: usize,
) -> Result<Vec<DueFiring>, StoreError> {
    collect(
        connection,
        "SELECT schedule, scheduled, failed, due, checksum, fired FROM firings WHERE due <= ?1 ORDER BY due LIMIT ?2",
        (now.as_millis(), most),
        |row| {
            let (schedule, scheduled) = (row.get(0)?, Timestamp::from_millis(row.get(1)?));
            // A column of another type, or text that is none: as good as a wrong checksum.
            let order: String = row.get(5).unwrap_or_default();
            let sum: Vec<u8> = row.get(4).unwrap_or_default();
            let is_whole = sum == firing_checksum(schedule, scheduled, &order);
            let order = serde_json::from_str(&order).ok().filter(|_| is_whole);
            let (failed, due) = (row.get(2)?, Timestamp::from_millis(row.get(3)?));
            let firing = order.map(|order| Firing {
                schedule,
                scheduled,
                order,
                failed,
                due,
            });
            Ok(firing.ok_or((schedule, scheduled)))
        },
    )
}

pub(super) fn put_firing(connection: &Connection, firing: &Firing) -> Result<(), StoreError> {
    let order = json(&firing.order)?;
    execute(
        connection,
        "INSERT OR REPLACE INTO firings VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            firing.schedule,
            firing.scheduled.as_millis(),
            firing.failed,
            firing.due.as_millis(),
            firing_checksum(firing.schedule, firing.scheduled, &order),
            order,
        ),
    )
    .map(drop)
}

pub(super) fn delay_firing(
    connection: &Connection,
    firing: &Firing,
    due: Timestamp,
) -> Result<(), StoreError> {
    execute(
        connection,
        "UPDATE firings SET failed = ?3, due = ?4 WHERE schedule = ?1 AND scheduled = ?2",
        (
            firing.schedule,
            firing.scheduled.as_millis(),
            firing.failed + 1,
            due.as_millis(),
        ),
    )
    .map(drop)
}

pub(super) fn remove_firing(
    connection: &Connection,
    schedule: i64,
    scheduled: Timestamp,
) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM firings WHERE schedule = ?1 AND scheduled = ?2",
        (schedule, scheduled.as_millis()),
    )
    .map(drop)
}

pub(super) fn remove_firings(connection: &Connection, schedule: i64) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM firings WHERE schedule = ?1",
        (schedule,),
    )
    .map(drop)
}

pub(super) fn count_failure(connection: &Connection, schedule: i64) -> Result<(), StoreError> {
    execute(
        connection,
        "UPDATE schedules SET failed = failed + 1 WHERE number = ?1",
        (schedule,),
    )
    .map(drop)
}

/// The request that a token came with, if it is still remembered.
pub(super) fn token(
    connection: &Connection,
    place: &Place,
    token: &str,
    now: Timestamp,
) -> Result<Option<[u8; 32]>, StoreError> {
    first(
        connection,
        "SELECT request FROM tokens WHERE account = ?1 AND region = ?2 AND token = ?3 AND until > ?4",
        (
            place.account.as_str(),
            place.region.as_str(),
            token,
            now.as_millis(),
        ),
        |row| row.get(0),
    )
}

pub(super) fn keep_token(
    connection: &Connection,
    place: &Place,
    token: &Token,
    until: i64,
) -> Result<(), StoreError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO tokens VALUES (?1, ?2, ?3, ?4, ?5)",
        (
            place.account.as_str(),
            place.region.as_str(),
            &token.token,
            token.request,
            until,
        ),
    )
    .map(drop)
}

pub(super) fn forget_tokens(
    connection: &Connection,
    now: Timestamp,
    most: usize,
) -> Result<(), StoreError> {
    execute(
        connection,
        "DELETE FROM tokens WHERE (account, region, token) IN
         (SELECT account, region, token FROM tokens WHERE until <= ?1 ORDER BY until LIMIT ?2)",
        (now.as_millis(), most),
    )
    .map(drop)
}
