//! What an instance may take of the machine's memory.
//!
//! All linear memories and tables of an instance count together, against what its function was granted and, with those
//! of all other instances, against the wall's budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;
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
    freed: Notify,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            taken: AtomicU64::new(0),
            freed: Notify::new(),
        }
    }

    /// Completes when some is given back after this was called, whether or not it was polled by then.
    pub(crate) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
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
        self.freed.notify_waiters();
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
    /// Of the budget alone, for what is not memory of the guest's.
    reserved: u64,
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
            reserved: 0,
            budget,
            refused: None,
            gauge: None,
        }
    }

    /// Takes `bytes` of what all instances share until this one ends, if there are as many. They are not the guest's
    /// memory, and don't count against its grant.
    pub(crate) fn reserve(&mut self, bytes: u64) -> bool {
        let taken = self.budget.take(bytes);
        if taken {
            self.reserved += bytes;
        }
        taken
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
        self.budget.give_back(self.taken + self.reserved);
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

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    fn limits(granted: usize, budget: &Arc<Budget>) -> Limits {
        Limits::new(granted as u64, Arc::clone(budget))
    }

    #[test]
    fn memories_and_tables_count_together() {
        let budget = Arc::new(Budget::new(u64::MAX));
        let mut limits = limits(2 * PAGE, &budget);
        assert!(limits.memory_growing(0, PAGE, None).expect("an answer"));
        assert!(limits.memory_growing(0, PAGE / 2, None).expect("an answer"));
        let elements = PAGE / 2 / ELEMENT_BYTES as usize;
        assert!(!limits.table_growing(0, elements + 1, None).expect("no"));
        assert_eq!(limits.refused(), Some(Refused::Grant));
        assert!(limits.table_growing(0, elements, None).expect("yes"));
        assert!(!limits.memory_growing(PAGE, 2 * PAGE, None).expect("no"));
    }

    #[test]
    fn growth_beyond_a_memorys_own_maximum_is_not_counted() {
        let budget = Arc::new(Budget::new(u64::MAX));
        let mut limits = limits(4 * PAGE, &budget);
        for _ in 0..8 {
            assert!(!limits.memory_growing(0, 2 * PAGE, Some(PAGE)).expect("no"));
        }
        assert_eq!(limits.refused(), None);
        assert!(limits.memory_growing(0, 4 * PAGE, None).expect("yes"));
    }

    #[test]
    fn what_all_have_is_bounded_and_given_back() {
        let budget = Arc::new(Budget::new(3 * PAGE as u64));
        let mut first = limits(PAGE * 8, &budget);
        let mut second = limits(PAGE * 8, &budget);
        assert!(first.memory_growing(0, 2 * PAGE, None).expect("yes"));
        assert!(!second.memory_growing(0, 2 * PAGE, None).expect("no"));
        assert_eq!(second.refused(), Some(Refused::Budget));
        drop(first);
        assert!(second.memory_growing(0, 3 * PAGE, None).expect("yes"));
    }

    #[test]
    fn a_call_is_told_the_peak_of_its_instance() {
        let budget = Arc::new(Budget::new(u64::MAX));
        let mut limits = limits(8 * PAGE, &budget);
        let (first, second) = (Arc::new(Gauge::default()), Arc::new(Gauge::default()));
        limits.measure(&first);
        assert!(limits.memory_growing(0, PAGE, None).expect("yes"));
        limits.measure(&second);
        assert!(limits.memory_growing(PAGE, 2 * PAGE, None).expect("yes"));
        assert_eq!(first.usage().peak_memory_bytes, PAGE as u64);
        assert_eq!(second.usage().peak_memory_bytes, 2 * PAGE as u64);
    }
}
