//! What is kept of schedules: their groups, the schedules with when each is due, and firings that are tried again.
//!
//! A schedule has at most one due time, which is written down: a firing and the move to the next one are one
//! transaction, and that counts only while the schedule is as its reader has seen it. What a firing does elsewhere
//! (an event, a message) is made once by its [`Once`](crate::once::Once). When something is due, and what is allowed,
//! the store does not know.
//!
//! [`crate::sqlite::SqliteScheduleStore`] is the store of one node.

use std::collections::BTreeMap;

use hearth_types::name::{AccountId, Region};
use hearth_types::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contract::StoreError;

/// Most schedules that one call removes with their group: bounds how long others wait for it.
pub const MOST_CLEARED: usize = 1000;

/// For how long the token of a change is remembered, milliseconds: clients repeat a request within seconds.
pub const TOKEN_MS: i64 = 60 * 60 * 1000;

/// Where schedules are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

/// A group of schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where.
    pub place: Place,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub modified: Timestamp,
    /// Whether it is being removed.
    pub deleting: bool,
    /// Its number, never given twice.
    pub(crate) number: i64,
}

/// What is set of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// `at(…)`, `cron(…)` or `rate(…)`.
    pub expression: String,
    /// The IANA name of the zone in which it is evaluated.
    pub zone: String,
    /// Nothing is due before it.
    pub start: Option<Timestamp>,
    /// Nothing is due after it.
    pub end: Option<Timestamp>,
    /// For people.
    pub description: Option<String>,
    /// Whether it fires.
    pub enabled: bool,
    /// By how much a firing may be later, minutes.
    pub window_minutes: Option<u32>,
    /// Whether it is removed after its last firing.
    pub delete_after: bool,
    /// What is fired at.
    pub target: Target,
}

/// What is fired at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The function or queue.
    pub arn: String,
    /// The role that was named.
    pub role: String,
    /// What it is given; `None`: a notification.
    pub input: Option<String>,
    /// The message group, for queues that keep order.
    pub message_group: Option<String>,
    /// The queue of those that were given up.
    pub dead_letters: Option<String>,
    /// How old a firing may become, seconds, if that was said.
    pub most_age_seconds: Option<u32>,
    /// How often it is tried again, if that was said.
    pub most_retries: Option<u32>,
}

/// When a schedule is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The time that its expression names.
    pub scheduled: Timestamp,
    /// When it is fired: later by its place in the window.
    pub at: Timestamp,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Where.
    pub place: Place,
    /// Its group's name.
    pub group: String,
    /// Its name.
    pub name: String,
    /// What is set.
    pub settings: Settings,
    /// When it was made.
    pub created: Timestamp,
    /// When its settings last changed.
    pub modified: Timestamp,
    /// When it is due; `None`: never again.
    pub next: Option<Due>,
    /// The last time that it was due, whatever became of it.
    pub last: Option<Timestamp>,
    /// Due times that were not fired: they were too old when they were found.
    pub missed: u64,
    /// Firings that were given up.
    pub failed: u64,
    /// Its number, never given twice.
    pub number: i64,
    /// Counts its changes: what was seen before one changes nothing.
    pub(crate) revision: i64,
}

/// A schedule as its maker wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSchedule {
    /// What is set.
    pub settings: Settings,
    /// When it is due.
    pub next: Option<Due>,
}

/// A firing that has failed, and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// The schedule's number.
    pub schedule: i64,
    /// The time that its expression named.
    pub scheduled: Timestamp,
    /// What it is.
    pub order: Order,
    /// Attempts that have failed.
    pub failed: u32,
    /// When it is tried again.
    pub due: Timestamp,
}

/// What a firing needs to know of its schedule, which may change or go meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The schedule's ARN.
    pub arn: String,
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// When it was first due: its age counts from here.
    pub due: Timestamp,
    /// What is fired at.
    pub target: Target,
}

/// What becomes of a schedule whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It is due again.
    Due(Due),
    /// It stays, and is not due any more.
    Over,
    /// It is removed.
    Removed,
}

/// What becomes of a firing that was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done with.
    Done,
    /// It is tried again.
    Again(Timestamp),
    /// It is given up.
    GivenUp,
}

/// The token of a change, by which a request that is repeated is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The client's.
    pub token: String,
    /// A digest of the request.
    pub request: [u8; 32],
}

/// Why a store of schedules could not do it.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleStoreError {
    /// There is no such group.
    #[error("the schedule group does not exist")]
    MissingGroup,
    /// There is no such schedule.
    #[error("the schedule does not exist")]
    Missing,
    /// There is one already.
    #[error("it exists already")]
    Exists,
    /// There are as many as there may be.
    #[error("there are as many as there may be")]
    Full,
    /// The token came with another request before.
    #[error("the token was used for another request")]
    OtherRequest,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
