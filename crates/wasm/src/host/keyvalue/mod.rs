//! `wasi:keyvalue`.

mod contract;

pub use contract::{KeyValue, KeyValueError, KeyValueGrant};
