//! Asynchronous invocation, put together: the store of events, and the dispatcher that runs them.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use hearth_events::attempt::Functions;
use hearth_events::destinations::Nobody;
use hearth_events::{Clock, Dispatcher, DispatcherOptions};
use hearth_registry::Registry;
use hearth_store::{EventOptions, EventStore, SqliteEventStore};
use hearth_types::invoke::Invoker;

/// Opens the queue of events, in the data folder, which this process holds.
pub(crate) fn open(data: &Path) -> anyhow::Result<Arc<dyn EventStore>> {
    let path = data.join("events.db");
    let store = SqliteEventStore::open(&path, EventOptions::default())
        .with_context(|| format!("open {}", path.display()))?;
    Ok(Arc::new(store))
}

/// The wall clock.
pub(crate) fn clock() -> Clock {
    Arc::new(|| SystemTime::now().into())
}

/// Gives the functions of `registry` their events.
pub(crate) fn dispatcher(
    queue: Arc<dyn EventStore>,
    registry: Registry,
    invoker: Arc<dyn Invoker>,
) -> Dispatcher {
    Dispatcher::new(
        DispatcherOptions::default(),
        queue,
        Arc::new(Functions::new(registry, invoker)),
        Arc::new(Nobody),
        clock(),
    )
}
