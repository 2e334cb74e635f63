//! Changes, one by one: what each expects to find, and what it writes.

use hearth_types::name::{FunctionKey, Version};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::row::{Place, Rows};
use crate::contract::{Change, StoreError};
use crate::record::{
    AliasRecord, EventInvokeRecord, FunctionRecord, FunctionUrlRecord, MappingRecord, PolicyRecord,
    RouteKeyRecord, RouteRecord, TopicRecord, VersionRecord,
};

/// What is kept of a layer, besides its versions.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    /// The highest version number that it has used.
    pub(super) last: u64,
}

/// A change with its record as it will be stored.
#[derive(Debug)]
pub(super) struct Encoded {
    change: Change,
    /// Empty for a change that only removes.
    record: String,
}

impl Encoded {
    /// Writes the record down.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for a record that would not read back as it is: an alias's share that is not a
    /// number would leave a store that can't be loaded.
    pub(super) fn new(change: Change) -> Result<Self, StoreError> {
        let record = match &change {
            Change::CreateFunction(record) | Change::UpdateFunction(record) => encode(record)?,
            Change::CreateVersion(_, record) | Change::UpdateVersion(_, record) => encode(record)?,
            Change::CreateAlias(_, record) | Change::UpdateAlias { record, .. } => encode(record)?,
            Change::CreateFunctionUrl(_, record) | Change::UpdateFunctionUrl(_, record) => {
                encode(record)?
            }
            Change::PutPolicy { record, .. } => encode(record)?,
            Change::PutEventInvoke { record, .. } => encode(record)?,
            Change::CreateLayerVersion(record) => encode(record)?,
            Change::PutRoute { record, .. } => encode(record)?,
            Change::PutRouteKey { record, .. } => encode(record)?,
            Change::PutTopic { record, .. } => encode(record)?,
            Change::PutMapping { record, .. } => encode(record)?,
            Change::DeleteFunction { .. }
            | Change::DeleteVersion(..)
            | Change::DeleteAlias(..)
            | Change::DeleteFunctionUrl(..)
            | Change::DeletePolicy(..)
            | Change::DeleteEventInvoke(..)
            | Change::DeleteLayerVersion(_)
            | Change::DeleteRoute { .. }
            | Change::DeleteRouteKey { .. }
            | Change::DeleteTopic { .. }
            | Change::DeleteMapping { .. } => String::new(),
        };
        Ok(Self { change, record })
    }
}

fn encode<T: Serialize + DeserializeOwned + PartialEq>(record: &T) -> Result<String, StoreError> {
    let refused =
        |why: String| StoreError::Conflict(format!("a record can't be stored as it is: {why}"));
    let text = serde_json::to_string(record).map_err(|e| refused(e.to_string()))?;
    let read: T = serde_json::from_str(&text).map_err(|e| refused(e.to_string()))?;
    if read == *record {
        Ok(text)
    } else {
        Err(refused("it reads back differently".to_owned()))
    }
}

/// Applies one change.
///
/// # Errors
/// [`StoreError::Conflict`] if it does not fit what `rows` hold; anything may have been written then, the caller
/// rolls back.
pub(super) fn apply(
    rows: &mut Rows<'_>,
    Encoded {
        change,
        record: text,
    }: &Encoded,
) -> Result<(), StoreError> {
    match change {
        Change::CreateFunction(record) => {
            if record.generation != 1 {
                return conflict(format_args!(
                    "function {} starts at generation {}, not 1",
                    record.key, record.generation
                ));
            }
            holds_latest(record)?;
            create(rows, &Place::function(&record.key), text)
        }
        Change::UpdateFunction(record) => {
            let place = Place::function(&record.key);
            let stored: FunctionRecord = existing(rows, &place)?;
            if stored.generation.checked_add(1) != Some(record.generation) {
                return conflict(format_args!(
                    "{place} is at generation {}, generation {} can't follow it",
                    stored.generation, record.generation
                ));
            }
            holds_latest(record)?;
            rows.replace(&place, text)
        }
        Change::DeleteFunction { key, generation } => {
            let place = Place::function(key);
            let stored: FunctionRecord = existing(rows, &place)?;
            if stored.generation != *generation {
                return conflict(format_args!(
                    "{place} is at generation {}, not {generation}",
                    stored.generation
                ));
            }
            rows.remove_function(key)
        }
        Change::CreateVersion(key, record) => {
            function_is_there(rows, key)?;
            create(
                rows,
                &Place::version(key, published(record.version)?)?,
                text,
            )
        }
        Change::UpdateVersion(key, record) => {
            let place = Place::version(key, published(record.version)?)?;
            let stored: VersionRecord = existing(rows, &place)?;
            if stored.configuration != record.configuration {
                return conflict(format_args!(
                    "{place} is published: its configuration can't change"
                ));
            }
            rows.replace(&place, text)
        }
        Change::DeleteVersion(key, version) => {
            rows.remove(&Place::version(key, published(*version)?)?)
        }
        Change::CreateAlias(key, record) => {
            function_is_there(rows, key)?;
            create(rows, &Place::alias(key, &record.name), text)
        }
        Change::UpdateAlias {
            key,
            record,
            expected,
        } => {
            let place = Place::alias(key, &record.name);
            let stored: AliasRecord = existing(rows, &place)?;
            if stored.revision != *expected {
                return conflict(format_args!(
                    "{place} is at revision {}, not the one that was expected",
                    stored.revision
                ));
            }
            rows.replace(&place, text)
        }
        Change::DeleteAlias(key, alias) => rows.remove(&Place::alias(key, alias)),
        Change::CreateFunctionUrl(key, record) => {
            function_is_there(rows, key)?;
            if record.generation != 1 {
                return conflict(format_args!(
                    "the URL of {key} starts at generation {}, not 1",
                    record.generation
                ));
            }
            let qualifier = record.qualifier.to_string();
            create(rows, &Place::function_url(key, &qualifier), text)
        }
        Change::UpdateFunctionUrl(key, record) => {
            let qualifier = record.qualifier.to_string();
            let place = Place::function_url(key, &qualifier);
            let stored: FunctionUrlRecord = existing(rows, &place)?;
            if stored.generation.checked_add(1) != Some(record.generation) {
                return conflict(format_args!(
                    "{place} is at generation {}, generation {} can't follow it",
                    stored.generation, record.generation
                ));
            }
            if stored.id != record.id {
                return conflict(format_args!("{place} has another identifier"));
            }
            rows.replace(&place, text)
        }
        Change::DeleteFunctionUrl(key, qualifier) => {
            rows.remove(&Place::function_url(key, &qualifier.to_string()))
        }
        Change::PutPolicy {
            key,
            record,
            expected,
        } => {
            function_is_there(rows, key)?;
            let qualifier = record.qualifier.to_string();
            let place = Place::policy(key, &qualifier);
            let stored: Option<PolicyRecord> = rows.fetch(&place)?;
            put(rows, &place, stored.map(|s| s.revision), expected, text)
        }
        Change::DeletePolicy(key, qualifier) => {
            rows.remove(&Place::policy(key, &qualifier.to_string()))
        }
        Change::PutEventInvoke {
            key,
            record,
            expected,
        } => {
            function_is_there(rows, key)?;
            let qualifier = record.qualifier.to_string();
            let place = Place::event_invoke(key, &qualifier);
            let stored: Option<EventInvokeRecord> = rows.fetch(&place)?;
            put(rows, &place, stored.map(|s| s.revision), expected, text)
        }
        Change::DeleteEventInvoke(key, qualifier) => {
            rows.remove(&Place::event_invoke(key, &qualifier.to_string()))
        }
        Change::CreateLayerVersion(record) => {
            let arn = &record.arn;
            let layer = Place::layer(&arn.account, &arn.region, &arn.layer);
            let stored: Option<LayerRecord> = rows.fetch(&layer)?;
            let last = stored.as_ref().map_or(0, |layer| layer.last);
            if last.checked_add(1) != Some(arn.version) {
                return conflict(format_args!(
                    "{layer} has used the numbers up to {last}, {} can't follow",
                    arn.version
                ));
            }
            let counter = encode_counter(arn.version)?;
            match stored {
                Some(_) => rows.replace(&layer, &counter)?,
                None => rows.insert(&layer, &counter)?,
            }
            create(rows, &Place::layer_version(arn)?, text)
        }
        Change::DeleteLayerVersion(arn) => rows.remove(&Place::layer_version(arn)?),
        Change::PutRoute { record, expected } => {
            let place = Place::route(&record.id);
            let stored: Option<RouteRecord> = rows.fetch(&place)?;
            put(rows, &place, stored.map(|s| s.revision), expected, text)
        }
        Change::DeleteRoute { id, expected } => {
            let place = Place::route(id);
            let stored: RouteRecord = existing(rows, &place)?;
            remove(rows, &place, &stored.revision, expected)
        }
        Change::PutRouteKey { record, expected } => {
            let place = Place::route_key(&record.id);
            let stored: Option<RouteKeyRecord> = rows.fetch(&place)?;
            put(rows, &place, stored.map(|s| s.revision), expected, text)
        }
        Change::DeleteRouteKey { id, expected } => {
            let place = Place::route_key(id);
            let stored: RouteKeyRecord = existing(rows, &place)?;
            remove(rows, &place, &stored.revision, expected)
        }
        Change::PutTopic { record, expected } => {
            let place = Place::topic(&record.id);
            let stored: Option<TopicRecord> = rows.fetch(&place)?;
            put(rows, &place, stored.map(|s| s.revision), expected, text)
        }
        Change::DeleteTopic { id, expected } => {
            let place = Place::topic(id);
            let stored: TopicRecord = existing(rows, &place)?;
            remove(rows, &place, &stored.revision, expected)
        }
        Change::PutMapping { record, expected } => {
            let place = Place::mapping(&record.id);
            let stored: Option<MappingRecord> = rows.fetch(&place)?;
            put(rows, &place, stored.map(|s| s.revision), expected, text)
        }
        Change::DeleteMapping { id, expected } => {
            let place = Place::mapping(id);
            let stored: MappingRecord = existing(rows, &place)?;
            remove(rows, &place, &stored.revision, expected)
        }
    }
}

/// Adds or replaces a record whose revision, or absence, the caller has seen.
fn put(
    rows: &mut Rows<'_>,
    place: &Place<'_>,
    stored: Option<String>,
    expected: &Option<String>,
    record: &str,
) -> Result<(), StoreError> {
    if stored != *expected {
        return conflict(format_args!("{place} is not at the expected revision"));
    }
    match stored {
        Some(_) => rows.replace(place, record),
        None => rows.insert(place, record),
    }
}

/// Removes a record whose revision the caller has seen.
fn remove(
    rows: &mut Rows<'_>,
    place: &Place<'_>,
    stored: &str,
    expected: &str,
) -> Result<(), StoreError> {
    if stored != expected {
        return conflict(format_args!("{place} is not at the expected revision"));
    }
    rows.remove(place)
}

fn encode_counter(last: u64) -> Result<String, StoreError> {
    serde_json::to_string(&LayerRecord { last }).map_err(|e| StoreError::Unavailable(e.to_string()))
}

fn conflict<T>(why: impl std::fmt::Display) -> Result<T, StoreError> {
    Err(StoreError::Conflict(why.to_string()))
}

fn create(rows: &mut Rows<'_>, place: &Place<'_>, record: &str) -> Result<(), StoreError> {
    if rows.has(place)? {
        return conflict(format_args!("{place} is there already"));
    }
    rows.insert(place, record)
}

fn existing<T: DeserializeOwned>(rows: &Rows<'_>, place: &Place<'_>) -> Result<T, StoreError> {
    match rows.fetch(place)? {
        Some(record) => Ok(record),
        None => conflict(format_args!("{place} is not there")),
    }
}

fn function_is_there(rows: &Rows<'_>, key: &FunctionKey) -> Result<(), StoreError> {
    let place = Place::function(key);
    if rows.has(&place)? {
        Ok(())
    } else {
        conflict(format_args!("{place} is not there"))
    }
}

/// `$LATEST` is part of its function's record and nothing else is.
fn holds_latest(record: &FunctionRecord) -> Result<(), StoreError> {
    match record.latest.version {
        Version::Latest => Ok(()),
        Version::Number(n) => conflict(format_args!(
            "function {} has version {n} for its $LATEST",
            record.key
        )),
    }
}

fn published(version: Version) -> Result<u64, StoreError> {
    match version {
        Version::Number(n) => Ok(n),
        Version::Latest => conflict("$LATEST is not a published version"),
    }
}
