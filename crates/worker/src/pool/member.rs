//! An environment as its pool knows it: its places, from its start to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::{Entry, Job, Jobs, Pool, Rank, State, here};
use crate::scaling::{self, Decision};

/// What a place that can take an invocation does next.
#[derive(Debug)]
pub(crate) enum Ready {
    /// Runs this one.
    Run(Job),
    /// Waits for its environment's [`Jobs`].
    Idle,
    /// Ends, and its environment when all of its places have.
    Leave,
}

/// An environment's membership in its pool: keeps the counts right however the environment ends.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) pool: Arc<Pool>,
    /// `None` while it is starting.
    pub(super) entry: Option<usize>,
}

impl Member {
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Whether a start that had to wait is still wanted: the policy is asked again as if it had not begun.
    pub(crate) fn still_wanted(&self, now: Instant) -> bool {
        let mut state = self.pool.lock();
        let mut snapshot = state.snapshot(now, self.pool.places);
        snapshot.starting = snapshot.starting.saturating_sub(1);
        scaling::decide(&snapshot) == Decision::Start
    }

    /// Notes how long Init took.
    pub(crate) fn initialised(&self, took: Duration) {
        let mut state = self.pool.lock();
        state.mean_init = Some(scaling::mean_with(state.mean_init, took));
    }

    /// An environment that could not start takes the invocation that waited longest, to end it or to try again within
    /// it.
    pub(crate) fn take_waiting(&mut self) -> Option<Job> {
        let pool = Arc::clone(&self.pool);
        let mut state = pool.lock();
        let job = state.next_job()?;
        let at = self.entry(&mut state);
        if let Some(entry) = state.entries.get_mut(at) {
            entry.busy += 1;
            state.busy += 1;
        }
        Some(job)
    }

    /// The environment has `places` more, each of which is about to be [`ready`](Self::ready); others may
    /// [`join`](Self::join) them. `expires` is when it is too old to wait for an invocation. What it gives is for the
    /// places that wait.
    pub(crate) fn enter(&mut self, places: usize, expires: Instant) -> Jobs {
        let (give, jobs) = mpsc::unbounded_channel();
        let pool = Arc::clone(&self.pool);
        let mut state = pool.lock();
        let at = self.entry(&mut state);
        let usual = state.usual_places.unwrap_or(pool.places);
        if let Some(entry) = state.entries.get_mut(at) {
            entry.jobs = Some(give);
            entry.expires = expires;
            entry.finishing += places;
            entry.opening = usual.saturating_sub(entry.finishing + entry.busy);
            state.opening += entry.opening;
            state.finishing += places;
        }
        if state.opening > 0 {
            state.opening_until = Some(Instant::now() + scaling::patience(state.mean_init));
        }
        jobs
    }

    /// The environment has one place more, which is about to be [`ready`](Self::ready).
    pub(crate) fn join(&self) {
        let mut state = self.pool.lock();
        if let Some(entry) = self.entry.and_then(|at| state.entries.get_mut(at)) {
            let expected = entry.opening.min(1);
            entry.opening -= expected;
            entry.finishing += 1;
            state.opening -= expected;
            state.finishing += 1;
        }
    }

    /// A place in which an invocation has been answered is not there any more.
    pub(crate) fn lose(&self) {
        let mut state = self.pool.lock();
        if let Some(at) = self.entry {
            if let Some(entry) = state.entries.get_mut(at) {
                entry.finishing -= 1;
                state.finishing -= 1;
            }
            state.rank(at);
        }
    }

    /// The runtime has answered after `took` and is about to ask for the next invocation.
    pub(crate) fn answered(&self, took: Duration) {
        let mut state = self.pool.lock();
        state.usual_duration = Some(scaling::median_with(state.usual_duration, took));
        if let Some(entry) = self.entry.and_then(|at| state.entries.get_mut(at)) {
            entry.busy -= 1;
            entry.finishing += 1;
            // A runtime that has answered has asked for as many as it takes at once.
            let places = entry.free + entry.busy + entry.finishing;
            state.opening -= std::mem::take(&mut entry.opening);
            state.busy -= 1;
            state.finishing += 1;
            state.usual_places = state.usual_places.max(Some(places));
        }
    }

    /// A place of the environment can take an invocation. `leaves` says whether the environment should rather go.
    pub(crate) fn ready(&self, now: Instant, leaves: bool) -> Ready {
        let mut state = self.pool.lock();
        state.moved = Some(now);
        let Some(at) = self.entry else {
            return Ready::Leave;
        };
        let State {
            entries, finishing, ..
        } = &mut *state;
        let Some(entry) = entries.get_mut(at) else {
            return Ready::Leave;
        };
        entry.finishing -= 1;
        *finishing -= 1;
        let (open, young) = (entry.jobs.is_some(), entry.expires > now);
        let job = if leaves || !open {
            None
        } else {
            state.next_job()
        };
        let stays = !leaves && open && (job.is_some() || (young && !state.retired));
        if let Some(entry) = state.entries.get_mut(at) {
            if job.is_some() {
                entry.busy += 1;
            } else if stays {
                entry.free += 1;
                entry.since = now;
            }
        }
        if job.is_some() {
            state.busy += 1;
        }
        if !stays {
            let gone = state.let_go(at);
            drop(state);
            drop(gone);
            return Ready::Leave;
        }
        state.rank(at);
        job.map_or(Ready::Idle, Ready::Run)
    }

    /// The environment takes nothing more: what it was given and has not begun goes to another one. Gives whether some
    /// of it waits in the queue now: its callers believe that it runs, and nobody asks for an environment for it.
    pub(crate) fn leave(&self, jobs: &mut Jobs) -> bool {
        let mut state = self.pool.lock();
        let Some(at) = self.entry else {
            return false;
        };
        drop(state.let_go(at));
        let mut unseen = Vec::new();
        while let Ok(job) = jobs.try_recv() {
            unseen.push(job);
        }
        if let Some(entry) = state.entries.get_mut(at) {
            entry.busy -= unseen.len();
            state.busy -= unseen.len();
        }
        let mut waits = false;
        // The first of them is in front again at the end.
        for job in unseen.into_iter().rev() {
            // A closed pool has been emptied for good: dropping the job tells its caller.
            if !state.closed
                && let Some(job) = state.give(job, here())
            {
                state.queue.push_front(job);
                waits = true;
            }
        }
        waits
    }

    /// Its entry, made if it was starting until now.
    fn entry(&mut self, state: &mut State) -> usize {
        *self.entry.get_or_insert_with(|| {
            state.starting -= 1;
            let now = Instant::now();
            state.entries.insert(Entry {
                here: here(),
                jobs: None,
                rank: Rank::default(),
                free: 0,
                busy: 0,
                finishing: 0,
                opening: 0,
                since: now,
                expires: now,
            })
        })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        match self.entry {
            None => state.starting -= 1,
            Some(at) => {
                drop(state.let_go(at));
                if let Some(entry) = state.entries.try_remove(at) {
                    state.busy -= entry.busy;
                    state.finishing -= entry.finishing;
                    state.opening -= entry.opening;
                }
            }
        }
    }
}
