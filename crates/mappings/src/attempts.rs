//! How often records were tried, and when they are given up. Time is passed in.
//!
//! Batches are made anew for each attempt, of what failed and of what has come since. So it is records that are counted, not
//! batches: nothing is given up that was tried less often than it may be. The counts are in memory and no more than that: after
//! a restart they begin anew, and what failed is tried more often, not less.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_types::invoke::{FunctionError, RequestId};
use hearth_types::mapping::Retries;
use hearth_types::name::Version;
use hearth_types::time::Timestamp;

use crate::batch::Record;

/// Records of a mapping that are counted, at least: two of the largest batches.
const LEAST: usize = 20_000;

/// The last attempt of records that were tried together, or how it was found that there will be none.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) request: RequestId,
    pub(crate) at: Timestamp,
    pub(crate) trace: String,
    /// What ran, if anything did.
    pub(crate) ran: Option<Ran>,
}

/// How a function failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    pub(crate) version: Version,
    /// None, if it named what has failed.
    pub(crate) error: Option<FunctionError>,
}

/// Why a record is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    RetryAttemptsExhausted,
    RecordAgeExceeded,
    MaximumPayloadSizeExceeded,
}

impl Condition {
    /// As destinations are told.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
            Self::MaximumPayloadSizeExceeded => "MaximumPayloadSizeExceeded",
        }
    }
}

/// That a record is given up.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) condition: Condition,
    /// How often it was tried.
    pub(crate) tries: u32,
    pub(crate) last: Arc<Attempt>,
}

impl Verdict {
    /// Whether it is the same for both, so that they are told of together.
    fn is_as(&self, other: &Self) -> bool {
        self.condition == other.condition && Arc::ptr_eq(&self.last, &other.last)
    }
}

/// Records that are given up together: next to each other in their group, and for the same reason.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) verdict: Verdict,
    /// Of one that no event can have, and which is not kept: its bytes.
    pub(crate) unwritten: Option<usize>,
    pub(crate) records: Vec<Record>,
}

impl Lost {
    /// The identifier of the first of them.
    pub(crate) fn first(&self) -> &str {
        self.records.first().map_or("", |record| &record.id)
    }

    /// The identifier of the last of them.
    pub(crate) fn last(&self) -> &str {
        self.records.last().map_or("", |record| &record.id)
    }
}

/// What a mapping knows of the records that have failed.
#[derive(Debug)]
pub(crate) struct Attempts(Mutex<Known>);

#[derive(Debug)]
struct Known {
    /// Of more, those that failed longest ago are forgotten, and begin anew.
    most: usize,
    /// By the records' identifiers.
    tries: HashMap<String, Tries>,
    /// Rises with each attempt that failed.
    round: u64,
}

#[derive(Debug)]
struct Tries {
    /// Another one's is another record: topics are made anew, and count from 0.
    time: Option<Timestamp>,
    count: u32,
    last: Arc<Attempt>,
    round: u64,
}

impl Attempts {
    /// Of batches of so many messages, of which so many run at the same time.
    pub(crate) fn new(batch_size: u32, batches: u32) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Known {
            most: most(batch_size, batches),
            tries: HashMap::new(),
            round: 0,
        })))
    }

    /// The mapping was changed: its batches are others.
    pub(crate) fn resize(&self, batch_size: u32, batches: u32) {
        self.known().most = most(batch_size, batches);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing in here can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records have failed once more, together: which of them are given up. All have their places.
    pub(crate) fn failed<'r>(
        &self,
        records: impl IntoIterator<Item = (usize, &'r Record)>,
        retries: &Retries,
        attempt: &Arc<Attempt>,
    ) -> HashMap<usize, Verdict> {
        let mut known = self.known();
        known.round += 1;
        let round = known.round;
        let mut verdicts = HashMap::new();
        for (at, record) in records {
            let tries = known.of(record, attempt);
            tries.count = tries.count.saturating_add(1);
            tries.last = Arc::clone(attempt);
            tries.round = round;
            // Before others can make it forgotten.
            if let Some(verdict) = known.verdict(record, retries, attempt) {
                verdicts.insert(at, verdict);
            }
        }
        known.bound();
        verdicts
    }

    /// How often a record has failed.
    pub(crate) fn count(&self, record: &Record) -> u32 {
        self.known().count(record)
    }

    /// Whether a record is given up. What it was not known of before was found `now`.
    pub(crate) fn verdict(
        &self,
        record: &Record,
        retries: &Retries,
        now: &Arc<Attempt>,
    ) -> Option<Verdict> {
        let mut known = self.known();
        let verdict = known.verdict(record, retries, now);
        known.bound();
        verdict
    }

    /// A record is given up, whatever it was tried. What was found `now` stays as it was found, until it is forgotten: told
    /// again, it is the same.
    pub(crate) fn given_up(
        &self,
        record: &Record,
        condition: Condition,
        now: &Arc<Attempt>,
    ) -> Verdict {
        let mut known = self.known();
        let verdict = known.given_up(record, condition, now);
        known.bound();
        verdict
    }

    /// Nobody will try these again.
    pub(crate) fn forget<'r>(&self, records: impl IntoIterator<Item = &'r Record>) {
        let mut known = self.known();
        if known.tries.is_empty() {
            return;
        }
        for record in records {
            known.tries.remove(&record.id);
        }
    }
}

/// All batches that run, and one of what failed before.
fn most(batch_size: u32, batches: u32) -> usize {
    let most = (batch_size as usize).saturating_mul(batches as usize + 1);
    most.max(LEAST)
}

impl Known {
    fn count(&self, record: &Record) -> u32 {
        let tries = self.tries.get(&record.id);
        let tries = tries.filter(|tries| tries.time == record.place.time);
        tries.map_or(0, |tries| tries.count)
    }

    fn verdict(
        &mut self,
        record: &Record,
        retries: &Retries,
        now: &Arc<Attempt>,
    ) -> Option<Verdict> {
        let tries = self.count(record);
        let is_old = |age_s: u32| {
            let end = |time: Timestamp| time.as_millis().saturating_add(i64::from(age_s) * 1_000);
            let time = record.place.time;
            time.is_some_and(|time| end(time) < now.at.as_millis())
        };
        let condition = if retries.attempts.is_some_and(|most| tries > most) {
            Condition::RetryAttemptsExhausted
        } else if retries.age_s.is_some_and(is_old) {
            Condition::RecordAgeExceeded
        } else {
            return None;
        };
        Some(self.given_up(record, condition, now))
    }

    fn given_up(&mut self, record: &Record, condition: Condition, now: &Arc<Attempt>) -> Verdict {
        let tries = self.of(record, now);
        Verdict {
            condition,
            tries: tries.count,
            last: Arc::clone(&tries.last),
        }
    }

    fn of(&mut self, record: &Record, attempt: &Arc<Attempt>) -> &mut Tries {
        let (time, round) = (record.place.time, self.round);
        let fresh = || Tries {
            time,
            count: 0,
            last: Arc::clone(attempt),
            round,
        };
        let tries = self.tries.entry(record.id.clone()).or_insert_with(fresh);
        if tries.time != time {
            *tries = fresh();
        }
        tries
    }

    /// Forgets the oldest, as many as were tried together.
    fn bound(&mut self) {
        while self.tries.len() > self.most {
            let Some(oldest) = self.tries.values().map(|tries| tries.round).min() else {
                return;
            };
            self.tries.retain(|_, tries| tries.round != oldest);
        }
    }
}

/// Records in order, those that are given up apart from the others: each of the others with its place. Who stands between two
/// that are given up keeps them apart, and so does a group: a record of failures has one place.
pub(crate) fn sort(
    records: Vec<Record>,
    mut judge: impl FnMut(usize, &Record) -> Option<Verdict>,
) -> (Vec<Lost>, Vec<(usize, Record)>) {
    let mut lost: Vec<Lost> = Vec::new();
    let mut kept = Vec::new();
    let mut is_next = false;
    for (at, record) in records.into_iter().enumerate() {
        let Some(verdict) = judge(at, &record) else {
            kept.push((at, record));
            is_next = false;
            continue;
        };
        match lost.last_mut() {
            Some(last)
                if is_next
                    && last.verdict.is_as(&verdict)
                    && last
                        .records
                        .last()
                        .is_some_and(|one| one.group == record.group) =>
            {
                last.records.push(record);
                // They may have met in their last attempt only.
                last.verdict.tries = last.verdict.tries.max(verdict.tries);
            }
            _ => lost.push(Lost {
                verdict,
                unwritten: None,
                records: vec![record],
            }),
        }
        is_next = true;
    }
    (lost, kept)
}

/// Parts in which each suspect is alone.
pub(crate) fn isolated(
    parts: Vec<Vec<Record>>,
    is_suspect: impl Fn(&Record) -> bool,
) -> Vec<Vec<Record>> {
    let mut isolated = Vec::new();
    for part in parts {
        let mut together = Vec::new();
        for record in part {
            if is_suspect(&record) {
                isolated.push(std::mem::take(&mut together));
                isolated.push(vec![record]);
            } else {
                together.push(record);
            }
        }
        isolated.push(together);
    }
    isolated.retain(|part| !part.is_empty());
    isolated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Place;
    use crate::source::Handle;

    fn record(id: &str, millis: i64) -> Record {
        Record {
            id: id.to_owned(),
            handle: Handle::Receipt(String::new()),
            group: Some("t-0".to_owned()),
            place: Place {
                position: id.to_owned(),
                time: Some(Timestamp::from_millis(millis)),
            },
            text: Vec::new(),
        }
    }

    fn attempt(millis: i64) -> Arc<Attempt> {
        Arc::new(Attempt {
            request: RequestId::from_random([0; 16]),
            at: Timestamp::from_millis(millis),
            trace: String::new(),
            ran: None,
        })
    }

    fn retries(attempts: Option<u32>, age_s: Option<u32>) -> Retries {
        Retries {
            attempts,
            age_s,
            ..Retries::default()
        }
    }

    fn fail(attempts: &Attempts, records: &[&Record], attempt: &Arc<Attempt>) {
        let records = records.iter().copied().enumerate();
        attempts.failed(records, &retries(None, None), attempt);
    }

    fn ids(records: &[Record]) -> Vec<&str> {
        records.iter().map(|record| record.id.as_str()).collect()
    }

    #[test]
    fn a_record_is_given_up_after_one_try_and_its_retries() {
        for most in [0, 2] {
            let (attempts, retries) = (Attempts::new(10, 1), retries(Some(most), None));
            let record = record("1", 0);
            for tries in 0..=most {
                assert!(attempts.verdict(&record, &retries, &attempt(9)).is_none());
                fail(&attempts, &[&record], &attempt(tries.into()));
            }
            let verdict = attempts.verdict(&record, &retries, &attempt(9)).unwrap();
            assert_eq!(verdict.condition, Condition::RetryAttemptsExhausted);
            assert_eq!(verdict.tries, most + 1);
            assert_eq!(verdict.last.at.as_millis(), i64::from(most));
            attempts.forget([&record]);
            assert!(attempts.verdict(&record, &retries, &attempt(9)).is_none());
        }
        let (attempts, retries) = (Attempts::new(10, 1), retries(None, None));
        let record = record("1", 0);
        for _ in 0..20_000 {
            fail(&attempts, &[&record], &attempt(0));
        }
        let verdict = attempts.verdict(&record, &retries, &attempt(i64::MAX));
        assert!(verdict.is_none());
    }

    #[test]
    fn a_failure_says_at_once_what_it_makes_given_up() {
        let (attempts, retries) = (Attempts::new(10, 1), retries(Some(1), None));
        let (first, later) = (record("1", 0), record("2", 0));
        assert!(
            attempts
                .failed([(4, &first)], &retries, &attempt(1))
                .is_empty()
        );
        let verdicts = attempts.failed([(4, &first), (7, &later)], &retries, &attempt(2));
        assert_eq!(verdicts.keys().collect::<Vec<_>>(), [&4]);
        assert_eq!(verdicts[&4].tries, 2);
    }

    #[test]
    fn who_joins_a_batch_later_is_counted_from_then_on() {
        let (attempts, retries) = (Attempts::new(10, 1), retries(Some(1), None));
        let (first, later) = (record("1", 0), record("2", 0));
        fail(&attempts, &[&first], &attempt(1));
        fail(&attempts, &[&first, &later], &attempt(2));
        assert!(attempts.verdict(&first, &retries, &attempt(9)).is_some());
        assert!(attempts.verdict(&later, &retries, &attempt(9)).is_none());
        assert_eq!(attempts.count(&later), 1);
    }

    #[test]
    fn a_topic_that_is_made_anew_begins_anew() {
        let (attempts, retries) = (Attempts::new(10, 1), retries(Some(0), None));
        fail(&attempts, &[&record("t-0-0", 5)], &attempt(6));
        let other = record("t-0-0", 7);
        assert!(attempts.verdict(&other, &retries, &attempt(8)).is_none());
        fail(&attempts, &[&other], &attempt(9));
        assert_eq!(attempts.count(&other), 1);
    }

    #[test]
    fn a_record_is_given_up_when_it_is_too_old_and_stays_as_it_was_found() {
        let (attempts, retries) = (Attempts::new(10, 1), retries(None, Some(60)));
        let old = record("1", 1_000);
        assert!(attempts.verdict(&old, &retries, &attempt(61_000)).is_none());
        let found = attempt(61_001);
        let verdict = attempts.verdict(&old, &retries, &found).unwrap();
        assert_eq!(verdict.condition, Condition::RecordAgeExceeded);
        assert_eq!(verdict.tries, 0);
        let again = attempts.verdict(&old, &retries, &attempt(99_000)).unwrap();
        assert!(again.is_as(&verdict));
        // Of one without a time nobody knows.
        let timeless = Record {
            place: Place::default(),
            ..record("2", 0)
        };
        let never = attempts.verdict(&timeless, &retries, &attempt(i64::MAX));
        assert!(never.is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let attempts = Attempts::new(10, 1);
        let many: Vec<_> = (0..LEAST).map(|n| record(&n.to_string(), 0)).collect();
        let many: Vec<_> = many.iter().collect();
        fail(&attempts, &many[..10], &attempt(0));
        fail(&attempts, &many[10..], &attempt(1));
        assert_eq!(attempts.known().tries.len(), LEAST);
        let another = record("another", 0);
        fail(&attempts, &[&another], &attempt(2));
        assert_eq!(attempts.known().tries.len(), LEAST - 9);
        let counts = [many[0], many[10], &another].map(|record| attempts.count(record));
        assert_eq!(counts, [0, 1, 1]);
    }

    #[test]
    fn batches_that_run_at_the_same_time_are_all_remembered() {
        assert_eq!(most(10, 1), LEAST);
        assert_eq!(most(10_000, 1), 20_000);
        assert_eq!(most(10_000, 10), 110_000);
        let attempts = Attempts::new(10, 1);
        attempts.resize(10_000, 3);
        assert_eq!(attempts.known().most, 40_000);
    }

    #[test]
    fn those_next_to_each_other_are_given_up_together() {
        let (together, other) = (attempt(1), attempt(2));
        let verdict = |last: &Arc<Attempt>, tries| Verdict {
            condition: Condition::RetryAttemptsExhausted,
            tries,
            last: Arc::clone(last),
        };
        let mut records = ["1", "2", "3", "4", "5", "6"].map(|id| record(id, 0));
        records[5].group = Some("t-1".to_owned());
        let (lost, kept) = sort(records.into(), |at, _| match at {
            0 => Some(verdict(&together, 3)),
            1 => Some(verdict(&together, 2)),
            2 => None,
            3 => Some(verdict(&together, 2)),
            // The same as the one before, and of another partition.
            _ => Some(verdict(&other, 1)),
        });
        let lost: Vec<_> = lost
            .iter()
            .map(|lost| (ids(&lost.records), lost.verdict.tries))
            .collect();
        let apart = [(vec!["4"], 2), (vec!["5"], 1), (vec!["6"], 1)];
        assert_eq!(lost[0], (vec!["1", "2"], 3));
        assert_eq!(lost[1..], apart);
        assert_eq!((kept.len(), kept[0].0, &*kept[0].1.id), (1, 2, "3"));
    }

    #[test]
    fn suspects_are_alone_and_order_stays() {
        let parts = vec![
            ["1", "2", "3"].map(|id| record(id, 0)).into(),
            ["4", "5"].map(|id| record(id, 0)).into(),
        ];
        let parts = isolated(parts, |record| ["2", "4"].contains(&record.id.as_str()));
        let parts: Vec<_> = parts.iter().map(|part| ids(part)).collect();
        assert_eq!(
            parts,
            [vec!["1"], vec!["2"], vec!["3"], vec!["4"], vec!["5"]]
        );
    }
}
