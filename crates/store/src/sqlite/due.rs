//! What is done to what has due times (schedules, deliveries of storage events and of rules), and whether those change
//! with it.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::group::{Group, gone};
use super::readers::Readers;
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

/// The file of a store that has due times: who writes it, who reads it, and who waits for them.
#[derive(Debug)]
pub(super) struct DueFile {
    writer: Group,
    readers: Readers,
    changed: Arc<Notify>,
}

impl DueFile {
    /// Starts what works on the open file at `path`; `thread` is the writer's name.
    ///
    /// # Errors
    /// If its thread can't be started.
    pub(super) fn start(
        path: &Path,
        connection: Connection,
        thread: &'static str,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            writer: Group::start(path, connection, thread)?,
            readers: Readers::new(path),
            changed: Arc::default(),
        })
    }

    /// Has `act` done in a transaction, over again if it must be, and waits until that is on disk. `bytes`: what waits with
    /// it in memory.
    ///
    /// # Errors
    /// The store's, and those of `act`.
    pub(super) async fn write<A: Send + 'static>(
        &self,
        bytes: usize,
        mut act: impl FnMut(&mut Work<'_>) -> Result<A, StoreError> + Send + 'static,
    ) -> Result<A, StoreError> {
        let due = Due {
            changed: Arc::clone(&self.changed),
            is_changed: false,
        };
        let (task, answered) = Task::new(due, move |connection, _, due: &mut Due| {
            act(&mut Work { connection, due })
        });
        self.writer.queue(Box::new(task), bytes).await?;
        answered.await.map_err(|_| gone())?
    }

    /// Runs `read` on a thread that may wait for the disk.
    ///
    /// # Errors
    /// The store's, and those of `read`.
    pub(super) async fn read<T, E>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.readers.read(read).await
    }

    /// Waits for a change that may make something due earlier. Made before looking, it misses nothing.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}
