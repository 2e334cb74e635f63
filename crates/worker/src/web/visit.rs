//! A request's stay in an environment, as its caller holds it.

use std::sync::{Arc, Mutex, PoisonError};

use hearth_types::ApiError;
use hearth_types::invoke::Outcome;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::visits::Stay;
use crate::failure::Failure;

/// How a request leaves.
#[derive(Debug)]
pub(super) enum Leaving {
    /// Its response was whole.
    Well,
    /// It had none, or it broke off.
    Badly(Failure),
}

/// Why a request was not let in.
#[derive(Debug)]
pub(crate) enum Unserved {
    /// The platform's fault.
    Platform(ApiError),
    /// The function's: its server did not start.
    Function(Outcome),
}

impl From<ApiError> for Unserved {
    fn from(error: ApiError) -> Self {
        Self::Platform(error)
    }
}

/// How the stay ended, as the environment sees it: with an empty payload if it ended well.
pub(super) type Ended = oneshot::Receiver<Result<Outcome, ApiError>>;

/// The connection of a request, as far as its environment may cut it. Whoever takes it first has the say: a connection
/// that is kept for another request is not cut any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Arc<Mutex<Option<CancellationToken>>>);

impl Line {
    pub(super) fn set(&self, cut: &CancellationToken) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut.clone());
    }

    pub(super) fn take(&self) -> Option<CancellationToken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The stay. Dropping it ends it: its caller went away.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(super) server: Arc<Server>,
    /// Cancelled when it was ended from outside: time is up, or the environment goes.
    pub(super) over: CancellationToken,
    pub(super) line: Line,
    stay: Stay,
    ended: Option<Ended>,
}

impl Visit {
    /// A stay at `server`.
    pub(super) fn new(
        server: &Arc<Server>,
        over: CancellationToken,
        line: Line,
        stay: Stay,
        ended: Ended,
    ) -> Self {
        Self {
            server: Arc::clone(server),
            over,
            line,
            stay,
            ended: Some(ended),
        }
    }

    /// The word of the environment, for one who waits for it after the stay.
    pub(super) fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// Ends it.
    pub(super) fn leave(self, how: Leaving) {
        self.stay.leave(how);
    }
}

/// Waits for the word of the environment.
///
/// # Errors
/// Failures of the platform.
pub(super) async fn word(ended: Option<Ended>) -> Result<Outcome, ApiError> {
    let lost = || ApiError::service("The invocation was lost. Try again.");
    match ended {
        Some(ended) => ended.await.unwrap_or_else(|_| Err(lost())),
        None => Err(lost()),
    }
}
