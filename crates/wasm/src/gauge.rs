//! What is measured of one call while its guest runs, readable from outside of the guest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::call::{Ending, Failure, Usage};

/// Measures of one call.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    init: OnceLock<Duration>,
    started: OnceLock<Instant>,
    failure: OnceLock<Failure>,
    peak_bytes: AtomicU64,
}

impl Gauge {
    /// An instance was made for the call.
    pub(crate) fn made_instance(&self, took: Duration) {
        let _ = self.init.set(took);
    }

    /// The request is handed over.
    pub(crate) fn start(&self) {
        let _ = self.started.set(Instant::now());
    }

    /// The instance has this much memory.
    pub(crate) fn memory(&self, bytes: u64) {
        self.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    /// The guest died. Said before its store is dropped, so that whoever sees the body's sender go knows why.
    pub(crate) fn died(&self, failure: &Failure) {
        let _ = self.failure.set(failure.clone());
    }

    /// How the guest died.
    pub(crate) fn death(&self) -> Option<&Failure> {
        self.failure.get()
    }

    /// What the call used so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage {
            init: self.init.get().copied(),
            duration: self.started.get().map(Instant::elapsed).unwrap_or_default(),
            peak_memory_bytes: self.peak_bytes.load(Ordering::Relaxed),
        }
    }
}

/// Tells the caller once how the call ended; if nobody says so, it was abandoned.
pub(crate) struct Tell {
    ended: Option<Box<dyn FnOnce(Ending) + Send>>,
    gauge: Arc<Gauge>,
}

impl Tell {
    pub(crate) fn new(ended: Box<dyn FnOnce(Ending) + Send>, gauge: Arc<Gauge>) -> Self {
        Self {
            ended: Some(ended),
            gauge,
        }
    }

    /// Whoever has what is returned tells from now on.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            ended: self.ended.take(),
            gauge: Arc::clone(&self.gauge),
        }
    }

    /// Measures of the call.
    pub(crate) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// The call ended. Only the first word counts.
    pub(crate) fn end(&mut self, failure: Option<Failure>) {
        if let Some(ended) = self.ended.take() {
            ended(Ending {
                usage: self.gauge.usage(),
                failure,
            });
        }
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        self.end(Some(Failure::Abandoned));
    }
}
