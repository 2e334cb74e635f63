//! Invocations that run even if their callers go away.

use std::sync::Arc;

use hearth_registry::Permit;
use hearth_types::ApiError;
use hearth_types::invoke::{Invocation, Outcome, ResponseStream, Streamed};
use tokio::sync::oneshot;

use crate::gateway::Parted;

impl Parted {
    /// Runs an invocation on a task of its own: when the client goes away the function still runs, and counts until it
    /// has ended.
    ///
    /// # Errors
    /// Failures of the platform.
    pub(crate) async fn run(
        &self,
        invocation: Invocation,
        admitted: Permit,
    ) -> Result<Outcome, ApiError> {
        let request_id = invocation.request_id;
        let invoker = Arc::clone(&self.invoker);
        let running = tokio::spawn(async move {
            let outcome = invoker.invoke(invocation).await;
            drop(admitted);
            outcome
        });
        running.await.unwrap_or_else(|error| {
            tracing::error!(%error, %request_id, "run an invocation");
            Err(lost())
        })
    }

    /// Runs an invocation whose response is taken as it is made, on a task of its own: `held` is let go of when the
    /// function has ended, however slowly what it made is read.
    ///
    /// # Errors
    /// Failures of the platform.
    pub(crate) async fn run_streaming(
        &self,
        invocation: Invocation,
        held: impl Send + 'static,
    ) -> Result<Streamed, ApiError> {
        let request_id = invocation.request_id;
        let invoker = Arc::clone(&self.invoker);
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let response = match invoker.stream(invocation).await {
                Ok(Streamed::Begun(response)) => response,
                other => {
                    drop(held);
                    let _ = tell.send(other);
                    return;
                }
            };
            let (tell_end, end) = oneshot::channel();
            let passed = ResponseStream {
                ended: Box::pin(async { end.await.unwrap_or_else(|_| Err(lost())) }),
                ..response
            };
            // Whoever has gone can't be told: dropping the response cancels the invocation.
            let _ = tell.send(Ok(Streamed::Begun(passed)));
            let end = response.ended.await;
            drop(held);
            let _ = tell_end.send(end);
        });
        told.await.unwrap_or_else(|_| {
            tracing::error!(%request_id, "run an invocation whose response streams");
            Err(lost())
        })
    }
}

fn lost() -> ApiError {
    ApiError::service("The invocation was lost. Try again.")
}
