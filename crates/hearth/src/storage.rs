//! Storage events, put together: their store, the buckets of the configuration, and who looks at them.

use anyhow::Context as _;
use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_storage::{Dispatcher, Folder, Listing, Options, Storage};
use hearth_store::{SqliteStorageStore, StorageBounds};
use hearth_targets::Targets;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Place};
use crate::events;
use crate::folders;
use crate::node::store_url;

/// Opens the storage events, in the data folder, which this process holds.
pub(crate) async fn open(
    config: &Config,
    registry: Registry,
    queues: Queues,
) -> anyhow::Result<Storage> {
    let path = config.data.join("storage.db");
    let store = SqliteStorageStore::open(&path, StorageBounds::default())
        .with_context(|| format!("open {}", path.display()))?;
    let buckets = config.storage.buckets.iter().map(|(name, bucket)| {
        let token = match &bucket.place {
            Place::Token(token) => Some(token.clone()),
            Place::Folder(_) | Place::Store(_) => None,
        };
        (name.clone(), token)
    });
    let options = Options {
        buckets: buckets.collect(),
        registry,
        queues,
        clock: events::clock(),
    };
    let opened = Storage::open(store, options).await;
    opened.with_context(|| format!("read {}", path.display()))
}

/// Begins to look at the buckets, and to deliver what they notify of.
pub(crate) fn start(
    config: &Config,
    storage: &Storage,
    targets: Targets,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    for (name, bucket) in &config.storage.buckets {
        match &bucket.place {
            Place::Folder(root) => {
                let folder = Folder {
                    storage: storage.clone(),
                    bucket: name.clone(),
                    // Each event of its own would be a change there, and that an event.
                    root: folders::apart(root, &config.data)
                        .with_context(|| format!("open storage.buckets.{name}"))?,
                    settle: bucket.settle,
                    interval: bucket.interval,
                    most_objects: bucket.most_objects,
                };
                tasks.spawn(folder.run(stop.clone()));
            }
            Place::Store(store) => {
                let opened = hearth_code::open_store(&store_url(store));
                let listing = Listing {
                    storage: storage.clone(),
                    bucket: name.clone(),
                    store: opened.with_context(|| format!("open storage.buckets.{name}"))?,
                    interval: bucket.interval,
                    most_objects: bucket.most_objects,
                };
                tasks.spawn(listing.run(stop.clone()));
            }
            Place::Token(_) => {}
        }
    }
    let dispatcher = Dispatcher::new(storage.clone(), targets);
    tasks.spawn(dispatcher.run(stop.clone()));
    Ok(())
}
