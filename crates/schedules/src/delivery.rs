//! How a firing reaches its target: a function's queue of events, or a message queue.
//!
//! Both take it in once: they note its [`Once`] in the transaction that takes it in. So it does not matter whether who
//! fires ends before that was written down, or whether another node fires it as well.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hearth_queues::wire::{MessageAttribute, SendMessage};
use hearth_queues::{QueueError, Queues};
use hearth_store::events::{Event, EventError};
use hearth_store::once::Once;
use hearth_store::schedules::Firing;
use hearth_store::{EventStore, StoreError};
use hearth_types::ApiError;
use hearth_types::destination::Destination;
use hearth_types::invoke::RequestId;
use hearth_types::lineage;
use hearth_types::name::{FunctionKey, Qualifier};
use hearth_types::time::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::payload;
use crate::policy::Exhausted;

/// For how long it is remembered that something was taken in: a node that was down for longer, from between that and
/// writing it down, counts the firing among those that it has missed. 14 days, as long as a queue keeps a message.
const REMEMBERED_MS: i64 = 14 * 86_400_000;

/// How names of queues that keep order end.
const FIFO: &str = ".fifo";

/// Most bytes of an error's text in a dead letter: as in those of functions.
const MESSAGE_BYTES: usize = 1024;

/// Says whether a function can be given events.
pub type Functions =
    Arc<dyn Fn(&FunctionKey, Option<&Qualifier>) -> Result<(), ApiError> + Send + Sync>;

/// The way to targets.
#[derive(Clone)]
pub struct Delivery {
    events: Arc<dyn EventStore>,
    queues: Queues,
    functions: Functions,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

/// Why a target did not take a firing.
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

/// A firing's own number: the same for all its attempts, on every node.
pub(crate) fn execution_id(firing: &Firing) -> RequestId {
    RequestId::from_random(digest(firing, "execution"))
}

fn digest<const N: usize>(firing: &Firing, what: &str) -> [u8; N] {
    let mut digest = Sha256::new();
    for part in [what.as_bytes(), firing.order.arn.as_bytes()] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.update(firing.schedule.to_le_bytes());
    digest.update(firing.scheduled.as_millis().to_le_bytes());
    let whole: [u8; 32] = digest.finalize().into();
    let mut part = [0; N];
    part.copy_from_slice(&whole[..N]);
    part
}

/// What makes a firing happen once. First attempts of a schedule rise in time and are one series; one that is tried again
/// comes among others, and is a series of its own.
fn once(firing: &Firing, now: Timestamp) -> Once {
    let schedule = firing.schedule;
    let (series, mark) = match firing.failed {
        0 => (format!("schedule/{schedule}"), firing.scheduled.as_millis()),
        _ => (
            format!("schedule/{schedule}/{}", firing.scheduled.as_millis()),
            0,
        ),
    };
    Once {
        series,
        mark,
        until: Timestamp::from_millis(now.as_millis().saturating_add(REMEMBERED_MS)),
    }
}

impl Delivery {
    /// Functions are given events of `events` once `functions` finds them; queues are those of `queues`.
    pub fn new(events: Arc<dyn EventStore>, queues: Queues, functions: Functions) -> Self {
        Self {
            events,
            queues,
            functions,
        }
    }

    /// Makes an attempt. It may be repeated: the target takes a firing in once.
    ///
    /// # Errors
    /// [`Failure`]; the target has not taken it in.
    pub async fn deliver(&self, firing: &Firing, now: Timestamp) -> Result<(), Failure> {
        let target = &firing.order.target;
        let (id, once) = (execution_id(firing), once(firing, now));
        match target.arn.parse() {
            Ok(Destination::Function { key, qualifier }) => {
                if let Err(error) = (self.functions)(&key, qualifier.as_ref()) {
                    // One that was taken in before its function went is not refused now.
                    let noted = self.events.is_noted(&once).await;
                    return match noted.map_err(EventError::Store)? {
                        true => Ok(()),
                        false => Err(error.into()),
                    };
                }
                let event = event(firing, key, qualifier, now);
                self.events.accept_once(event, once).await?;
                Ok(())
            }
            Ok(Destination::Queue(queue)) => {
                let fifo = queue.name.as_str().ends_with(FIFO);
                let message = SendMessage {
                    message_body: Some(payload::of(firing)),
                    message_group_id: target.message_group.clone(),
                    // Equal inputs are not taken for one.
                    message_deduplication_id: fifo.then(|| id.as_str().to_owned()),
                    ..SendMessage::default()
                };
                let sent = self.queues.send_once((&queue).into(), id, message, once);
                Ok(sent.await?)
            }
            // A schedule's target was checked when it was made.
            _ => Err(Failure {
                code: "ValidationException".to_owned(),
                message: format!("{} is no target.", target.arn),
            }),
        }
    }

    /// Whether a firing was taken in by an attempt of which nobody has heard.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_delivered(&self, firing: &Firing, now: Timestamp) -> Result<bool, StoreError> {
        let once = once(firing, now);
        if firing.order.target.arn.contains(":sqs:") {
            self.queues.is_noted(once).await
        } else {
            self.events.is_noted(&once).await
        }
    }

    /// Sends a firing that is given up to its dead-letter queue, if it has one (EventBridge Scheduler user guide,
    /// "Configuring a dead-letter queue").
    ///
    /// # Errors
    /// Why the queue does not take it.
    pub async fn bury(
        &self,
        firing: &Firing,
        failure: &Failure,
        exhausted: Exhausted,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let order = &firing.order;
        let dead_letters = order.target.dead_letters.as_ref();
        let Some(Ok(Destination::Queue(queue))) = dead_letters.map(|arn| arn.parse()) else {
            return Ok(());
        };
        let attributes = [
            ("ERROR_CODE", failure.code.clone()),
            ("ERROR_MESSAGE", shown(&failure.message)),
            ("EXECUTION_ID", execution_id(firing).as_str().to_owned()),
            ("EXHAUSTED_RETRY_CONDITION", exhausted.as_str().to_owned()),
            ("IS_PAYLOAD_TRUNCATED", "false".to_owned()),
            ("RETRY_ATTEMPTS", firing.failed.to_string()),
            ("SCHEDULED_TIME", payload::time(firing.scheduled)),
            ("SCHEDULE_ARN", order.arn.clone()),
            ("TARGET_ARN", order.target.arn.clone()),
        ];
        let attribute = |(name, value): (&str, String)| {
            let attribute = MessageAttribute {
                data_type: "String".to_owned(),
                string_value: Some(value),
                binary_value: None,
            };
            (name.to_owned(), attribute)
        };
        let message = SendMessage {
            message_body: Some(payload::of(firing)),
            message_attributes: Some(attributes.into_iter().map(attribute).collect()),
            ..SendMessage::default()
        };
        let once = Once {
            series: format!("dead/{}/{}", firing.schedule, firing.scheduled.as_millis()),
            ..once(firing, now)
        };
        let id = execution_id(firing);
        self.queues
            .send_once((&queue).into(), id, message, once)
            .await
    }
}

/// The beginning of a message, with the characters that an attribute may have: it may quote what somebody sent.
fn shown(message: &str) -> String {
    let end = message.floor_char_boundary(MESSAGE_BYTES);
    let clean = |c| if is_allowed(c) { c } else { ' ' };
    message[..end].chars().map(clean).collect()
}

/// Whether messages may have a character (service model of SQS, `SendMessage`).
pub(crate) fn is_allowed(character: char) -> bool {
    matches!(
        character,
        '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..
    )
}

fn event(
    firing: &Firing,
    function: FunctionKey,
    qualifier: Option<Qualifier>,
    now: Timestamp,
) -> Event {
    Event {
        id: execution_id(firing),
        function,
        qualifier,
        payload: Bytes::from(payload::of(firing)),
        client_context: None,
        // Of its own: nobody's request has led to a firing.
        trace_id: lineage::new_trace(false, now, digest(firing, "trace")),
        accepted: now,
        due: now,
    }
}
