//! Token buckets: how fast a route may be asked, by all and by each.
//!
//! A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm: ITU-T I.371,
//! annex A); taking a token from a route's is one compare-and-swap. Callers' buckets are in shards of the route's own, so
//! that no lock is shared by routes, and they are bounded: of those that are too many, the fullest is forgotten, which
//! forgives its caller the least. (The crate `governor` does the arithmetic too, but neither bounds callers nor builds
//! without a second hash table, a timer and sinks.)
//!
//! Time is passed in.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

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

/// How fast buckets fill, and how much they hold.
#[derive(Debug)]
struct Quota {
    asked: RateLimit,
    /// Nanoseconds until a token is back.
    token: u64,
    /// Nanoseconds until an empty bucket is full.
    whole: u64,
    /// The moment that others are counted from: the first at which a token was taken.
    start: OnceLock<Instant>,
}

impl Quota {
    /// `None` for a limit that is none.
    fn new(limit: RateLimit) -> Option<Self> {
        const SECOND: f64 = 1e9;
        let rate = limit.requests_per_second.filter(|rate| *rate > 0.0)?;
        // What a second brings, at least one: a bucket that holds nothing lets nobody in.
        let of_a_second = rate.ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
        // Conversions stop at the ends of the range.
        let token = ((SECOND / rate) as u64).max(1);
        let burst = limit.burst.unwrap_or(of_a_second).max(1);
        Some(Self {
            asked: limit,
            token,
            whole: token.saturating_mul(burst.into()),
            start: OnceLock::new(),
        })
    }

    fn since_start(&self, now: Instant) -> u64 {
        let start = self.start.get_or_init(|| now);
        // Half a millennium fits.
        u64::try_from(now.saturating_duration_since(*start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// When a bucket that is full at `full` will be once a token was taken at `now`.
    fn take(&self, full: u64, now: u64) -> Result<u64, Throttled> {
        let after = full.max(now).saturating_add(self.token);
        let most = now.saturating_add(self.whole);
        if after > most {
            return Err(Throttled(Duration::from_nanos(after - most)));
        }
        Ok(after)
    }
}

/// One bucket for all.
#[derive(Debug)]
pub(crate) struct Bucket {
    quota: Quota,
    /// When it will be full.
    full: AtomicU64,
}

impl Bucket {
    /// `None` for a limit that is none.
    pub(crate) fn new(limit: RateLimit) -> Option<Self> {
        Some(Self {
            quota: Quota::new(limit)?,
            full: AtomicU64::new(0),
        })
    }

    pub(crate) fn is_of(&self, limit: RateLimit) -> bool {
        self.quota.asked == limit
    }

    pub(crate) fn take(&self, now: Instant) -> Result<(), Throttled> {
        let now = self.quota.since_start(now);
        let mut full = self.full.load(Ordering::Relaxed);
        loop {
            let after = self.quota.take(full, now)?;
            let swapped =
                self.full
                    .compare_exchange_weak(full, after, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => return Ok(()),
                Err(changed) => full = changed,
            }
        }
    }
}

/// What tells callers apart: two hashes that nobody can foresee, for who could would share another's bucket.
type Caller = [u64; 2];

/// One bucket for each caller.
#[derive(Debug)]
pub(crate) struct Buckets {
    quota: Quota,
    hashers: [RandomState; 2],
    /// When each caller's bucket will be full.
    shards: [Mutex<HashMap<Caller, u64>>; SHARDS],
}

impl Buckets {
    /// `None` for a limit that is none.
    pub(crate) fn new(limit: RateLimit) -> Option<Self> {
        Some(Self {
            quota: Quota::new(limit)?,
            hashers: [RandomState::new(), RandomState::new()],
            shards: Default::default(),
        })
    }

    pub(crate) fn is_of(&self, limit: RateLimit) -> bool {
        self.quota.asked == limit
    }

    pub(crate) fn take(&self, caller: &[u8], now: Instant) -> Result<(), Throttled> {
        let now = self.quota.since_start(now);
        let caller = [0, 1].map(|n: usize| self.hashers[n].hash_one(caller));
        // The remainder fits every width of usize.
        let at = usize::try_from(caller[0] % SHARDS as u64).unwrap_or_default();
        // Nothing in here can panic half-way, so a poisoned lock holds a whole map.
        let shard = self.shards[at].lock();
        let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
        let full = shard.get(&caller).copied();
        let after = self.quota.take(full.unwrap_or_default(), now)?;
        if shard.len() >= CALLERS_IN_SHARD && full.is_none() {
            let looked_at = shard.iter().take(LOOKED_AT);
            let fullest = looked_at.min_by_key(|(_, full)| **full);
            if let Some(fullest) = fullest.map(|(caller, _)| *caller) {
                shard.remove(&fullest);
            }
        }
        shard.insert(caller, after);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rate: f64, burst: Option<u32>) -> RateLimit {
        RateLimit {
            requests_per_second: Some(rate),
            burst,
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
        let start = Instant::now();
        let bucket = Bucket::new(limit(2.0, Some(3))).unwrap();
        for _ in 0..3 {
            bucket.take(start).unwrap();
        }
        assert_eq!(bucket.take(start), Err(Throttled(ms(500))));
        assert_eq!(bucket.take(start + ms(499)), Err(Throttled(ms(1))));
        bucket.take(start + ms(500)).unwrap();
        assert!(bucket.take(start + ms(500)).is_err());
        let later = start + ms(60_000);
        let taken = (0..10).filter(|_| bucket.take(later).is_ok()).count();
        assert_eq!(taken, 3, "no more than the burst is saved up");
        // A clock that another thread read earlier takes nothing away.
        assert!(bucket.take(start).is_err());
    }

    #[test]
    fn less_than_one_a_second_and_no_burst() {
        let start = Instant::now();
        let bucket = Bucket::new(limit(0.1, None)).unwrap();
        bucket.take(start).unwrap();
        assert_eq!(bucket.take(start), Err(Throttled(ms(10_000))));
        let fast = Bucket::new(limit(2.5, None)).unwrap();
        assert_eq!((0..10).filter(|_| fast.take(start).is_ok()).count(), 3);
        for none in [0.0, -1.0, f64::NAN] {
            assert!(Bucket::new(limit(none, None)).is_none());
        }
    }

    #[test]
    fn threads_take_no_token_twice() {
        let start = Instant::now();
        let bucket = Bucket::new(limit(1.0, Some(1_000))).unwrap();
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1_000).filter(|_| bucket.take(start).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(taken, 1_000);
    }

    #[test]
    fn callers_have_buckets_of_their_own() {
        let start = Instant::now();
        let buckets = Buckets::new(limit(1.0, None)).unwrap();
        buckets.take(b"a", start).unwrap();
        buckets.take(b"b", start).unwrap();
        assert!(buckets.take(b"a", start).is_err() && buckets.take(b"b", start).is_err());
        buckets.take(b"a", start + ms(1_000)).unwrap();
    }

    #[test]
    fn callers_are_bounded_and_the_one_that_is_throttled_stays() {
        let start = Instant::now();
        let buckets = Buckets::new(limit(1.0, Some(100))).unwrap();
        while buckets.take(b"greedy", start).is_ok() {}
        for n in 0..100_000_u32 {
            buckets.take(&n.to_le_bytes(), start).unwrap();
        }
        assert!(buckets.take(b"greedy", start).is_err());
        let shards = buckets.shards.iter();
        let known: usize = shards.map(|shard| shard.lock().unwrap().len()).sum();
        assert!(known <= SHARDS * CALLERS_IN_SHARD, "{known}");
    }
}
