//! Message queues, put together: their store, and the API's operations on it.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use hearth_queues::Queues;
use hearth_store::{QueueBounds, SqliteQueueStore};
use tokio_util::sync::CancellationToken;

use crate::events;

/// Opens the queues, in the data folder, which this process holds.
pub(crate) fn open(data: &Path, stop: CancellationToken) -> anyhow::Result<Queues> {
    let path = data.join("queues.db");
    let now = SystemTime::now().into();
    let store = SqliteQueueStore::open(&path, QueueBounds::default(), now)
        .with_context(|| format!("open {}", path.display()))?;
    Ok(Queues::new(store, events::clock(), stop))
}
