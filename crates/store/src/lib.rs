//! Durable state of the control plane: functions, versions, aliases, layers and routes.
//!
//! [`record`] says what is kept, [`contract`] what every store promises, [`sqlite`] is the store of one node.
//! [`key_value`] is what functions keep, [`events`] what they are to be given and [`queues`] what applications send each
//! other, each apart from that.
//! `conformance` (feature of the same name) is the suite that every implementation must pass.
//!
//! A store holds no policy: it applies what the registry decided, whole or not at all, and answers once that is
//! on disk.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod contract;
pub mod events;
pub mod key_value;
pub mod queues;
pub mod record;
pub mod sqlite;

pub use contract::{Change, Contents, Store, StoreError};
pub use events::EventStore;
pub use key_value::KeyValueStore;
pub use sqlite::{
    EventOptions, KeyValueOptions, QueueBounds, SqliteEventStore, SqliteKeyValueStore,
    SqliteQueueStore, SqliteStore,
};
