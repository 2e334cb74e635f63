//! What the engine tells of a request when it is over, and who waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hearth_types::invoke::RequestId;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::failure::Thrown;

/// What a request's isolate did.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Trace {
    /// `x-amzn-requestid` of the request; nothing for what is none.
    #[serde(default)]
    pub(crate) request: Option<String>,
    /// What it wrote, in order. The engine keeps 256 KiB of it.
    #[serde(default)]
    pub logs: Vec<Line>,
    /// What it threw and nobody caught.
    #[serde(default)]
    pub exceptions: Vec<Thrown>,
}

/// What one call of `console` wrote. Hostile.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Line {
    /// When, milliseconds since 1970.
    #[serde(default)]
    pub timestamp: i64,
    /// `debug`, `info`, `log`, `warn`, `error`.
    #[serde(default)]
    pub level: String,
    /// The text; several lines perhaps.
    #[serde(default)]
    pub text: String,
}

/// Who waits for which trace, in one account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(Arc<Mutex<HashMap<RequestId, oneshot::Sender<Trace>>>>);

impl Traces {
    /// Waits for the trace of a request from now on.
    pub(crate) fn expect(&self, request: RequestId) -> Expected {
        let (sender, trace) = oneshot::channel();
        self.lock().insert(request, sender);
        Expected {
            traces: self.clone(),
            request,
            trace,
        }
    }

    /// A trace has come. One that nobody waits for is dropped.
    pub(crate) fn came(&self, trace: Trace) {
        let request = trace.request.as_deref().and_then(RequestId::parse);
        let waits = request.and_then(|request| self.lock().remove(&request));
        if let Some(waits) = waits {
            // Who waited may have left at this moment.
            let _ = waits.send(trace);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, oneshot::Sender<Trace>>> {
        // Every change is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A trace that is to come.
#[derive(Debug)]
pub struct Expected {
    traces: Traces,
    request: RequestId,
    trace: oneshot::Receiver<Trace>,
}

impl Expected {
    /// Waits for it, for `bound` at most.
    pub async fn wait(mut self, bound: Duration) -> Option<Trace> {
        tokio::time::timeout(bound, &mut self.trace)
            .await
            .ok()?
            .ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.traces.lock().remove(&self.request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn traces_reach_who_waits_and_nobody_else() {
        let traces = Traces::default();
        let [one, other] = [1, 2].map(|byte| RequestId::from_random([byte; 16]));
        let (first, second) = (traces.expect(one), traces.expect(other));
        for request in [Some(other.to_string()), Some("x".to_owned()), None] {
            traces.came(Trace {
                request,
                ..Trace::default()
            });
        }
        let came = second.wait(Duration::from_secs(60)).await.unwrap();
        assert_eq!(came.request, Some(other.to_string()));
        drop(first);
        assert!(traces.lock().is_empty());
    }
}
