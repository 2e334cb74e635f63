//! Message queues, put together: their store, and the way of workers to them.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use hearth_isolates::{Enqueue, Message};
use hearth_queues::{Caller, Queues};
use hearth_store::{QueueBounds, SqliteQueueStore};
use serde_json::{Value, json};

/// Opens the queues, in the data folder, which this process holds.
pub(crate) fn open(data: &Path) -> anyhow::Result<Arc<SqliteQueueStore>> {
    let path = data.join("queues.db");
    let now = SystemTime::now().into();
    let store = SqliteQueueStore::open(&path, QueueBounds::default(), now)
        .with_context(|| format!("open {}", path.display()))?;
    Ok(Arc::new(store))
}

/// Messages that are sent at once: as many as the API takes.
const BATCH: usize = 10;

/// Sends to queues for workers, by the rules of the API.
pub(crate) fn enqueue(queues: Queues) -> Enqueue {
    Arc::new(move |to, messages| {
        let queues = queues.clone();
        let caller = Caller {
            account: to.sender.account.clone(),
            region: to.sender.region.clone(),
            base: String::new(),
            trace: None,
        };
        let url = format!("/{}/{}", caller.account, to.queue);
        Box::pin(async move {
            for some in messages.chunks(BATCH) {
                let entries: Vec<Value> = some.iter().enumerate().map(entry).collect();
                let body = json!({ "QueueUrl": url, "Entries": entries }).to_string();
                let sent = queues.call(&caller, "SendMessageBatch", body.as_bytes());
                let sent = sent.await.map_err(|error| error.message.into_owned())?;
                let failed = sent["Failed"].as_array();
                if let Some(failed) = failed.and_then(|failed| failed.first()) {
                    return Err(failed["Message"].as_str().unwrap_or_default().to_owned());
                }
            }
            Ok(())
        })
    })
}

fn entry((index, message): (usize, &Message)) -> Value {
    let mut entry = json!({ "Id": index.to_string(), "MessageBody": message.text });
    if let Some(delay) = message.delay_seconds {
        entry["DelaySeconds"] = json!(delay);
    }
    // JSON is what receivers take a text for that says nothing else.
    if message.content_type != "json" {
        let kind = json!({ "DataType": "String", "StringValue": message.content_type });
        entry["MessageAttributes"] = json!({ "ContentType": kind });
    }
    entry
}
