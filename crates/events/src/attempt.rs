//! The seam to what runs functions. [`Functions`] is the way through registry and invoker; a simulation has another.

use std::sync::Arc;

use bytes::Bytes;
use hearth_registry::{Registry, Resolved};
use hearth_store::events::Event;
use hearth_types::ApiError;
use hearth_types::event_invoke::EventSettings;
use hearth_types::invoke::{BoxFuture, FunctionError, Invocation, Invoker, Outcome};
use hearth_types::lineage;
use hearth_types::name::{FunctionKey, Qualifier, Version};
use hearth_types::wire::lambda::ErrorObject;

/// Runs attempts.
pub trait Attempts: Send + Sync + 'static {
    /// What happens to a function's events besides being run.
    fn settings(&self, function: &FunctionKey, qualifier: Option<&Qualifier>) -> EventSettings;

    /// How many invocations of a function may run at the same time, if that is bounded: its reserved concurrency.
    fn concurrency(&self, function: &FunctionKey) -> Option<u32>;

    /// Runs an event once.
    fn attempt(&self, event: Event) -> BoxFuture<'_, Attempt>;
}

/// What came of an attempt.
#[derive(Clone, Debug)]
pub enum Attempt {
    /// The function was run.
    Ran {
        /// Which version.
        version: Version,
        /// What it returned, or the error object.
        payload: Bytes,
        /// Set if it failed.
        error: Option<FunctionError>,
    },
    /// The platform could not run it.
    Refused(ApiError),
    /// The function's reserved concurrency is 0.
    Blocked,
    /// The chain of invocations that the event is of has run the function too often.
    Looped,
}

/// The node's functions.
#[derive(Clone)]
pub struct Functions {
    registry: Registry,
    invoker: Arc<dyn Invoker>,
}

impl Functions {
    /// Functions of `registry`, run by `invoker`.
    pub fn new(registry: Registry, invoker: Arc<dyn Invoker>) -> Self {
        Self { registry, invoker }
    }

    fn resolve(
        &self,
        key: &FunctionKey,
        qualifier: Option<&Qualifier>,
    ) -> Result<Resolved, ApiError> {
        self.registry.resolve_key(key, qualifier, fraction())
    }
}

impl Attempts for Functions {
    fn settings(&self, function: &FunctionKey, qualifier: Option<&Qualifier>) -> EventSettings {
        self.registry
            .event_settings(function, qualifier)
            .unwrap_or_default()
    }

    fn concurrency(&self, function: &FunctionKey) -> Option<u32> {
        self.resolve(function, None).ok()?.reserved
    }

    fn attempt(&self, event: Event) -> BoxFuture<'_, Attempt> {
        Box::pin(async move {
            // Anew for each attempt: an alias leads where it leads now.
            let resolved = match self.resolve(&event.function, event.qualifier.as_ref()) {
                Ok(resolved) => resolved,
                Err(error) => return Attempt::Refused(error),
            };
            if resolved.reserved == Some(0) {
                return Attempt::Blocked;
            }
            if self.registry.is_loop(&event.function, &event.trace_id) {
                tracing::warn!(
                    function = %event.function,
                    request_id = %event.id,
                    "an event was stopped: its chain of invocations has run the function {} times",
                    lineage::MOST_RUNS
                );
                return Attempt::Looped;
            }
            let permit = match self.registry.admit(&resolved) {
                Ok(permit) => permit,
                Err(error) => return Attempt::Refused(error),
            };
            let version = resolved.executed_version;
            let invocation = Invocation {
                request_id: event.id,
                invoked_arn: resolved.invoked_arn(),
                deployment: resolved.deployment,
                payload: event.payload,
                client_context: event.client_context,
                trace_id: lineage::with(&event.trace_id, &event.function),
                log_tail: false,
            };
            let outcome = self.invoker.invoke(invocation).await;
            drop(permit);
            match outcome {
                Ok(Outcome { payload, error, .. }) => Attempt::Ran {
                    version,
                    payload,
                    error,
                },
                Err(error) => Attempt::Refused(error),
            }
        })
    }
}

/// A number of at least 0 and below 1, which decides between the versions of an alias.
fn fraction() -> f64 {
    // Without randomness the alias's first version runs.
    hearth_registry::draw(getrandom::u64().unwrap_or(u64::MAX))
}

impl Attempt {
    /// Why it came to nothing, in a sentence that is shown; empty if the function succeeded.
    pub fn cause(&self) -> String {
        match self {
            Self::Ran { error: None, .. } => String::new(),
            Self::Ran { payload, .. } => error_message(payload),
            Self::Refused(error) => error.to_string(),
            Self::Blocked => "The function's reserved concurrency is 0.".to_owned(),
            Self::Looped => format!(
                "Recursive loop: the chain of invocations that this event is of has run the function {} times. \
                 PutFunctionRecursionConfig with Allow lets it go on.",
                lineage::MOST_RUNS
            ),
        }
    }
}

/// What a function says of its failure: its message, or whatever it gave instead of an error object.
fn error_message(payload: &[u8]) -> String {
    let object: ErrorObject = serde_json::from_slice(payload).unwrap_or_default();
    match (object.error_type.as_str(), object.error_message.as_str()) {
        ("", "") => String::from_utf8_lossy(payload).into_owned(),
        ("", message) => message.to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, message) => format!("{kind}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_the_function_says() {
        let said = |payload: &'static str| {
            let attempt = Attempt::Ran {
                version: Version::Latest,
                payload: payload.into(),
                error: Some(FunctionError::Unhandled),
            };
            attempt.cause()
        };
        assert_eq!(
            said(r#"{"errorType":"ValueError","errorMessage":"no","stackTrace":[]}"#),
            "ValueError: no"
        );
        assert_eq!(said(r#"{"errorMessage":"no"}"#), "no");
        assert_eq!(said("not JSON"), "not JSON");
        assert_eq!(said("[1]"), "[1]");
    }

    #[test]
    fn fractions_are_below_one() {
        assert!(
            (0..1_000)
                .map(|_| fraction())
                .all(|f| (0.0..1.0).contains(&f))
        );
    }
}
