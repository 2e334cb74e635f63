//! ReceiveMessage, and what is said of what was received: DeleteMessage, ChangeMessageVisibility and their batches.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use hearth_store::queues::{Delivered, Fate, Queue, Received};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::address::{self, Caller};
use crate::attributes::{MOST_VISIBILITY_SECONDS, MOST_WAIT_SECONDS, unknown};
use crate::batch::ByReceipt;
use crate::error::{Kind, QueueError};
use crate::message::{self, Attributes};
use crate::queues::Queues;
use crate::wire::{Batch, Message, ReceiptEntry, Request};

/// Most messages of a receive (service model).
const MOST_MESSAGES: i64 = 10;
/// System attributes (service model, `MessageSystemAttributeName`).
const SYSTEM: [&str; 10] = [
    "All",
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SequenceNumber",
    "MessageDeduplicationId",
    "MessageGroupId",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
];

fn within(value: Option<i64>, most: i64, parameter: &str) -> Result<Option<u32>, QueueError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let fits = u32::try_from(value).ok().filter(|_| value <= most);
    fits.map(Some).ok_or_else(|| {
        let reason = format!("Must be >= 0 and <= {most}, if provided.");
        QueueError::value(value, parameter, &reason)
    })
}

impl Queues {
    pub(crate) async fn receive_message(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<Value, QueueError> {
        let most = match request.max_number_of_messages.unwrap_or(1) {
            most @ 1..=MOST_MESSAGES => most.unsigned_abs() as usize,
            other => {
                let reason = "Must be between 1 and 10, if provided.";
                return Err(QueueError::value(other, "MaxNumberOfMessages", reason));
            }
        };
        let visibility = within(
            request.visibility_timeout,
            MOST_VISIBILITY_SECONDS,
            "VisibilityTimeout",
        )?;
        let wait = within(
            request.wait_time_seconds,
            MOST_WAIT_SECONDS,
            "WaitTimeSeconds",
        )?;
        let mut system = request.message_system_attribute_names.unwrap_or_default();
        // Its name before.
        system.extend(request.attribute_names.unwrap_or_default());
        if let Some(name) = system.iter().find(|name| !SYSTEM.contains(&name.as_str())) {
            return Err(unknown(name));
        }
        let wanted = request.message_attribute_names.unwrap_or_default();
        let queue = self.queue(caller, request.queue_url.as_deref()).await?;
        let wait = Duration::from_secs(wait.unwrap_or(queue.settings.wait_seconds).into());
        let received = self.wait(&queue, most, visibility, wait).await?;
        let messages = received.messages.into_iter();
        let messages = messages.map(|delivered| shown(&queue, delivered, &system, &wanted));
        let messages = messages.collect::<Result<Vec<_>, _>>()?;
        if messages.is_empty() {
            return Ok(json!({}));
        }
        Ok(json!({ "Messages": messages }))
    }

    /// Receives what is due, or what is first due within `wait`.
    async fn wait(
        &self,
        queue: &Queue,
        most: usize,
        visibility: Option<u32>,
        wait: Duration,
    ) -> Result<Received, QueueError> {
        let end = Instant::now() + wait;
        let waiter = self.store.waiter(queue);
        loop {
            // From here on nothing that becomes due is missed, though nobody waits yet.
            let mut told = pin!(waiter.next());
            told.as_mut().enable();
            let found = self.store.next(queue.key.clone()).await?;
            let mut next = found.ok_or_else(QueueError::missing_queue)?.1;
            if next.is_some_and(|next| next <= self.now()) {
                let received = self
                    .store
                    .receive(queue.key.clone(), most, visibility, self.now())
                    .await?;
                if !received.messages.is_empty() {
                    // Somebody else who waits must learn when these are due again.
                    waiter.tell();
                    return Ok(received);
                }
                next = received.next;
            }
            let now = Instant::now();
            if now >= end {
                return Ok(Received::default());
            }
            let due = next.map_or(wait, |next| {
                let millis = next.as_millis() - self.now().as_millis();
                Duration::from_millis(millis.max(1).unsigned_abs())
            });
            tokio::select! {
                () = told => {}
                () = tokio::time::sleep_until(end.min(now + due.min(wait))) => {}
                () = self.stop.cancelled() => return Ok(Received::default()),
            }
        }
    }

    pub(crate) async fn delete_message(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<Value, QueueError> {
        let key = caller.at(request.queue_url.as_deref())?;
        let handle = request.receipt_handle.unwrap_or_default();
        let receipt = address::receipt(Some(&handle))?;
        let fates = self.store.delete(key, vec![receipt], self.now()).await?;
        fates
            .into_iter()
            .try_for_each(|fate| deleted(fate, &handle))?;
        Ok(json!({}))
    }

    pub(crate) async fn delete_message_batch(
        &self,
        caller: &Caller,
        request: Batch<ReceiptEntry>,
    ) -> Result<Value, QueueError> {
        let key = caller.at(request.queue_url.as_deref())?;
        let (batch, receipts) = ByReceipt::read(request.entries, |_, receipt| Ok(receipt))?;
        let fates = self.store.delete(key, receipts, self.now()).await?;
        Ok(batch.answer(fates, deleted))
    }

    pub(crate) async fn change_message_visibility(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<Value, QueueError> {
        let key = caller.at(request.queue_url.as_deref())?;
        let handle = request.receipt_handle.unwrap_or_default();
        let receipt = address::receipt(Some(&handle))?;
        let seconds = visibility(request.visibility_timeout)?;
        let changes = vec![(receipt, seconds)];
        let fates = self
            .store
            .change_visibility(key, changes, self.now())
            .await?;
        fates
            .into_iter()
            .try_for_each(|fate| changed(fate, &handle))?;
        Ok(json!({}))
    }

    pub(crate) async fn change_message_visibility_batch(
        &self,
        caller: &Caller,
        request: Batch<ReceiptEntry>,
    ) -> Result<Value, QueueError> {
        let key = caller.at(request.queue_url.as_deref())?;
        let (batch, changes) = ByReceipt::read(request.entries, |entry, receipt| {
            Ok((receipt, visibility(entry.visibility_timeout)?))
        })?;
        let fates = self
            .store
            .change_visibility(key, changes, self.now())
            .await?;
        Ok(batch.answer(fates, changed))
    }
}

fn visibility(seconds: Option<i64>) -> Result<u32, QueueError> {
    within(seconds, MOST_VISIBILITY_SECONDS, "VisibilityTimeout")?
        .ok_or_else(|| QueueError::missing_parameter("VisibilityTimeout"))
}

/// What a deletion says: with an old receipt it succeeds, and the message stays (service model, `DeleteMessage`).
fn deleted(fate: Fate, handle: &str) -> Result<(), QueueError> {
    match fate {
        Fate::Foreign => Err(address::bad_receipt(handle)),
        Fate::Done | Fate::Stale | Fate::Visible | Fate::TooLong => Ok(()),
    }
}

fn changed(fate: Fate, handle: &str) -> Result<(), QueueError> {
    let refused = |reason| Err(QueueError::value(handle, "ReceiptHandle", reason));
    match fate {
        Fate::Done => Ok(()),
        Fate::Foreign => Err(address::bad_receipt(handle)),
        Fate::Stale => {
            refused("Message does not exist or is not available for visibility timeout change.")
        }
        Fate::Visible => Err(QueueError::new(
            Kind::MessageNotInflight,
            "The specified message isn't in flight.",
        )),
        Fate::TooLong => {
            refused("Total VisibilityTimeout for the message is beyond the limit [43200 seconds].")
        }
    }
}

pub(crate) fn shown(
    queue: &Queue,
    delivered: Delivered,
    system: &[String],
    wanted: &[String],
) -> Result<Message, QueueError> {
    let message = delivered.message;
    let mut attributes = BTreeMap::from([
        ("SenderId", queue.key.account.to_string()),
        ("SentTimestamp", delivered.sent.as_millis().to_string()),
        (
            "ApproximateReceiveCount",
            delivered.receipt.delivery.to_string(),
        ),
        (
            "ApproximateFirstReceiveTimestamp",
            delivered.first.as_millis().to_string(),
        ),
    ]);
    if queue.settings.fifo.is_some() {
        let number = format!("{:020}", delivered.receipt.message);
        attributes.insert("SequenceNumber", number);
    }
    let optional = [
        ("MessageDeduplicationId", message.deduplication),
        ("MessageGroupId", message.group),
        ("AWSTraceHeader", message.trace),
        (
            "DeadLetterQueueSourceArn",
            delivered.came_from.map(|name| {
                address::arn(&hearth_store::queues::QueueKey {
                    name,
                    ..queue.key.clone()
                })
            }),
        ),
    ];
    attributes.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    if !system.iter().any(|name| name == "All") {
        attributes.retain(|name, _| system.iter().any(|asked| asked == name));
    }
    let mut own: Attributes = if message.attributes.is_empty() {
        Attributes::new()
    } else {
        serde_json::from_str(&message.attributes).map_err(|error| {
            tracing::error!(%error, queue = %queue.key.name, "read a message's attributes");
            QueueError::new(Kind::Damaged, "The message's attributes can't be read.")
        })?
    };
    own.retain(|name, _| wanted.iter().any(|pattern| matches(pattern, name)));
    Ok(Message {
        message_id: message.id,
        receipt_handle: address::handle(delivered.receipt),
        md5_of_body: message::md5_of_text(&message.body),
        body: message.body,
        attributes,
        md5_of_message_attributes: message::md5_of_attributes(&own),
        message_attributes: own,
    })
}

/// Whether an attribute is meant: by its name, by `All` or `.*`, or by `prefix.*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern {
        "All" | ".*" => true,
        _ => match pattern.strip_suffix(".*") {
            Some(prefix) => name
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('.')),
            None => pattern == name,
        },
    }
}
