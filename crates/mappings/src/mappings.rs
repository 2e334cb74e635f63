//! Which mappings are polled: those that the registry has, as they are now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hearth_brokers::Brokers;
use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_store::record::MappingRecord;
use hearth_types::invoke::Invoker;
use hearth_types::mapping::{Mapping, MappingId, MappingState, Retries};
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
    poller: Option<Polling>,
}

/// A poller that runs.
struct Polling {
    task: JoinHandle<()>,
    /// Tells its batches that what is left of them is to be given back.
    stop: CancellationToken,
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

    /// Polls until `stop` is cancelled, and lets what functions have been handed end then.
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
            attempts: Attempts::new(mapping.batch_size, most),
            poller: None,
        });
        if polled.poller.is_some() == is_wanted && polled.mapping == *mapping {
            return;
        }
        end(polled.poller.take()).await;
        if is_counted_anew(&polled.mapping, mapping) {
            polled.attempts = Attempts::new(mapping.batch_size, most);
        } else {
            polled.attempts.resize(mapping.batch_size, most);
        }
        polled.mapping = mapping.clone();
        polled.places.set_most(most);
        let places = Arc::clone(&polled.places);
        let attempts = Arc::clone(&polled.attempts);
        if !is_wanted {
            return;
        }
        let stop = CancellationToken::new();
        let rules = match self.rules(record, attempts, stop.clone()) {
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
            let task = tokio::spawn(poller.run());
            polled.poller = Some(Polling { task, stop });
        }
    }

    /// What a mapping says, ready to be followed.
    ///
    /// # Errors
    /// If the node has no such broker any more, or a later version stored what this one can't read.
    fn rules(
        &self,
        record: &MappingRecord,
        attempts: Arc<Attempts>,
        stop: CancellationToken,
    ) -> Result<Rules, Problem> {
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
            stop,
        })
    }

    /// Removes what a broker keeps of a mapping that is deleted, while others go on. A broker that can't be reached keeps it.
    fn forget(&self, record: &MappingRecord) {
        let attempts = Attempts::new(record.mapping.batch_size, 0);
        let rules = self.rules(record, attempts, CancellationToken::new());
        let id = record.id.clone();
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

/// Whether what has failed before says nothing of what a mapping says now. Who is told does not matter.
fn is_counted_anew(before: &Mapping, now: &Mapping) -> bool {
    let counted = |mapping: &Mapping| {
        let retries = Retries {
            on_failure: None,
            ..mapping.retries.clone()
        };
        (mapping.function.clone(), mapping.qualifier.clone(), retries)
    };
    counted(before) != counted(now)
}

/// Ends a poller, and waits until it has. Its batches end soon.
async fn end(poller: Option<Polling>) {
    if let Some(Polling { task, stop }) = poller {
        stop.cancel();
        task.abort();
        let _ = task.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_function_and_other_bounds_are_counted_anew() {
        let text = r#"{"queue":{"account":"123456789012","region":"eu-west-1","name":"q"},"function":{"account":"123456789012","region":"eu-west-1","name":"f"},"qualifier":null,"enabled":true,"batch_size":10,"window_s":0,"filters":[],"reports_failures":false,"maximum_concurrency":null}"#;
        let before: Mapping = serde_json::from_str(text).unwrap();
        let is_anew = |change: fn(&mut Mapping)| {
            let mut now = before.clone();
            change(&mut now);
            is_counted_anew(&before, &now)
        };
        assert!(is_anew(|now| now.function.name = "g".parse().unwrap()));
        assert!(is_anew(|now| now.qualifier = Some("2".parse().unwrap())));
        assert!(is_anew(|now| now.retries.attempts = Some(1)));
        assert!(is_anew(|now| now.retries.age_s = Some(60)));
        assert!(is_anew(|now| now.retries.bisects = true));
        let whom = |now: &mut Mapping| {
            now.retries.on_failure = Some("arn:aws:s3:::failed".parse().unwrap());
        };
        assert!(!is_anew(whom), "what is to be told is not run again");
        assert!(!is_anew(|now| now.enabled = false));
        assert!(!is_anew(|now| now.batch_size = 100));
    }
}
