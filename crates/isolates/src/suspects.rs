//! Who is suspected of ending an account's engine. What runs when it ends is suspected, which several may be; who is
//! suspected again and again gets an engine of its own, where it harms nobody else, and where it shows whether it is to
//! blame: who has not ended that one for long enough comes back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Ends of an engine within [`WHILE`] that a worker ran during, from which on it is kept apart.
const ENDS: usize = 3;

/// How long an end counts.
const WHILE: Duration = Duration::from_secs(10 * 60);

/// Workers of an account that have an engine of their own at the same time: each may take as much memory as all others
/// together.
const OWN: usize = 4;

/// The suspects of one account, by the names of their code.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// When engines ended that they ran in.
    ends: HashMap<Arc<str>, Vec<Instant>>,
    /// Since when those that are kept apart have been harmless.
    own: HashMap<Arc<str>, Instant>,
}

impl Suspects {
    /// The account's engine has ended while these were running. Gives those that are kept apart from now on.
    pub(crate) fn ended(&mut self, running: &[Arc<str>], now: Instant) -> Vec<Arc<str>> {
        self.forget(now);
        for id in running {
            self.ends.entry(Arc::clone(id)).or_default().push(now);
        }
        let mut worst: Vec<_> = running
            .iter()
            .filter(|id| self.ends.get(*id).is_some_and(|ends| ends.len() >= ENDS))
            .cloned()
            .collect();
        worst.sort_by_key(|id| std::cmp::Reverse(self.ends.get(id).map_or(0, Vec::len)));
        worst.truncate(OWN.saturating_sub(self.own.len()));
        for id in &worst {
            self.ends.remove(id);
            self.own.insert(Arc::clone(id), now);
        }
        worst
    }

    /// The engine of one that is kept apart has ended.
    pub(crate) fn ended_its_own(&mut self, id: &str, now: Instant) {
        if let Some(since) = self.own.get_mut(id) {
            *since = now;
        }
    }

    /// Whether it is kept apart.
    pub(crate) fn is_apart(&mut self, id: &str, now: Instant) -> bool {
        self.forget(now);
        self.own.contains_key(id)
    }

    fn forget(&mut self, now: Instant) {
        let counts = |at: &Instant| now.saturating_duration_since(*at) < WHILE;
        self.own.retain(|_, since| counts(since));
        self.ends.retain(|_, ends| {
            ends.retain(counts);
            !ends.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_suspected_again_and_again_is_kept_apart_for_a_while() {
        let mut suspects = Suspects::default();
        let [bad, other]: [Arc<str>; 2] = ["bad".into(), "other".into()];
        let start = Instant::now();
        let both = [Arc::clone(&bad), Arc::clone(&other)];
        assert!(suspects.ended(&both, start).is_empty());
        assert!(suspects.ended(&both[..1], start).is_empty());
        assert_eq!(suspects.ended(&both, start), [Arc::clone(&bad)]);
        assert!(suspects.is_apart("bad", start) && !suspects.is_apart("other", start));
        let later = start + WHILE / 2;
        suspects.ended_its_own("bad", later);
        assert!(suspects.is_apart("bad", start + WHILE));
        assert!(!suspects.is_apart("bad", later + WHILE));
        // What is long ago does not count.
        for _ in 0..ENDS - 1 {
            assert!(suspects.ended(&both[1..], later + WHILE).is_empty());
        }
        assert!(suspects.ended(&both[1..], later + WHILE * 2).is_empty());
    }

    #[test]
    fn few_are_kept_apart_at_the_same_time() {
        let mut suspects = Suspects::default();
        let now = Instant::now();
        let all: Vec<Arc<str>> = (0..OWN + 2).map(|n| n.to_string().into()).collect();
        for _ in 1..ENDS {
            assert!(suspects.ended(&all, now).is_empty());
        }
        assert_eq!(suspects.ended(&all, now).len(), OWN);
        assert!(suspects.ended(&all, now).is_empty());
    }
}
