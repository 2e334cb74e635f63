//! How much memory an environment has used.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hearth_sandbox::Sandbox;

/// How old a measurement may be: reading the kernel's counters takes tens of microseconds, as long as a short
/// invocation.
const STALE: Duration = Duration::from_millis(100);

/// Measures one environment.
#[derive(Debug)]
pub(crate) struct Meter {
    sandbox: Arc<Sandbox>,
    memory_mib: u32,
    newest: Mutex<Measurement>,
}

#[derive(Debug, Default)]
struct Measurement {
    peak_mib: u32,
    read: Option<Instant>,
}

impl Meter {
    /// A meter for an environment of `memory_mib`.
    pub(crate) fn new(sandbox: Arc<Sandbox>, memory_mib: u32) -> Self {
        Self {
            sandbox,
            memory_mib,
            newest: Mutex::default(),
        }
    }

    /// The most memory used so far, MiB: measured anew if `now` or if the last measurement is stale.
    pub(crate) fn peak_mib(&self, now: bool) -> u32 {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if now || newest.read.is_none_or(|read| read.elapsed() >= STALE) {
            let bytes = self.sandbox.usage().peak_memory_bytes;
            let mib = u32::try_from(bytes.div_ceil(1024 * 1024)).unwrap_or(u32::MAX);
            // What the kernel counts may pass the limit for a moment.
            newest.peak_mib = newest.peak_mib.max(mib).min(self.memory_mib);
            newest.read = Some(Instant::now());
        }
        newest.peak_mib
    }
}
