//! An instance: a guest with its memory, between being made and being dropped.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;

use crate::call::{Failure, Output};
use crate::entry::{Entry, Exports};
use crate::failure;
use crate::gauge::Gauge;
use crate::grants::Grants;
use crate::machine::Machine;
use crate::state::{State, Streams};
use crate::stdio::Log;
use crate::ticker::SLICE_TICKS;

/// Most bytes that a guest may hand over in one host call: the host holds a copy. Wasmtime's default is 128 MiB.
const HOSTCALL_BYTES: usize = 8 << 20;

/// Handles that the components inside of an instance may hold of each other's resources. Wasmtime's default is 100,000;
/// each costs the host about 50 bytes.
const COMPONENT_HANDLES: usize = 20_000;

/// A guest with its memory.
pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) exports: Exports,
    log: Arc<Log>,
    served: u32,
    /// Dropped last: the slots are free once the store has given its memory back.
    _slots: OwnedSemaphorePermit,
}

impl Instance {
    /// Makes an instance. What a component does when it starts is the guest's code, too.
    ///
    /// # Errors
    /// [`Failure::NoRoom`] if the pool or the wall's memory is used up, else the guest's failure.
    pub(crate) async fn make(
        machine: &Machine,
        entry: &Entry,
        grants: &Arc<Grants>,
        (streams, log): (Streams, Arc<Log>),
        gauge: &Arc<Gauge>,
        slots: OwnedSemaphorePermit,
    ) -> Result<Box<Self>, Failure> {
        let state = State::new(
            grants,
            machine,
            streams,
            Arc::clone(&log) as Arc<dyn Output>,
        )?;
        let mut store = Store::new(entry.component().engine(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.set_max_component_handles(COMPONENT_HANDLES);
        store.epoch_deadline_async_yield_and_update(SLICE_TICKS);
        store.set_epoch_deadline(SLICE_TICKS);
        store.data_mut().limits.measure(gauge);
        match entry.instantiate(&mut store).await {
            Ok(exports) => Ok(Box::new(Self {
                store,
                exports,
                log,
                served: 0,
                _slots: slots,
            })),
            Err(error) => {
                let failure = failure::of_instantiation(&error, &store.data().limits);
                gauge.died(&failure);
                Err(failure)
            }
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self, output: Arc<dyn Output>, gauge: &Arc<Gauge>) {
        self.log.set(Some(output));
        self.served += 1;
        self.store.set_epoch_deadline(SLICE_TICKS);
        self.store.data_mut().limits.measure(gauge);
        gauge.start();
    }

    /// A call ended well.
    pub(crate) fn end(&mut self) {
        self.log.set(None);
    }

    /// Calls that it served.
    pub(crate) fn served(&self) -> u32 {
        self.served
    }

    /// Drops it behind the caller's back: giving its memory back takes longer than many a call. If as many are being
    /// dropped as there are processors it is dropped here and now: instances go as fast as they come.
    pub(crate) fn bury(self: Box<Self>, machine: &Arc<Machine>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return drop(self);
        };
        match machine.burial() {
            Some(burial) => {
                runtime.spawn(async move {
                    drop(self);
                    drop(burial);
                });
            }
            None => drop(self),
        }
    }
}
