//! An account as its engines see it: the one that takes requests, what is known of those that ended, and which workers
//! have one of their own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use hearth_types::name::AccountId;

use crate::engine::Engine;
use crate::failure::Failure;
use crate::linked::Linked;
use crate::suspects::Suspects;
use crate::trace::Traces;

/// An engine that lived for less than this was a failure.
const SHORT_LIFE: Duration = Duration::from_secs(10);

/// The pause after the second short life; it doubles with each that follows, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A pause that requests wait out; before the end of a longer one they are refused.
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests of a worker through the dispatcher that are worth an engine's start to link it: each costs 0.2 ms more than if
/// it were linked, and the start 0.1 s.
const HOT: u32 = 500;

/// Workers that are linked in one engine: each has an isolate from its start on.
const LINKED: usize = 64;

/// The pause between two engines that are started to link workers.
const LINKING: Duration = Duration::from_secs(30);

/// One account, or one of its workers that is kept apart.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: AccountId,
    /// The worker that is kept apart.
    apart: Option<Arc<str>>,
    /// Who is, or may come to be.
    apartness: Arc<Apartness>,
    pub(crate) current: ArcSwapOption<Engine>,
    /// Held while one is started.
    pub(crate) start: tokio::sync::Mutex<()>,
    pub(crate) traces: Traces,
    /// Engines that have not ended.
    pub(crate) lives: AtomicUsize,
    health: Mutex<Health>,
    /// When an engine may be started to link workers.
    link: Mutex<Instant>,
}

/// Which workers of an account are kept apart, and where.
#[derive(Debug, Default)]
struct Apartness {
    /// Somebody has ever been: most accounts have nobody, and look no further.
    any: AtomicBool,
    suspects: Mutex<Suspects>,
    places: Mutex<HashMap<Arc<str>, Arc<Account>>>,
}

#[derive(Debug, Default)]
struct Health {
    /// Engines in a row that ended soon.
    failures: u32,
    /// When another may be started.
    again: Option<Instant>,
}

impl Account {
    pub(crate) fn new(id: AccountId) -> Self {
        Self {
            id,
            apart: None,
            apartness: Arc::default(),
            current: ArcSwapOption::empty(),
            start: tokio::sync::Mutex::default(),
            traces: Traces::default(),
            lives: AtomicUsize::new(0),
            health: Mutex::default(),
            link: Mutex::new(Instant::now()),
        }
    }

    /// Where a worker of the account runs: apart, or with the others.
    pub(crate) fn place(self: &Arc<Self>, id: &str) -> Arc<Self> {
        let Apartness {
            any,
            suspects,
            places,
        } = &*self.apartness;
        if !any.load(Ordering::Acquire) {
            return Arc::clone(self);
        }
        let mut suspects = lock(suspects);
        let mut places = lock(places);
        if !places.contains_key(id) {
            return Arc::clone(self);
        }
        if suspects.is_apart(id, Instant::now()) {
            return places.get(id).map_or(Arc::clone(self), Arc::clone);
        }
        places.remove(id);
        Arc::clone(self)
    }

    /// An engine has ended badly during the requests of these.
    pub(crate) fn suspect(&self, running: &[Arc<str>]) {
        let Apartness {
            any,
            suspects,
            places,
        } = &*self.apartness;
        if let Some(apart) = &self.apart {
            return lock(suspects).ended_its_own(apart, Instant::now());
        }
        let now = Instant::now();
        let mut suspects = lock(suspects);
        let worst = suspects.ended(running, now);
        let mut places = lock(places);
        places.retain(|id, _| suspects.is_apart(id, now));
        for id in worst {
            tracing::warn!(account = %self.id, code = %id, "a worker gets an engine of its own");
            let place = Self {
                apart: Some(Arc::clone(&id)),
                apartness: Arc::clone(&self.apartness),
                traces: self.traces.clone(),
                ..Self::new(self.id.clone())
            };
            places.insert(id, Arc::new(place));
            any.store(true, Ordering::Release);
        }
    }

    pub(crate) fn usable(&self) -> Option<Arc<Engine>> {
        let usable = |engine: &Arc<Engine>| {
            !engine.retired.load(Ordering::Acquire) && engine.why().is_none()
        };
        self.current.load_full().filter(usable)
    }

    /// Takes an engine out of use, if it is still the one.
    pub(crate) fn forget(&self, engine: &Engine) {
        self.current.rcu(|current| {
            current
                .as_ref()
                .filter(|current| current.number != engine.number)
                .cloned()
        });
    }

    /// The workers to link, if it is worth another engine: what is asked much, and what is linked and was asked since.
    pub(crate) fn to_link(&self, engine: &Engine) -> Option<Vec<Linked>> {
        // One that was replaced lives as long as its last request, and each takes the memory of the account.
        if self.lives.load(Ordering::SeqCst) > 1 {
            return None;
        }
        let mut asked = engine.room.asked();
        asked.retain(|(asked, linked)| *asked >= HOT || engine.links(&linked.id));
        let mut link = lock(&self.link);
        let is_new = |(_, linked): &(u32, Linked)| !engine.links(&linked.id);
        if !asked.iter().any(is_new) || Instant::now() < *link {
            return None;
        }
        *link = Instant::now() + LINKING;
        for (_, linked) in &asked {
            linked.worker.asked.store(0, Ordering::Relaxed);
        }
        asked.sort_by_key(|(asked, _)| std::cmp::Reverse(*asked));
        asked.truncate(LINKED);
        Some(asked.into_iter().map(|(_, linked)| linked).collect())
    }

    /// How long to wait before another is started.
    ///
    /// # Errors
    /// If that is longer than a request waits.
    pub(crate) fn pause(&self) -> Result<Duration, Failure> {
        let again = lock(&self.health).again;
        let pause = again.map_or(Duration::ZERO, |again| {
            again.saturating_duration_since(Instant::now())
        });
        if pause <= PATIENCE {
            return Ok(pause);
        }
        Err(Failure::Crashed {
            why: "several in a row ended soon after their start, and the next is not started yet"
                .to_owned(),
            alone: false,
        })
    }

    /// An engine ended badly after this long.
    pub(crate) fn ended(&self, after: Duration) {
        let mut health = lock(&self.health);
        if after >= SHORT_LIFE {
            *health = Health::default();
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << health.failures.min(16));
        health.failures = health.failures.saturating_add(1);
        // The first is anybody's: only those that follow wait.
        health.again = (health.failures > 1).then(|| Instant::now() + pause.min(LONGEST_PAUSE));
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_that_keep_dying_are_started_ever_later() {
        let account = Account::new("000000000000".parse().unwrap());
        account.ended(Duration::ZERO);
        assert_eq!(account.pause(), Ok(Duration::ZERO));
        for _ in 0..20 {
            account.ended(Duration::ZERO);
        }
        assert!(account.pause().is_err());
        account.ended(SHORT_LIFE);
        assert_eq!(account.pause(), Ok(Duration::ZERO));
    }
}
