//! Asynchronous invocation, put together: the store of events, and the dispatcher that runs them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use hearth_destinations::{Deliverers, Loopback, Options as DestinationOptions, Outside};
use hearth_events::attempt::Functions;
use hearth_events::{Clock, Dispatcher, DispatcherOptions};
use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_sandbox::network::NetworkOptions;
use hearth_store::{EventOptions, EventStore, SqliteEventStore};
use hearth_types::invoke::Invoker;

use crate::config::Config;
use crate::node::store_url;

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

/// Tells of the ends of events, and of what mappings gave up, by the configuration.
pub(crate) fn deliverers(
    config: &Config,
    network: &NetworkOptions,
    registry: Registry,
    queue: Arc<dyn EventStore>,
    queues: Queues,
) -> anyhow::Result<Deliverers> {
    let mut buckets = BTreeMap::new();
    for (name, store) in &config.destinations.buckets {
        let opened = hearth_code::open_store(&store_url(store));
        let opened = opened.with_context(|| format!("open destinations.buckets.{name}"))?;
        buckets.insert(name.clone(), opened);
    }
    let options = DestinationOptions {
        outside: Outside {
            allowed_private: network.allowed_private.clone(),
            closed: vec![network.veth_range],
            loopback: if config.destinations.loopback_webhooks {
                Loopback::Open
            } else {
                Loopback::Closed
            },
        },
        buckets,
        clock: clock(),
    };
    Deliverers::new(options, registry, queue, queues).context("make a client for webhooks")
}

/// Gives the functions of `registry` their events.
pub(crate) fn dispatcher(
    queue: Arc<dyn EventStore>,
    registry: Registry,
    invoker: Arc<dyn Invoker>,
    destinations: Arc<Deliverers>,
) -> Dispatcher {
    Dispatcher::new(
        DispatcherOptions::default(),
        queue,
        Arc::new(Functions::new(registry, invoker)),
        destinations,
        clock(),
    )
}
