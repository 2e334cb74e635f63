//! The way to a target: a function's queue of events, or a message queue.
//!
//! Both take a parcel in once: they note its [`Once`] in the transaction that takes it in. So it does not matter whether
//! who sends it ends before that was written down, or whether another node sends it as well.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hearth_queues::wire::SendMessage;
use hearth_queues::{QueueError, Queues};
use hearth_store::events::{Event, EventError};
use hearth_store::once::Once;
use hearth_store::{EventStore, StoreError};
use hearth_types::ApiError;
use hearth_types::destination::Destination;
use hearth_types::invoke::RequestId;
use hearth_types::lineage;
use hearth_types::name::{FunctionKey, Qualifier};
use hearth_types::time::Timestamp;

use crate::FIFO;
use crate::letter::{Letter, attribute};

/// Says whether a function can be given events.
pub type Functions =
    Arc<dyn Fn(&FunctionKey, Option<&Qualifier>) -> Result<(), ApiError> + Send + Sync>;

/// The way to targets.
#[derive(Clone)]
pub struct Targets {
    events: Arc<dyn EventStore>,
    queues: Queues,
    functions: Functions,
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Targets").finish_non_exhaustive()
    }
}

/// What a target is given.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Its number: the same for all attempts, on every node.
    pub id: RequestId,
    /// The payload.
    pub body: String,
    /// `MessageGroupId`, for a queue.
    pub group: Option<String>,
    /// The trace of the request that has led to it, and with it the chain of invocations by which loops are found.
    pub trace: Option<String>,
    /// What a trace of its own is made of, if no request has led to it.
    pub root: [u8; 20],
    /// What makes it happen once.
    pub once: Once,
}

/// Why a target did not take a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error's code.
    pub code: String,
    /// A sentence.
    pub message: String,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            code: error.kind.code().to_owned(),
            message: error.message.into_owned(),
        }
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        Self {
            code: error.kind.code().to_owned(),
            message: error.message.into_owned(),
        }
    }
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Self {
        let code = match error {
            EventError::Full(_) => "TooManyRequestsException",
            EventError::Store(_) => "ServiceUnavailableException",
        };
        Self {
            code: code.to_owned(),
            message: format!("The function's queue does not take it: {error}."),
        }
    }
}

impl Targets {
    /// Functions are given events of `events` once `functions` finds them; queues are those of `queues`.
    pub fn new(events: Arc<dyn EventStore>, queues: Queues, functions: Functions) -> Self {
        Self {
            events,
            queues,
            functions,
        }
    }

    /// Makes an attempt. It may be repeated: the target takes a parcel in once.
    ///
    /// # Errors
    /// [`Failure`]; the target has not taken it in.
    pub async fn deliver(
        &self,
        target: &str,
        parcel: Parcel,
        now: Timestamp,
    ) -> Result<(), Failure> {
        match target.parse() {
            Ok(Destination::Function { key, qualifier }) => {
                if let Err(error) = (self.functions)(&key, qualifier.as_ref()) {
                    // One that was taken in before its function went is not refused now.
                    let noted = self.events.is_noted(&parcel.once).await;
                    return match noted.map_err(EventError::Store)? {
                        true => Ok(()),
                        false => Err(error.into()),
                    };
                }
                let once = parcel.once.clone();
                let event = event(parcel, key, qualifier, now);
                self.events.accept_once(event, once).await?;
                Ok(())
            }
            Ok(Destination::Queue(queue)) => {
                let fifo = queue.name.as_str().ends_with(FIFO);
                let system = parcel
                    .trace
                    .map(|trace| BTreeMap::from([("AWSTraceHeader".to_owned(), attribute(trace))]));
                let message = SendMessage {
                    message_body: Some(parcel.body),
                    message_group_id: parcel.group,
                    // Equal bodies are not taken for one.
                    message_deduplication_id: fifo.then(|| parcel.id.as_str().to_owned()),
                    message_system_attributes: system,
                    ..SendMessage::default()
                };
                let sent = self
                    .queues
                    .send_once((&queue).into(), parcel.id, message, parcel.once);
                Ok(sent.await?)
            }
            // It was checked when it was named.
            _ => Err(Failure {
                code: "ValidationException".to_owned(),
                message: format!("{target} is no target."),
            }),
        }
    }

    /// Whether a target has taken something in by an attempt of which nobody has heard.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_noted(&self, target: &str, once: Once) -> Result<bool, StoreError> {
        if target.contains(":sqs:") {
            self.queues.is_noted(once).await
        } else {
            self.events.is_noted(&once).await
        }
    }

    /// Sends a letter to the dead-letter queue that `queue` names.
    ///
    /// # Errors
    /// Why the queue does not take it.
    pub async fn bury(&self, queue: &str, letter: Letter) -> Result<(), QueueError> {
        let Ok(Destination::Queue(queue)) = queue.parse() else {
            return Ok(());
        };
        let (id, once) = (letter.id, letter.once.clone());
        self.queues
            .send_once((&queue).into(), id, letter.message(), once)
            .await
    }
}

fn event(
    parcel: Parcel,
    function: FunctionKey,
    qualifier: Option<Qualifier>,
    now: Timestamp,
) -> Event {
    let Parcel { trace, root, .. } = parcel;
    Event {
        id: parcel.id,
        function,
        qualifier,
        payload: Bytes::from(parcel.body),
        client_context: None,
        trace_id: trace.unwrap_or_else(|| lineage::new_trace(false, now, root)),
        accepted: now,
        due: now,
    }
}
