//! Rules, put together: their store, the senders of the configuration, and the dispatcher that gives events to targets.

use std::sync::Arc;

use anyhow::Context as _;
use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_rules::{Dispatcher, Options, Rules, Sender};
use hearth_store::{EventStore, RuleBounds, SqliteRuleStore};
use hearth_targets::Targets;
use hearth_types::name::Region;

use crate::client::DEFAULT_REGION;
use crate::config::Config;
use crate::events;

/// Opens the rules, in the data folder, which this process holds.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Rules> {
    let path = config.data.join("rules.db");
    let store = SqliteRuleStore::open(&path, RuleBounds::default())
        .with_context(|| format!("open {}", path.display()))?;
    let usual: Region = DEFAULT_REGION.parse().context("read the usual region")?;
    let senders = config.events.senders.values().map(|sender| Sender {
        token: sender.token.clone(),
        account: config.account.clone(),
        region: sender.region.clone().unwrap_or_else(|| usual.clone()),
        bus: sender.bus.clone(),
    });
    let options = Options {
        senders: senders.collect(),
        clock: events::clock(),
    };
    let opened = Rules::open(store, options).await;
    opened.with_context(|| format!("read {}", path.display()))
}

/// Gives events to the functions of `registry`, as events of theirs, and to queues.
pub(crate) fn dispatcher(
    rules: Rules,
    registry: Registry,
    queue: Arc<dyn EventStore>,
    queues: Queues,
) -> Dispatcher {
    let functions = Arc::new(move |key: &_, qualifier: Option<&_>| {
        // Whichever of an alias's versions: it is drawn anew when the event is run.
        registry.resolve_key(key, qualifier, 0.0).map(drop)
    });
    Dispatcher::new(rules, Targets::new(queue, queues, functions))
}
