//! SendMessage and SendMessageBatch.

use hearth_store::StoreError;
use hearth_store::once::Once;
use hearth_store::queues::{NewMessage, Queue, QueueKey};
use hearth_types::invoke::RequestId;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::address::Caller;
use crate::attributes::{MOST_DELAY_SECONDS, MOST_MESSAGE_BYTES};
use crate::batch;
use crate::error::{Kind, QueueError};
use crate::message::{self, Attributes};
use crate::queues::{Queues, to_value};
use crate::wire::{Batch, SendMessage, Sent};

/// The one system attribute that senders may set (service model, `MessageSystemAttributeNameForSends`).
const TRACE: &str = "AWSTraceHeader";

/// A message that may be sent, and what its sender is told of it.
struct Checked {
    message: NewMessage,
    /// What it counts against the size limits.
    bytes: usize,
    answer: Sent,
}

impl Queues {
    /// Sends a message of the platform's own, by the rules of `SendMessage`, under an identifier of its choice; it is on
    /// disk when this answers.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was sent.
    pub async fn send(
        &self,
        key: QueueKey,
        id: RequestId,
        message: SendMessage,
    ) -> Result<(), QueueError> {
        let (key, message) = self.own(key, id, message).await?;
        self.store.send(key, vec![message], self.now()).await?;
        Ok(())
    }

    /// As [`Queues::send`], unless a message was taken in with `once` before.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was sent, nor noted.
    pub async fn send_once(
        &self,
        key: QueueKey,
        id: RequestId,
        message: SendMessage,
        once: Once,
    ) -> Result<(), QueueError> {
        let (key, message) = self.own(key, id, message).await?;
        let sent = self.store.send_once(key, message, once, self.now());
        Ok(sent.await?)
    }

    /// Whether a message was taken in with `once`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_noted(&self, once: Once) -> Result<bool, StoreError> {
        self.store.is_noted(once).await
    }

    /// A message of the platform's own, checked.
    async fn own(
        &self,
        key: QueueKey,
        id: RequestId,
        message: SendMessage,
    ) -> Result<(QueueKey, NewMessage), QueueError> {
        let queue = self.store.queue(key).await?;
        let queue = queue.ok_or_else(QueueError::missing_queue)?;
        let message = NewMessage {
            id: id.as_str().to_owned(),
            ..check(&queue, message)?.message
        };
        Ok((queue.key, message))
    }

    pub(crate) async fn send_message(
        &self,
        caller: &Caller,
        request: SendMessage,
    ) -> Result<Value, QueueError> {
        let queue = self.queue(caller, request.queue_url.as_deref()).await?;
        let mut checked = check(&queue, request)?;
        checked.message.trace = checked.message.trace.or_else(|| caller.trace.clone());
        let now = self.now();
        let sent = self
            .store
            .send(queue.key.clone(), vec![checked.message], now)
            .await?;
        for sent in sent {
            tell(&mut checked.answer, sent, &queue);
        }
        checked.answer.id = None;
        to_value(&checked.answer)
    }

    pub(crate) async fn send_message_batch(
        &self,
        caller: &Caller,
        request: Batch<SendMessage>,
    ) -> Result<Value, QueueError> {
        let queue = self.queue(caller, request.queue_url.as_deref()).await?;
        let ids = batch::check(request.entries.iter().map(|entry| entry.id.as_deref()))?;
        let (mut messages, mut answers, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0;
        for (id, entry) in ids.into_iter().zip(request.entries) {
            match check(&queue, entry) {
                Ok(mut checked) => {
                    let trace = checked.message.trace;
                    checked.message.trace = trace.or_else(|| caller.trace.clone());
                    bytes += checked.bytes;
                    messages.push(checked.message);
                    answers.push(checked.answer);
                }
                Err(error) => failed.push(batch::failed(id, &error)),
            }
        }
        if bytes > MOST_MESSAGE_BYTES as usize {
            return Err(QueueError::new(
                Kind::BatchRequestTooLong,
                format!(
                    "Batch requests cannot be longer than {MOST_MESSAGE_BYTES} bytes. You have sent {bytes} bytes."
                ),
            ));
        }
        let mut successful = Vec::new();
        if !messages.is_empty() {
            let now = self.now();
            let sent = self.store.send(queue.key.clone(), messages, now).await?;
            for (mut answer, sent) in answers.into_iter().zip(sent) {
                tell(&mut answer, sent, &queue);
                successful.push(json!(answer));
            }
        }
        Ok(batch::answer(successful, &failed))
    }
}

fn tell(answer: &mut Sent, sent: hearth_store::queues::Sent, queue: &Queue) {
    answer.message_id = sent.id;
    if queue.settings.fifo.is_some() {
        answer.sequence_number = Some(format!("{:020}", sent.number));
    }
}

fn check(queue: &Queue, request: SendMessage) -> Result<Checked, QueueError> {
    let body = request
        .message_body
        .ok_or_else(|| QueueError::missing_parameter("MessageBody"))?;
    message::check_body(&body)?;
    let attributes = request.message_attributes.unwrap_or_default();
    let bytes = body.len() + message::check_attributes(&attributes)?;
    if bytes > queue.settings.message_bytes as usize {
        return Err(QueueError::new(
            Kind::InvalidParameterValue,
            format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {} bytes.",
                queue.settings.message_bytes
            ),
        ));
    }
    let system = request.message_system_attributes.unwrap_or_default();
    let trace = trace(&system)?;
    let not_here = |value: &str, parameter| {
        QueueError::value(
            value,
            parameter,
            "The request include parameter that is not valid for this queue type.",
        )
    };
    let group = request.message_group_id;
    if let Some(group) = &group {
        message::check_id(group, "MessageGroupId")?;
    }
    let mut deduplication = request.message_deduplication_id;
    if let Some(id) = &deduplication {
        message::check_id(id, "MessageDeduplicationId")?;
    }
    let delay = match request.delay_seconds {
        None => None,
        Some(seconds) => {
            let range = (0..=MOST_DELAY_SECONDS).contains(&seconds);
            let seconds = u32::try_from(seconds).ok().filter(|_| range);
            Some(seconds.ok_or_else(|| {
                QueueError::value(
                    request.delay_seconds.unwrap_or_default(),
                    "DelaySeconds",
                    "DelaySeconds must be >= 0 and <= 900.",
                )
            })?)
        }
    };
    match queue.settings.fifo {
        None => {
            if let Some(id) = &deduplication {
                return Err(not_here(id, "MessageDeduplicationId"));
            }
        }
        Some(fifo) => {
            if group.is_none() {
                return Err(QueueError::missing_parameter("MessageGroupId"));
            }
            if let Some(seconds @ 1..) = delay {
                return Err(not_here(&seconds.to_string(), "DelaySeconds"));
            }
            if deduplication.is_none() {
                if !fifo.content_based {
                    return Err(QueueError::new(
                        Kind::InvalidParameterValue,
                        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
                    ));
                }
                deduplication = Some(hex::encode(Sha256::digest(&body)));
            }
        }
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| {
        tracing::error!(%error, "read random bytes from the operating system");
        QueueError::new(
            Kind::Unavailable,
            "The node has no random bytes. Try again.",
        )
    })?;
    let answer = Sent {
        id: request.id,
        message_id: String::new(),
        md5_of_message_body: message::md5_of_text(&body),
        md5_of_message_attributes: message::md5_of_attributes(&attributes),
        md5_of_message_system_attributes: message::md5_of_attributes(&system),
        sequence_number: None,
    };
    let attributes = if attributes.is_empty() {
        String::new()
    } else {
        to_value(&attributes)?.to_string()
    };
    let message = NewMessage {
        id: RequestId::from_random(random).as_str().to_owned(),
        body,
        attributes,
        trace,
        group,
        deduplication,
        // A queue that keeps order delays all alike.
        delay_seconds: delay.filter(|_| queue.settings.fifo.is_none()),
    };
    Ok(Checked {
        message,
        bytes,
        answer,
    })
}

fn trace(system: &Attributes) -> Result<Option<String>, QueueError> {
    let Some((name, attribute)) = system.iter().next() else {
        return Ok(None);
    };
    let good = system.len() == 1 && name == TRACE && attribute.data_type == "String";
    let text = attribute.string_value.clone().filter(|_| good);
    match text {
        Some(text) if !text.is_empty() && text.len() <= 1024 && text.is_ascii() => Ok(Some(text)),
        _ => Err(QueueError::new(
            Kind::InvalidParameterValue,
            "The one system attribute that can be sent is AWSTraceHeader, a String of at most 1024 characters.",
        )),
    }
}
