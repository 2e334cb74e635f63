//! What is done to what has due times (schedules, deliveries of storage events and of rules), and whether those change
//! with it.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{Notify, oneshot};

use super::group::Job;
use super::task::{Effects, Task};
use crate::contract::StoreError;

/// A transaction, and what is told after it.
pub(super) struct Work<'a> {
    pub(super) connection: &'a Connection,
    due: &'a mut Due,
}

impl Work<'_> {
    /// Something may be due earlier than before.
    pub(super) fn due_changed(&mut self) {
        self.due.is_changed = true;
    }
}

/// Who is told of due times, and whether there is something to tell.
struct Due {
    changed: Arc<Notify>,
    is_changed: bool,
}

impl Effects for Due {
    fn undo(&mut self) {
        self.is_changed = false;
    }

    fn tell(self) {
        if self.is_changed {
            // One dispatcher waits, or will: a permit is kept for it.
            self.changed.notify_one();
        }
    }
}

/// The task that does `act`, and where it answers.
pub(super) fn task<A: Send>(
    changed: Arc<Notify>,
    mut act: impl FnMut(&mut Work<'_>) -> Result<A, StoreError> + Send,
) -> (impl Job, oneshot::Receiver<Result<A, StoreError>>) {
    let due = Due {
        changed,
        is_changed: false,
    };
    Task::new(due, move |connection, _, due: &mut Due| {
        act(&mut Work { connection, due })
    })
}
