//! The one thread that writes: what waits shares a transaction, and an fsync.

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::apply::{Encoded, apply};
use super::fault::sql;
use super::load::load;
use super::row::Rows;
use super::schema::Head;
use super::watermark::Watermark;
use crate::contract::{Contents, StoreError};

/// Commits that share one transaction at most: bounds how long the first of them waits for the last. At some
/// 30 µs a commit, 256 of them cost about what one fsync does.
const MOST_PER_SYNC: usize = 256;

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// Applies changes, all or none.
    Commit {
        changes: Vec<Encoded>,
        answer: Answer<()>,
    },
    /// Reads everything.
    Load { answer: Answer<Contents> },
}

struct Commit {
    changes: Vec<Encoded>,
    answer: Answer<()>,
}

/// Owns the connection.
pub(super) struct Writer {
    connection: Connection,
    watermark: Watermark,
}

impl Writer {
    pub(super) fn new(connection: Connection, watermark: Watermark) -> Self {
        Self {
            connection,
            watermark,
        }
    }

    /// Serves requests in the order in which they come, until nobody is left to send one; then closes.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut batch = Vec::new();
            let mut reader = None;
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Commit { changes, answer } => batch.push(Commit { changes, answer }),
                    Request::Load { answer } => {
                        reader = Some(answer);
                        break;
                    }
                }
                if batch.len() == MOST_PER_SYNC {
                    break;
                }
                next = queue.try_recv().ok();
            }
            self.commit_together(batch);
            if let Some(answer) = reader {
                // The asker may have gone away; so for all answers below.
                let _ = answer.send(load(&mut self.connection));
            }
        }
        self.close();
    }

    /// Commits all in one transaction; if the database gives up on that, each in its own, so that one that is
    /// too large for the disk does not take the others with it.
    fn commit_together(&mut self, batch: Vec<Commit>) {
        match self.transaction(&batch) {
            Ok(results) => {
                for (commit, result) in batch.into_iter().zip(results) {
                    let _ = commit.answer.send(result);
                }
            }
            Err(error) if batch.len() == 1 => {
                if let Some(commit) = batch.into_iter().next() {
                    let _ = commit.answer.send(Err(error));
                }
            }
            Err(_) => {
                for commit in batch {
                    self.commit_together(vec![commit]);
                }
            }
        }
    }

    /// One transaction for all of `batch`: a conflict undoes only its own commit, anything else undoes all.
    /// Conflicts too are answered after the COMMIT: what they were in conflict with may be part of it.
    fn transaction(&mut self, batch: &[Commit]) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let mut results = Vec::with_capacity(batch.len());
        let mut transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(sql)?;
        let mut head = Head::read(&transaction)?;
        let mut changed = false;
        for commit in batch {
            let savepoint = transaction.savepoint().map_err(sql)?;
            let mut rows = Rows::new(&savepoint, head.content);
            match commit
                .changes
                .iter()
                .try_for_each(|change| apply(&mut rows, change))
            {
                Ok(()) => {
                    head.content = rows.content();
                    savepoint.commit().map_err(sql)?;
                    changed = true;
                    results.push(Ok(()));
                }
                Err(conflict @ StoreError::Conflict(_)) => {
                    // Not committed: rolled back.
                    savepoint.finish().map_err(sql)?;
                    results.push(Err(conflict));
                }
                Err(other) => return Err(other),
            }
        }
        if changed {
            head.sequence += 1;
            head.write(&transaction)?;
            transaction.commit().map_err(sql)?;
            self.watermark.raise(&head);
        }
        Ok(results)
    }

    /// The watermark first: once the log is gone, it must be known how far the database has come.
    fn close(self) {
        self.watermark.sync();
        if let Err((_, error)) = self.connection.close() {
            // The log stays and is read at the next start.
            tracing::warn!(%error, "can't close the store cleanly");
        }
    }
}
