//! What is kept of rules: event buses, rules with their targets, and events on their way to those.
//!
//! An event and all of its deliveries are one transaction: it is on its way to each target that was meant, or to none. What
//! a delivery does elsewhere (an event of a function, a message) is made once by its [`Once`](crate::once::Once). Which
//! events a rule means, the store does not know.
//!
//! [`crate::sqlite::SqliteRuleStore`] is the store of one node.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_types::name::{AccountId, Region};
use hearth_types::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contract::StoreError;

/// The name of an event bus: whose it is, where, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusId {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The name within both.
    pub name: String,
}

/// What is set of a bus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusSettings {
    /// What it is for.
    pub description: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// An event bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus {
    /// Its name.
    pub id: BusId,
    /// What is set.
    pub settings: BusSettings,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed.
    pub modified: Timestamp,
}

/// The name of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId {
    /// Its bus.
    pub bus: BusId,
    /// The name there.
    pub name: String,
}

/// What is set of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSettings {
    /// Which events it means.
    pub pattern: String,
    /// What it is for.
    pub description: Option<String>,
    /// The role that it was made with.
    pub role: Option<String>,
    /// Whether events are matched with it.
    pub enabled: bool,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Who is given its events, by the identifier of each within the rule.
    pub targets: BTreeMap<String, RuleTarget>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// What is set.
    pub settings: RuleSettings,
    /// When it was made.
    pub created: Timestamp,
}

/// Who is given a rule's events, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTarget {
    /// The function or queue.
    pub arn: String,
    /// The role that it was named with.
    pub role: Option<String>,
    /// What it is given.
    pub input: RuleInput,
    /// `MessageGroupId`, for a queue.
    pub message_group: Option<String>,
    /// The queue for what is given up.
    pub dead_letters: Option<String>,
    /// `MaximumEventAgeInSeconds`.
    pub most_age_seconds: Option<u32>,
    /// `MaximumRetryAttempts`.
    pub most_retries: Option<u32>,
}

/// What a target is given of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleInput {
    /// All of it.
    #[default]
    Whole,
    /// This, whatever the event says.
    Constant(String),
    /// What is at this path.
    Path(String),
    /// A text with values of the event in it.
    Template {
        /// Where they are, by name.
        paths: BTreeMap<String, String>,
        /// The text.
        text: String,
    },
}

/// An event, and who is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRuleEvent {
    /// The event, as JSON.
    pub body: String,
    /// The trace of the request that it came with.
    pub trace: Option<String>,
    /// Who is given it; at least one.
    pub told: Vec<Arc<Address>>,
}

impl NewRuleEvent {
    /// The bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let told = self.told.iter().map(|address| address.told.len());
        self.body.len() + told.sum::<usize>()
    }
}

/// A [`Told`] as it is stored: written once for all events that the rule means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(crate) target: String,
    pub(crate) told: String,
}

impl Address {
    /// Writes it.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be written.
    pub fn new(told: &Told) -> Result<Self, StoreError> {
        let text = serde_json::to_string(told).map_err(|error| {
            StoreError::Conflict(format!("it can't be written as JSON: {error}"))
        })?;
        Ok(Self {
            target: told.target.arn.clone(),
            told: text,
        })
    }
}

/// A rule that meant an event, and one of its targets, both as they were then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The rule's ARN.
    pub rule: String,
    /// The target.
    pub target: RuleTarget,
}

/// An event on its way to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDelivery {
    /// Its number, never given twice.
    pub number: i64,
    /// When the event was taken in.
    pub accepted: Timestamp,
    /// Attempts that have failed.
    pub failed: u32,
    /// The event, as JSON.
    pub body: String,
    /// The trace of the request that it came with.
    pub trace: Option<String>,
    /// To whom it goes, and why.
    pub told: Told,
}

/// A delivery that is due; only its number, if it is not what was stored.
pub type DueDelivery = Result<RuleDelivery, i64>;

/// What becomes of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// The target has taken it.
    Done,
    /// It is tried again then.
    Again(Timestamp),
    /// It is not tried any more, and counted.
    GivenUp,
}

/// How it stands with a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetCounts {
    /// Its ARN.
    pub target: String,
    /// Deliveries on their way to it.
    pub waiting: u64,
    /// Those that were given up.
    pub given_up: u64,
}

/// Why a store of rules could not do it.
#[derive(Debug, thiserror::Error)]
pub enum RuleStoreError {
    /// There are as many as there may be.
    #[error("there are as many as there may be")]
    Full,
    /// As much is on its way to this target as may be.
    #[error("as much is on its way to {0} as may be")]
    FullTarget(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
