//! A guest that runs: whose thread it takes, and until when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::call::Failure;
use crate::instance::Instance;
use crate::machine::Machine;

/// What a guest may compute on its caller's thread, all slices together; then it goes on among the long computations.
/// Long enough for ordinary requests of an interpreter, short beside what a caller notices.
///
/// It has to be used up twice: on the clock first, which is cheap to read but runs on while a busy host lets the thread
/// wait, and then in processor time, which takes a system call and is asked for from there on only. By the clock
/// alone, quick calls on a busy host would be taken for long ones and made to wait longer still.
const FRONT: Duration = Duration::from_millis(5);

/// [`Weight`] from which a function's calls begin among the long computations.
const HEAVY: u8 = 2;

/// What one long call adds to a function's [`Weight`]: two short ones make up for it.
const LONG_CALL: u8 = 2;

/// Most of a [`Weight`]: a function that became quick is on its callers' threads again after so many calls.
const MOST_WEIGHT: u8 = 8;

/// Whether a function's calls compute for long, as the last ones did. The first slices of many long calls at once would
/// stand in the way of short ones as well as one long call.
#[derive(Debug, Default)]
pub(crate) struct Weight(AtomicU8);

impl Weight {
    fn is_heavy(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= HEAVY
    }

    /// Learns of a call. Lost updates of calls at the same time don't matter.
    fn learn(&self, computed: Duration) {
        let old = self.0.load(Ordering::Relaxed);
        let new = if computed > FRONT {
            (old + LONG_CALL).min(MOST_WEIGHT)
        } else {
            old.saturating_sub(1)
        };
        if new != old {
            self.0.store(new, Ordering::Relaxed);
        }
    }
}

/// A guest's run, up to its own end: its instance, if it ended well.
pub(crate) type Run = Pin<Box<dyn Future<Output = Result<Box<Instance>, Failure>> + Send>>;

/// A guest that runs. Dropping it ends it.
pub(crate) struct Guest {
    place: Place,
    machine: Arc<Machine>,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Where a guest runs.
enum Place {
    /// In its caller's task.
    Front(Sliced),
    /// Among the long computations.
    Compute(Moved),
    /// It ended.
    Nowhere,
}

impl Guest {
    /// A guest of a function of this weight, which begins when it is polled first at the latest.
    pub(crate) fn new(
        machine: Arc<Machine>,
        weight: Arc<Weight>,
        deadline: Instant,
        run: Run,
    ) -> Self {
        let heavy = weight.is_heavy();
        let sliced = Sliced {
            run,
            machine: Arc::clone(&machine),
            weight,
            spent: Duration::ZERO,
            computed: Duration::ZERO,
            learned: false,
        };
        let mut guest = Self {
            place: Place::Front(sliced),
            machine,
            deadline,
            timer: None,
        };
        if heavy {
            guest.move_away();
        }
        guest
    }

    /// Lets the guest go on. Must not be called after it returned its end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<Instance>, Failure>> {
        let polled = match &mut self.place {
            Place::Front(sliced) => Pin::new(sliced).poll(cx),
            Place::Compute(moved) => moved.poll(cx),
            Place::Nowhere => Poll::Ready(Err(Failure::Abandoned)),
        };
        if let Poll::Ready(end) = polled {
            self.place = Place::Nowhere;
            return Poll::Ready(end);
        }
        if self.late(cx) {
            self.place = Place::Nowhere;
            return Poll::Ready(Err(Failure::Timeout));
        }
        if matches!(&self.place, Place::Front(sliced) if sliced.computed > FRONT) {
            self.move_away();
            // The next poll makes the task wake this one at its end.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Whether the deadline came. Sees to it that the task is woken when it does.
    fn late(&mut self, cx: &mut Context<'_>) -> bool {
        // A guest in a loop wakes its task all the time: the clock is cheaper than the timer then, and more exact.
        if Instant::now() >= self.deadline {
            return true;
        }
        let deadline = self.deadline;
        self.timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())))
            .as_mut()
            .poll(cx)
            .is_ready()
    }

    /// Lets the guest go on among the long computations.
    fn move_away(&mut self) {
        self.place = match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Front(sliced) => match self.machine.compute.spawn(sliced) {
                Ok(task) => Place::Compute(Moved(task)),
                Err(sliced) => Place::Front(sliced),
            },
            elsewhere => elsewhere,
        };
    }
}

impl Future for Guest {
    type Output = Result<Box<Instance>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Guest::poll(&mut self, cx)
    }
}

/// A guest's run, with the ticker running while it computes.
struct Sliced {
    run: Run,
    machine: Arc<Machine>,
    weight: Arc<Weight>,
    /// How long it has had a thread, by the clock.
    spent: Duration,
    /// How long it has computed since that passed [`FRONT`], in processor time.
    computed: Duration,
    /// The function's weight knows of it.
    learned: bool,
}

impl Future for Sliced {
    type Output = Result<Box<Instance>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let computing = this.machine.ticker.computing();
        let measured = (this.spent > FRONT).then(processor_time);
        let begin = Instant::now();
        // A panic of the host's part must not take more with it than this guest.
        let polled = catch_unwind(AssertUnwindSafe(|| this.run.as_mut().poll(cx)));
        this.spent += begin.elapsed();
        if let Some(before) = measured {
            this.computed += processor_time().saturating_sub(before);
        }
        drop(computing);
        // A long call is known as one before it ends: it may never do so by itself.
        let ended = !matches!(polled, Ok(Poll::Pending));
        if !this.learned && (ended || this.computed > FRONT) {
            this.learned = true;
            this.weight.learn(this.computed);
        }
        polled.unwrap_or_else(|_| {
            Poll::Ready(Err(Failure::Internal(
                "the host's part of a function panicked".to_owned(),
            )))
        })
    }
}

/// Processor time of this thread so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // Neither is negative.
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// A guest among the long computations.
struct Moved(JoinHandle<Result<Box<Instance>, Failure>>);

impl Moved {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<Instance>, Failure>> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(cx)) {
            Ok(end) => end,
            Err(_) => Err(Failure::Internal(
                "the threads for long computations are gone".to_owned(),
            )),
        })
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_heavy_as_long_as_its_calls_are() {
        let weight = Weight::default();
        weight.learn(FRONT);
        assert!(!weight.is_heavy());
        weight.learn(FRONT * 2);
        assert!(weight.is_heavy());
        weight.learn(FRONT / 2);
        assert!(!weight.is_heavy());
        for _ in 0..100 {
            weight.learn(FRONT * 2);
        }
        for _ in 0..MOST_WEIGHT {
            weight.learn(FRONT / 2);
        }
        assert!(!weight.is_heavy());
    }
}
