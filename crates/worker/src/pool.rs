//! The environments of one deployment and the invocations that wait for them.
//!
//! An environment has one place or more, and runs an invocation in each: a web server has all from its start, a runtime
//! that takes events those for which it asks. An invocation takes a place in the fullest
//! environment that has one, and among equally full ones in that which was used last: the others become idle and can
//! go, and what is warm stays warm. If one of the few that were used last before it is as full and has its task where the
//! invocation comes from, it is that one: waking another thread takes longer. If there is none it joins a bounded
//! first-in-first-out queue and is taken by whichever place asks first, one that got free or one of an environment that
//! was started. Places that are free and invocations that wait are never there at the same time.
//!
//! Whoever takes it for the environment is a [`Taker`]: its task, which is told of it, or a door through which the
//! invocation goes in the task that brings it, so that no other has to be woken first.
//!
//! The lock belongs to this deployment alone and is held for a few instructions, which grow with the logarithm of its
//! environments; nothing waits under it.

mod member;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hearth_types::ApiError;
use hearth_types::function::Deployment;
use hearth_types::invoke::{Invocation, RequestId};
use slab::Slab;
use tokio::runtime::{self, Handle};
use tokio::sync::mpsc;

pub(crate) use self::member::{Member, Ready, Seat};
use crate::reply::Reply;
use crate::scaling::{self, Decision, Snapshot};
use crate::web::{Door, Inside};

/// An invocation and who waits for its end.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) invocation: Invocation,
    pub(crate) reply: Reply,
    /// When it came.
    pub(crate) since: Instant,
}

impl Job {
    fn request_id(&self) -> &RequestId {
        &self.invocation.request_id
    }

    /// Whether nobody waits for it any more.
    fn is_given_up(&self) -> bool {
        self.reply.is_closed()
    }

    /// Ends it with a failure of the platform.
    pub(crate) fn refuse(self, error: ApiError) {
        self.reply.send(Err(error));
    }
}

/// What an environment's task is given; never more than it has places. The end means: go.
pub(crate) type Jobs = mpsc::UnboundedReceiver<Job>;

/// Who takes an environment's invocations. Dropping it means: go.
#[derive(Debug)]
pub(crate) enum Taker {
    /// Its task.
    Task(mpsc::UnboundedSender<Job>),
    /// Whoever brings them lets them in.
    Door(Door),
}

/// Where an invocation found a place.
#[derive(Debug)]
enum Given {
    /// At an environment's task.
    Told,
    /// Behind a door: to be let in where no lock is held.
    Admitted(Inside, Job),
    /// Nowhere.
    Not(Job),
}

/// One deployment.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) deployment: Arc<Deployment>,
    /// Invocations that one environment may run at the same time.
    places: usize,
    queue_length: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// First in, first out; some may have been given up by their callers.
    queue: VecDeque<Job>,
    /// Environments that have been started.
    entries: Slab<Entry>,
    /// Those that have a free place, in the order of [`Rank`]: the last one is filled first, the first one is let go
    /// first.
    open: BTreeSet<(Rank, usize)>,
    /// Counts what gave entries their ranks.
    turns: u64,
    /// Environments.
    starting: usize,
    /// Places.
    busy: usize,
    /// Places.
    finishing: usize,
    /// Places that environments are expected to have in a moment, because those before had them.
    opening: usize,
    /// When that is given up.
    opening_until: Option<Instant>,
    /// The most places that an environment has had when an invocation was answered in it.
    usual_places: Option<usize>,
    usual_duration: Option<Duration>,
    mean_init: Option<Duration>,
    /// When a place last got free or was taken.
    moved: Option<Instant>,
    /// No environment stays idle.
    retired: bool,
    /// Not in the worker's table any more: nothing may be added.
    closed: bool,
}

/// How full an environment is, and when it was last used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    taken: usize,
    turn: u64,
}

/// Which runtime a task is on, if it is on one.
type Here = Option<runtime::Id>;

fn here() -> Here {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

/// Environments that are looked at for one that is near: a few, as the lock is held meanwhile.
const LOOKED_AT: usize = 8;

/// One environment.
#[derive(Debug)]
struct Entry {
    /// Where its task is.
    here: Here,
    /// `None`: it gets nothing more.
    taker: Option<Taker>,
    rank: Rank,
    free: usize,
    busy: usize,
    finishing: usize,
    /// Places that are expected to join.
    opening: usize,
    /// When a place of it last got free.
    since: Instant,
    /// When it is too old.
    expires: Instant,
}

/// Where an invocation went.
#[derive(Debug)]
pub(crate) enum Placed {
    /// To an environment.
    Running,
    /// Into the queue.
    Queued,
    /// Nowhere: the queue is full.
    Full,
    /// Nowhere: the pool is closed; look the deployment up again.
    Closed(Job),
}

impl Taker {
    fn give(&self, job: Job) -> Given {
        match self {
            Self::Task(jobs) => match jobs.send(job) {
                Ok(()) => Given::Told,
                // It has just ended.
                Err(mpsc::error::SendError(back)) => Given::Not(back),
            },
            Self::Door(door) => match door.admit() {
                Some(inside) => Given::Admitted(inside, job),
                None => Given::Not(job),
            },
        }
    }
}

impl Pool {
    pub(crate) fn new(
        deployment: Arc<Deployment>,
        places: usize,
        queue_length: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            deployment,
            places: places.max(1),
            queue_length,
            state: Mutex::default(),
        })
    }

    /// Hands an invocation to an environment with a free place, or queues it.
    pub(crate) fn place(&self, job: Job) -> Placed {
        let here = here();
        let mut state = self.lock();
        if state.closed {
            return Placed::Closed(job);
        }
        let job = match state.give(job, here) {
            Given::Told => return Placed::Running,
            Given::Admitted(inside, job) => {
                drop(state);
                inside.begin(job);
                return Placed::Running;
            }
            Given::Not(job) => job,
        };
        if state.queue.len() >= self.queue_length {
            state.queue.retain(|job| !job.is_given_up());
            if state.queue.len() >= self.queue_length {
                return Placed::Full;
            }
        }
        state.queue.push_back(job);
        Placed::Queued
    }

    /// Asks the policy; on [`Decision::Start`] one environment more is counted as starting, and the caller must make
    /// it with the [`Member`] returned.
    pub(crate) fn appraise(self: &Arc<Self>, now: Instant) -> Result<Member, Duration> {
        let mut state = self.lock();
        match scaling::decide(&state.snapshot(now, self.places)) {
            Decision::Start => {
                state.starting += 1;
                Ok(Member::starting(self))
            }
            Decision::Hold(again) => Err(again),
        }
    }

    /// Takes back an invocation that no environment has taken; `false` if one has.
    pub(crate) fn withdraw(&self, since: Instant, invocation: &RequestId) -> bool {
        let mut state = self.lock();
        // Arrival times ascend, save for the few that were put back in front: look there first.
        let at = state
            .queue
            .iter()
            .position(|job| job.since == since && job.request_id() == invocation);
        match at {
            Some(at) => state.queue.remove(at).is_some(),
            None => false,
        }
    }

    /// Whether an invocation waits that its caller has not given up.
    pub(crate) fn anybody_waits(&self) -> bool {
        let mut state = self.lock();
        while state.queue.front().is_some_and(Job::is_given_up) {
            state.queue.pop_front();
        }
        !state.queue.is_empty()
    }

    /// Refuses what waits and came before `before`.
    pub(crate) fn refuse_older(&self, before: Instant, error: &ApiError) {
        let mut refused = Vec::new();
        let mut state = self.lock();
        while let Some(job) = state.queue.pop_front_if(|job| job.since < before) {
            refused.push(job);
        }
        drop(state);
        for job in refused {
            job.refuse(error.clone());
        }
    }

    /// Lets go of environments that have a free place, and of the others once one has; or takes that back for those.
    pub(crate) fn retire(&self, retired: bool) {
        let gone = {
            let mut state = self.lock();
            state.retired = retired;
            if retired {
                state.let_all_go()
            } else {
                Vec::new()
            }
        };
        drop(gone);
    }

    /// Ends everything that waits: idle environments, and invocations with `error`. Nothing can be added afterwards.
    pub(crate) fn close(&self, error: &ApiError) {
        let (gone, queue) = {
            let mut state = self.lock();
            state.retired = true;
            state.closed = true;
            (state.let_all_go(), std::mem::take(&mut state.queue))
        };
        drop(gone);
        for job in queue {
            job.refuse(error.clone());
        }
    }

    /// Closes the pool if nothing is in it.
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut state = self.lock();
        let empty = state.queue.is_empty() && state.entries.is_empty() && state.starting == 0;
        state.closed |= empty;
        empty
    }

    /// Lets go of environments that have been idle since before `idle_since`, or are too old at `now`.
    pub(crate) fn expire(&self, now: Instant, idle_since: Option<Instant>) {
        let gone: Vec<_> = {
            let mut state = self.lock();
            let expired: Vec<usize> = state
                .idle()
                .filter(|(_, entry)| {
                    entry.expires <= now || idle_since.is_some_and(|since| entry.since <= since)
                })
                .map(|(at, _)| at)
                .collect();
            expired.into_iter().map(|at| state.let_go(at)).collect()
        };
        drop(gone);
    }

    /// When the environment that has been idle for the longest time became so.
    pub(crate) fn least_recently_used(&self) -> Option<Instant> {
        self.lock().idle().next().map(|(_, entry)| entry.since)
    }

    /// Lets go of the environment that has been idle for the longest time.
    pub(crate) fn evict(&self) -> bool {
        let evicted = {
            let mut state = self.lock();
            let first = state.idle().next().map(|(at, _)| at);
            first.map(|at| state.let_go(at))
        };
        evicted.is_some()
    }

    /// Counts for a person: environments that start, are idle, run an invocation (or have just answered one), and
    /// invocations that wait.
    pub(crate) fn counts(&self) -> [usize; 4] {
        let state = self.lock();
        let works = |entry: &Entry| entry.busy + entry.finishing > 0;
        [
            state.starting,
            state.idle().count(),
            state
                .entries
                .iter()
                .filter(|(_, entry)| works(entry))
                .count(),
            state.queue.len(),
        ]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every operation leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn snapshot(&mut self, now: Instant, places: usize) -> Snapshot {
        while self.queue.front().is_some_and(Job::is_given_up) {
            self.queue.pop_front();
        }
        let patience = scaling::patience(self.mean_init);
        let waited = |job: &Job| now.saturating_duration_since(job.since);
        Snapshot {
            waiting: self.queue.len(),
            overdue: self.queue.partition_point(|job| waited(job) >= patience),
            longest_wait: self.queue.front().map_or(Duration::ZERO, waited),
            quiet: self
                .moved
                .map_or(Duration::MAX, |moved| now.saturating_duration_since(moved)),
            starting: self.starting,
            opening: match self.opening_until {
                Some(until) if now < until => self.opening,
                _ => 0,
            },
            places: self.usual_places.unwrap_or(places),
            busy: self.busy,
            finishing: self.finishing,
            usual_duration: self.usual_duration,
            mean_init: self.mean_init,
        }
    }

    /// Hands an invocation to an environment, if one has a free place.
    fn give(&mut self, mut job: Job, here: Here) -> Given {
        let since = job.since;
        while let Some(at) = self.next_open(here) {
            if let Some(entry) = self.entries.get_mut(at)
                && let Some(taker) = entry.taker.as_ref().filter(|_| entry.expires > since)
            {
                match taker.give(job) {
                    Given::Not(back) => job = back,
                    given => {
                        // Counted here, before the invocation begins, so that the next caller sees it.
                        entry.free -= 1;
                        entry.busy += 1;
                        self.busy += 1;
                        self.moved = Some(since);
                        self.rank(at);
                        return given;
                    }
                }
            }
            self.let_go(at);
        }
        Given::Not(job)
    }

    /// The environment that is filled next by what comes from `here`.
    fn next_open(&self, here: Here) -> Option<usize> {
        let (last, at) = *self.open.last()?;
        let is_near = |at: &usize| {
            self.entries
                .get(*at)
                .is_some_and(|entry| entry.here == here)
        };
        let near = (self.open.iter().rev())
            .take_while(|(rank, _)| rank.taken == last.taken)
            .take(LOOKED_AT)
            .map(|(_, at)| *at)
            .find(is_near);
        Some(near.unwrap_or(at))
    }

    /// The one that waited longest, of those for whom somebody still waits.
    fn next_job(&mut self) -> Option<Job> {
        loop {
            let job = self.queue.pop_front()?;
            if !job.is_given_up() {
                return Some(job);
            }
        }
    }

    /// The environments all of whose places are free, the one that has been so for longest first.
    fn idle(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.open
            .iter()
            .take_while(|(rank, _)| rank.taken == 0)
            .filter_map(|(_, at)| Some((*at, self.entries.get(*at)?)))
    }

    /// Ranks an entry anew, after its places have changed.
    fn rank(&mut self, at: usize) {
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        self.open.remove(&(entry.rank, at));
        self.turns += 1;
        entry.rank = Rank {
            taken: entry.busy + entry.finishing,
            turn: self.turns,
        };
        if entry.free > 0 {
            self.open.insert((entry.rank, at));
        }
    }

    /// An entry gets nothing more. What it gives ends the environment's waiting when it is dropped.
    fn let_go(&mut self, at: usize) -> Option<Taker> {
        let entry = self.entries.get_mut(at)?;
        self.open.remove(&(entry.rank, at));
        entry.free = 0;
        entry.taker.take()
    }

    fn let_all_go(&mut self) -> Vec<Option<Taker>> {
        let open: Vec<usize> = self.open.iter().map(|(_, at)| *at).collect();
        open.into_iter().map(|at| self.let_go(at)).collect()
    }
}
