//! One thing that is done to what has due times (schedules, deliveries of storage events): a job of the group's, and
//! whether due times change with it.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use super::group::{Job, gone};
use crate::contract::StoreError;

/// A transaction, and what is told after it.
pub(super) struct Work<'a> {
    pub(super) connection: &'a Connection,
    due_changed: &'a mut bool,
}

impl Work<'_> {
    /// Something may be due earlier than before.
    pub(super) fn due_changed(&mut self) {
        *self.due_changed = true;
    }
}

/// A task on its way.
pub(super) struct Task<A, F> {
    act: F,
    changed: Arc<Notify>,
    due_changed: bool,
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
        changed: Arc<Notify>,
    ) -> (Self, oneshot::Receiver<Result<A, StoreError>>) {
        let (asker, answered) = oneshot::channel();
        let task = Self {
            act,
            changed,
            due_changed: false,
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
    fn perform(&mut self, connection: &Connection, _sequence: i64) -> Result<(), StoreError> {
        let mut work = Work {
            connection,
            due_changed: &mut self.due_changed,
        };
        self.answer = Some((self.act)(&mut work)?);
        Ok(())
    }

    fn undo(&mut self) {
        self.due_changed = false;
        self.answer = None;
    }

    fn answer(self: Box<Self>, result: Result<(), StoreError>) {
        let task = *self;
        let answer = result.and_then(|()| task.answer.ok_or_else(gone));
        if answer.is_ok() && task.due_changed {
            // One dispatcher waits, or will: a permit is kept for it.
            task.changed.notify_one();
        }
        let _ = task.asker.send(answer);
    }
}
