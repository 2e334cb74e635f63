//! What a guest is given besides computing: the way out by HTTP, buckets of keys and values, its configuration and a
//! folder. Clocks, random numbers and streams are [`crate::state`]'s.
//!
//! Everything is denied that the guest's [`crate::Grants`] do not name, and bounded where they do.

mod config;
mod keyvalue;
mod outgoing;
mod tmp;

use wasmtime::component::Linker;

use crate::state::State;

pub use keyvalue::{KeyValue, KeyValueError, KeyValueGrant};
pub(crate) use outgoing::{Answer, Outgoing, Response};
pub(crate) use tmp::{give as give_tmp, probe as probe_tmp};

/// Offers what is not WASI's or HTTP's own. Every guest can import it; what was not granted denies itself when it is
/// used.
///
/// # Errors
/// Never for what a guest did: two definitions of one name.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    config::add_to_linker(linker)?;
    keyvalue::add_to_linker(linker)
}
