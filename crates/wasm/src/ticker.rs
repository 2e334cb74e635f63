//! The clock of slices: counts the engine's epoch up while guests compute, so that each gives its thread back.
//!
//! One thread for a wall. It sleeps while no guest computes: an idle node is not woken a thousand times a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Length of a tick.
const TICK: Duration = Duration::from_millis(1);

/// Ticks that a guest computes before it gives its thread back: between one and two, so that a call that takes less than
/// a tick never does.
pub(crate) const SLICE_TICKS: u64 = 2;

/// Ticks without a guest after which the thread parks. Waking it costs a caller a system call (about 2 µs), which calls
/// that come one after another should not pay each.
const PATIENCE_TICKS: u32 = 50;

/// The clock of slices.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Guests that compute right now.
    computing: AtomicU32,
    /// The thread parks, or is about to.
    parked: AtomicBool,
    stop: AtomicBool,
}

impl Ticker {
    /// Starts the thread; `tick` counts the epoch up.
    ///
    /// # Errors
    /// If there are no more threads.
    pub(crate) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new()
            .name("wasm-ticker".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.run(tick)
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// A guest computes until what is returned is dropped.
    pub(crate) fn computing(&self) -> Computing<'_> {
        // Sequentially consistent, as in `run`: either this sees that the thread parks, or the thread sees this guest.
        self.shared.computing.fetch_add(1, Ordering::SeqCst);
        if self.shared.parked.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        Computing(&self.shared)
    }
}

impl Shared {
    fn run(&self, tick: impl Fn()) {
        let mut idle_ticks = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if self.computing.load(Ordering::Relaxed) > 0 {
                idle_ticks = 0;
                tick();
            } else {
                idle_ticks += 1;
            }
            if idle_ticks < PATIENCE_TICKS {
                thread::sleep(TICK);
                continue;
            }
            self.parked.store(true, Ordering::SeqCst);
            if self.computing.load(Ordering::SeqCst) == 0 && !self.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            self.parked.store(false, Ordering::SeqCst);
            idle_ticks = 0;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It holds nothing but the engine and ends within a tick: not waited for, as this may be a runtime's thread.
        }
    }
}

/// A guest computes.
pub(crate) struct Computing<'a>(&'a Shared);

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.computing.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_for(what: impl Fn() -> bool) {
        while !what() {
            thread::yield_now();
        }
    }

    #[test]
    fn parks_when_no_guest_computes_and_ticks_when_one_does() {
        let ticks = Arc::new(AtomicU32::new(0));
        let ticker = Ticker::start({
            let ticks = Arc::clone(&ticks);
            move || {
                ticks.fetch_add(1, Ordering::SeqCst);
            }
        })
        .expect("a thread");
        wait_for(|| ticker.shared.parked.load(Ordering::SeqCst));
        assert_eq!(ticks.load(Ordering::SeqCst), 0);

        let computing = ticker.computing();
        wait_for(|| ticks.load(Ordering::SeqCst) > 2);

        drop(computing);
        wait_for(|| ticker.shared.parked.load(Ordering::SeqCst));
    }
}
