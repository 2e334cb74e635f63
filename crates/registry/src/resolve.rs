//! The registry's part of the request path: from a name to what runs.

use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::name::Qualifier;

use crate::scope::one_qualifier;
use crate::snapshot::Runnable;
use crate::{Registry, Resolved, Scope, present};

impl Registry {
    /// Finds what an invocation runs. `draw` is a random number from 0.0 up to, and not including, 1.0: it decides
    /// between the two versions of a weighted alias.
    ///
    /// Takes no lock, and costs the same however many functions there are (INV-9).
    ///
    /// # Errors
    /// [`AccessDenied`](hearth_types::ErrorKind::AccessDenied) for another account's function,
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound) if there is no such function, version or alias,
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) if it is not ready to be invoked,
    /// [`InvalidParameterValue`](hearth_types::ErrorKind::InvalidParameterValue) if the ARN and `qualifier` name
    /// different versions.
    pub fn resolve(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
        draw: f64,
    ) -> Result<Resolved, ApiError> {
        let key = scope.key(function)?;
        let qualifier = one_qualifier(function, qualifier)?;
        let snapshot = self.inner.snapshot.load();
        let entry = snapshot.function(&key);
        let (executed_version, runnable, reserved) = entry
            .and_then(|entry| {
                let (version, runnable) = entry.route(qualifier, draw)?;
                Some((version, runnable, entry.function.reserved_concurrency))
            })
            .ok_or_else(|| present::function_not_found(&key, qualifier))?;
        match runnable {
            Runnable::Ready(deployment) => Ok(Resolved {
                deployment: deployment.clone(),
                executed_version,
                qualifier: qualifier.cloned(),
                reserved,
            }),
            Runnable::Not(state) => Err(ApiError::conflict(format!(
                "The operation cannot be performed at this time. The function is currently in the following state: \
                 {state}"
            ))),
        }
    }
}
