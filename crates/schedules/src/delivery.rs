//! What of a firing a target is given, and what makes that happen once.
//!
//! It does not matter whether who fires ends before the firing was written down, or whether another node fires it as well:
//! the target notes the firing's mark in the transaction that takes it in.

use hearth_queues::QueueError;
use hearth_store::StoreError;
use hearth_store::once::Once;
use hearth_store::schedules::Firing;
use hearth_targets::policy::Exhausted;
use hearth_targets::{Failure, Letter, Parcel, Targets};
use hearth_types::invoke::RequestId;
use hearth_types::time::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::payload;

/// For how long it is remembered that something was taken in: a node that was down for longer, from between that and
/// writing it down, counts the firing among those that it has missed. 14 days, as long as a queue keeps a message.
const REMEMBERED_MS: i64 = 14 * 86_400_000;

/// The way to targets.
#[derive(Clone, Debug)]
pub struct Delivery(Targets);

/// A firing's own number: the same for all its attempts, on every node.
pub(crate) fn execution_id(firing: &Firing) -> RequestId {
    RequestId::from_random(digest(firing, "execution"))
}

fn digest<const N: usize>(firing: &Firing, what: &str) -> [u8; N] {
    let mut digest = Sha256::new();
    for part in [what.as_bytes(), firing.order.arn.as_bytes()] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.update(firing.schedule.to_le_bytes());
    digest.update(firing.scheduled.as_millis().to_le_bytes());
    let whole: [u8; 32] = digest.finalize().into();
    let mut part = [0; N];
    part.copy_from_slice(&whole[..N]);
    part
}

/// What makes a firing happen once. First attempts of a schedule rise in time and are one series; one that is tried again
/// comes among others, and is a series of its own.
fn once(firing: &Firing, now: Timestamp) -> Once {
    let schedule = firing.schedule;
    let (series, mark) = match firing.failed {
        0 => (format!("schedule/{schedule}"), firing.scheduled.as_millis()),
        _ => (
            format!("schedule/{schedule}/{}", firing.scheduled.as_millis()),
            0,
        ),
    };
    Once {
        series,
        mark,
        until: Timestamp::from_millis(now.as_millis().saturating_add(REMEMBERED_MS)),
    }
}

impl Delivery {
    /// Firings go by way of `targets`.
    pub fn new(targets: Targets) -> Self {
        Self(targets)
    }

    /// Makes an attempt. It may be repeated: the target takes a firing in once.
    ///
    /// # Errors
    /// [`Failure`]; the target has not taken it in.
    pub async fn deliver(&self, firing: &Firing, now: Timestamp) -> Result<(), Failure> {
        let target = &firing.order.target;
        let parcel = Parcel {
            id: execution_id(firing),
            body: payload::of(firing),
            group: target.message_group.clone(),
            // Nobody's request has led to a firing.
            trace: None,
            root: digest(firing, "trace"),
            once: once(firing, now),
        };
        self.0.deliver(&target.arn, parcel, now).await
    }

    /// Whether a firing was taken in by an attempt of which nobody has heard.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_delivered(&self, firing: &Firing, now: Timestamp) -> Result<bool, StoreError> {
        let once = once(firing, now);
        self.0.is_noted(&firing.order.target.arn, once).await
    }

    /// Sends a firing that is given up to its dead-letter queue, if it has one (EventBridge Scheduler user guide,
    /// "Configuring a dead-letter queue").
    ///
    /// # Errors
    /// Why the queue does not take it.
    pub async fn bury(
        &self,
        firing: &Firing,
        failure: &Failure,
        exhausted: Exhausted,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let order = &firing.order;
        let Some(queue) = &order.target.dead_letters else {
            return Ok(());
        };
        let letter = Letter {
            id: execution_id(firing),
            body: payload::of(firing),
            attributes: vec![
                ("ERROR_CODE", failure.code.clone()),
                ("ERROR_MESSAGE", failure.message.clone()),
                ("EXECUTION_ID", execution_id(firing).as_str().to_owned()),
                ("EXHAUSTED_RETRY_CONDITION", exhausted.as_str().to_owned()),
                ("IS_PAYLOAD_TRUNCATED", "false".to_owned()),
                ("RETRY_ATTEMPTS", firing.failed.to_string()),
                ("SCHEDULED_TIME", payload::time(firing.scheduled)),
                ("SCHEDULE_ARN", order.arn.clone()),
                ("TARGET_ARN", order.target.arn.clone()),
            ],
            once: Once {
                series: format!("dead/{}/{}", firing.schedule, firing.scheduled.as_millis()),
                ..once(firing, now)
            },
        };
        self.0.bury(queue, letter).await
    }
}
