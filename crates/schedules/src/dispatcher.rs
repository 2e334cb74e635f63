//! The loop that fires what is due: it sleeps until the first due time, and looks at nothing else.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use hearth_queues::error::Kind as QueueKind;
use hearth_store::StoreError;
use hearth_store::schedules::{After, Due, Fate, Firing, Order, Schedule};
use hearth_store::sqlite::schedules::{DueFiring, DueSchedule, Left, Unfit};
use hearth_targets::Failure;
use hearth_targets::policy::{self, Next, Tries, most_age_ms};
use hearth_types::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::delivery::Delivery;
use crate::name;
use crate::schedules::Schedules;
use crate::timing::Timing;

/// While something will be due, the clock is looked at this often: it may be set, and sleeps do not follow it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Wait after a store refused: a full disk, mostly.
const AGAIN: Duration = Duration::from_secs(1);

/// What is fired at the same time: their payloads are in memory, up to 256 KiB each, and they share fsyncs.
const TOGETHER: usize = 256;

/// Fires what is due.
pub struct Dispatcher {
    schedules: Schedules,
    delivery: Delivery,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// Fires `schedules` by way of `delivery`.
    pub fn new(schedules: Schedules, delivery: Delivery) -> Self {
        Self {
            schedules,
            delivery,
        }
    }

    /// Works until it is stopped. Dropping the future is like a kill: what was begun is found, and not made twice.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            self.schedules.clear_groups().await;
            loop {
                self.wait().await;
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// Fires what is due, and waits until there may be more.
    async fn wait(&self) {
        let changed = self.schedules.store.changed();
        let sleep = match self.turn(self.schedules.now()).await {
            Ok(None) => None,
            Ok(Some(due)) => {
                let millis = due
                    .as_millis()
                    .saturating_sub(self.schedules.now().as_millis());
                let sleep = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
                Some(sleep.min(LONGEST_SLEEP))
            }
            Err(error) => {
                tracing::error!(%error, "fire schedules");
                Some(AGAIN)
            }
        };
        match sleep {
            None => changed.await,
            Some(sleep) => {
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep(sleep) => {}
                }
            }
        }
    }

    /// Fires all that is due at `now`; when the next is.
    ///
    /// # Errors
    /// A store's. What was fired was; the rest is still due.
    pub async fn turn(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let store = &self.schedules.store;
        loop {
            let due = store.due(now, TOGETHER).await?;
            let firings = store.due_firings(now, TOGETHER).await?;
            if due.is_empty() && firings.is_empty() {
                return store.next_due().await;
            }
            let fired = join_all(due.into_iter().map(|due| self.fire(due, now)));
            let again = join_all(firings.into_iter().map(|firing| self.retry(firing, now)));
            let (fired, again) = tokio::join!(fired, again);
            fired.into_iter().chain(again).collect::<Result<(), _>>()?;
        }
    }

    /// Fires a schedule whose time has come, or passes over times that are too old.
    async fn fire(
        &self,
        (number, schedule): DueSchedule,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let store = &self.schedules.store;
        let schedule = match schedule {
            Ok(schedule) => schedule,
            Err(unfit) => {
                if unfit == Unfit::Damaged {
                    tracing::error!(
                        number,
                        "a schedule is not what was stored: it does not fire any more"
                    );
                }
                return store.halt(number).await;
            }
        };
        let Some(due) = schedule.next else {
            return Ok(());
        };
        let firing = firing(&schedule, due);
        let arn = &firing.order.arn;
        let timing = match self.schedules.timing(&schedule) {
            Ok(timing) => timing,
            // It was checked when it was made: by rules that have changed since.
            Err(error) => {
                tracing::error!(
                    schedule = arn,
                    error,
                    "a schedule can't be read: it does not fire any more"
                );
                return store.halt(number).await;
            }
        };
        let age = most_age_ms(schedule.settings.target.most_age_seconds);
        let oldest = Timestamp::from_millis(now.as_millis().saturating_sub(age));
        if due.at < oldest {
            let (mut missed, next) = timing.pass(due, oldest);
            missed -= u64::from(self.delivery.is_delivered(&firing, now).await?);
            if missed > 0 {
                tracing::warn!(
                    schedule = arn,
                    missed,
                    "firings were missed: nobody was there until they were older than the schedule allows"
                );
            }
            return store
                .advance(&schedule, due, after(&schedule, next), missed, None)
                .await;
        }
        let left = match self.delivery.deliver(&firing, now).await {
            Ok(()) => None,
            Err(failure) => Some(match self.failed(&firing, &failure, now).await? {
                Some(due) => Left::Again(Box::new(Firing {
                    failed: 1,
                    due,
                    ..firing
                })),
                None => Left::GivenUp,
            }),
        };
        let next = after(&schedule, timing.after(due));
        store.advance(&schedule, due, next, 0, left).await
    }

    /// Makes another attempt of a firing that has failed.
    async fn retry(&self, firing: DueFiring, now: Timestamp) -> Result<(), StoreError> {
        let store = &self.schedules.store;
        let firing = match firing {
            Ok(firing) => firing,
            Err((number, scheduled)) => {
                tracing::error!(
                    number,
                    scheduled = scheduled.to_iso_string(),
                    "a firing is not what was stored: it is given up"
                );
                return store.give_up(number, scheduled).await;
            }
        };
        let fate = match self.delivery.deliver(&firing, now).await {
            Ok(()) => Fate::Done,
            Err(failure) => match self.failed(&firing, &failure, now).await? {
                Some(due) => Fate::Again(due),
                None => Fate::GivenUp,
            },
        };
        store.settle(&firing, fate).await
    }

    /// When a firing whose attempt has failed is tried again; `None`: it was given up, and its dead letter sent.
    async fn failed(
        &self,
        firing: &Firing,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        let exhausted = match policy::after_failure(&tries(firing), now) {
            Next::Again(due) => return Ok(Some(due)),
            Next::GivenUp(exhausted) => exhausted,
        };
        let order = &firing.order;
        tracing::warn!(
            schedule = order.arn,
            target = order.target.arn,
            code = failure.code,
            reason = failure.message,
            attempts = firing.failed + 1,
            "a firing was given up"
        );
        match self.delivery.bury(firing, failure, exhausted, now).await {
            Ok(()) => {}
            Err(error) if matches!(error.kind, QueueKind::Unavailable | QueueKind::Damaged) => {
                return Err(StoreError::Unavailable(error.message.into_owned()));
            }
            Err(error) => tracing::warn!(
                schedule = order.arn,
                reason = %error.message,
                "a dead letter was dropped: its queue does not take it"
            ),
        }
        Ok(None)
    }
}

fn firing(schedule: &Schedule, due: Due) -> Firing {
    Firing {
        schedule: schedule.number,
        scheduled: due.scheduled,
        order: Order {
            arn: name::arn(&schedule.place, &schedule.group, &schedule.name),
            account: schedule.place.account.clone(),
            region: schedule.place.region.clone(),
            due: due.at,
            target: schedule.settings.target.clone(),
        },
        failed: 0,
        due: due.at,
    }
}

/// Its age counts from when it was due.
fn tries(firing: &Firing) -> Tries {
    let target = &firing.order.target;
    Tries {
        begun: firing.order.due,
        failed: firing.failed,
        most_age_seconds: target.most_age_seconds,
        most_retries: target.most_retries,
    }
}

fn after(schedule: &Schedule, next: Option<Due>) -> After {
    match next {
        Some(due) => After::Due(due),
        None if schedule.settings.delete_after => After::Removed,
        None => After::Over,
    }
}

impl Schedules {
    /// When a schedule is due.
    pub(crate) fn timing(&self, schedule: &Schedule) -> Result<Timing, String> {
        Timing::new(
            &schedule.settings,
            &self.zones,
            schedule.created,
            schedule.number,
        )
    }
}
