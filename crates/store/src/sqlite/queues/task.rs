//! One thing that is done to the queues: its counts, and whom it wakes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hearth_types::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::contract::StoreError;
use crate::queues::{Delta, Tallies, Waiter};
use crate::sqlite::group::Job;
use crate::sqlite::task::{Effects, Task};

/// Numbers that one transaction may give: its jobs (512) times the messages of a batch (10), and room.
const NUMBERS: i64 = 1 << 14;

/// What all tasks share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    waiters: Mutex<HashMap<i64, Weak<Waiter>>>,
}

/// What is known without asking the database.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tallies: Tallies,
    /// The transaction that gives numbers now, and how many it has given.
    given: (i64, i64),
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panicked in here has stopped the writer: nothing changes any more.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiters(&self) -> MutexGuard<'_, HashMap<i64, Weak<Waiter>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells of messages of a queue, while somebody holds it.
    pub(super) fn waiter(&self, queue: i64) -> Arc<Waiter> {
        let mut waiters = self.waiters();
        if let Some(waiter) = waiters.get(&queue).and_then(Weak::upgrade) {
            return waiter;
        }
        waiters.retain(|_, waiter| waiter.strong_count() > 0);
        let waiter = Arc::<Waiter>::default();
        waiters.insert(queue, Arc::downgrade(&waiter));
        waiter
    }

    fn wake(&self, queue: i64) {
        let waiter = self.waiters().get(&queue).and_then(Weak::upgrade);
        if let Some(waiter) = waiter {
            waiter.tell();
        }
    }
}

/// A transaction, and what it does besides.
pub(super) struct Work<'a> {
    pub(super) connection: &'a Connection,
    pub(super) now: Timestamp,
    pub(super) state: &'a mut State,
    sequence: i64,
    done: &'a mut Done,
}

/// What is undone with the transaction, or told after it.
#[derive(Debug, Default)]
struct Done {
    deltas: Vec<Delta>,
    wakes: Vec<i64>,
}

impl Work<'_> {
    /// A number that is never given again, higher than all before it.
    pub(super) fn number(&mut self) -> Result<i64, StoreError> {
        let (sequence, given) = &mut self.state.given;
        if *sequence != self.sequence {
            (*sequence, *given) = (self.sequence, 0);
        }
        *given += 1;
        if *given >= NUMBERS {
            return Err(StoreError::Unavailable(
                "too much at once; try again".to_owned(),
            ));
        }
        Ok(self.sequence * NUMBERS + *given)
    }

    /// A message comes or leaves.
    pub(super) fn count(&mut self, delta: Delta) {
        self.state.tallies.apply(delta, self.now);
        self.done.deltas.push(delta);
    }

    /// One of those that wait for messages of a queue is woken, once it is on disk that there is one.
    pub(super) fn wake(&mut self, queue: i64) {
        self.done.wakes.push(queue);
    }
}

/// What a task does besides the tables, and what with.
struct Told {
    shared: Arc<Shared>,
    now: Timestamp,
    done: Done,
}

impl Effects for Told {
    fn undo(&mut self) {
        let mut state = self.shared.state();
        for delta in self.done.deltas.drain(..).rev() {
            state.tallies.apply(delta.inverse(), self.now);
        }
        self.done.wakes.clear();
    }

    fn tell(self) {
        for queue in self.done.wakes {
            self.shared.wake(queue);
        }
    }
}

/// The task that does `act`, and where it answers.
pub(super) fn task<A: Send>(
    now: Timestamp,
    shared: Arc<Shared>,
    mut act: impl FnMut(&mut Work<'_>) -> Result<A, StoreError> + Send,
) -> (impl Job, oneshot::Receiver<Result<A, StoreError>>) {
    let told = Told {
        shared,
        now,
        done: Done::default(),
    };
    Task::new(told, move |connection, sequence, told: &mut Told| {
        let mut state = told.shared.state();
        act(&mut Work {
            connection,
            now: told.now,
            state: &mut state,
            sequence,
            done: &mut told.done,
        })
    })
}
