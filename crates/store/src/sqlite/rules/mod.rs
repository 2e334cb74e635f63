//! Rules on one node: a SQLite database of its own beside the control plane's.
//!
//! One thread ([`group`](super::group)) writes: events that come at the same moment share transactions and fsyncs. What
//! only asks goes beside it.

mod rows;

use std::collections::BTreeMap;
use std::path::Path;

use hearth_types::name::{AccountId, Region};
use hearth_types::time::Timestamp;
use tokio::sync::futures::Notified;

use super::deliveries;
use super::due::DueFile;
use super::file::{self, Kind};
use crate::contract::StoreError;
use crate::rules::{
    Bus, BusId, DeliveryEnd, DueDelivery, NewRuleEvent, Rule, RuleId, RuleStoreError, TargetCounts,
};

/// The file.
const KIND: Kind = Kind {
    // `HrRl`
    application_id: 0x4872_526c,
    migrations: &[include_str!("schema.sql")],
    of: "rules",
    // As for events.
    checkpoint_pages: 4096,
};

/// Bounds of a [`SqliteRuleStore`].
#[derive(Clone, Copy, Debug)]
pub struct RuleBounds {
    /// Most rules of the node: all are in memory, some kilobytes each.
    pub rules: u64,
    /// Most event buses of the node that were made.
    pub buses: u64,
    /// Most deliveries on their way.
    pub deliveries: u64,
    /// Most of them to one target: one that takes nothing does not shut the others out.
    pub to_one_target: u64,
    /// Most bytes that they and their events take.
    pub bytes: u64,
}

impl Default for RuleBounds {
    /// As many deliveries as there may be events of asynchronous invocations, and 4 GiB of disk.
    fn default() -> Self {
        Self {
            rules: 10_000,
            buses: 1_000,
            deliveries: 1_000_000,
            to_one_target: 250_000,
            bytes: 4 << 30,
        }
    }
}

/// Rules in one SQLite database file.
///
/// Each call is atomic, and what is answered is on disk (after the covering fsync) and seen by every later call. A
/// dropped future leaves it open whether it was done; it is never half done.
///
/// One process at a time: that is seen to by [`crate::SqliteStore`] in the same folder, which is opened first.
#[derive(Debug)]
pub struct SqliteRuleStore {
    file: DueFile,
    bounds: RuleBounds,
}

impl SqliteRuleStore {
    /// Opens the database at `path`, or makes it (its folder must be there; readable by its owner alone).
    ///
    /// # Errors
    /// As [`crate::SqliteStore::open`], also when transactions that were answered are missing; damage inside is found
    /// when it is met.
    pub fn open(path: impl AsRef<Path>, bounds: RuleBounds) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let connection = file::open(path, &KIND)?;
        Ok(Self {
            file: DueFile::start(path, connection, "hearth-rules")?,
            bounds,
        })
    }

    /// All event buses that were made or changed.
    ///
    /// # Errors
    /// [`StoreError`]; `Corrupt` if one is not what was stored.
    pub async fn buses(&self) -> Result<Vec<Bus>, StoreError> {
        self.file.read(|connection| rows::buses(connection)).await
    }

    /// All rules.
    ///
    /// # Errors
    /// [`StoreError`]; `Corrupt` if one is not what was stored.
    pub async fn rules(&self) -> Result<Vec<Rule>, StoreError> {
        self.file.read(|connection| rows::rules(connection)).await
    }

    /// Makes a bus, or puts it in the place of the one with its name.
    ///
    /// # Errors
    /// [`RuleStoreError`]: `Full`, or the store's.
    pub async fn put_bus(&self, bus: Bus) -> Result<(), RuleStoreError> {
        let most = self.bounds.buses;
        self.file
            .write(0, move |work| {
                // Another of its name makes room for it.
                rows::delete_bus(work.connection, &bus.id)?;
                if rows::count_buses(work.connection)? >= most {
                    return Ok(Err(RuleStoreError::Full));
                }
                rows::put_bus(work.connection, &bus)?;
                Ok(Ok(()))
            })
            .await?
    }

    /// Removes a bus, if it is there. Its rules stay.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_bus(&self, id: BusId) -> Result<(), StoreError> {
        self.file
            .write(0, move |work| rows::delete_bus(work.connection, &id))
            .await
    }

    /// Makes a rule, or puts it in the place of the one with its name.
    ///
    /// # Errors
    /// [`RuleStoreError`]: `Full`, or the store's.
    pub async fn put_rule(&self, rule: Rule) -> Result<(), RuleStoreError> {
        let most = self.bounds.rules;
        self.file
            .write(0, move |work| {
                rows::delete_rule(work.connection, &rule.id)?;
                if rows::count_rules(work.connection)? >= most {
                    return Ok(Err(RuleStoreError::Full));
                }
                rows::put_rule(work.connection, &rule)?;
                Ok(Ok(()))
            })
            .await?
    }

    /// Removes a rule, if it is there. What is on its way stays so.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_rule(&self, id: RuleId) -> Result<(), StoreError> {
        self.file
            .write(0, move |work| rows::delete_rule(work.connection, &id))
            .await
    }

    /// Takes events in, all or none: they are on their way to their targets.
    ///
    /// # Errors
    /// [`RuleStoreError`]: `Full` or `FullTarget` if more would be on their way than may be, or the store's. Nothing was
    /// taken in.
    pub async fn accept(
        &self,
        events: Vec<NewRuleEvent>,
        now: Timestamp,
    ) -> Result<(), RuleStoreError> {
        let bytes = events.iter().map(NewRuleEvent::bytes).sum::<usize>();
        let mut to = BTreeMap::new();
        for address in events.iter().flat_map(|event| &event.told) {
            *to.entry(address.target.clone()).or_insert(0_u64) += 1;
        }
        let deliveries = to.values().sum::<u64>();
        let bounds = self.bounds;
        self.file
            .write(bytes, move |work| {
                let (waiting, taken) = rows::counts(work.connection)?;
                if waiting.saturating_add(deliveries) > bounds.deliveries
                    || taken.saturating_add(bytes as u64) > bounds.bytes
                {
                    return Ok(Err(RuleStoreError::Full));
                }
                for (target, new) in &to {
                    let waiting = rows::count_to(work.connection, target)?;
                    if waiting.saturating_add(*new) > bounds.to_one_target {
                        return Ok(Err(RuleStoreError::FullTarget(target.clone())));
                    }
                }
                for event in &events {
                    rows::insert(work.connection, event, now)?;
                }
                work.due_changed();
                Ok(Ok(()))
            })
            .await?
    }

    /// Deliveries that are due, first those that are due first. What they hold stays within `bytes`, one excepted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(
        &self,
        now: Timestamp,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        self.file
            .read(move |connection| rows::due(connection, now, limit, bytes))
            .await
    }

    /// When the next delivery is due.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.file
            .read(|connection| deliveries::next_due(connection))
            .await
    }

    /// How it stands with the targets of an owner.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn targets(
        &self,
        account: &AccountId,
        region: &Region,
    ) -> Result<Vec<TargetCounts>, StoreError> {
        let prefixes = ["lambda", "sqs"].map(|kind| format!("arn:aws:{kind}:{region}:{account}:"));
        self.file
            .read(move |connection| rows::targets(connection, prefixes))
            .await
    }

    /// Settles attempts: a delivery is due again, or done with.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle(&self, ends: Vec<(i64, DeliveryEnd)>) -> Result<(), StoreError> {
        self.file
            .write(0, move |work| {
                for (number, end) in &ends {
                    match end {
                        DeliveryEnd::Done => deliveries::delete(work.connection, *number)?,
                        DeliveryEnd::Again(due) => {
                            deliveries::put_off(work.connection, *number, *due)?
                        }
                        DeliveryEnd::GivenUp => rows::give_up(work.connection, *number)?,
                    }
                }
                Ok(())
            })
            .await
    }

    /// Waits for a change that may make something due earlier. Made before looking, it misses nothing.
    pub fn changed(&self) -> Notified<'_> {
        self.file.changed()
    }
}
