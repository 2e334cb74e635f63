//! Calls of deployments that have no environment: counted, so that shutdown can wait for their end.

use std::sync::atomic::{AtomicBool, Ordering};

use hearth_types::ApiError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::shared::shutting_down;

/// The calls that run.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    running: TaskTracker,
    closing: AtomicBool,
    /// Ends what would not end by itself, when shutdown begins.
    pub(crate) ending: CancellationToken,
}

impl Calls {
    /// Counts a call for as long as what it gives is held.
    ///
    /// # Errors
    /// If the worker is shutting down.
    pub(crate) fn count(&self) -> Result<TaskTrackerToken, ApiError> {
        let token = self.running.token();
        // Looked at after the call is counted: shutdown either waits for it or is seen here.
        if self.closing.load(Ordering::SeqCst) {
            return Err(shutting_down());
        }
        Ok(token)
    }

    /// Nothing new begins from here on.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.ending.cancel();
        self.running.close();
    }

    /// Waits until no call runs, once they are closed.
    pub(crate) async fn finished(&self) {
        self.running.wait().await;
    }
}
