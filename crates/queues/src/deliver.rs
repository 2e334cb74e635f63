//! Messages that the node itself sends.

use std::collections::BTreeMap;

use hearth_store::StoreError;
use hearth_store::once::Once;
use hearth_store::queues::QueueKey;

use crate::error::QueueError;
use crate::queues::Queues;
use crate::send;
use crate::wire::{MessageAttribute, SendMessage};

/// A message of the node's own, which is taken in once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its text.
    pub body: String,
    /// Its attributes, all of them texts.
    pub attributes: BTreeMap<String, String>,
    /// The message group, for queues that keep order.
    pub group: Option<String>,
    /// The deduplication id, which queues that keep order get.
    pub deduplication: String,
    /// What tells it from all others.
    pub once: Once,
}

impl Queues {
    /// Takes a letter in, unless it was before.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was taken in.
    pub async fn deliver(&self, key: QueueKey, letter: Letter) -> Result<(), QueueError> {
        let queue = self.store.queue(key.clone()).await?;
        let queue = queue.ok_or_else(QueueError::missing_queue)?;
        let text = |value| MessageAttribute {
            data_type: "String".to_owned(),
            string_value: Some(value),
            binary_value: None,
        };
        let attributes = letter.attributes.into_iter();
        let request = SendMessage {
            message_body: Some(letter.body),
            message_attributes: Some(
                attributes
                    .map(|(name, value)| (name, text(value)))
                    .collect(),
            ),
            message_group_id: letter.group,
            message_deduplication_id: queue.settings.fifo.map(|_| letter.deduplication),
            ..SendMessage::default()
        };
        let message = send::check(&queue, request)?.message;
        Ok(self
            .store
            .send_once(key, message, letter.once, self.now())
            .await?)
    }

    /// Whether a letter was taken in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_delivered(&self, once: Once) -> Result<bool, StoreError> {
        self.store.is_noted(once).await
    }
}
