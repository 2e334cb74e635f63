//! What is done to the queues, one job a call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_types::event_invoke::Condition;
use hearth_types::invoke::RequestId;
use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::books::{Books, Changes};
use super::news::News;
use super::rows::{self, Checksum, DeadRow, Trial};
use crate::contract::StoreError;
use crate::events::{
    End, Event, EventError, Fault, FullQueue, Lease, Leased, MOST_DEAD, Settled, Step, TAKE_BYTES,
    Taken, Tries, cut,
};
use crate::once::Once;
use crate::sqlite::fault::corrupt;
use crate::sqlite::group::Job;
use crate::sqlite::once;
use crate::sqlite::task::{Effects, Task};

/// What all jobs share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) books: Mutex<Books>,
    pub(super) news: News,
}

impl Shared {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        // Whatever panicked in here has stopped the writer: nothing changes any more.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a job does with the tables and the books.
pub(super) trait Act: Send {
    /// What it answers.
    type Answer: Send;

    /// Does it. What it must refuse, it refuses before it writes.
    fn act(&mut self, work: &mut Work<'_>) -> Result<Self::Answer, StoreError>;
}

/// A transaction, and what it does to the books.
pub(super) struct Work<'a> {
    connection: &'a Connection,
    sequence: i64,
    books: &'a mut Books,
    done: &'a mut Done,
}

/// What is to be undone with the transaction, or told after it.
#[derive(Debug, Default)]
struct Done {
    changes: Changes,
    /// Functions that were new.
    new: Vec<i64>,
    news: Vec<(FunctionKey, Timestamp)>,
}

/// What a job does besides the tables, and what with.
struct Told {
    shared: Arc<Shared>,
    done: Done,
}

impl Effects for Told {
    fn undo(&mut self) {
        let mut books = self.shared.books();
        books.undo(&mut self.done.changes);
        for function in self.done.new.drain(..).rev() {
            books.remove(function);
        }
        self.done.news.clear();
    }

    fn tell(self) {
        self.shared.books().commit(&self.done.changes);
        for (function, due) in &self.done.news {
            self.shared.news.tell(function, *due);
        }
    }
}

/// The job that does `act`, and where it answers.
pub(super) fn job<A: Act>(
    mut act: A,
    shared: Arc<Shared>,
) -> (impl Job, oneshot::Receiver<Result<A::Answer, StoreError>>) {
    let told = Told {
        shared,
        done: Done::default(),
    };
    Task::new(told, move |connection, sequence, told: &mut Told| {
        let mut books = told.shared.books();
        act.act(&mut Work {
            connection,
            sequence,
            books: &mut books,
            done: &mut told.done,
        })
    })
}

impl Work<'_> {
    /// Puts a new event into the tables.
    fn insert(&mut self, event: &Event, checksum: &Checksum) -> Result<(), StoreError> {
        let (connection, new) = (self.connection, &mut self.done.new);
        let function = self.books.number_or_insert(&event.function, |number| {
            rows::insert_function(connection, number, &event.function)?;
            new.push(number);
            Ok(())
        })?;
        let number = self.books.next_event();
        rows::insert_event(self.connection, number, function, event, checksum)?;
        let trial = Trial {
            function,
            event: number,
            bytes: event.bytes(),
            tries: Tries::default(),
            cause: None,
        };
        self.wait(event.due, &trial)
    }

    /// An event waits from now on.
    fn wait(&mut self, due: Timestamp, trial: &Trial) -> Result<(), StoreError> {
        rows::insert_waiting(self.connection, due, trial)?;
        self.books.waits(
            trial.function,
            trial.tries.begun,
            trial.bytes,
            &mut self.done.changes,
        );
        let key = self.key(trial.function)?;
        self.done.news.push((key, due));
        Ok(())
    }

    fn key(&self, function: i64) -> Result<FunctionKey, StoreError> {
        let key = self.books.key(function);
        key.cloned()
            .ok_or_else(|| corrupt("it has events of a function that it does not name"))
    }

    /// Takes an event from those that run, if the lease holds.
    fn stop(&mut self, lease: Lease) -> Result<Option<Trial>, StoreError> {
        let stopped = rows::remove_running(self.connection, lease)?;
        if let Some(trial) = &stopped {
            self.books
                .runs_no_more(trial.function, trial.bytes, &mut self.done.changes);
        }
        Ok(stopped)
    }

    /// An event that neither waits nor runs is dead from now on. The oldest make room for it.
    fn die(&mut self, trial: &Trial, mut end: End) -> Result<(), StoreError> {
        end.message = cut(end.message);
        let response = end.response.as_ref().map_or(0, |response| response.len());
        let row = DeadRow {
            event: trial.event,
            function: trial.function,
            bytes: trial.bytes + (response + end.message.len()) as u64,
        };
        rows::put_end(self.connection, trial.event, &end)?;
        rows::insert_dead(self.connection, row, end.at)?;
        self.books
            .dies(row.function, row.bytes, &mut self.done.changes);
        while self.books.too_many_dead() {
            let oldest = rows::dead_before(self.connection, Timestamp::from_millis(i64::MAX), 1)?;
            // The one that has just died stays, whatever its size.
            match oldest.first() {
                Some(oldest) if oldest.event != row.event => self.bury(*oldest)?,
                _ => break,
            }
        }
        Ok(())
    }

    /// Removes a dead event.
    fn bury(&mut self, row: DeadRow) -> Result<(), StoreError> {
        rows::remove_dead(self.connection, row.event)?;
        self.books
            .is_dead_no_more(row.function, row.bytes, &mut self.done.changes);
        Ok(())
    }

    /// Dead events of a function: one, or the oldest.
    fn dead(
        &self,
        function: &FunctionKey,
        which: Option<RequestId>,
    ) -> Result<Vec<DeadRow>, StoreError> {
        let Some(number) = self.books.number(function) else {
            return Ok(Vec::new());
        };
        match which {
            None => rows::dead_of(self.connection, number, MOST_DEAD),
            Some(id) => {
                let found = rows::dead_by_id(self.connection, id)?;
                Ok(found
                    .into_iter()
                    .filter(|row| row.function == number)
                    .collect())
            }
        }
    }
}

/// [`crate::EventStore::accept`], and [`crate::EventStore::accept_once`].
pub(super) struct Accept {
    pub(super) event: Event,
    pub(super) checksum: Checksum,
    pub(super) once: Option<Once>,
}

impl Act for Accept {
    type Answer = Result<bool, FullQueue>;

    fn act(&mut self, work: &mut Work<'_>) -> Result<Self::Answer, StoreError> {
        if let Some(once) = &self.once
            && once::is_noted(work.connection, once)?
        {
            return Ok(Ok(false));
        }
        let bytes = self.event.bytes();
        if let Err(full) = work.books.check_room(&self.event.function, bytes) {
            return Ok(Err(full));
        }
        if let Some(once) = &self.once {
            once::note(work.connection, once, self.event.accepted)?;
        }
        work.insert(&self.event, &self.checksum)?;
        Ok(Ok(true))
    }
}

/// [`crate::EventStore::take`].
pub(super) struct Take {
    pub(super) function: FunctionKey,
    pub(super) now: Timestamp,
    pub(super) most: usize,
}

impl Act for Take {
    type Answer = Taken;

    fn act(&mut self, work: &mut Work<'_>) -> Result<Taken, StoreError> {
        let Some(function) = work.books.number(&self.function) else {
            return Ok(Taken::default());
        };
        let mut events = Vec::new();
        let mut bytes = 0;
        for (due, mut trial) in rows::due(work.connection, function, self.now, self.most)? {
            if bytes > 0 && bytes + trial.bytes > TAKE_BYTES as u64 {
                break;
            }
            bytes += trial.bytes;
            rows::remove_waiting(work.connection, function, due, trial.event)?;
            work.books.waits_no_more(
                function,
                trial.tries.begun,
                trial.bytes,
                &mut work.done.changes,
            );
            trial.tries.begun += 1;
            let end = rows::end(work.connection, trial.event)?;
            let Some(event) = rows::event(work.connection, trial.event, &self.function)? else {
                tracing::error!(function = %self.function, event = trial.event, "an event is damaged: it is not run");
                work.die(&trial, damaged(self.now, &trial))?;
                continue;
            };
            rows::insert_running(work.connection, work.sequence, &trial)?;
            work.books
                .runs(function, trial.bytes, &mut work.done.changes);
            let lease = Lease {
                event: trial.event,
                token: work.sequence,
            };
            events.push(Leased {
                lease,
                event,
                tries: trial.tries,
                cause: trial.cause,
                end,
            });
        }
        let next = rows::next_due(work.connection, function)?;
        Ok(Taken { events, next })
    }
}

fn damaged(now: Timestamp, trial: &Trial) -> End {
    End {
        at: now,
        condition: Condition::Damaged,
        attempts: trial.tries.begun - 1,
        version: None,
        error: None,
        message: "What the disk holds of the event is not what was accepted.".to_owned(),
        response: None,
    }
}

/// [`crate::EventStore::settle`].
pub(super) struct Settle {
    pub(super) lease: Lease,
    pub(super) step: Step,
}

impl Act for Settle {
    type Answer = Settled;

    fn act(&mut self, work: &mut Work<'_>) -> Result<Settled, StoreError> {
        let Some(mut trial) = work.stop(self.lease)? else {
            return Ok(Settled::Stale);
        };
        match self.step.clone() {
            Step::Done => {
                rows::remove_end(work.connection, trial.event)?;
                rows::remove_event(work.connection, trial.event)?;
            }
            Step::Again { due, fault, cause } => {
                match fault {
                    Fault::Function => {
                        trial.tries.failed += 1;
                        trial.tries.deferred = 0;
                    }
                    Fault::Platform => trial.tries.deferred += 1,
                }
                trial.cause = Some(cut(cause));
                work.wait(due, &trial)?;
            }
            Step::Tell { mut end, due } => {
                end.message = cut(end.message);
                rows::put_end(work.connection, trial.event, &end)?;
                trial.tries = Tries::default();
                trial.cause = None;
                work.wait(due, &trial)?;
            }
            Step::Dead(end) => work.die(&trial, end)?,
        }
        Ok(Settled::Yes)
    }
}

/// [`crate::EventStore::reclaim`].
pub(super) struct Reclaim {
    /// Leases of transactions up to this one are of processes that are gone.
    pub(super) until: i64,
    pub(super) due: Box<dyn Fn(u32) -> Timestamp + Send + Sync>,
}

impl Act for Reclaim {
    type Answer = u64;

    fn act(&mut self, work: &mut Work<'_>) -> Result<u64, StoreError> {
        let lost = rows::remove_running_until(work.connection, self.until)?;
        let count = lost.len() as u64;
        for mut trial in lost {
            work.books
                .runs_no_more(trial.function, trial.bytes, &mut work.done.changes);
            trial.tries.lost += 1;
            let due = (self.due)(trial.tries.lost);
            work.wait(due, &trial)?;
        }
        Ok(count)
    }
}

/// [`crate::EventStore::redrive`].
pub(super) struct Redrive {
    pub(super) function: FunctionKey,
    pub(super) which: Option<RequestId>,
    pub(super) now: Timestamp,
}

impl Act for Redrive {
    type Answer = Result<usize, EventError>;

    fn act(&mut self, work: &mut Work<'_>) -> Result<Self::Answer, StoreError> {
        let (mut moved, mut bytes) = (0, 0);
        for row in work.dead(&self.function, self.which)? {
            if moved > 0 && bytes + row.bytes > TAKE_BYTES as u64 {
                break;
            }
            bytes += row.bytes;
            let Some(mut event) = rows::event(work.connection, row.event, &self.function)? else {
                // It stays where it can be looked at.
                continue;
            };
            if let Err(full) = work.books.check_room(&self.function, event.bytes()) {
                if moved > 0 {
                    break;
                }
                return Ok(Err(EventError::Full(full)));
            }
            event.accepted = self.now;
            event.due = self.now;
            work.bury(row)?;
            work.insert(&event, &rows::checksum(&event))?;
            moved += 1;
        }
        Ok(Ok(moved))
    }
}

/// [`crate::EventStore::purge`].
pub(super) struct Purge {
    pub(super) function: FunctionKey,
    pub(super) which: Option<RequestId>,
}

impl Act for Purge {
    type Answer = usize;

    fn act(&mut self, work: &mut Work<'_>) -> Result<usize, StoreError> {
        let found = work.dead(&self.function, self.which)?;
        for row in &found {
            work.bury(*row)?;
        }
        Ok(found.len())
    }
}

/// [`crate::EventStore::forget`].
pub(super) struct Forget {
    pub(super) before: Timestamp,
}

impl Act for Forget {
    type Answer = usize;

    fn act(&mut self, work: &mut Work<'_>) -> Result<usize, StoreError> {
        let found = rows::dead_before(work.connection, self.before, MOST_DEAD)?;
        for row in &found {
            work.bury(*row)?;
        }
        Ok(found.len())
    }
}
