//! What an instance may take of the machine's memory.
//!
//! All linear memories and tables of an instance count together, against what its function was granted and, with those
//! of all other instances, against the wall's budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

use crate::gauge::Gauge;

/// Bytes of one element of a table in Wasmtime: a pointer.
const ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// Core instances, memories and tables of one store, each. The pool's bounds are lower; these hold for what a component
/// would make outside of the pool.
const MOST_OF_A_KIND: usize = 128;

/// What all instances together may take.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: u64,
    taken: AtomicU64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            taken: AtomicU64::new(0),
        }
    }

    /// Takes `bytes`, if there are as many.
    fn take(&self, bytes: u64) -> bool {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(bytes).filter(|sum| *sum <= self.bytes)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Which bound refused growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// What the function was granted.
    Grant,
    /// What the wall has for all.
    Budget,
}

/// What one instance took, and may take.
#[derive(Debug)]
pub(crate) struct Limits {
    granted: u64,
    taken: u64,
    budget: Arc<Budget>,
    refused: Option<Refused>,
    gauge: Option<Arc<Gauge>>,
}

impl Limits {
    /// Nothing taken yet of `granted` bytes.
    pub(crate) fn new(granted: u64, budget: Arc<Budget>) -> Self {
        Self {
            granted,
            taken: 0,
            budget,
            refused: None,
            gauge: None,
        }
    }

    /// A call begins: says from now on to `gauge` what is taken. Memories and tables never shrink, so that this is the
    /// peak, too.
    pub(crate) fn measure(&mut self, gauge: &Arc<Gauge>) {
        self.refused = None;
        gauge.memory(self.taken);
        self.gauge = Some(Arc::clone(gauge));
    }

    /// Which bound refused growth last, if one did.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused
    }

    fn grow(&mut self, current: u64, desired: u64) -> bool {
        let more = desired.saturating_sub(current);
        if self.taken.saturating_add(more) > self.granted {
            self.refused = Some(Refused::Grant);
            return false;
        }
        if !self.budget.take(more) {
            self.refused = Some(Refused::Budget);
            return false;
        }
        self.taken += more;
        if let Some(gauge) = &self.gauge {
            gauge.memory(self.taken);
        }
        true
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.budget.give_back(self.taken);
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // A growth beyond the memory's own maximum fails whatever is said here: it must not be counted.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(current as u64, desired as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(
            current as u64 * ELEMENT_BYTES,
            (desired as u64).saturating_mul(ELEMENT_BYTES),
        ))
    }

    fn instances(&self) -> usize {
        MOST_OF_A_KIND
    }

    fn tables(&self) -> usize {
        MOST_OF_A_KIND
    }

    fn memories(&self) -> usize {
        MOST_OF_A_KIND
    }
}
