//! One mapping: waits until a batch is due and until it may be run, again and again.

use std::sync::Arc;
use std::time::Duration;

use hearth_queues::{Outlook, QueueError};
use hearth_registry::{Permit, Resolved};
use hearth_store::queues::RECEIVE_BYTES;
use hearth_types::ApiError;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::pace::{Ending, Places};
use crate::work::{Ready, Rules, Work};

/// Waits for a queue that can't be asked: it is gone, or its store is in trouble.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Pause after a queue gave nothing though something was due: somebody else has it, or it was given up.
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
        let mut wait = FIRST_WAIT;
        loop {
            match self.round().await {
                Ok(()) => wait = FIRST_WAIT,
                Err(error) => {
                    let problem = format!("PROBLEM: {}", error.message);
                    self.work.registry.note_processing(&self.rules.id, &problem);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// One batch, from its being due to its being taken.
    async fn round(&self) -> Result<(), QueueError> {
        self.due().await?;
        let mut place = self.places.take().await;
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

    /// Waits until a batch is due: there are messages, and they were gathered for long enough or are enough.
    async fn due(&self) -> Result<(), QueueError> {
        let window = Duration::from_secs(self.rules.mapping.window_s.into());
        let mut since = None;
        loop {
            let outlook = self.work.queues.outlook(&self.rules.queue).await?;
            let now = Instant::now();
            let until = match outlook.due_in {
                Some(Duration::ZERO) => {
                    let end = *since.get_or_insert(now) + window;
                    if end <= now || self.is_full(&outlook) {
                        return Ok(());
                    }
                    Some(end)
                }
                later => {
                    // What was gathered is gone.
                    since = None;
                    later.map(|later| now + later)
                }
            };
            match until {
                None => outlook.changed().await,
                Some(until) => tokio::select! {
                    () = outlook.changed() => {}
                    () = tokio::time::sleep_until(until) => {}
                },
            }
        }
    }

    fn is_full(&self, outlook: &Outlook) -> bool {
        outlook.visible >= self.rules.mapping.batch_size.into()
            || outlook.visible_bytes >= RECEIVE_BYTES
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
