//! A queue of the node as a source. It is looked at, and nothing is taken of it until everything is there that a batch needs.

use std::time::Duration;

use hearth_brokers::End;
use hearth_queues::wire::Message;
use hearth_queues::{Outlook, Queues};
use hearth_store::queues::{QueueKey, RECEIVE_BYTES};
use hearth_types::lineage;
use hearth_types::mapping::Mapping;
use hearth_types::name::QueueId;
use tokio::time::Instant;

use crate::batch;
use crate::source::{Batch, Handle, Problem};
use crate::work::{Rules, Work};

/// A queue of the node.
pub(crate) struct Queue {
    queues: Queues,
    key: QueueKey,
    id: QueueId,
}

impl Queue {
    pub(crate) fn new(queues: Queues, id: QueueId) -> Self {
        Self {
            queues,
            key: (&id).into(),
            id,
        }
    }

    pub(crate) async fn due(&self, mapping: &Mapping) -> Result<(), Problem> {
        let window = Duration::from_secs(mapping.window_s.into());
        let is_full = |outlook: &Outlook| {
            outlook.visible >= mapping.batch_size.into() || outlook.visible_bytes >= RECEIVE_BYTES
        };
        let mut since = None;
        loop {
            let outlook = self.queues.outlook(&self.key).await?;
            let now = Instant::now();
            let until = match outlook.due_in {
                Some(Duration::ZERO) => {
                    let end = *since.get_or_insert(now) + window;
                    if end <= now || is_full(&outlook) {
                        return Ok(());
                    }
                    Some(end)
                }
                later => {
                    // What was gathered is gone.
                    since = None;
                    later.map(|later| now + later)
                }
            };
            match until {
                None => outlook.changed().await,
                Some(until) => tokio::select! {
                    () = outlook.changed() => {}
                    () = tokio::time::sleep_until(until) => {}
                },
            }
        }
    }

    /// Whatever happens afterwards, what is taken and not deleted is due again when its visibility has run out.
    pub(crate) async fn take(&self, work: &Work, rules: &Rules) -> Result<Batch, Problem> {
        let most = rules.mapping.batch_size as usize;
        let messages = self.queues.take(&self.key, most).await?;
        let mut batch = Batch {
            messages: messages.len(),
            ..Batch::default()
        };
        for message in messages {
            self.sort(work, rules, message, &mut batch);
        }
        Ok(batch)
    }

    fn sort(&self, work: &Work, rules: &Rules, message: Message, batch: &mut Batch) {
        let key = &rules.mapping.function;
        let own = message.attributes.get("AWSTraceHeader");
        if let Some(own) = own.filter(|own| work.registry.is_loop(key, own)) {
            tracing::warn!(
                function = %key,
                queue = %self.id.name,
                message = %message.message_id,
                "a message was not given to the function: the chain that it is of has run it {} times",
                lineage::runs(own, key)
            );
            return;
        }
        // The longest chain of all is the one that may be a loop.
        let runs = |trace: &Option<String>| trace.as_ref().map(|trace| lineage::runs(trace, key));
        let own = own.cloned();
        if runs(&own) > runs(&batch.trace) {
            batch.trace = own;
        }
        let handle = message.receipt_handle.clone();
        match batch::queue_record(message, &self.id, &rules.filters) {
            Ok(Some(record)) => batch.records.push(record),
            Ok(None) => batch.meant_by_none.push(Handle::Receipt(handle)),
            Err(error) => {
                tracing::error!(%error, queue = %self.id.name, "write a message as a record");
            }
        }
    }

    /// What failed is due again by the queue's own hand.
    pub(crate) async fn settle(&self, handles: &[Handle], end: End) -> Result<(), Problem> {
        if end != End::Done {
            return Ok(());
        }
        let receipts = handles.iter().filter_map(|handle| match handle {
            Handle::Receipt(receipt) => Some(receipt.as_str()),
            Handle::Tag(_) => None,
        });
        Ok(self.queues.done(&self.key, receipts).await?)
    }
}
