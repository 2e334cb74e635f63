//! One thing that is done to the queues: a job of the group's, its counts and whom it wakes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hearth_types::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::contract::StoreError;
use crate::queues::{Delta, Tallies, Waiter};
use crate::sqlite::group::{Job, gone};

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

/// A task on its way.
pub(super) struct Task<A, F> {
    act: F,
    now: Timestamp,
    shared: Arc<Shared>,
    done: Done,
    answer: Option<A>,
    asker: oneshot::Sender<Result<A, StoreError>>,
}

impl<A, F> Task<A, F>
where
    F: FnMut(&mut Work<'_>) -> Result<A, StoreError>,
{
    /// The task, and where it answers. `act` may be done again if its transaction was undone; what it refuses, it refuses
    /// before it writes.
    pub(super) fn new(
        act: F,
        now: Timestamp,
        shared: Arc<Shared>,
    ) -> (Self, oneshot::Receiver<Result<A, StoreError>>) {
        let (asker, answered) = oneshot::channel();
        let task = Self {
            act,
            now,
            shared,
            done: Done::default(),
            answer: None,
            asker,
        };
        (task, answered)
    }
}

impl<A, F> Job for Task<A, F>
where
    A: Send,
    F: FnMut(&mut Work<'_>) -> Result<A, StoreError> + Send,
{
    fn perform(&mut self, connection: &Connection, sequence: i64) -> Result<(), StoreError> {
        let mut state = self.shared.state();
        let mut work = Work {
            connection,
            now: self.now,
            state: &mut state,
            sequence,
            done: &mut self.done,
        };
        self.answer = Some((self.act)(&mut work)?);
        Ok(())
    }

    fn undo(&mut self) {
        let mut state = self.shared.state();
        for delta in self.done.deltas.drain(..).rev() {
            state.tallies.apply(delta.inverse(), self.now);
        }
        self.done.wakes.clear();
        self.answer = None;
    }

    fn answer(self: Box<Self>, result: Result<(), StoreError>) {
        let task = *self;
        let answer = result.and_then(|()| task.answer.ok_or_else(gone));
        if answer.is_ok() {
            for queue in task.done.wakes {
                task.shared.wake(queue);
            }
        }
        let _ = task.asker.send(answer);
    }
}
