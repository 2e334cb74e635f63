//! How much memory an environment has used.

use std::time::{Duration, Instant};

use hearth_sandbox::Sandbox;

/// How old a measurement may be: reading the kernel's counters takes tens of microseconds, as long as a short
/// invocation.
const STALE: Duration = Duration::from_millis(100);

/// The newest measurement.
#[derive(Debug)]
pub(crate) struct Meter {
    memory_mib: u32,
    peak_mib: u32,
    read: Option<Instant>,
}

impl Meter {
    /// A meter for an environment of `memory_mib`.
    pub(crate) const fn new(memory_mib: u32) -> Self {
        Self {
            memory_mib,
            peak_mib: 0,
            read: None,
        }
    }

    /// The most memory used so far, MiB: measured anew if `now` or if the last measurement is stale.
    pub(crate) fn peak_mib(&mut self, sandbox: &Sandbox, now: bool) -> u32 {
        if now || self.read.is_none_or(|read| read.elapsed() >= STALE) {
            let bytes = sandbox.usage().peak_memory_bytes;
            let mib = u32::try_from(bytes.div_ceil(1024 * 1024)).unwrap_or(u32::MAX);
            // What the kernel counts may pass the limit for a moment.
            self.peak_mib = self.peak_mib.max(mib).min(self.memory_mib);
            self.read = Some(Instant::now());
        }
        self.peak_mib
    }
}
