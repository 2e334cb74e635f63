//! The loop that delivers: it sleeps until the first due time, and looks at nothing else.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use hearth_queues::error::Kind as QueueKind;
use hearth_store::StoreError;
use hearth_store::once::Once;
use hearth_store::rules::{DeliveryEnd, DueDelivery, RuleDelivery};
use hearth_targets::policy::{self, Exhausted, Next, Tries};
use hearth_targets::{Failure, Letter, Parcel, Targets};
use hearth_types::invoke::RequestId;
use hearth_types::time::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{Rules, input};

/// What is delivered at the same time: it shares fsyncs, and a kill can make no more than this come again.
const TOGETHER: usize = 256;
/// And how much of it is in memory, bytes.
const TOGETHER_BYTES: usize = 16 << 20;
/// The clock is looked at this often while something is due later: it may be set, and sleeps do not follow it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Wait after a store refused: a full disk, mostly.
const AGAIN: Duration = Duration::from_secs(1);
/// For how long a target remembers what it has taken in: a node that was killed in between and stays away for longer tells
/// it again. Each mark is a row, and there is one for each delivery, so that a day's would be many.
const REMEMBERED_MS: i64 = 3_600_000;

/// Gives events to the targets of rules.
pub struct Dispatcher {
    rules: Rules,
    targets: Targets,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Delivers what `rules` have taken in, by way of `targets`.
    pub fn new(rules: Rules, targets: Targets) -> Self {
        Self { rules, targets }
    }

    /// Works until it is stopped, and ends what it has begun. Dropping the future is like a kill: what was begun is found,
    /// and not made twice.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let changed = self.rules.0.store.changed();
            let sleep = match self.turn(self.rules.now(), &stop).await {
                Ok(None) => None,
                Ok(Some(due)) => {
                    let now = self.rules.now().as_millis();
                    let millis = due.as_millis().saturating_sub(now);
                    let sleep = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
                    Some(sleep.min(LONGEST_SLEEP))
                }
                Err(error) => {
                    tracing::error!(%error, "give events to the targets of rules");
                    Some(AGAIN)
                }
            };
            let sleep = async {
                match sleep {
                    Some(sleep) => tokio::time::sleep(sleep).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = changed => {}
                () = sleep => {}
            }
        }
    }

    /// Delivers all that is due at `now`; when the next is.
    ///
    /// # Errors
    /// The store's. What was delivered was; the rest is still due.
    pub async fn turn(
        &self,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<Option<Timestamp>, StoreError> {
        let store = &self.rules.0.store;
        loop {
            let due = store.due(now, TOGETHER, TOGETHER_BYTES).await?;
            if due.is_empty() || stop.is_cancelled() {
                return store.next_due().await;
            }
            let ends = join_all(due.into_iter().map(|delivery| self.attempt(delivery, now)));
            store.settle(ends.await).await?;
        }
    }

    /// Makes an attempt; what becomes of the delivery, with its number.
    async fn attempt(&self, delivery: DueDelivery, now: Timestamp) -> (i64, DeliveryEnd) {
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(number) => {
                tracing::error!(
                    number,
                    "an event on its way to a rule's target is not what was stored: it is given up"
                );
                return (number, DeliveryEnd::GivenUp);
            }
        };
        let target = &delivery.told.target.arn;
        let json = target.contains(":lambda:");
        let parcel = Parcel {
            id: request_id(&delivery),
            body: input::of(&delivery, json),
            group: delivery.told.target.message_group.clone(),
            trace: delivery.trace.clone(),
            root: digest(&delivery, "trace"),
            once: once(&delivery, "rule", now),
        };
        let end = match self.targets.deliver(target, parcel, now).await {
            Ok(()) => DeliveryEnd::Done,
            Err(failure) => self.failed(&delivery, &failure, now).await,
        };
        (delivery.number, end)
    }

    /// What becomes of a delivery whose attempt has failed. Of one that is given up the dead letter was sent.
    async fn failed(
        &self,
        delivery: &RuleDelivery,
        failure: &Failure,
        now: Timestamp,
    ) -> DeliveryEnd {
        let (rule, target) = (&delivery.told.rule, &delivery.told.target);
        let tries = Tries {
            begun: delivery.accepted,
            failed: delivery.failed,
            most_age_seconds: target.most_age_seconds,
            most_retries: target.most_retries,
        };
        let exhausted = match policy::after_failure(&tries, now) {
            Next::Again(due) => return DeliveryEnd::Again(due),
            Next::GivenUp(exhausted) => exhausted,
        };
        let buried = match &target.dead_letters {
            None => Ok(()),
            Some(queue) => {
                let letter = letter(delivery, failure, exhausted, now);
                self.targets.bury(queue, letter).await
            }
        };
        match buried {
            Ok(()) => tracing::warn!(
                rule,
                target = target.arn,
                code = failure.code,
                reason = failure.message,
                attempts = delivery.failed + 1,
                dead_letters = target.dead_letters,
                "an event was given up: a rule's target does not take it"
            ),
            Err(error) if matches!(error.kind, QueueKind::Unavailable | QueueKind::Damaged) => {
                let millis = now.as_millis() + AGAIN.as_millis() as i64;
                return DeliveryEnd::Again(Timestamp::from_millis(millis));
            }
            Err(error) => tracing::warn!(
                rule,
                target = target.arn,
                code = failure.code,
                reason = failure.message,
                refused = %error.message,
                "an event was given up, and its dead letter dropped: the queue does not take it"
            ),
        }
        DeliveryEnd::GivenUp
    }
}

/// What goes to the dead-letter queue: the event as it came (EventBridge user guide, "Dead-letter queues").
fn letter(
    delivery: &RuleDelivery,
    failure: &Failure,
    exhausted: Exhausted,
    now: Timestamp,
) -> Letter {
    Letter {
        id: request_id(delivery),
        body: delivery.body.clone(),
        attributes: vec![
            ("RULE_ARN", delivery.told.rule.clone()),
            ("TARGET_ARN", delivery.told.target.arn.clone()),
            ("ERROR_CODE", failure.code.clone()),
            ("ERROR_MESSAGE", failure.message.clone()),
            ("EXHAUSTED_RETRY_CONDITION", exhausted.as_str().to_owned()),
            ("RETRY_ATTEMPTS", delivery.failed.to_string()),
        ],
        once: once(delivery, "rule-dead", now),
    }
}

/// What makes a delivery happen once. The time tells its number from the same one of a database that was there before.
fn once(delivery: &RuleDelivery, what: &str, now: Timestamp) -> Once {
    let (accepted, number) = (delivery.accepted.as_millis(), delivery.number);
    Once {
        series: format!("{what}/{accepted}/{number}"),
        mark: 0,
        until: Timestamp::from_millis(now.as_millis().saturating_add(REMEMBERED_MS)),
    }
}

fn digest<const N: usize>(delivery: &RuleDelivery, what: &str) -> [u8; N] {
    let mut digest = Sha256::new();
    digest.update(what);
    digest.update(delivery.number.to_le_bytes());
    digest.update(delivery.accepted.as_millis().to_le_bytes());
    digest.update(&delivery.told.rule);
    digest.update(&delivery.body);
    let whole: [u8; 32] = digest.finalize().into();
    let mut part = [0; N];
    part.copy_from_slice(&whole[..N]);
    part
}

/// A delivery's own number: the same for all its attempts.
fn request_id(delivery: &RuleDelivery) -> RequestId {
    RequestId::from_random(digest(delivery, "request"))
}
