//! One batch: taken, filtered, handed over, and settled.

use std::collections::HashSet;
use std::sync::Arc;

use hearth_patterns::Pattern;
use hearth_queues::wire::Message;
use hearth_queues::{QueueError, Queues};
use hearth_registry::{Permit, Registry, Resolved};
use hearth_store::queues::QueueKey;
use hearth_types::function::{Deployment, Runtime};
use hearth_types::invoke::{Invocation, Invoker, Outcome, RequestId};
use hearth_types::lineage;
use hearth_types::mapping::{Mapping, MappingId};
use hearth_types::time::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::answer;
use crate::batch::{self, Record};
use crate::pace::{Ending, Place};

/// What all batches are worked on with.
pub(crate) struct Work {
    pub(crate) registry: Registry,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) queues: Queues,
    pub(crate) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// What a mapping says, ready to be followed.
pub(crate) struct Rules {
    pub(crate) id: MappingId,
    pub(crate) mapping: Mapping,
    pub(crate) queue: QueueKey,
    pub(crate) filters: Vec<Pattern>,
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
    /// was taken and not deleted is due again when its visibility has run out.
    pub(crate) async fn run(
        self: Arc<Self>,
        rules: Arc<Rules>,
        mut ready: Ready,
        taken: oneshot::Sender<Result<usize, QueueError>>,
    ) {
        let most = rules.mapping.batch_size as usize;
        let messages = match self.queues.take(&rules.queue, most).await {
            Ok(messages) => messages,
            Err(error) => {
                drop(ready);
                let _ = taken.send(Err(error));
                return;
            }
        };
        let _ = taken.send(Ok(messages.len()));
        if messages.is_empty() {
            return;
        }
        let ending = self.handle(&rules, &ready.resolved, messages).await;
        let result = match ending {
            Ending::Failed => "PROBLEM: Function call failed",
            Ending::Refused => "PROBLEM: The platform could not run the function",
            Ending::Good | Ending::Nothing => "OK",
        };
        self.registry.note_processing(&rules.id, result);
        ready.place.set(ending);
    }

    async fn handle(&self, rules: &Rules, resolved: &Resolved, messages: Vec<Message>) -> Ending {
        let mut trace = None;
        let (mut records, mut meant_by_none) = (Vec::new(), Vec::new());
        for message in messages {
            let key = &rules.mapping.function;
            let own = message.attributes.get("AWSTraceHeader");
            if let Some(own) = own.filter(|own| self.registry.is_loop(key, own)) {
                tracing::warn!(
                    function = %key,
                    queue = %rules.queue.name,
                    message = %message.message_id,
                    "a message was not given to the function: the chain that it is of has run it {} times",
                    lineage::runs(own, key)
                );
                continue;
            }
            // The longest chain of all is the one that may be a loop.
            let runs =
                |trace: &Option<String>| trace.as_ref().map(|trace| lineage::runs(trace, key));
            let own = own.cloned();
            if runs(&own) > runs(&trace) {
                trace = own;
            }
            let handle = message.receipt_handle.clone();
            match batch::record(message, &rules.mapping.queue, &rules.filters) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => meant_by_none.push(handle),
                Err(error) => {
                    tracing::error!(%error, queue = %rules.queue.name, "write a message as a record")
                }
            }
        }
        self.done(rules, meant_by_none.iter().map(String::as_str))
            .await;
        let mut ending = Ending::Nothing;
        let mut stopped = HashSet::new();
        for mut part in batch::parts(records) {
            // What comes after a failure of its group must not be run before it.
            part.retain(|record| !record.group.as_ref().is_some_and(|g| stopped.contains(g)));
            if part.is_empty() {
                continue;
            }
            let trace = trace.clone();
            let (ended, failed) = self.invoke(rules, resolved, &part, trace).await;
            let gone = part
                .iter()
                .enumerate()
                .filter(|(at, _)| !failed.contains(at));
            self.done(rules, gone.map(|(_, record)| record.handle.as_str()))
                .await;
            stopped.extend(failed.iter().filter_map(|at| part.get(*at)?.group.clone()));
            ending = ended;
            if ended == Ending::Refused {
                break;
            }
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
            payload: batch::event(records).into(),
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
                let ending = if failed.len() == records.len() {
                    Ending::Failed
                } else {
                    Ending::Good
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

    /// Deletes messages. What can't be deleted now is given to the function again.
    async fn done(&self, rules: &Rules, handles: impl Iterator<Item = &str>) {
        if let Err(error) = self.queues.done(&rules.queue, handles).await {
            tracing::error!(error = %error.message, queue = %rules.queue.name, "delete messages that a function has taken");
        }
    }
}

/// Whether an answer is the one of a worker's `queue` handler, in which each message is acknowledged or sent back:
/// that is part of its interface, whatever the mapping asks for.
fn says_itself(deployment: &Deployment, answer: &[u8]) -> bool {
    deployment.configuration.runtime == Runtime::Worker
        && answer.starts_with(br#"{"batchItemFailures":["#)
}
