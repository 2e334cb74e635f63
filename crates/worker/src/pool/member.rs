//! An environment as its pool knows it: its places, from its start to its end.

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use super::{Entry, Given, Job, Jobs, Pool, Rank, State, Taker, here};
use crate::scaling::{self, Decision};

/// What a place that can take an invocation does next.
#[derive(Debug)]
pub(crate) enum Ready {
    /// Runs this one.
    Run(Job),
    /// Waits for its environment's [`Taker`].
    Idle,
    /// Ends, and its environment when all of its places have.
    Leave,
}

/// An environment's membership in its pool: keeps the counts right however the environment ends.
#[derive(Debug)]
pub(crate) struct Member {
    pool: Arc<Pool>,
    /// `None` while it is starting.
    seat: Option<Seat>,
}

/// The places of an environment that has been started. Of no meaning after its [`Member`] is gone.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pool: Arc<Pool>,
    at: usize,
}

impl Member {
    /// One that its pool counts as starting.
    pub(super) fn starting(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            seat: None,
        }
    }

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
        let at = self.sit(&mut state).at;
        if let Some(entry) = state.entries.get_mut(at) {
            entry.busy += 1;
            state.busy += 1;
        }
        Some(job)
    }

    /// It has started, and takes part.
    pub(crate) fn seat(&mut self) -> Seat {
        let pool = Arc::clone(&self.pool);
        self.sit(&mut pool.lock()).clone()
    }

    fn sit(&mut self, state: &mut State) -> &Seat {
        let pool = &self.pool;
        self.seat.get_or_insert_with(|| {
            state.starting -= 1;
            let now = Instant::now();
            let at = state.entries.insert(Entry {
                here: here(),
                taker: None,
                rank: Rank::default(),
                free: 0,
                busy: 0,
                finishing: 0,
                opening: 0,
                since: now,
                expires: now,
            });
            Seat {
                pool: Arc::clone(pool),
                at,
            }
        })
    }
}

impl Seat {
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The environment has `places` more, each of which is about to be [`ready`](Self::ready); others may
    /// [`join`](Self::join) them. `expires` is when it is too old to wait for an invocation. `taker` takes what comes
    /// while places wait.
    pub(crate) fn enter(&self, places: usize, expires: Instant, taker: Taker) {
        let mut state = self.pool.lock();
        let usual = state.usual_places.unwrap_or(self.pool.places);
        if let Some(entry) = state.entries.get_mut(self.at) {
            entry.taker = Some(taker);
            entry.expires = expires;
            entry.finishing += places;
            entry.opening = usual.saturating_sub(entry.finishing + entry.busy);
            state.opening += entry.opening;
            state.finishing += places;
        }
        if state.opening > 0 {
            state.opening_until = Some(Instant::now() + scaling::patience(state.mean_init));
        }
    }

    /// The environment has one place more, which is about to be [`ready`](Self::ready).
    pub(crate) fn join(&self) {
        let mut state = self.pool.lock();
        if let Some(entry) = state.entries.get_mut(self.at) {
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
        if let Some(entry) = state.entries.get_mut(self.at) {
            entry.finishing -= 1;
            state.finishing -= 1;
        }
        state.rank(self.at);
    }

    /// An invocation has been answered after `took`, and its place is about to be ready for the next one.
    pub(crate) fn answered(&self, took: Duration) {
        let mut state = self.pool.lock();
        state.usual_duration = Some(scaling::median_with(state.usual_duration, took));
        if let Some(entry) = state.entries.get_mut(self.at) {
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
        let State {
            entries, finishing, ..
        } = &mut *state;
        let Some(entry) = entries.get_mut(self.at) else {
            return Ready::Leave;
        };
        entry.finishing -= 1;
        *finishing -= 1;
        let (open, young) = (entry.taker.is_some(), entry.expires > now);
        let job = if leaves || !open {
            None
        } else {
            state.next_job()
        };
        let stays = !leaves && open && (job.is_some() || (young && !state.retired));
        if let Some(entry) = state.entries.get_mut(self.at) {
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
            let gone = state.let_go(self.at);
            drop(state);
            drop(gone);
            return Ready::Leave;
        }
        state.rank(self.at);
        job.map_or(Ready::Idle, Ready::Run)
    }

    /// The environment takes nothing more.
    pub(crate) fn let_go(&self) {
        let gone = self.pool.lock().let_go(self.at);
        drop(gone);
    }

    /// The same; what its task was given and has not begun goes to another one. Gives whether some of it waits in the
    /// queue now: its callers believe that it runs, and nobody asks for an environment for it.
    pub(crate) fn leave(&self, jobs: &mut Jobs) -> bool {
        let mut state = self.pool.lock();
        let gone = state.let_go(self.at);
        let mut unseen = Vec::new();
        while let Ok(job) = jobs.try_recv() {
            unseen.push(job);
        }
        let waits = self.put_back(state, unseen);
        drop(gone);
        waits
    }

    /// One that it was given and can't begin goes to another environment; as [`leave`](Self::leave).
    pub(crate) fn give_back(&self, job: Job) -> bool {
        self.put_back(self.pool.lock(), vec![job])
    }

    fn put_back(&self, mut state: MutexGuard<'_, State>, unseen: Vec<Job>) -> bool {
        if let Some(entry) = state.entries.get_mut(self.at) {
            entry.busy -= unseen.len();
            state.busy -= unseen.len();
        }
        let mut waits = false;
        let mut admitted = Vec::new();
        // The first of them is in front again at the end.
        for job in unseen.into_iter().rev() {
            // A closed pool has been emptied for good: dropping the job tells its caller.
            if state.closed {
                continue;
            }
            match state.give(job, here()) {
                Given::Told => {}
                Given::Admitted(inside, job) => admitted.push((inside, job)),
                Given::Not(job) => {
                    state.queue.push_front(job);
                    waits = true;
                }
            }
        }
        drop(state);
        for (inside, job) in admitted {
            inside.begin(job);
        }
        waits
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let gone = match &self.seat {
            None => {
                state.starting -= 1;
                None
            }
            Some(seat) => {
                let gone = state.let_go(seat.at);
                if let Some(entry) = state.entries.try_remove(seat.at) {
                    state.busy -= entry.busy;
                    state.finishing -= entry.finishing;
                    state.opening -= entry.opening;
                }
                gone
            }
        };
        drop(state);
        drop(gone);
    }
}
