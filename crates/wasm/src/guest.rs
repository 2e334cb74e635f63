//! A guest that runs: whose thread it takes, and until when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::call::Failure;
use crate::instance::Instance;
use crate::machine::Machine;

/// What a guest may compute on its caller's thread, all slices together; then it goes on among the long computations.
/// Long enough for ordinary requests of an interpreter, short beside what a caller notices.
const FRONT: Duration = Duration::from_millis(5);

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
    pub(crate) fn new(machine: Arc<Machine>, deadline: Instant, run: Run) -> Self {
        Self {
            place: Place::Front(Sliced {
                run,
                machine: Arc::clone(&machine),
                computed: Duration::ZERO,
            }),
            machine,
            deadline,
            timer: None,
        }
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
        self.move_if_busy(cx);
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

    fn move_if_busy(&mut self, cx: &mut Context<'_>) {
        let busy = matches!(&self.place, Place::Front(sliced) if sliced.computed > FRONT);
        if !busy {
            return;
        }
        let Place::Front(sliced) = std::mem::replace(&mut self.place, Place::Nowhere) else {
            return;
        };
        match self.machine.compute.spawn(sliced) {
            Ok(task) => {
                self.place = Place::Compute(Moved(task));
                // The next poll makes the task wake this one at its end.
                cx.waker().wake_by_ref();
            }
            Err(sliced) => self.place = Place::Front(sliced),
        }
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
    /// How long it has computed.
    computed: Duration,
}

impl Future for Sliced {
    type Output = Result<Box<Instance>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let computing = this.machine.ticker.computing();
        let begin = Instant::now();
        // A panic of the host's part must not take more with it than this guest.
        let polled = catch_unwind(AssertUnwindSafe(|| this.run.as_mut().poll(cx)));
        this.computed += begin.elapsed();
        drop(computing);
        polled.unwrap_or_else(|_| {
            Poll::Ready(Err(Failure::Internal(
                "the host's part of a function panicked".to_owned(),
            )))
        })
    }
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
