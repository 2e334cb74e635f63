//! Which mappings are polled: those that the registry has, as they are now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hearth_brokers::Brokers;
use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_store::record::MappingRecord;
use hearth_types::invoke::Invoker;
use hearth_types::mapping::{Mapping, MappingId, MappingState};
use hearth_types::source::{self as named, Origin, virtual_host};
use hearth_types::time::Timestamp;
use hearth_types::wire::broker_event::Around;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempts::Attempts;
use crate::destinations::Destinations;
use crate::pace::{Again, Places};
use crate::poller::Poller;
use crate::source::{Problem, Source};
use crate::work::{Rules, Work};

/// Batches that the node runs at the same time. Each may have 6 MB of messages, and as much again as an event.
const BATCHES: u32 = 128;
/// Batches of one mapping that says nothing of it: half of all, so that one that floods leaves turns to others.
const DEFAULT_CONCURRENCY: u32 = BATCHES / 2;
/// Batches of one mapping of a broker that says nothing of it: as of RabbitMQ (guide, "Amazon MQ"), so that what the broker
/// has in order is handed over in order.
const BROKER_CONCURRENCY: u32 = 1;
/// Batches of one mapping, whatever it says: a batch of the others is always next.
const MOST_CONCURRENCY: u32 = BATCHES - 16;
/// Wait before what the store refused is tried again.
const SETTLE_AGAIN: Duration = Duration::from_secs(1);

/// Hands the messages of queues and brokers to functions, as the mappings of a registry say.
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
    attempts: Arc<Attempts>,
    /// Set while it is enabled.
    poller: Option<JoinHandle<()>>,
}

impl Mappings {
    /// Mappings of `registry`, from `queues` and `brokers` to what `invoker` runs; `destinations` are told of what is given up.
    pub fn new(
        registry: Registry,
        invoker: Arc<dyn Invoker>,
        queues: Queues,
        brokers: Brokers,
        destinations: Arc<dyn Destinations>,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self {
            work: Arc::new(Work {
                registry,
                invoker,
                queues,
                brokers,
                destinations,
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
            if record.state == MappingState::Deleting {
                self.forget(record);
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
        let (default, again) = match &mapping.source {
            named::Source::Queue(_) => (DEFAULT_CONCURRENCY, Again::Later),
            named::Source::Broker(source) => match source.origin {
                Origin::Sqs { .. } => (BROKER_CONCURRENCY, Again::Later),
                _ => (BROKER_CONCURRENCY, Again::AtOnce),
            },
        };
        let most = mapping.maximum_concurrency.unwrap_or(default);
        let most = most.min(MOST_CONCURRENCY);
        let is_wanted = mapping.enabled && record.state != MappingState::Deleting;
        let polled = self.polled.entry(record.id.clone());
        let polled = polled.or_insert_with(|| Polled {
            mapping: mapping.clone(),
            places: Places::new(most, again),
            attempts: Arc::default(),
            poller: None,
        });
        if polled.poller.is_some() == is_wanted && polled.mapping == *mapping {
            return;
        }
        end(polled.poller.take()).await;
        polled.mapping = mapping.clone();
        polled.places.set_most(most);
        let places = Arc::clone(&polled.places);
        let attempts = Arc::clone(&polled.attempts);
        if !is_wanted {
            return;
        }
        let rules = match self.rules(record, attempts) {
            Ok(rules) => rules,
            Err(Problem(problem)) => {
                let result = format!("PROBLEM: {problem}");
                self.work.registry.note_processing(&record.id, &result);
                return;
            }
        };
        let poller = Poller {
            rules: Arc::new(rules),
            work: Arc::clone(&self.work),
            places,
            turns: Arc::clone(&self.turns),
            batches: self.batches.clone(),
        };
        if let Some(polled) = self.polled.get_mut(&record.id) {
            polled.poller = Some(tokio::spawn(poller.run()));
        }
    }

    /// What a mapping says, ready to be followed.
    ///
    /// # Errors
    /// If the node has no such broker any more, or a later version stored what this one can't read.
    fn rules(&self, record: &MappingRecord, attempts: Arc<Attempts>) -> Result<Rules, Problem> {
        let mapping = &record.mapping;
        let filters = mapping.filters.iter().map(|text| text.parse());
        let filters = filters
            .collect::<Result<_, _>>()
            .map_err(|error| Problem(format!("A filter can't be read: {error}")))?;
        let Work {
            queues, brokers, ..
        } = &*self.work;
        Ok(Rules {
            id: record.id.clone(),
            source: Source::new(mapping, &record.id, queues, brokers)?,
            around: around(mapping).map_err(|error| Problem(error.to_string()))?,
            mapping: mapping.clone(),
            filters,
            attempts,
        })
    }

    /// Removes what a broker keeps of a mapping that is deleted, while others go on. A broker that can't be reached keeps it.
    fn forget(&self, record: &MappingRecord) {
        let (rules, id) = (self.rules(record, Arc::default()), record.id.clone());
        self.batches.spawn(async move {
            let forgotten = match rules {
                Ok(rules) => rules.source.forget().await,
                Err(problem) => Err(problem),
            };
            if let Err(Problem(problem)) = forgotten {
                tracing::warn!(mapping = %id.uuid, "remove what a broker keeps of a mapping: {problem}");
            }
        });
    }
}

/// What is around the records of a mapping's events.
fn around(mapping: &Mapping) -> Result<Around, serde_json::Error> {
    match &mapping.source {
        named::Source::Queue(_) => Ok(Around::queue_records()),
        named::Source::Broker(broker) => match &broker.origin {
            Origin::RabbitMq { queue, access } => {
                let arn = broker.arn.as_deref().unwrap_or_default();
                Around::rabbit_records(arn, queue, virtual_host(access))
            }
            Origin::Kafka(kafka) => Around::kafka_records(&kafka.servers),
            Origin::Sqs { .. } => Ok(Around::queue_records()),
            Origin::Redis { .. } | Origin::Nats { .. } | Origin::Mqtt { .. } => {
                Ok(Around::cloud_events())
            }
        },
    }
}

/// Ends a poller, and waits until it has.
async fn end(poller: Option<JoinHandle<()>>) {
    if let Some(poller) = poller {
        poller.abort();
        let _ = poller.await;
    }
}
