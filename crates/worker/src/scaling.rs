//! When a deployment gets one more environment: a pure policy.
//!
//! No I/O, no clock, no randomness: the pool takes a [`Snapshot`] under its lock and acts on the [`Decision`].
//!
//! Goals, in this order:
//! 1. Nobody waits for long: handlers that wait for each other must all run at once, so when nothing has moved for as
//!    long as a start takes, every invocation that has waited for that long gets an environment of its own.
//! 2. No start that cannot help: many callers of a function of one millisecond are served sooner by the few
//!    environments there are than by new ones.
//! 3. Never more environments starting than invocations waiting.
//!
//! An environment with several places counts for as many servers: what is said of a place holds for each of them.

use std::time::Duration;

/// What a cold start is taken to cost before one was measured: an interpreter's start and imports behind the process
/// wall (a few tens of milliseconds, more on a busy host).
pub(crate) const UNMEASURED_INIT: Duration = Duration::from_millis(200);

/// A wait is "clearly" shorter than a cold start below this fraction of it.
const CLEARLY_SHORTER: u32 = 2;

/// How soon a decision to wait is looked at again, at the earliest.
const LEAST_PATIENCE: Duration = Duration::from_millis(10);

/// Weight of the newest measurement in a running mean: the last dozen or so count.
const NEWEST_WEIGHT: f64 = 0.2;

/// One deployment at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Snapshot {
    /// Invocations that no environment has taken.
    pub(crate) waiting: usize,
    /// Those of them that have waited for at least [`patience`] of `mean_init`.
    pub(crate) overdue: usize,
    /// How long the first of them has waited.
    pub(crate) longest_wait: Duration,
    /// How long ago an environment last got free or took an invocation.
    pub(crate) quiet: Duration,
    /// Environments on their way to their first invocation.
    pub(crate) starting: usize,
    /// Places that environments which have just started are about to have.
    pub(crate) opening: usize,
    /// Invocations that one environment usually runs at the same time.
    pub(crate) places: usize,
    /// Places that run an invocation.
    pub(crate) busy: usize,
    /// Places that have answered and are about to ask for the next invocation.
    pub(crate) finishing: usize,
    /// Recent time of the usual invocation, once one has ended.
    pub(crate) usual_duration: Option<Duration>,
    /// Recent time of one start, once one was measured.
    pub(crate) mean_init: Option<Duration>,
}

/// The largest factor by which one measurement moves a running median: a few dozen change it tenfold.
const MEDIAN_STEP: f64 = 1.1;

/// A running median never gets stuck at nothing.
const LEAST_MEDIAN: Duration = Duration::from_micros(10);

/// What to do for the waiting invocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Start one environment, then ask again.
    Start,
    /// Leave it; ask again after this time if invocations still wait.
    Hold(Duration),
}

/// How long an invocation waits for a warm environment before it gets one of its own.
pub(crate) fn patience(mean_init: Option<Duration>) -> Duration {
    mean_init.unwrap_or(UNMEASURED_INIT).max(LEAST_PATIENCE)
}

/// Decides whether one more environment is started.
pub(crate) fn decide(now: &Snapshot) -> Decision {
    let patience = patience(now.mean_init);
    let again = patience
        .saturating_sub(now.longest_wait)
        .max(LEAST_PATIENCE);
    let coming = now.starting.saturating_mul(now.places) + now.opening;
    if now.waiting <= coming {
        return Decision::Hold(again);
    }
    // As long as the queue moves, the expected wait below is the better judge: on a busy host everybody waits for
    // long, and a start for each would make it worse.
    if now.overdue > coming && now.quiet >= patience {
        return Decision::Start;
    }
    if now.waiting <= coming + now.finishing {
        return Decision::Hold(again);
    }
    let warm = now.busy + now.finishing;
    let Some(usual) = now.usual_duration.filter(|_| warm > 0) else {
        return Decision::Start;
    };
    // The last in the queue waits until all before it are served; environments that are starting will help.
    let servers = u32::try_from(warm + coming).unwrap_or(u32::MAX).max(1);
    let ahead = u32::try_from(now.waiting - now.finishing).unwrap_or(u32::MAX);
    let expected = usual.saturating_mul(ahead) / servers;
    if expected.saturating_mul(CLEARLY_SHORTER) < patience {
        Decision::Hold(again)
    } else {
        Decision::Start
    }
}

/// A running mean after one more measurement.
pub(crate) fn mean_with(mean: Option<Duration>, newest: Duration) -> Duration {
    match mean {
        None => newest,
        Some(mean) => mean.mul_f64(1.0 - NEWEST_WEIGHT) + newest.mul_f64(NEWEST_WEIGHT),
    }
}

/// A running median after one more measurement: it takes a step towards each, however far away it is. A mean would
/// follow the few that a busy host delays, and start environments that make the host busier.
pub(crate) fn median_with(median: Option<Duration>, newest: Duration) -> Duration {
    match median {
        None => newest,
        Some(median) => {
            let median = median.max(LEAST_MEDIAN);
            newest.clamp(median.div_f64(MEDIAN_STEP), median.mul_f64(MEDIAN_STEP))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: Duration = Duration::from_millis(60);

    fn snapshot() -> Snapshot {
        Snapshot {
            usual_duration: Some(Duration::from_millis(1)),
            mean_init: Some(INIT),
            places: 1,
            ..Snapshot::default()
        }
    }

    /// Starts until the policy holds, as the pool does.
    fn starts(mut now: Snapshot) -> usize {
        let before = now.starting;
        while decide(&now) == Decision::Start {
            now.starting += 1;
            assert!(
                now.starting <= now.waiting,
                "more starting than waiting: {now:?}"
            );
        }
        now.starting - before
    }

    #[test]
    fn the_first_invocation_of_a_function_starts_an_environment() {
        let cold = Snapshot {
            waiting: 1,
            places: 1,
            ..Snapshot::default()
        };
        assert_eq!(starts(cold), 1);
        assert_eq!(starts(Snapshot::default()), 0, "nobody waits");
    }

    #[test]
    fn callers_of_a_short_function_share_few_environments() {
        let now = Snapshot {
            waiting: 63,
            busy: 1,
            ..snapshot()
        };
        let started = starts(now);
        assert!((1..=3).contains(&started), "{started}");
        let few = Snapshot {
            waiting: 15,
            busy: 1,
            ..snapshot()
        };
        assert_eq!(starts(few), 0);
    }

    #[test]
    fn callers_of_a_long_function_get_one_each() {
        let now = Snapshot {
            waiting: 20,
            busy: 1,
            usual_duration: Some(Duration::from_secs(2)),
            ..snapshot()
        };
        assert_eq!(starts(now), 20);
    }

    #[test]
    fn when_nothing_moves_whoever_waited_as_long_as_a_start_takes_gets_one() {
        let now = Snapshot {
            waiting: 7,
            overdue: 7,
            longest_wait: INIT,
            quiet: INIT,
            busy: 1,
            ..snapshot()
        };
        assert_eq!(starts(now), 7);
        let fresh = Snapshot {
            overdue: 0,
            longest_wait: Duration::ZERO,
            quiet: Duration::ZERO,
            ..now
        };
        assert_eq!(
            decide(&fresh),
            Decision::Hold(INIT),
            "asked again when it is overdue"
        );
    }

    #[test]
    fn a_queue_that_moves_is_not_forced() {
        let now = Snapshot {
            waiting: 15,
            overdue: 15,
            longest_wait: INIT * 3,
            quiet: Duration::from_millis(1),
            busy: 1,
            ..snapshot()
        };
        assert_eq!(starts(now), 0);
    }

    #[test]
    fn an_environment_that_has_answered_is_waited_for() {
        let now = Snapshot {
            waiting: 1,
            finishing: 1,
            usual_duration: Some(Duration::from_secs(9)),
            ..snapshot()
        };
        assert_eq!(starts(now), 0);
        assert_eq!(starts(Snapshot { waiting: 2, ..now }), 1);
    }

    #[test]
    fn never_more_starting_than_waiting() {
        for waiting in 0..20 {
            for overdue in 0..=waiting {
                for busy in 0..5 {
                    starts(Snapshot {
                        waiting,
                        overdue,
                        quiet: INIT,
                        busy,
                        usual_duration: None,
                        ..snapshot()
                    });
                }
            }
        }
    }

    #[test]
    fn an_environment_is_started_for_as_many_as_it_has_places() {
        let now = Snapshot {
            waiting: 25,
            places: 10,
            busy: 10,
            usual_duration: Some(Duration::from_secs(2)),
            ..snapshot()
        };
        assert_eq!(starts(now), 3);
        let cold = Snapshot {
            waiting: 10,
            places: 10,
            ..Snapshot::default()
        };
        assert_eq!(starts(cold), 1);
        let stuck = Snapshot {
            waiting: 11,
            overdue: 11,
            longest_wait: INIT,
            quiet: INIT,
            busy: 10,
            places: 10,
            ..snapshot()
        };
        assert_eq!(starts(stuck), 2);
    }

    #[test]
    fn places_about_to_open_are_waited_for() {
        let now = Snapshot {
            waiting: 9,
            opening: 9,
            busy: 1,
            places: 10,
            usual_duration: None,
            ..snapshot()
        };
        assert_eq!(starts(now), 0);
        let eleven = Snapshot { waiting: 10, ..now };
        assert_eq!(starts(eleven), 1);
    }

    #[test]
    fn the_median_leaves_outliers_alone_and_follows_a_change() {
        let ms = Duration::from_millis;
        let mut median = None;
        for n in 0..200 {
            median = Some(median_with(
                median,
                if n % 5 == 4 { ms(500) } else { ms(1) },
            ));
        }
        assert!(median.unwrap() < ms(2), "{median:?}");
        for _ in 0..80 {
            median = Some(median_with(median, ms(500)));
        }
        assert_eq!(median, Some(ms(500)));
        assert!(
            median_with(Some(Duration::ZERO), ms(1)) > Duration::ZERO,
            "never stuck"
        );
    }

    #[test]
    fn the_mean_follows_recent_measurements() {
        let mut mean = None;
        for _ in 0..30 {
            mean = Some(mean_with(mean, Duration::from_millis(100)));
        }
        for _ in 0..12 {
            mean = Some(mean_with(mean, Duration::from_millis(10)));
        }
        let mean = mean.unwrap();
        assert!(
            mean > Duration::from_millis(10) && mean < Duration::from_millis(20),
            "{mean:?}"
        );
    }
}
