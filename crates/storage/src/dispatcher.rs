//! The loop that delivers: a function's events, or a queue, take a notification in once.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use hearth_store::StoreError;
use hearth_store::once::Once;
use hearth_store::storage::Delivery;
use hearth_targets::{Parcel, Targets};
use hearth_types::invoke::RequestId;
use hearth_types::time::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::Storage;

/// What is delivered at the same time: it shares fsyncs, and a kill can make no more than this come again.
const TOGETHER: usize = 256;
/// The clock is looked at this often while something is due later: it may be set, and sleeps do not follow it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Wait after the store refused.
const AGAIN: Duration = Duration::from_secs(1);
/// For how long a target remembers what it has taken in: a node that was killed in between and stays away for longer tells
/// it again.
const REMEMBERED_MS: i64 = 86_400_000;
/// For how long a target is tried: as long as the service tries a function (Lambda guide, "Asynchronous invocation": 6
/// hours), four times over, since a queue that is full is no fault of the event's.
const MOST_AGE_MS: i64 = 86_400_000;
/// First and longest wait between two attempts.
const FIRST_WAIT_MS: i64 = 1_000;
const LONGEST_WAIT_MS: i64 = 300_000;

/// Delivers notifications that are on their way.
pub struct Dispatcher {
    storage: Storage,
    targets: Targets,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Delivers what `storage` has taken in, by way of `targets`.
    pub fn new(storage: Storage, targets: Targets) -> Self {
        Self { storage, targets }
    }

    /// Works until it is stopped. Dropping the future is like a kill: what was begun is found, and not made twice.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            loop {
                self.wait().await;
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Delivers what is due, and waits until there may be more.
    async fn wait(&self) {
        let store = &self.storage.0.store;
        let changed = store.changed();
        let sleep = match self.turn().await {
            Ok(None) => return changed.await,
            Ok(Some(due)) => {
                let millis = due
                    .as_millis()
                    .saturating_sub(self.storage.now().as_millis());
                Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(LONGEST_SLEEP)
            }
            Err(error) => {
                tracing::error!(%error, "deliver storage events");
                AGAIN
            }
        };
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }

    /// Delivers all that is due; when the next is.
    async fn turn(&self) -> Result<Option<Timestamp>, StoreError> {
        let store = &self.storage.0.store;
        loop {
            let now = self.storage.now();
            let due = store.due(now, TOGETHER).await?;
            if due.is_empty() {
                return store.next_due().await;
            }
            let ends = join_all(due.into_iter().map(|delivery| async move {
                match delivery {
                    Ok(delivery) => (delivery.number, self.attempt(&delivery, now).await),
                    Err(number) => {
                        // Nobody knows any more whom to tell of what.
                        tracing::error!(
                            number,
                            "a storage event was damaged on the disk, and is given up"
                        );
                        (number, None)
                    }
                }
            }));
            store.settle(ends.await).await?;
        }
    }

    /// Makes an attempt; when the next is, unless it is done with.
    async fn attempt(&self, delivery: &Delivery, now: Timestamp) -> Option<Timestamp> {
        let why = self.deliver(delivery, now).await.err()?;
        let target = &delivery.told.target;
        let age = now
            .as_millis()
            .saturating_sub(delivery.accepted.as_millis());
        if age >= MOST_AGE_MS {
            tracing::warn!(
                target,
                why,
                record = delivery.told.record,
                "a storage event was given up"
            );
            return None;
        }
        tracing::info!(target, why, "a storage event is tried again");
        let wait = FIRST_WAIT_MS << delivery.failed.min(10);
        let due = now.as_millis().saturating_add(wait.min(LONGEST_WAIT_MS));
        Some(Timestamp::from_millis(due))
    }

    /// Hands a notification over. It may be repeated: the target takes it in once.
    async fn deliver(&self, delivery: &Delivery, now: Timestamp) -> Result<(), String> {
        let parcel = Parcel {
            id: request_id(delivery),
            body: format!("{{\"Records\":[{}]}}", delivery.told.record),
            group: None,
            // Nobody's request has led to it, as far as anybody knows.
            trace: None,
            root: digest(delivery, "trace"),
            once: once(delivery, now),
        };
        let delivered = self.targets.deliver(&delivery.told.target, parcel, now);
        delivered.await.map_err(|failure| failure.message)
    }
}

/// What makes a delivery happen once. The time tells its number from the same one of a database that was there before.
fn once(delivery: &Delivery, now: Timestamp) -> Once {
    Once {
        series: format!(
            "storage/{}/{}",
            delivery.accepted.as_millis(),
            delivery.number
        ),
        mark: 0,
        until: Timestamp::from_millis(now.as_millis().saturating_add(REMEMBERED_MS)),
    }
}

fn digest<const N: usize>(delivery: &Delivery, what: &str) -> [u8; N] {
    let mut digest = Sha256::new();
    digest.update(what);
    digest.update(delivery.number.to_le_bytes());
    digest.update(delivery.accepted.as_millis().to_le_bytes());
    digest.update(&delivery.told.target);
    digest.update(&delivery.told.record);
    let whole: [u8; 32] = digest.finalize().into();
    let mut part = [0; N];
    part.copy_from_slice(&whole[..N]);
    part
}

/// A delivery's own number: the same for all its attempts.
fn request_id(delivery: &Delivery) -> RequestId {
    RequestId::from_random(digest(delivery, "request"))
}
