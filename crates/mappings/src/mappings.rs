//! Which mappings are polled: those that the registry has, as they are now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_store::record::MappingRecord;
use hearth_types::invoke::Invoker;
use hearth_types::mapping::{Mapping, MappingId, MappingState};
use hearth_types::time::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pace::Places;
use crate::poller::Poller;
use crate::work::{Rules, Work};

/// Batches that the node runs at the same time. Each may have 6 MB of messages, and as much again as an event.
const BATCHES: u32 = 128;
/// Batches of one mapping that says nothing of it: half of all, so that one that floods leaves turns to others.
const DEFAULT_CONCURRENCY: u32 = BATCHES / 2;
/// Batches of one mapping, whatever it says: a batch of the others is always next.
const MOST_CONCURRENCY: u32 = BATCHES - 16;
/// Wait before what the store refused is tried again.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);

/// Hands the messages of queues to functions, as the mappings of a registry say.
pub struct Mappings {
    work: Arc<Work>,
    turns: Arc<Semaphore>,
    batches: TaskTracker,
    polled: HashMap<MappingId, Polled>,
}

/// A mapping that was seen.
struct Polled {
    mapping: Mapping,
    places: Arc<Places>,
    /// Set while it is enabled.
    poller: Option<JoinHandle<()>>,
}

impl Mappings {
    /// Mappings of `registry`, from `queues` to what `invoker` runs.
    pub fn new(
        registry: Registry,
        invoker: Arc<dyn Invoker>,
        queues: Queues,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self {
            work: Arc::new(Work {
                registry,
                invoker,
                queues,
                clock,
            }),
            turns: Arc::new(Semaphore::new(BATCHES as usize)),
            batches: TaskTracker::new(),
            polled: HashMap::new(),
        }
    }

    /// Polls until `stop` is cancelled, and lets the batches that run end then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changed = self.work.registry.mappings_changed();
        loop {
            changed.mark_unchanged();
            let is_done = self.follow().await;
            tokio::select! {
                () = stop.cancelled() => break,
                told = changed.changed() => if told.is_err() { break },
                () = tokio::time::sleep(SETTLE_AGAIN), if !is_done => {}
            }
        }
        for polled in self.polled.into_values() {
            end(polled.poller).await;
        }
        self.batches.close();
        self.batches.wait().await;
    }

    /// Makes the pollers those that the registry's mappings ask for, and says so in the registry. `false` if that is to
    /// be tried again.
    async fn follow(&mut self) -> bool {
        let records = self.work.registry.mappings();
        let there: HashMap<_, _> = records.iter().map(|record| (&record.id, record)).collect();
        let gone = |id: &&MappingId| !there.contains_key(*id);
        let gone: Vec<_> = self.polled.keys().filter(gone).cloned().collect();
        for id in gone {
            if let Some(polled) = self.polled.remove(&id) {
                end(polled.poller).await;
            }
        }
        let mut is_done = true;
        for record in &records {
            self.poll(record).await;
            if record.state.is_settled() {
                continue;
            }
            let settled = self
                .work
                .registry
                .settle_mapping(&record.id, &record.revision);
            if let Err(error) = settled.await {
                tracing::error!(%error, mapping = %record.id.uuid, "store that a mapping is followed");
                is_done = false;
            }
        }
        is_done
    }

    async fn poll(&mut self, record: &MappingRecord) {
        let mapping = &record.mapping;
        let most = mapping.maximum_concurrency.unwrap_or(DEFAULT_CONCURRENCY);
        let most = most.min(MOST_CONCURRENCY);
        let is_wanted = mapping.enabled && record.state != MappingState::Deleting;
        let polled = self.polled.entry(record.id.clone());
        let polled = polled.or_insert_with(|| Polled {
            mapping: mapping.clone(),
            places: Places::new(most),
            poller: None,
        });
        if polled.poller.is_some() == is_wanted && polled.mapping == *mapping {
            return;
        }
        end(polled.poller.take()).await;
        polled.mapping = mapping.clone();
        polled.places.set_most(most);
        if !is_wanted {
            return;
        }
        // They were read when they were stored; one that a later version wrote and this one can't read means nothing.
        let filters = mapping.filters.iter().map(|text| text.parse());
        let filters = match filters.collect::<Result<_, _>>() {
            Ok(filters) => filters,
            Err(error) => {
                tracing::error!(%error, mapping = %record.id.uuid, "read the filters of a mapping");
                return;
            }
        };
        let poller = Poller {
            rules: Arc::new(Rules {
                id: record.id.clone(),
                queue: (&mapping.queue).into(),
                mapping: mapping.clone(),
                filters,
            }),
            work: Arc::clone(&self.work),
            places: Arc::clone(&polled.places),
            turns: Arc::clone(&self.turns),
            batches: self.batches.clone(),
        };
        polled.poller = Some(tokio::spawn(poller.run()));
    }
}

/// Ends a poller, and waits until it has.
async fn end(poller: Option<JoinHandle<()>>) {
    if let Some(poller) = poller {
        poller.abort();
        let _ = poller.await;
    }
}
