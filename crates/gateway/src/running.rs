//! Invocations: let in, and run even if their callers go away.

use std::sync::Arc;

use hearth_registry::{Resolved, Scope};
use hearth_types::ApiError;
use hearth_types::invoke::{Invocation, Outcome};

use crate::admission::Permit;
use crate::gateway::Parted;

impl Parted {
    /// Lets an invocation in, if its function and its account have room for one more.
    ///
    /// # Errors
    /// TooManyRequests.
    pub(crate) fn admit(&self, resolved: &Resolved) -> Result<Permit, ApiError> {
        let key = resolved.key();
        self.admission.admit(key, resolved.reserved, || {
            let scope = Scope {
                account: key.account.clone(),
                region: key.region.clone(),
            };
            let settings = self.registry.get_account_settings(&scope);
            settings.account_limit.unreserved_concurrent_executions
        })
    }

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
            Err(ApiError::service("The invocation was lost. Try again."))
        })
    }
}
