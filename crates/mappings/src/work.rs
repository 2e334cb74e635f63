//! One batch: taken, filtered, handed over, and settled.

use std::collections::HashSet;
use std::sync::Arc;

use hearth_brokers::{Brokers, End};
use hearth_patterns::Pattern;
use hearth_queues::Queues;
use hearth_registry::{Permit, Registry, Resolved};
use hearth_types::function::{Deployment, Runtime};
use hearth_types::invoke::{Invocation, Invoker, Outcome, RequestId};
use hearth_types::lineage;
use hearth_types::mapping::{Mapping, MappingId};
use hearth_types::time::Timestamp;
use hearth_types::wire::broker_event::Around;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::answer;
use crate::batch::{self, Record};
use crate::pace::{Ending, Place};
use crate::source::{Batch, Handle, Problem, Source};

/// What all batches are worked on with.
pub(crate) struct Work {
    pub(crate) registry: Registry,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) queues: Queues,
    pub(crate) brokers: Brokers,
    pub(crate) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// What a mapping says, ready to be followed.
pub(crate) struct Rules {
    pub(crate) id: MappingId,
    pub(crate) mapping: Mapping,
    pub(crate) source: Source,
    pub(crate) filters: Vec<Pattern>,
    pub(crate) around: Around,
}

/// All that a batch needs besides messages. It is given back from top to bottom: whoever waits for the place finds the
/// rest.
pub(crate) struct Ready {
    pub(crate) _permit: Permit,
    pub(crate) _turn: OwnedSemaphorePermit,
    pub(crate) resolved: Resolved,
    pub(crate) place: Place,
}

impl Work {
    /// Takes a batch, and says how many messages it has; then works on it to its end. Whatever happens on the way, what
    /// was taken and not settled is given again.
    pub(crate) async fn run(
        self: Arc<Self>,
        rules: Arc<Rules>,
        mut ready: Ready,
        taken: oneshot::Sender<Result<usize, Problem>>,
    ) {
        let batch = match rules.source.take(&self, &rules).await {
            Ok(batch) => batch,
            Err(problem) => {
                drop(ready);
                let _ = taken.send(Err(problem));
                return;
            }
        };
        let _ = taken.send(Ok(batch.messages));
        if batch.messages == 0 {
            return;
        }
        let is_fit = batch.unfit.is_empty();
        let ending = self.handle(&rules, &ready.resolved, batch).await;
        let result = match ending {
            Ending::Failed => "PROBLEM: Function call failed",
            Ending::Refused => "PROBLEM: The platform could not run the function",
            _ if !is_fit => "PROBLEM: A message was given up: it is larger than a function's event",
            Ending::Good | Ending::Partly | Ending::Nothing => "OK",
        };
        self.registry.note_processing(&rules.id, result);
        ready.place.set(ending);
    }

    async fn handle(&self, rules: &Rules, resolved: &Resolved, batch: Batch) -> Ending {
        let Batch {
            records,
            meant_by_none,
            unfit,
            trace,
            taken,
            ..
        } = batch;
        let settle = async |handles: Vec<Handle>, end| {
            if handles.is_empty() {
                return;
            }
            // What can't be settled now is given to the function again.
            if let Err(Problem(problem)) = rules.source.settle(taken.as_ref(), handles, end).await {
                tracing::error!(mapping = %rules.id.uuid, "settle messages: {problem}");
            }
        };
        settle(meant_by_none, End::Done).await;
        settle(unfit, End::Never).await;
        let mut ending = Ending::Nothing;
        let mut stopped = HashSet::new();
        let mut parts = batch::parts(records, &rules.around).into_iter();
        while let Some(mut part) = parts.next() {
            // What comes after a failure of its group must not be run before it.
            part.retain(|record| !record.group.as_ref().is_some_and(|g| stopped.contains(g)));
            if part.is_empty() {
                continue;
            }
            let (ended, failed) = self.invoke(rules, resolved, &part, trace.clone()).await;
            stopped.extend(failed.iter().filter_map(|at| part.get(*at)?.group.clone()));
            let (mut done, mut again) = (Vec::new(), Vec::new());
            for (at, record) in part.into_iter().enumerate() {
                if failed.contains(&at) {
                    again.push(record.handle);
                } else {
                    done.push(record.handle);
                }
            }
            settle(done, End::Done).await;
            // What a broker has is in one order; a queue has groups for that.
            let is_over = match rules.source {
                Source::Queue(_) => ended == Ending::Refused,
                Source::Broker(_) => ended >= Ending::Failed,
            };
            if is_over {
                again.extend(parts.by_ref().flatten().map(|record| record.handle));
            }
            settle(again, End::Again).await;
            ending = ending.max(ended);
        }
        ending
    }

    /// Hands records to the function: how that ended, and which have failed.
    async fn invoke(
        &self,
        rules: &Rules,
        resolved: &Resolved,
        records: &[Record],
        trace: Option<String>,
    ) -> (Ending, HashSet<usize>) {
        let all = || (0..records.len()).collect();
        let mut random = [0; 36];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::error!(%error, "read random bytes from the operating system");
            return (Ending::Refused, all());
        }
        let (mut id, mut root) = ([0; 16], [0; 20]);
        id.copy_from_slice(&random[..16]);
        root.copy_from_slice(&random[16..]);
        let sampled = resolved.deployment.configuration.tracing_active;
        let trace = trace.unwrap_or_else(|| lineage::new_trace(sampled, (self.clock)(), root));
        let invocation = Invocation {
            request_id: RequestId::from_random(id),
            deployment: Arc::clone(&resolved.deployment),
            invoked_arn: resolved.invoked_arn(),
            payload: batch::event(records, &rules.around).into(),
            client_context: None,
            trace_id: lineage::with(&trace, &rules.mapping.function),
            log_tail: false,
        };
        match self.invoker.invoke(invocation).await {
            Ok(Outcome { error: Some(_), .. }) => (Ending::Failed, all()),
            Ok(Outcome { payload, .. })
                if rules.mapping.reports_failures
                    || says_itself(&resolved.deployment, &payload) =>
            {
                let failed = answer::failed(&payload, records);
                let ending = match failed.len() {
                    0 => Ending::Good,
                    all if all == records.len() => Ending::Failed,
                    _ => Ending::Partly,
                };
                (ending, failed)
            }
            Ok(_) => (Ending::Good, HashSet::new()),
            Err(error) => {
                tracing::info!(%error, function = %rules.mapping.function, "a batch of messages was not run");
                (Ending::Refused, all())
            }
        }
    }
}

/// Whether an answer is the one of a worker's `queue` handler, in which each message is acknowledged or sent back:
/// that is part of its interface, whatever the mapping asks for.
fn says_itself(deployment: &Deployment, answer: &[u8]) -> bool {
    deployment.configuration.runtime == Runtime::Worker
        && answer.starts_with(br#"{"batchItemFailures":["#)
}
