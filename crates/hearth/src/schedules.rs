//! Schedules, put together: their store, the API's operations on it, and the dispatcher that fires them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_schedules::{Delivery, Dispatcher, Schedules, time_zones};
use hearth_store::{EventStore, ScheduleBounds, SqliteScheduleStore};

use crate::events;

/// Opens the schedules, in the data folder, which this process holds.
pub(crate) fn open(data: &Path) -> anyhow::Result<Schedules> {
    let path = data.join("schedules.db");
    let store = SqliteScheduleStore::open(&path, ScheduleBounds::default())
        .with_context(|| format!("open {}", path.display()))?;
    Ok(Schedules::new(store, time_zones(), events::clock()))
}

/// Fires schedules at the functions of `registry`, by way of their events, and at queues.
pub(crate) fn dispatcher(
    schedules: Schedules,
    registry: Registry,
    queue: Arc<dyn EventStore>,
    queues: Queues,
) -> Dispatcher {
    let functions = Arc::new(move |key: &_, qualifier: Option<&_>| {
        // Whichever of an alias's versions: it is drawn anew when the event is run.
        registry.resolve_key(key, qualifier, 0.0).map(drop)
    });
    Dispatcher::new(schedules, Delivery::new(queue, queues, functions))
}
