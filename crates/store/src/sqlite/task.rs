//! A job of the group's that answers who asked: its act, and what that changes besides the tables.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::group::{Job, gone};
use crate::contract::StoreError;

/// What an act changes in memory, and what is told of it.
pub(super) trait Effects: Send {
    /// Takes it back, for the transaction was undone. The act may be done again.
    fn undo(&mut self);

    /// Tells of it, once the transaction is on disk.
    fn tell(self);
}

/// A task on its way.
pub(super) struct Task<A, E, F> {
    act: F,
    effects: E,
    answer: Option<A>,
    asker: oneshot::Sender<Result<A, StoreError>>,
}

impl<A, E, F> Task<A, E, F>
where
    F: FnMut(&Connection, i64, &mut E) -> Result<A, StoreError>,
{
    /// The task, and where it answers. `act` gets the transaction and its number, and may be done again if that was
    /// undone; what it refuses, it refuses before it writes.
    pub(super) fn new(effects: E, act: F) -> (Self, oneshot::Receiver<Result<A, StoreError>>) {
        let (asker, answered) = oneshot::channel();
        let task = Self {
            act,
            effects,
            answer: None,
            asker,
        };
        (task, answered)
    }
}

impl<A, E, F> Job for Task<A, E, F>
where
    A: Send,
    E: Effects,
    F: FnMut(&Connection, i64, &mut E) -> Result<A, StoreError> + Send,
{
    fn perform(&mut self, connection: &Connection, sequence: i64) -> Result<(), StoreError> {
        self.answer = Some((self.act)(connection, sequence, &mut self.effects)?);
        Ok(())
    }

    fn undo(&mut self) {
        self.effects.undo();
        self.answer = None;
    }

    fn answer(self: Box<Self>, result: Result<(), StoreError>) {
        let task = *self;
        let answer = result.and_then(|()| task.answer.ok_or_else(gone));
        if answer.is_ok() {
            task.effects.tell();
        }
        let _ = task.asker.send(answer);
    }
}
