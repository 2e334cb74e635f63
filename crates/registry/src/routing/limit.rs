//! Token buckets: how fast a route may be asked, by all and by each.
//!
//! A bucket is one number, the instant at which it would be full again (GCRA, by the crate `governor`); taking a token
//! from a route's is one compare-and-swap. Callers' buckets are in shards of the route's own, so that no lock is shared
//! by routes, and they are bounded: of those that are too many, the fullest is forgotten, which forgives its caller the
//! least.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{NotUntil, Quota, RateLimiter};
use hearth_types::wire::route::RateLimit;

/// Locks that the callers of one route spread over.
const SHARDS: usize = 16;
/// Callers in one shard whose buckets are known at the same time: 16,384 a route, some 1 MiB.
const CALLERS_IN_SHARD: usize = 1_024;
/// Buckets that are looked at to find one that may be forgotten.
const LOOKED_AT: usize = 16;

/// Over a limit: the bucket has a token again after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled(pub Duration);

/// One bucket for all.
#[derive(Debug)]
pub(crate) struct Bucket<C: Clock = MonotonicClock> {
    asked: RateLimit,
    clock: C,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
}

/// One bucket for each caller.
#[derive(Debug)]
pub(crate) struct Buckets<C: Clock = MonotonicClock> {
    asked: RateLimit,
    clock: C,
    limiter: RateLimiter<Caller, Callers, C, NoOpMiddleware<C::Instant>>,
    /// Two hashes that nobody can foresee: who knew them could share another's bucket.
    hashers: [RandomState; 2],
}

/// What tells callers apart.
type Caller = [u64; 2];

fn quota(limit: RateLimit) -> Option<Quota> {
    let rate = limit.requests_per_second?;
    let period = Duration::try_from_secs_f64(1.0 / rate).ok()?;
    // What a second brings, at least one: a bucket that holds nothing lets nobody in.
    let of_a_second = rate.ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
    let burst = NonZeroU32::new(limit.burst.unwrap_or(of_a_second))?;
    Some(Quota::with_period(period)?.allow_burst(burst))
}

fn throttled<C: Clock>(until: &NotUntil<C::Instant>, clock: &C) -> Throttled {
    Throttled(until.wait_time_from(clock.now()))
}

impl Bucket {
    /// `None` for a limit that is none.
    pub(crate) fn new(limit: RateLimit) -> Option<Self> {
        Self::with_clock(limit, MonotonicClock)
    }
}

impl<C: Clock + Clone> Bucket<C> {
    fn with_clock(limit: RateLimit, clock: C) -> Option<Self> {
        Some(Self {
            asked: limit,
            limiter: RateLimiter::new(quota(limit)?, InMemoryState::default(), clock.clone()),
            clock,
        })
    }

    pub(crate) fn is_of(&self, limit: RateLimit) -> bool {
        self.asked == limit
    }

    pub(crate) fn take(&self) -> Result<(), Throttled> {
        self.limiter
            .check()
            .map_err(|until| throttled(&until, &self.clock))
    }
}

impl Buckets {
    /// `None` for a limit that is none.
    pub(crate) fn new(limit: RateLimit) -> Option<Self> {
        Self::with_clock(limit, MonotonicClock)
    }
}

impl<C: Clock + Clone> Buckets<C> {
    fn with_clock(limit: RateLimit, clock: C) -> Option<Self> {
        Some(Self {
            asked: limit,
            limiter: RateLimiter::new(quota(limit)?, Callers::default(), clock.clone()),
            clock,
            hashers: [RandomState::new(), RandomState::new()],
        })
    }

    pub(crate) fn is_of(&self, limit: RateLimit) -> bool {
        self.asked == limit
    }

    pub(crate) fn take(&self, caller: &[u8]) -> Result<(), Throttled> {
        let caller = [0, 1].map(|n: usize| self.hashers[n].hash_one(caller));
        self.limiter
            .check_key(&caller)
            .map_err(|until| throttled(&until, &self.clock))
    }
}

/// When each caller's bucket would be full again.
#[derive(Debug, Default)]
struct Callers([Mutex<HashMap<Caller, Nanos>>; SHARDS]);

impl StateStore for Callers {
    type Key = Caller;

    fn measure_and_replace<T, F, E>(&self, caller: &Caller, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // The remainder fits every width of usize.
        let at = usize::try_from(caller[0] % SHARDS as u64).unwrap_or_default();
        // Nothing in here can panic half-way, so a poisoned lock holds a whole map.
        let mut shard = self.0[at].lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, full) = decide(shard.get(caller).copied())?;
        if shard.len() >= CALLERS_IN_SHARD && !shard.contains_key(caller) {
            let looked_at = shard.iter().take(LOOKED_AT);
            let fullest = looked_at.min_by_key(|(_, full)| full.as_u64());
            if let Some(fullest) = fullest.map(|(caller, _)| *caller) {
                shard.remove(&fullest);
            }
        }
        shard.insert(*caller, full);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limit(rate: f64, burst: Option<u32>) -> RateLimit {
        RateLimit {
            requests_per_second: Some(rate),
            burst,
        }
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
        let clock = FakeRelativeClock::default();
        let bucket = Bucket::with_clock(limit(2.0, Some(3)), clock.clone()).unwrap();
        for _ in 0..3 {
            bucket.take().unwrap();
        }
        assert_eq!(bucket.take(), Err(Throttled(Duration::from_millis(500))));
        clock.advance(Duration::from_millis(499));
        assert_eq!(bucket.take(), Err(Throttled(Duration::from_millis(1))));
        clock.advance(Duration::from_millis(1));
        bucket.take().unwrap();
        assert!(bucket.take().is_err());
        clock.advance(Duration::from_secs(60));
        let taken = (0..10).filter(|_| bucket.take().is_ok()).count();
        assert_eq!(taken, 3, "no more than the burst is saved up");
    }

    #[test]
    fn less_than_one_a_second_and_no_burst() {
        let clock = FakeRelativeClock::default();
        let bucket = Bucket::with_clock(limit(0.1, None), clock.clone()).unwrap();
        bucket.take().unwrap();
        assert_eq!(bucket.take(), Err(Throttled(Duration::from_secs(10))));
        let fast = Bucket::with_clock(limit(2.5, None), clock).unwrap();
        assert_eq!((0..10).filter(|_| fast.take().is_ok()).count(), 3);
    }

    #[test]
    fn callers_have_buckets_of_their_own() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::with_clock(limit(1.0, None), clock.clone()).unwrap();
        buckets.take(b"a").unwrap();
        buckets.take(b"b").unwrap();
        assert!(buckets.take(b"a").is_err() && buckets.take(b"b").is_err());
        clock.advance(Duration::from_secs(1));
        buckets.take(b"a").unwrap();
    }

    #[test]
    fn callers_are_bounded_and_the_one_that_is_throttled_stays() {
        let clock = FakeRelativeClock::default();
        let buckets = Buckets::with_clock(limit(1.0, Some(100)), clock).unwrap();
        while buckets.take(b"greedy").is_ok() {}
        for n in 0..100_000_u32 {
            buckets.take(&n.to_le_bytes()).unwrap();
        }
        assert!(buckets.take(b"greedy").is_err());
        let callers = buckets.limiter.into_state_store();
        let known: usize = callers.0.iter().map(|s| s.lock().unwrap().len()).sum();
        assert!(known <= SHARDS * CALLERS_IN_SHARD, "{known}");
    }
}
