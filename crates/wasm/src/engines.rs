//! The two engines that a wall has, one for each way in which components call each other.
//!
//! Calls that may overlap (WASI 0.3: `async` functions, streams, futures) need tasks, a scheduler and a waiter for each call
//! that goes in or out. A component that knows nothing of them pays for them nevertheless if its engine offers them: a
//! third of what a short request costs. Hence an engine without, for all that WASI 0.2 is enough for.

use serde::{Deserialize, Serialize};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::cache::fingerprint;
use crate::engine;
use crate::state::State;

/// How a component calls and is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Model {
    /// One call at a time, each to its end.
    Sequential,
    /// Calls may overlap.
    Concurrent,
}

impl Model {
    /// All, the cheapest first.
    pub(crate) const ALL: [Self; 2] = [Self::Sequential, Self::Concurrent];
}

/// An engine with what it links.
pub(crate) struct Base {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    /// Tells its compiled code from that of other engines.
    pub(crate) fingerprint: [u8; 32],
}

impl Base {
    /// With room for `instances`.
    ///
    /// # Errors
    /// If the host can't give the address space of the pool.
    pub(crate) fn new(model: Model, instances: u32) -> wasmtime::Result<Self> {
        let engine = engine::engine(model, instances)?;
        Ok(Self {
            linker: engine::linker(model, &engine)?,
            fingerprint: fingerprint(&engine),
            engine,
        })
    }
}

/// All engines of a wall. Each has room for all instances: what is not used is address space alone.
pub(crate) struct Engines {
    sequential: Base,
    concurrent: Base,
}

impl Engines {
    /// With room for `instances` in each.
    ///
    /// # Errors
    /// If the host can't give the address space of the pools.
    pub(crate) fn new(instances: u32) -> wasmtime::Result<Self> {
        Ok(Self {
            sequential: Base::new(Model::Sequential, instances)?,
            concurrent: Base::new(Model::Concurrent, instances)?,
        })
    }

    pub(crate) fn of(&self, model: Model) -> &Base {
        match model {
            Model::Sequential => &self.sequential,
            Model::Concurrent => &self.concurrent,
        }
    }

    /// A tick of the clock of slices.
    pub(crate) fn increment_epochs(&self) {
        self.sequential.engine.increment_epoch();
        self.concurrent.engine.increment_epoch();
    }
}
