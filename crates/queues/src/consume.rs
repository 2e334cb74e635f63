//! What the platform takes from queues to hand it to functions: as ReceiveMessage and DeleteMessage do, for whoever waits
//! inside of the node. Nothing is taken by looking.

use std::sync::Arc;
use std::time::Duration;

use hearth_store::queues::{QueueKey, Waiter};
use tokio::sync::futures::OwnedNotified;

use crate::address;
use crate::error::QueueError;
use crate::queues::Queues;
use crate::receive::shown;
use crate::wire::Message;

/// What a queue has, as of one moment.
#[derive(Debug)]
pub struct Outlook {
    /// How long until a message can be received, none if it can be now; `None` if there is none.
    pub due_in: Option<Duration>,
    /// Messages that can be received. In a FIFO queue some of them may have to wait for others of their group.
    pub visible: u64,
    /// Their bytes.
    pub visible_bytes: u64,
    changed: OwnedNotified,
    /// While it is held, the queue tells of itself.
    _waiter: Arc<Waiter>,
}

impl Outlook {
    /// Waits until the queue has changed since then. What becomes due by time alone is no change.
    pub async fn changed(self) {
        self.changed.await;
    }
}

impl Queues {
    /// What a queue has.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn outlook(&self, key: &QueueKey) -> Result<Outlook, QueueError> {
        let found = self.store.queue(key.clone()).await?;
        let queue = found.ok_or_else(QueueError::missing_queue)?;
        let waiter = self.store.waiter(&queue);
        // From here on nothing is missed that is not seen below.
        let changed = waiter.changed();
        let found = self.store.next(key.clone()).await?;
        let (queue, next) = found.ok_or_else(QueueError::missing_queue)?;
        let now = self.now();
        let counts = self.store.counts(&queue, now);
        let due_in = next.map(|next| {
            let millis = next.as_millis().saturating_sub(now.as_millis());
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        });
        Ok(Outlook {
            due_in,
            visible: counts.visible,
            visible_bytes: counts.visible_bytes,
            changed,
            _waiter: waiter,
        })
    }

    /// Delivers up to `most` messages that are due, whole, for as long as the queue says. Who drops this leaves it open
    /// whether messages were delivered; they are due again later.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was delivered.
    pub async fn take(&self, key: &QueueKey, most: usize) -> Result<Vec<Message>, QueueError> {
        let found = self.store.queue(key.clone()).await?;
        let queue = found.ok_or_else(QueueError::missing_queue)?;
        let now = self.now();
        let received = self.store.receive(key.clone(), most, None, now).await?;
        // Others who wait must learn when these are due again.
        self.store.waiter(&queue).tell();
        let all = ["All".to_owned()];
        let messages = received.messages.into_iter();
        // One that can't be read is in the log, and must not hold up the others.
        Ok(messages
            .filter_map(|delivered| shown(&queue, delivered, &all, &all).ok())
            .collect())
    }

    /// Deletes messages that were [taken](Self::take), by their receipt handles. One that was delivered again since
    /// stays.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was deleted.
    pub async fn done<'a>(
        &self,
        key: &QueueKey,
        handles: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), QueueError> {
        let receipts = handles.into_iter().map(|one| address::receipt(Some(one)));
        let receipts = receipts.collect::<Result<Vec<_>, _>>()?;
        if !receipts.is_empty() {
            self.store.delete(key.clone(), receipts, self.now()).await?;
        }
        Ok(())
    }
}
