//! Durable state of the control plane: functions, versions, aliases and layers.
//!
//! [`record`] says what is kept, [`contract`] what every store promises, [`sqlite`] is the store of one node.
//! [`conformance`] is the suite that every implementation must pass.
//!
//! A store holds no policy: it applies what the registry decided, whole or not at all, and answers once that is
//! on disk.

pub mod contract;
pub mod record;

pub use contract::{Change, Contents, Store, StoreError};
