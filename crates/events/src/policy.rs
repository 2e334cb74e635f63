//! What becomes of an event after an attempt. Numbers are those of the developer guide ("How Lambda handles errors and
//! retries with asynchronous invocation").

use std::time::Duration;

use hearth_store::events::{Fault, Tries};
use hearth_types::event_invoke::{Condition, EventInvokeConfig};
use hearth_types::time::Timestamp;

/// Wait after the first attempt that the function failed; after the second it is twice that (guide: "one minute before
/// the second attempt, two minutes between the second and the third").
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// Wait after the first attempt that the platform could not make (guide: "exponentially from 1 second …").
const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// Longest such wait (guide: "… to a maximum of 5 minutes").
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// What came of an attempt, as far as that decides how it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The function succeeded.
    Success,
    /// The function failed.
    Failure,
    /// The platform could not run it: throttled, no room, not ready.
    Refusal,
    /// The function's reserved concurrency is 0: it is meant not to run.
    Blocked,
    /// The event is of a loop that is not to go on.
    Looped,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The event has ended.
    End(Condition),
    /// It is tried again.
    Again {
        /// When.
        due: Timestamp,
        /// Whose fault it was.
        fault: Fault,
    },
}

/// When an event that was accepted at `accepted` is too old.
pub fn expires(accepted: Timestamp, config: &EventInvokeConfig) -> Timestamp {
    after(accepted, config.event_age())
}

/// How an event goes on. `tries` is as the attempt saw it. An event that would be due again after it is too old is due
/// when it is: it ends then, to the second.
pub fn next(
    now: Timestamp,
    accepted: Timestamp,
    tries: Tries,
    config: &EventInvokeConfig,
    came: Came,
) -> Next {
    let (wait, fault) = match came {
        Came::Success => return Next::End(Condition::Success),
        Came::Blocked => return Next::End(Condition::ZeroReservedConcurrency),
        Came::Looped => return Next::End(Condition::RecursiveInvocation),
        Came::Failure if tries.failed >= config.retry_attempts() => {
            return Next::End(Condition::RetriesExhausted);
        }
        Came::Failure => (AFTER_FAILURE * (tries.failed + 1), Fault::Function),
        Came::Refusal => (backoff(tries.deferred), Fault::Platform),
    };
    let due = after(now, wait).min(expires(accepted, config));
    Next::Again {
        due: due.max(now),
        fault,
    }
}

/// The wait after the platform could not do something for the time after `before` others.
pub fn backoff(before: u32) -> Duration {
    // From 9 doublings on it is the longest.
    (FIRST_BACKOFF * (1 << before.min(9))).min(LONGEST_BACKOFF)
}

/// When an event whose attempts were lost `lost` times is due again: at once the first time, for a node that ends has
/// mostly nothing to do with it; then ever later, for it may be what ends the node.
pub fn after_loss(now: Timestamp, lost: u32) -> Timestamp {
    match lost {
        0 | 1 => now,
        more => after(now, backoff(more - 2)),
    }
}

/// `wait` after `from`.
pub fn after(from: Timestamp, wait: Duration) -> Timestamp {
    let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(from.as_millis().saturating_add(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn config(attempts: u32, age_s: u32) -> EventInvokeConfig {
        EventInvokeConfig {
            maximum_retry_attempts: Some(attempts),
            maximum_event_age_s: Some(age_s),
            ..EventInvokeConfig::default()
        }
    }

    /// Runs an event whose attempts all come to `came`, each at once when it is due: when each attempt was made, and the end.
    fn run(config: &EventInvokeConfig, came: Came) -> (Vec<i64>, Timestamp, Condition) {
        let (mut now, mut tries, mut attempts) = (at(0), Tries::default(), Vec::new());
        loop {
            if now >= expires(at(0), config) {
                return (attempts, now, Condition::EventAgeExceeded);
            }
            tries.begun += 1;
            attempts.push(now.as_millis() / 1_000);
            match next(now, at(0), tries, config, came) {
                Next::End(condition) => return (attempts, now, condition),
                Next::Again { due, fault } => {
                    match fault {
                        Fault::Function => tries.failed += 1,
                        Fault::Platform => tries.deferred += 1,
                    }
                    now = due;
                }
            }
        }
    }

    #[test]
    fn a_failing_function_is_tried_again_after_one_and_two_minutes() {
        let defaults = EventInvokeConfig::default();
        let ended = run(&defaults, Came::Failure);
        assert_eq!(
            ended,
            (vec![0, 60, 180], at(180), Condition::RetriesExhausted)
        );
        let ended = run(&config(1, 21_600), Came::Failure);
        assert_eq!(ended, (vec![0, 60], at(60), Condition::RetriesExhausted));
        let ended = run(&config(0, 21_600), Came::Failure);
        assert_eq!(ended, (vec![0], at(0), Condition::RetriesExhausted));
    }

    #[test]
    fn an_event_ends_when_it_is_too_old() {
        let ended = run(&config(2, 60), Came::Failure);
        assert_eq!(ended, (vec![0], at(60), Condition::EventAgeExceeded));
        let ended = run(&config(2, 100), Came::Failure);
        assert_eq!(ended, (vec![0, 60], at(100), Condition::EventAgeExceeded));
    }

    #[test]
    fn what_the_platform_can_not_do_backs_off_for_six_hours() {
        let (attempts, end, condition) = run(&EventInvokeConfig::default(), Came::Refusal);
        assert_eq!(&attempts[..10], [0, 1, 3, 7, 15, 31, 63, 127, 255, 511]);
        assert!(
            attempts[9..]
                .windows(2)
                .all(|pair| pair[1] - pair[0] == 300)
        );
        assert_eq!((end, condition), (at(21_600), Condition::EventAgeExceeded));
    }

    #[test]
    fn a_function_that_is_meant_not_to_run_is_not_waited_for() {
        let ended = run(&EventInvokeConfig::default(), Came::Blocked);
        assert_eq!(ended, (vec![0], at(0), Condition::ZeroReservedConcurrency));
        let ended = run(&EventInvokeConfig::default(), Came::Looped);
        assert_eq!(ended, (vec![0], at(0), Condition::RecursiveInvocation));
    }

    #[test]
    fn lost_attempts_come_later_and_later() {
        let due = |lost| after_loss(at(0), lost).as_millis() / 1_000;
        assert_eq!([1, 2, 3, 4].map(due), [0, 1, 2, 4]);
        assert_eq!(due(u32::MAX), 300);
    }
}
