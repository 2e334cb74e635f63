//! Durable state of the control plane: functions, versions, aliases, layers and routes.
//!
//! [`record`] says what is kept, [`contract`] what every store promises, [`sqlite`] is the store of one node.
//! [`key_value`] is what functions keep, [`events`] what they are to be given, [`queues`] what applications send each
//! other, [`schedules`] when something is to happen, [`storage`] what is known of buckets' objects and [`rules`] whom events
//! concern, each apart from that. [`once`] is what keeps an effect of one in another from happening twice.
//! `conformance` (feature of the same name) is the suite that every implementation must pass.
//!
//! A store holds no policy: it applies what the registry decided, whole or not at all, and answers once that is
//! on disk.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod contract;
pub mod events;
pub mod key_value;
pub mod once;
pub mod queues;
pub mod record;
pub mod rules;
pub mod schedules;
pub mod sqlite;
pub mod storage;

pub use contract::{Change, Contents, Store, StoreError};
pub use events::EventStore;
pub use key_value::KeyValueStore;
pub use sqlite::{
    EventOptions, KeyValueOptions, QueueBounds, RuleBounds, ScheduleBounds, SqliteEventStore,
    SqliteKeyValueStore, SqliteQueueStore, SqliteRuleStore, SqliteScheduleStore,
    SqliteStorageStore, SqliteStore, StorageBounds,
};
