//! Rules, put together: their store, and the senders of the configuration.

use anyhow::Context as _;
use hearth_rules::{Options, Rules, Sender};
use hearth_store::{RuleBounds, SqliteRuleStore};
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
