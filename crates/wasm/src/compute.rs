//! Threads for guests that compute for long.
//!
//! Every call begins on the thread of its caller. One that turns out to be a long computation goes on here, on as many
//! threads as there are processors and at lower priority, so that it does not stand in the way of short calls.

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// How nice the threads are: the kernel gives a thread of this weight about a tenth of what it gives a thread of the
/// front where both want one processor (`sched(7)`: a factor of 1.25 each step).
const NICE: i32 = 10;

/// Threads for long computations.
pub(crate) struct Compute {
    runtime: Option<Runtime>,
}

impl Compute {
    /// Starts the threads.
    ///
    /// # Errors
    /// If there are no more threads.
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("wasm-compute")
            .on_thread_start(|| {
                // Linux keeps the value for each thread. Being less nice than meant is no failure.
                let _ = rustix::process::nice(NICE);
            })
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Takes `computation` over. Gives it back if the threads are gone.
    pub(crate) fn spawn<F>(&self, computation: F) -> Result<JoinHandle<F::Output>, F>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => Ok(runtime.spawn(computation)),
            None => Err(computation),
        }
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for threads is not allowed where this may run: on a thread of another runtime.
            runtime.shutdown_background();
        }
    }
}
