//! How many batches of a mapping run at the same time, and when it rests. Time is passed in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Batches that a mapping begins with (guide, "Configuring scaling behavior": five).
const FIRST: u32 = 5;
/// Rest after a refusal, or after a failure of what is given again at once; twice as long after each that follows.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// How a batch ended; what is worse comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// There was nothing to run.
    Nothing,
    /// What there was is given up already, and was passed over.
    Passed,
    /// The function was run and took it.
    Good,
    /// The function took a part, and the rest comes again.
    Partly,
    /// Something was given up, so that what is behind it is next.
    GivenUp,
    /// The function failed.
    Failed,
    /// The platform did not run it.
    Refused,
    /// A destination could not be told of what is to be given up.
    Untold,
}

/// When a source gives again what has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// Later, by a rule of its own.
    Later,
    /// At once: the mapping has to rest.
    AtOnce,
}

#[derive(Debug)]
struct Pace {
    again: Again,
    /// What may be reached.
    most: u32,
    allowed: u32,
    running: u32,
    /// Refusals and failures that came one after another and were followed by a rest.
    rests: u32,
    /// Batches that could not be told of, one after another: whatever else goes well.
    untold: u32,
    rests_until: Option<Instant>,
}

/// What a mapping that has a batch to run may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Go,
    /// Not before.
    At(Instant),
    /// When another batch has ended.
    Later,
}

impl Pace {
    fn begin(&mut self, now: Instant) -> Turn {
        match self.rests_until {
            Some(until) if until > now => return Turn::At(until),
            _ => self.rests_until = None,
        }
        if self.running >= self.allowed.min(self.most) {
            return Turn::Later;
        }
        self.running += 1;
        Turn::Go
    }

    /// A success lets one more begin, a failure half as many. After a refusal there are as many as run; if none does, a
    /// rest. So is there after what is given again at once: a longer one each time that nothing was taken. After a destination that
    /// could not be told there is always one.
    fn end(&mut self, ending: Ending, now: Instant) {
        self.running = self.running.saturating_sub(1);
        match ending {
            Ending::Good => self.more(),
            Ending::Partly => {
                self.more();
                if self.again == Again::AtOnce {
                    self.rest_until(now + FIRST_REST);
                }
            }
            Ending::Failed => {
                self.allowed = (self.allowed / 2).max(1);
                match self.again {
                    Again::Later => self.rests = 0,
                    Again::AtOnce => self.rest(now),
                }
            }
            // The next one has no part in it.
            Ending::GivenUp => {
                self.allowed = (self.allowed / 2).max(1);
                self.rests = 0;
                self.rest_until(now + FIRST_REST);
            }
            Ending::Refused if self.running > 0 => self.allowed = self.running,
            Ending::Refused => {
                self.allowed = 1;
                self.rest(now);
            }
            // What could not be told is what the next batch begins with.
            Ending::Untold => {
                self.allowed = (self.allowed / 2).max(1);
                self.rest_until(now + rest(self.untold));
                self.untold = self.untold.saturating_add(1);
            }
            Ending::Passed => self.rests = 0,
            Ending::Nothing => {}
        }
    }

    fn more(&mut self) {
        self.rests = 0;
        self.allowed = (self.allowed + 1).min(self.most);
    }

    fn rest(&mut self, now: Instant) {
        self.rest_until(now + rest(self.rests));
        self.rests = self.rests.saturating_add(1);
    }

    /// No batch ends the rest after another.
    fn rest_until(&mut self, until: Instant) {
        self.rests_until = self.rests_until.max(Some(until));
    }
}

/// The rest after so many.
fn rest(rests: u32) -> Duration {
    (FIRST_REST * 2_u32.saturating_pow(rests.min(10))).min(LONGEST_REST)
}

/// The places of a mapping, for as long as it is there.
#[derive(Debug)]
pub(crate) struct Places {
    pace: Mutex<Pace>,
    ended: Notify,
}

impl Places {
    pub(crate) fn new(most: u32, again: Again) -> Arc<Self> {
        Arc::new(Self {
            pace: Mutex::new(Pace {
                again,
                most,
                allowed: FIRST,
                running: 0,
                rests: 0,
                untold: 0,
                rests_until: None,
            }),
            ended: Notify::new(),
        })
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // Nothing in here can panic half-way.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mapping was changed: it may try at once.
    pub(crate) fn set_most(&self, most: u32) {
        let mut pace = self.pace();
        pace.most = most;
        pace.untold = 0;
        pace.rests_until = None;
    }

    /// Waits for a place. One caller at a time.
    pub(crate) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let turn = self.pace().begin(Instant::now());
            match turn {
                Turn::Go => {
                    return Place {
                        of: Arc::clone(self),
                        ending: Ending::Nothing,
                    };
                }
                Turn::At(until) => tokio::time::sleep_until(until).await,
                // A permit that was left before is no harm: it is looked again.
                Turn::Later => self.ended.notified().await,
            }
        }
    }
}

/// The place of one batch.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<Places>,
    ending: Ending,
}

impl Place {
    /// What is said when the place is given back.
    pub(crate) fn set(&mut self, ending: Ending) {
        self.ending = ending;
    }

    /// Something was given up: the destination can be told.
    pub(crate) fn told(&self) {
        self.of.pace().untold = 0;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.pace().end(self.ending, Instant::now());
        self.of.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(most: u32) -> Pace {
        Pace {
            again: Again::Later,
            most,
            allowed: FIRST,
            running: 0,
            rests: 0,
            untold: 0,
            rests_until: None,
        }
    }

    fn begun(pace: &mut Pace, now: Instant) -> u32 {
        let mut begun = 0;
        while pace.begin(now) == Turn::Go {
            begun += 1;
        }
        begun
    }

    #[test]
    fn successes_let_more_begin_up_to_the_most() {
        let now = Instant::now();
        let mut pace = pace(8);
        assert_eq!(begun(&mut pace, now), 5);
        for _ in 0..10 {
            pace.end(Ending::Good, now);
            begun(&mut pace, now);
        }
        assert_eq!(pace.running, 8);
        pace.most = 2;
        for _ in 0..6 {
            pace.end(Ending::Good, now);
            assert_eq!(pace.begin(now), Turn::Later);
        }
        pace.end(Ending::Good, now);
        assert_eq!(pace.begin(now), Turn::Go);
    }

    #[test]
    fn failures_slow_down_and_never_stop() {
        let now = Instant::now();
        let mut pace = pace(64);
        for _ in 0..20 {
            begun(&mut pace, now);
            while pace.running > 0 {
                pace.end(Ending::Failed, now);
            }
        }
        assert_eq!(begun(&mut pace, now), 1);
    }

    #[test]
    fn refusals_keep_to_what_runs_or_rest_longer_and_longer() {
        let start = Instant::now();
        let mut pace = pace(64);
        begun(&mut pace, start);
        pace.end(Ending::Refused, start);
        assert_eq!(pace.begin(start), Turn::Later, "four run");
        pace.end(Ending::Good, start);
        assert_eq!(begun(&mut pace, start), 2);
        while pace.running > 0 {
            pace.end(Ending::Nothing, start);
        }
        let mut now = start;
        let mut rests = Vec::new();
        for _ in 0..9 {
            assert_eq!(pace.begin(now), Turn::Go);
            pace.end(Ending::Refused, now);
            let Turn::At(until) = pace.begin(now) else {
                panic!("it rests");
            };
            rests.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pace.begin(now), Turn::Go);
        pace.end(Ending::Good, now);
        assert_eq!(begun(&mut pace, now), 2, "it begins anew");
    }

    #[test]
    fn what_is_given_again_at_once_has_to_wait() {
        let start = Instant::now();
        let mut pace = pace(1);
        pace.again = Again::AtOnce;
        let mut now = start;
        let mut rests = Vec::new();
        for ending in [
            Ending::Failed,
            Ending::Failed,
            Ending::Failed,
            Ending::Partly,
            Ending::Partly,
            Ending::Failed,
            Ending::Failed,
            Ending::GivenUp,
            Ending::Failed,
            Ending::Untold,
        ] {
            assert_eq!(pace.begin(now), Turn::Go);
            pace.end(ending, now);
            let Turn::At(until) = pace.begin(now) else {
                panic!("it rests");
            };
            rests.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(rests, [1, 2, 4, 1, 1, 1, 2, 1, 1, 1]);
        for ending in [Ending::Passed, Ending::Good] {
            assert_eq!(pace.begin(now), Turn::Go);
            pace.end(ending, now);
        }
        assert_eq!(pace.begin(now), Turn::Go, "after a success it goes on");
    }

    #[test]
    fn a_destination_that_can_not_be_told_is_left_alone_whatever_else_goes_well() {
        let start = Instant::now();
        let mut pace = pace(4);
        pace.again = Again::AtOnce;
        let (mut now, mut rests) = (start, Vec::new());
        for _ in 0..8 {
            begun(&mut pace, now);
            assert!(pace.running > 1, "others run");
            pace.end(Ending::Untold, now);
            assert!(pace.running > 0);
            for other in [Ending::Good, Ending::Partly] {
                pace.end(other, now);
                pace.running += 1;
            }
            let Turn::At(until) = pace.begin(now) else {
                panic!("it rests");
            };
            rests.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
        while pace.running > 0 {
            pace.end(Ending::Untold, now);
        }
        let Turn::At(until) = pace.begin(now) else {
            panic!("it rests");
        };
        assert_eq!(begun(&mut pace, until), 1);
    }
}
