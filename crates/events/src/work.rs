//! The way of one leased event: tried or told, and settled.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_store::events::{End, EventStore, Fault, Lease, Leased, Settled, Step};
use hearth_types::event_invoke::{Condition, DEFAULT_EVENT_AGE_S, EventSettings};

use crate::Clock;
use crate::attempt::{Attempt, Attempts};
use crate::destinations::{Destinations, Told, wanted};
use crate::policy::{self, Came, Next};

/// Largest answer of a function that is kept with an event's end, bytes: what a message of SQS could always hold. Of a
/// larger one the record says that it was there, and no more.
const RESPONSE_BYTES: usize = 256 << 10;

/// How long an end is told before it is given up: as long as an event is tried.
const TELLING: Duration = Duration::from_secs(DEFAULT_EVENT_AGE_S as u64);

/// Waits before a settlement that the store refused is tried again: a full disk, mostly.
const SETTLE_AGAIN: Duration = Duration::from_millis(100);
const LONGEST_SETTLE_AGAIN: Duration = Duration::from_secs(5);

/// What leased events are worked on with.
pub(crate) struct Work {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) attempts: Arc<dyn Attempts>,
    pub(crate) destinations: Arc<dyn Destinations>,
    pub(crate) clock: Clock,
}

/// Whether the platform could run an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Went {
    Ran,
    Refused,
}

impl Work {
    /// Tries or tells an event and settles it, however long the store refuses that.
    pub(crate) async fn run(self: Arc<Self>, leased: Leased) -> Went {
        let lease = leased.lease;
        let id = leased.event.id;
        let work = Arc::clone(&self);
        // Apart, so that a fault in it can't take the event's lease with it.
        let step = tokio::spawn(async move { work.step(leased).await }).await;
        let step = step.unwrap_or_else(|error| {
            tracing::error!(%error, request_id = %id, "work on an event");
            Step::Again {
                due: policy::after((self.clock)(), policy::backoff(6)),
                fault: Fault::Platform,
                cause: "The platform failed.".to_owned(),
            }
        });
        let refused = matches!(
            step,
            Step::Again {
                fault: Fault::Platform,
                ..
            }
        );
        self.settle(lease, step).await;
        if refused { Went::Refused } else { Went::Ran }
    }

    async fn step(&self, leased: Leased) -> Step {
        let event = &leased.event;
        let settings = self
            .attempts
            .settings(&event.function, event.qualifier.as_ref());
        match &leased.end {
            None => self.attempt(leased, &settings).await,
            Some(end) => self.tell(&leased, end.clone(), &settings).await,
        }
    }

    async fn attempt(&self, leased: Leased, settings: &EventSettings) -> Step {
        let Leased { event, tries, .. } = leased;
        let (accepted, now) = (event.accepted, (self.clock)());
        let end = End {
            at: now,
            condition: Condition::EventAgeExceeded,
            attempts: tries.begun - 1,
            version: None,
            error: None,
            message: String::new(),
            response: None,
        };
        if now >= policy::expires(accepted, &settings.invoke) {
            let message = match leased.cause {
                Some(cause) => cause,
                None => "The event became too old before it could be tried.".to_owned(),
            };
            return self.ended(End { message, ..end }, settings);
        }
        let attempt = self.attempts.attempt(event).await;
        let now = (self.clock)();
        let came = match &attempt {
            Attempt::Ran { error: None, .. } => Came::Success,
            Attempt::Ran { .. } => Came::Failure,
            Attempt::Refused(_) => Came::Refusal,
            Attempt::Blocked => Came::Blocked,
            Attempt::Looped => Came::Looped,
        };
        match policy::next(now, accepted, tries, &settings.invoke, came) {
            Next::Again { due, fault } => Step::Again {
                due,
                fault,
                cause: attempt.cause(),
            },
            Next::End(condition) => {
                let end = End {
                    at: now,
                    condition,
                    message: attempt.cause(),
                    ..end
                };
                self.ended(with_answer(end, tries.begun, attempt), settings)
            }
        }
    }

    /// What becomes of an event that has ended.
    fn ended(&self, end: End, settings: &EventSettings) -> Step {
        if wanted(settings, end.condition).next().is_some() {
            return Step::Tell { due: end.at, end };
        }
        match end.condition {
            Condition::Success => Step::Done,
            _ => Step::Dead(end),
        }
    }

    /// Tells whoever is to be told. An end that can't be told for too long is kept, that of a success as well.
    async fn tell(&self, leased: &Leased, mut end: End, settings: &EventSettings) -> Step {
        for (destination, form) in wanted(settings, end.condition) {
            let told = self.destinations.tell(Told {
                destination,
                form,
                event: &leased.event,
                end: &end,
            });
            let Err(why) = told.await else {
                continue;
            };
            let cause = format!("{destination} could not be told: {why}");
            let now = (self.clock)();
            let due = policy::after(now, policy::backoff(leased.tries.deferred));
            if due <= policy::after(end.at, TELLING) {
                return Step::Again {
                    due,
                    fault: Fault::Platform,
                    cause,
                };
            }
            tracing::warn!(request_id = %leased.event.id, cause, "the end of an event was not told");
            end.message = cause;
            return Step::Dead(end);
        }
        match end.condition {
            Condition::Success => Step::Done,
            _ => Step::Dead(end),
        }
    }

    async fn settle(&self, lease: Lease, step: Step) {
        let mut wait = SETTLE_AGAIN;
        loop {
            match self.store.settle(lease, step.clone()).await {
                Ok(Settled::Yes) => return,
                Ok(Settled::Stale) => {
                    tracing::info!("an attempt ended after its lease: it changes nothing");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the end of an attempt can't be stored yet");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_SETTLE_AGAIN);
                }
            }
        }
    }
}

/// Adds what the function answered.
fn with_answer(end: End, begun: u32, attempt: Attempt) -> End {
    match attempt {
        Attempt::Ran {
            version,
            payload,
            error,
        } => End {
            attempts: begun,
            version: Some(version),
            error,
            response: kept(payload),
            ..end
        },
        Attempt::Refused(_) | Attempt::Blocked | Attempt::Looped => end,
    }
}

fn kept(payload: Bytes) -> Option<Bytes> {
    (payload.len() <= RESPONSE_BYTES).then_some(payload)
}
