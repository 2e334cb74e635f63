//! What becomes of what a target has not taken: a pure function of times and counts.

use hearth_types::time::Timestamp;

/// How old it may become if nothing was said, seconds (API references of both services, `RetryPolicy`).
pub const AGE_SECONDS: u32 = 86_400;
/// How often it is tried again if nothing was said (the same).
pub const RETRIES: u32 = 185;
/// The first wait and the longest, milliseconds: with so many retries they are made within a day.
const WAITS: (i64, i64) = (1_000, 480_000);

/// What has been tried, and what may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// From when on its age counts.
    pub begun: Timestamp,
    /// Attempts that have failed before this one.
    pub failed: u32,
    /// `MaximumEventAgeInSeconds`.
    pub most_age_seconds: Option<u32>,
    /// `MaximumRetryAttempts`.
    pub most_retries: Option<u32>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is tried again then.
    Again(Timestamp),
    /// It is given up, for this is used up.
    GivenUp(Exhausted),
}

/// What of a retry policy is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// `MaximumEventAgeInSeconds`.
    Age,
    /// `MaximumRetryAttempts`.
    Attempts,
}

impl Exhausted {
    /// As the APIs name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "MaximumEventAgeInSeconds",
            Self::Attempts => "MaximumRetryAttempts",
        }
    }
}

/// How old something may become, milliseconds.
pub fn most_age_ms(seconds: Option<u32>) -> i64 {
    i64::from(seconds.unwrap_or(AGE_SECONDS)) * 1_000
}

/// What becomes of it after another attempt that has failed at `now`.
pub fn after_failure(tries: &Tries, now: Timestamp) -> Next {
    let ends = tries.begun.as_millis() + most_age_ms(tries.most_age_seconds);
    if tries.failed >= tries.most_retries.unwrap_or(RETRIES) {
        return Next::GivenUp(Exhausted::Attempts);
    }
    if now.as_millis() >= ends {
        return Next::GivenUp(Exhausted::Age);
    }
    // From 9 doublings on it is the longest.
    let wait = (WAITS.0 << tries.failed.min(9)).min(WAITS.1);
    Next::Again(Timestamp::from_millis((now.as_millis() + wait).min(ends)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When attempts are made that all fail at once, seconds after the beginning, and why the last was the last.
    fn run(age: Option<u32>, retries: Option<u32>) -> (Vec<i64>, Exhausted) {
        let mut tries = Tries {
            begun: Timestamp::from_millis(0),
            failed: 0,
            most_age_seconds: age,
            most_retries: retries,
        };
        let (mut attempts, mut now) = (Vec::new(), tries.begun);
        loop {
            attempts.push(now.as_millis() / 1_000);
            match after_failure(&tries, now) {
                Next::Again(due) => (now, tries.failed) = (due, tries.failed + 1),
                Next::GivenUp(why) => return (attempts, why),
            }
        }
    }

    #[test]
    fn retries_back_off_until_one_of_both_is_used_up() {
        assert_eq!(run(None, Some(0)), (vec![0], Exhausted::Attempts));
        assert_eq!(
            run(None, Some(4)),
            (vec![0, 1, 3, 7, 15], Exhausted::Attempts)
        );
        let (attempts, why) = run(Some(60), None);
        assert_eq!(attempts, [0, 1, 3, 7, 15, 31, 60]);
        assert_eq!(why, Exhausted::Age);
        let (attempts, why) = run(None, None);
        assert_eq!((attempts.len(), why), (186, Exhausted::Attempts));
        assert!(attempts.last().is_some_and(|last| *last < 86_400));
    }
}
