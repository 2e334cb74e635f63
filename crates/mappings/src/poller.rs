//! One mapping: waits until a batch is due and until it may be run, again and again.

use std::sync::Arc;
use std::time::Duration;

use hearth_registry::{Permit, Resolved};
use hearth_types::ApiError;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

use crate::pace::{Ending, Places};
use crate::source::{Problem, Source};
use crate::work::{Ready, Rules, Work};

/// Waits for a source that can't be asked: it is gone, or in trouble.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often it is asked how much waits: often enough for a person who looks.
const COUNT_AGAIN: Duration = Duration::from_secs(5);
/// Pause after a source gave nothing though something was due: somebody else has it, or it was given up.
const EMPTY_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Poller {
    pub(crate) rules: Arc<Rules>,
    pub(crate) work: Arc<Work>,
    pub(crate) places: Arc<Places>,
    /// One permit a batch, of all mappings; those who wait are served in the order in which they came.
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) batches: TaskTracker,
}

impl Poller {
    /// Polls for ever. Dropped at any moment, it leaves nothing behind: batches are worked on in tasks of their own.
    pub(crate) async fn run(self) {
        tokio::join!(self.poll(), self.count());
    }

    async fn poll(&self) {
        let mut wait = FIRST_WAIT;
        loop {
            if wait > FIRST_WAIT {
                self.back().await;
            }
            match self.round().await {
                Ok(()) => wait = FIRST_WAIT,
                Err(Problem(problem)) => {
                    if wait == FIRST_WAIT && matches!(self.rules.source, Source::Broker(_)) {
                        let id = &self.rules.id.uuid;
                        tracing::warn!(mapping = %id, "messages of a broker can't be taken: {problem}");
                    }
                    let problem = format!("PROBLEM: {problem}");
                    self.work.registry.note_processing(&self.rules.id, &problem);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Says that a broker is there again, though nothing may come of it for long.
    async fn back(&self) {
        if let Source::Broker(broker) = &self.rules.source
            && broker.connect().await.is_ok()
        {
            let nothing = "No records processed";
            self.work.registry.note_processing(&self.rules.id, nothing);
        }
    }

    /// Keeps the registry told of how much waits at a broker. A queue of the node tells by its own API.
    async fn count(&self) {
        let Source::Broker(broker) = &self.rules.source else {
            return;
        };
        loop {
            if let Some(waiting) = broker.waiting().await {
                self.work.registry.note_lag(&self.rules.id, waiting);
            }
            tokio::time::sleep(COUNT_AGAIN).await;
        }
    }

    /// One batch, from its being due to its being taken.
    async fn round(&self) -> Result<(), Problem> {
        let source = &self.rules.source;
        let mut place = match source {
            Source::Queue(_) => {
                source.due(&self.rules.mapping).await?;
                self.places.take().await
            }
            // What is due is in hand, and held back from others: not while the mapping rests.
            Source::Broker(_) => {
                let place = self.places.take().await;
                source.due(&self.rules.mapping).await?;
                place
            }
        };
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
            // Nobody closes it.
            return Ok(());
        };
        let (resolved, permit) = match self.admit() {
            Ok(admitted) => admitted,
            Err(error) => {
                let problem = format!("PROBLEM: {}", error.message);
                self.work.registry.note_processing(&self.rules.id, &problem);
                place.set(Ending::Refused);
                return Ok(());
            }
        };
        let ready = Ready {
            _permit: permit,
            _turn: turn,
            resolved,
            place,
        };
        let (sender, taken) = oneshot::channel();
        let batch = Arc::clone(&self.work).run(Arc::clone(&self.rules), ready, sender);
        self.batches.spawn(batch);
        match taken.await {
            Ok(Ok(0)) => {
                tokio::time::sleep(EMPTY_PAUSE).await;
                Ok(())
            }
            Ok(Ok(_)) | Err(_) => Ok(()),
            Ok(Err(error)) => Err(error),
        }
    }

    /// What runs now: an alias leads where it leads now.
    fn admit(&self) -> Result<(Resolved, Permit), ApiError> {
        let mapping = &self.rules.mapping;
        let registry = &self.work.registry;
        // Without randomness an alias's first version runs.
        let draw = hearth_registry::draw(getrandom::u64().unwrap_or(u64::MAX));
        let resolved = registry.resolve_key(&mapping.function, mapping.qualifier.as_ref(), draw)?;
        let permit = registry.admit(&resolved)?;
        Ok((resolved, permit))
    }
}
