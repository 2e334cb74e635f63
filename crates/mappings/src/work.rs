//! One batch: taken, filtered, handed over, and settled.

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
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Failed};
use crate::attempts::{Attempt, Attempts, Ran};
use crate::batch::{self, Record};
use crate::course::{Course, Ended};
use crate::destinations::Destinations;
use crate::pace::{Ending, Place};
use crate::source::{Batch, Problem, Source};

/// What all batches are worked on with.
pub(crate) struct Work {
    pub(crate) registry: Registry,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) queues: Queues,
    pub(crate) brokers: Brokers,
    pub(crate) destinations: Arc<dyn Destinations>,
    pub(crate) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// What a mapping says, ready to be followed.
pub(crate) struct Rules {
    pub(crate) id: MappingId,
    pub(crate) mapping: Mapping,
    pub(crate) source: Source,
    pub(crate) filters: Vec<Pattern>,
    pub(crate) around: Around,
    pub(crate) attempts: Arc<Attempts>,
    /// Cancelled when the mapping does not say so any more, or the node stops.
    pub(crate) stop: CancellationToken,
}

/// All that a batch needs besides messages. It is given back from top to bottom: whoever waits for the place finds the
/// rest.
pub(crate) struct Ready {
    pub(crate) _permit: Permit,
    pub(crate) _turn: OwnedSemaphorePermit,
    pub(crate) resolved: Resolved,
    pub(crate) place: Place,
}

/// What became of records that were handed to the function.
pub(crate) struct Went {
    pub(crate) ending: Ending,
    pub(crate) failed: Failed,
    /// Of those that have failed; none, if the platform did not run them.
    pub(crate) attempt: Option<Attempt>,
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
        let Ended {
            ending,
            gave_up,
            untold,
        } = self.handle(&rules, &ready.resolved, batch).await;
        if ending == Ending::Nothing && rules.stop.is_cancelled() {
            return;
        }
        if gave_up {
            ready.place.told();
        }
        let untold = untold.map(|why| {
            format!("PROBLEM: Messages are to be given up, and their destination could not be told: {why}")
        });
        let result = match ending {
            Ending::Untold => untold.as_deref().unwrap_or("PROBLEM"),
            Ending::Failed => "PROBLEM: Function call failed",
            Ending::Refused => "PROBLEM: The platform could not run the function",
            _ if !is_fit => "PROBLEM: A message was given up: it is larger than a function's event",
            _ if gave_up => {
                "PROBLEM: Messages were given up: their retries are exhausted, or they are too old"
            }
            _ => "OK",
        };
        self.registry.note_processing(&rules.id, result);
        ready.place.set(ending);
    }

    async fn handle(&self, rules: &Rules, resolved: &Resolved, batch: Batch) -> Ended {
        let Batch {
            records,
            meant_by_none,
            unfit,
            trace,
            taken,
            ..
        } = batch;
        let course = Course {
            work: self,
            rules,
            resolved,
            trace,
            taken,
        };
        course.settle(meant_by_none, End::Done).await;
        course.run(unfit, records).await
    }

    /// Hands records to the function.
    pub(crate) async fn invoke(
        &self,
        rules: &Rules,
        resolved: &Resolved,
        records: &[Record],
        trace: Option<String>,
    ) -> Went {
        let refused = || Went {
            ending: Ending::Refused,
            failed: Failed::all(records.len()),
            attempt: None,
        };
        let sampled = resolved.deployment.configuration.tracing_active;
        let Some((request_id, fresh)) = self.fresh(sampled) else {
            return refused();
        };
        let trace = lineage::with(&trace.unwrap_or(fresh), &rules.mapping.function);
        let invocation = Invocation {
            request_id,
            deployment: Arc::clone(&resolved.deployment),
            invoked_arn: resolved.invoked_arn(),
            payload: batch::event(records, &rules.around).into(),
            client_context: None,
            trace_id: trace.clone(),
            log_tail: false,
        };
        let attempt = |error| Attempt {
            request: request_id,
            at: (self.clock)(),
            trace,
            ran: Some(Ran {
                version: resolved.executed_version,
                error,
            }),
        };
        match self.invoker.invoke(invocation).await {
            Ok(Outcome {
                error: Some(error), ..
            }) => Went {
                ending: Ending::Failed,
                failed: Failed::all(records.len()),
                attempt: Some(attempt(Some(error))),
            },
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
                Went {
                    ending,
                    failed,
                    attempt: Some(attempt(None)),
                }
            }
            Ok(_) => Went {
                ending: Ending::Good,
                failed: Failed::default(),
                attempt: None,
            },
            Err(error) => {
                tracing::info!(%error, function = %rules.mapping.function, "a batch of messages was not run");
                refused()
            }
        }
    }

    /// A new request, and a trace of no chain.
    pub(crate) fn fresh(&self, sampled: bool) -> Option<(RequestId, String)> {
        let mut random = [0; 36];
        if let Err(error) = getrandom::fill(&mut random) {
            tracing::error!(%error, "read random bytes from the operating system");
            return None;
        }
        let (mut id, mut root) = ([0; 16], [0; 20]);
        id.copy_from_slice(&random[..16]);
        root.copy_from_slice(&random[16..]);
        let trace = lineage::new_trace(sampled, (self.clock)(), root);
        Some((RequestId::from_random(id), trace))
    }
}

/// Whether an answer is the one of a worker's `queue` handler, in which each message is acknowledged or sent back:
/// that is part of its interface, whatever the mapping asks for.
fn says_itself(deployment: &Deployment, answer: &[u8]) -> bool {
    deployment.configuration.runtime == Runtime::Worker
        && answer.starts_with(br#"{"batchItemFailures":["#)
}
