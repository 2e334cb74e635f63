//! The parts of a batch that are still to be handed over, and which of them no more in this batch.

use std::collections::{HashSet, VecDeque};

use crate::batch::Record;
use crate::pace::Ending;

/// Invocations of a batch that may fail and be followed by what is behind them: those that were halved, and those of which
/// something was given up. To find one record in the largest batch takes 14 halves, and one invocation of that record; what
/// is left after so many is given back, so that the mapping rests, and what it says now holds.
const MOST_SETBACKS: usize = 16;

/// Parts, in order.
#[derive(Debug)]
pub(crate) struct Parts {
    waiting: VecDeque<Vec<Record>>,
    /// Groups of which something comes again.
    stopped: HashSet<String>,
    setbacks: usize,
}

impl Parts {
    pub(crate) fn new(parts: Vec<Vec<Record>>) -> Self {
        Self {
            waiting: parts.into(),
            stopped: HashSet::new(),
            setbacks: 0,
        }
    }

    /// The next part; none, if nothing is left or enough has failed. What comes after a failure of its group must not be run
    /// before it: it is let go, and so comes again.
    pub(crate) fn next(&mut self) -> Option<Vec<Record>> {
        while self.setbacks < MOST_SETBACKS {
            let mut part = self.waiting.pop_front()?;
            let stopped = &self.stopped;
            part.retain(|record| !record.group.as_ref().is_some_and(|g| stopped.contains(g)));
            if !part.is_empty() {
                return Some(part);
            }
        }
        None
    }

    /// A part has failed, and is tried in halves.
    pub(crate) fn halve(&mut self, mut part: Vec<Record>) {
        self.setback();
        let second = part.split_off(part.len() / 2);
        self.waiting.push_front(second);
        self.waiting.push_front(part);
    }

    /// A part has failed, and what is behind it is next.
    pub(crate) fn setback(&mut self) {
        self.setbacks += 1;
    }

    /// These come again.
    pub(crate) fn stop(&mut self, again: &[Record]) {
        let groups = again.iter().filter_map(|record| record.group.clone());
        self.stopped.extend(groups);
    }

    /// What is left.
    pub(crate) fn rest(&mut self) -> Vec<Record> {
        self.waiting.drain(..).flatten().collect()
    }
}

/// Whether nothing that a broker has behind `again` is to be handed over now. Groups hold what is behind them by
/// [`Parts::stop`]; where there are none, all is in one order.
pub(crate) fn is_over(ending: Ending, again: &[Record]) -> bool {
    match ending {
        Ending::Refused | Ending::Untold => true,
        Ending::Failed => again.iter().any(|record| record.group.is_none()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Place;
    use crate::source::Handle;

    fn record(id: String, group: Option<&str>) -> Record {
        Record {
            id,
            handle: Handle::Receipt(String::new()),
            group: group.map(str::to_owned),
            place: Place::default(),
            text: Vec::new(),
        }
    }

    fn records(group: Option<&str>, count: usize) -> Vec<Record> {
        (0..count).map(|n| record(n.to_string(), group)).collect()
    }

    /// Invocations of a batch in which all fail, and are given up when they are alone.
    fn invocations(mut parts: Parts) -> (usize, usize) {
        let (mut invocations, mut given_up) = (0, 0);
        while let Some(part) = parts.next() {
            invocations += 1;
            if part.len() > 1 {
                parts.halve(part);
            } else {
                given_up += 1;
                parts.setback();
            }
        }
        (invocations, given_up)
    }

    #[test]
    fn a_batch_in_which_all_fail_ends_and_has_found_one() {
        for group in [None, Some("t-0")] {
            let mut parts = Parts::new(vec![records(group, 10_000)]);
            let mut first = 0;
            while let Some(part) = parts.next() {
                if part.len() == 1 {
                    break;
                }
                first += 1;
                parts.halve(part);
            }
            assert!(first < MOST_SETBACKS, "the first is found");
            let parts = Parts::new(vec![records(group, 10_000)]);
            let (invocations, given_up) = invocations(parts);
            assert_eq!(invocations, MOST_SETBACKS);
            assert!(given_up > 0);
        }
        let alone = records(None, 100).into_iter().map(|record| vec![record]);
        let mut parts = Parts::new(alone.collect());
        for _ in 0..MOST_SETBACKS {
            assert!(parts.next().is_some());
            parts.setback();
        }
        assert!(parts.next().is_none());
        assert_eq!(parts.rest().len(), 100 - MOST_SETBACKS, "given back");
    }

    #[test]
    fn what_fails_in_a_partition_does_not_hold_others() {
        let poison = records(Some("t-0"), 1);
        assert!(!is_over(Ending::Failed, &poison));
        assert!(is_over(Ending::Refused, &poison) && is_over(Ending::Untold, &poison));
        let (mut mixed, other) = (records(Some("t-0"), 2), records(Some("t-1"), 3));
        mixed.extend(other);
        let mut parts = Parts::new(vec![records(Some("t-0"), 1), mixed]);
        let first = parts.next().unwrap();
        parts.stop(&first);
        let next = parts.next().unwrap();
        assert_eq!(next.len(), 3);
        assert!(next.iter().all(|one| one.group.as_deref() == Some("t-1")));
        assert!(parts.next().is_none());
    }

    #[test]
    fn what_fails_in_one_order_holds_all_behind_it() {
        let again = records(None, 1);
        assert!(is_over(Ending::Failed, &again));
        assert!(!is_over(Ending::Failed, &[]), "it was given up");
        for ending in [Ending::Partly, Ending::GivenUp, Ending::Good] {
            assert!(!is_over(ending, &again));
        }
    }
}
