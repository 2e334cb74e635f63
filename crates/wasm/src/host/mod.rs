//! What a guest is given besides computing: the way out by HTTP, buckets of keys and values, its configuration and a
//! folder. Clocks, random numbers, the environment and streams are [`crate::state`]'s.
//!
//! Everything is denied that the guest's [`crate::Grants`] do not name, and bounded where they do.

mod keyvalue;
mod outgoing;

pub use keyvalue::{KeyValue, KeyValueError, KeyValueGrant};
