//! `wasi:keyvalue`, in both drafts that guests are built with, over what a function was granted.
//!
//! [`contract`] is what a bucket must be able to do; [`buckets`] does what both drafts have in common; [`draft`] and
//! [`draft2`] are the shapes of each.

mod buckets;
mod contract;
mod draft;
mod draft2;

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};

use crate::call::Output;
use crate::state::State;

#[allow(
    unreachable_pub,
    reason = "generated code re-exports them, and nobody that"
)]
pub use buckets::{Bucket, Cas, Error};
pub use contract::{KeyValue, KeyValueError, KeyValueGrant};

/// An instance's part of `wasi:keyvalue`.
pub(crate) struct Buckets<'a> {
    table: &'a mut ResourceTable,
    grant: Option<&'a KeyValueGrant>,
    log: &'a Arc<dyn Output>,
}

struct HasBuckets;

impl HasData for HasBuckets {
    type Data<'a> = Buckets<'a>;
}

fn buckets(state: &mut State) -> Buckets<'_> {
    Buckets {
        table: &mut state.table,
        grant: state.grants.keyvalue.as_ref(),
        log: &state.log,
    }
}

/// Offers both drafts.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    draft::add_to_linker(linker)?;
    draft2::add_to_linker(linker)
}
