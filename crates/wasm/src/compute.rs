//! Threads for guests that compute for long.
//!
//! Every call begins on the thread of its caller. One that turns out to be a long computation goes on here, on as many
//! threads as there are processors and at lower priority, so that it does not stand in the way of short calls.

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// How nice the threads are: the kernel gives a thread of this weight about a tenth of what it gives a thread of the
/// front where both want one processor (`sched(7)`: a factor of 1.25 each step).
const NICE: i32 = 10;

/// How much processor time a thread asks for in one piece, nanoseconds: the most that the kernel grants. A thread that is
/// content with long pieces makes way at once for one that wakes and asks for short ones, as those of the front do, and
/// it gets no less for it (`sched_setattr(2)`, `sched_runtime`; since Linux 6.12, earlier ones ignore it). Without it
/// a short call waits for the end of a piece, and p99 beside a long computation is twice what it is alone.
const PIECE_NS: u64 = 100_000_000;

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
            .on_thread_start(step_back)
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

/// Makes this thread one that steps back behind those of the front. Where the kernel does not let it, it is nice alone, and
/// being less nice than meant is no failure.
#[expect(
    unsafe_code,
    reason = "the system call has no safe wrapper in the libraries that are used here"
)]
fn step_back() {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: NICE,
        sched_priority: 0,
        sched_runtime: PIECE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    let (this_thread, flags) = (0, 0);
    // SAFETY: the kernel reads as many bytes from where the pointer leads as the first field says, which the
    // structure has, and keeps nothing of it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            this_thread,
            &raw const attributes,
            flags,
        )
    };
    if result != 0 {
        // Linux keeps the value for each thread.
        let _ = rustix::process::nice(NICE);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_computations_are_nice() {
        let compute = Compute::start().unwrap();
        let asked = compute.spawn(async { rustix::process::getpriority_process(None) });
        let Ok(answered) = asked else {
            panic!("the threads are there");
        };
        assert!(answered.await.unwrap().unwrap() >= NICE);
    }
}
