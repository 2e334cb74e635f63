//! Message queues, put together: their store.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use hearth_store::{QueueBounds, SqliteQueueStore};

/// Opens the queues, in the data folder, which this process holds.
pub(crate) fn open(data: &Path) -> anyhow::Result<Arc<SqliteQueueStore>> {
    let path = data.join("queues.db");
    let now = SystemTime::now().into();
    let store = SqliteQueueStore::open(&path, QueueBounds::default(), now)
        .with_context(|| format!("open {}", path.display()))?;
    Ok(Arc::new(store))
}
