//! The environments of one deployment and the invocations that wait for them.
//!
//! An invocation takes the idle environment that was used last; if none is idle it joins a bounded first-in-first-out
//! queue and is taken by whichever environment asks first, one that got free or one that was started. The lock belongs
//! to this deployment alone and is held for a few instructions; nothing waits under it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hearth_types::ApiError;
use hearth_types::function::Deployment;
use hearth_types::invoke::Invocation;
use tokio::sync::oneshot;

use crate::reply::Reply;
use crate::scaling::{self, Decision, Snapshot};

/// An invocation and who waits for its end.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) invocation: Invocation,
    pub(crate) reply: Reply,
    /// When it came.
    pub(crate) since: Instant,
}

/// What an idle environment is woken with. Its sender dropped means: go.
pub(crate) type Wake = oneshot::Receiver<Job>;

/// One deployment.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) deployment: Arc<Deployment>,
    queue_length: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// First in, first out; some may have been given up by their callers.
    queue: VecDeque<Job>,
    /// Least recently used first.
    idle: Vec<Idle>,
    starting: usize,
    busy: usize,
    finishing: usize,
    usual_duration: Option<Duration>,
    mean_init: Option<Duration>,
    /// When an environment last got free or took an invocation.
    moved: Option<Instant>,
    /// No environment stays idle.
    retired: bool,
    /// Not in the worker's table any more: nothing may be added.
    closed: bool,
}

#[derive(Debug)]
struct Idle {
    wake: oneshot::Sender<Job>,
    since: Instant,
    /// When the environment is too old.
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

/// What an environment that can take an invocation does next.
#[derive(Debug)]
pub(crate) enum Ready {
    /// Runs this one.
    Run(Job),
    /// Waits.
    Idle(Wake),
    /// Ends.
    Leave,
}

impl Pool {
    pub(crate) fn new(deployment: Arc<Deployment>, queue_length: usize) -> Arc<Self> {
        Arc::new(Self {
            deployment,
            queue_length,
            state: Mutex::default(),
        })
    }

    /// Hands an invocation to an idle environment, or queues it.
    pub(crate) fn place(&self, mut job: Job) -> Placed {
        let mut state = self.lock();
        if state.closed {
            return Placed::Closed(job);
        }
        let job_since = job.since;
        while let Some(idle) = state.idle.pop() {
            if idle.expires <= job_since {
                continue;
            }
            match idle.wake.send(job) {
                Ok(()) => {
                    // Counted here, before the environment's task has run, so that the next caller sees it.
                    state.busy += 1;
                    state.moved = Some(job_since);
                    return Placed::Running;
                }
                // It has just ended.
                Err(back) => job = back,
            }
        }
        if state.queue.len() >= self.queue_length {
            state.queue.retain(|job| !job.reply.is_closed());
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
        match scaling::decide(&state.snapshot(now)) {
            Decision::Start => {
                state.starting += 1;
                Ok(Member {
                    pool: Arc::clone(self),
                    role: Role::Starting,
                })
            }
            Decision::Hold(again) => Err(again),
        }
    }

    /// Takes back an invocation that no environment has taken; `false` if one has.
    pub(crate) fn withdraw(
        &self,
        since: Instant,
        invocation: &hearth_types::invoke::RequestId,
    ) -> bool {
        let mut state = self.lock();
        // Arrival times ascend, save for the few that were put back in front: look there first.
        let at = state
            .queue
            .iter()
            .position(|job| job.since == since && job.invocation.request_id == *invocation);
        match at {
            Some(at) => state.queue.remove(at).is_some(),
            None => false,
        }
    }

    /// Puts an invocation that its environment could not begin in front of the queue.
    pub(crate) fn put_back(&self, job: Job) {
        let mut state = self.lock();
        // A closed pool has been emptied for good: dropping the job tells its caller.
        if !state.closed {
            state.queue.push_front(job);
        }
    }

    /// Lets go of idle environments, and of the others after their invocation; or takes that back.
    pub(crate) fn retire(&self, retired: bool) {
        let idle = {
            let mut state = self.lock();
            state.retired = retired;
            if retired {
                std::mem::take(&mut state.idle)
            } else {
                Vec::new()
            }
        };
        drop(idle);
    }

    /// Ends everything that waits: idle environments, and invocations with `error`. Nothing can be added afterwards.
    pub(crate) fn close(&self, error: &ApiError) {
        let (idle, queue) = {
            let mut state = self.lock();
            state.retired = true;
            state.closed = true;
            (
                std::mem::take(&mut state.idle),
                std::mem::take(&mut state.queue),
            )
        };
        drop(idle);
        for job in queue {
            job.reply.send(Err(error.clone()));
        }
    }

    /// Closes the pool if nothing is in it.
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut state = self.lock();
        let empty = state.queue.is_empty()
            && state.idle.is_empty()
            && state.starting + state.busy + state.finishing == 0;
        state.closed |= empty;
        empty
    }

    /// Lets go of environments that have been idle since before `idle_since`, or are too old at `now`.
    pub(crate) fn expire(&self, now: Instant, idle_since: Option<Instant>) {
        let expired: Vec<Idle> = {
            let mut state = self.lock();
            state
                .idle
                .extract_if(.., |idle| {
                    idle.expires <= now || idle_since.is_some_and(|since| idle.since <= since)
                })
                .collect()
        };
        drop(expired);
    }

    /// When the environment that has been idle for the longest time became so.
    pub(crate) fn least_recently_used(&self) -> Option<Instant> {
        self.lock().idle.first().map(|idle| idle.since)
    }

    /// Lets go of the environment that has been idle for the longest time.
    pub(crate) fn evict(&self) -> bool {
        let evicted = {
            let mut state = self.lock();
            if state.idle.is_empty() {
                None
            } else {
                Some(state.idle.remove(0))
            }
        };
        evicted.is_some()
    }

    /// Counts for a person: environments that start, are idle, run an invocation (or have just answered one), and
    /// invocations that wait.
    pub(crate) fn counts(&self) -> [usize; 4] {
        let state = self.lock();
        [
            state.starting,
            state.idle.len(),
            state.busy + state.finishing,
            state.queue.len(),
        ]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every operation leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn snapshot(&mut self, now: Instant) -> Snapshot {
        while self.queue.front().is_some_and(|job| job.reply.is_closed()) {
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
            busy: self.busy,
            finishing: self.finishing,
            usual_duration: self.usual_duration,
            mean_init: self.mean_init,
        }
    }

    fn next_job(&mut self) -> Option<Job> {
        loop {
            let job = self.queue.pop_front()?;
            if !job.reply.is_closed() {
                return Some(job);
            }
        }
    }

    fn count(&mut self, role: Role) -> Option<&mut usize> {
        match role {
            Role::Starting => Some(&mut self.starting),
            Role::Busy => Some(&mut self.busy),
            Role::Finishing => Some(&mut self.finishing),
            Role::Idle => None,
        }
    }

    fn change(&mut self, from: Role, to: Role) {
        if let Some(count) = self.count(from) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.count(to) {
            *count += 1;
        }
    }
}

/// As what an environment is counted. Idle ones are counted by their place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Starting,
    Busy,
    Finishing,
    Idle,
}

/// An environment's membership in its pool: keeps the counts right however the environment ends.
#[derive(Debug)]
pub(crate) struct Member {
    pool: Arc<Pool>,
    role: Role,
}

impl Member {
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Whether a start that had to wait is still wanted: the policy is asked again as if it had not begun.
    pub(crate) fn still_wanted(&self, now: Instant) -> bool {
        let mut state = self.pool.lock();
        let mut snapshot = state.snapshot(now);
        snapshot.starting = snapshot.starting.saturating_sub(1);
        scaling::decide(&snapshot) == Decision::Start
    }

    /// Notes how long Init took.
    pub(crate) fn initialised(&self, took: Duration) {
        let mut state = self.pool.lock();
        state.mean_init = Some(scaling::mean_with(state.mean_init, took));
    }

    /// An environment that could not start takes the invocation that waited longest, to end it.
    pub(crate) fn take_waiting(&mut self) -> Option<Job> {
        let mut state = self.pool.lock();
        let job = state.next_job()?;
        state.change(self.role, Role::Busy);
        drop(state);
        self.role = Role::Busy;
        Some(job)
    }

    /// The runtime has answered after `took` and is about to ask for the next invocation.
    pub(crate) fn answered(&mut self, took: Duration) {
        let mut state = self.pool.lock();
        state.usual_duration = Some(scaling::median_with(state.usual_duration, took));
        state.change(self.role, Role::Finishing);
        drop(state);
        self.role = Role::Finishing;
    }

    /// The environment can take an invocation. `expires` is when it is too old to wait for one, `leaves` says whether
    /// it should rather go at once.
    pub(crate) fn ready(&mut self, now: Instant, expires: Instant, leaves: bool) -> Ready {
        let mut state = self.pool.lock();
        state.moved = Some(now);
        if leaves {
            return Ready::Leave;
        }
        if let Some(job) = state.next_job() {
            state.change(self.role, Role::Busy);
            drop(state);
            self.role = Role::Busy;
            return Ready::Run(job);
        }
        if state.retired || expires <= now {
            return Ready::Leave;
        }
        let (wake, woken) = oneshot::channel();
        state.change(self.role, Role::Idle);
        state.idle.push(Idle {
            wake,
            since: now,
            expires,
        });
        drop(state);
        self.role = Role::Idle;
        Ready::Idle(woken)
    }

    /// The idle environment was given an invocation: whoever gave it has counted the environment as busy.
    pub(crate) fn woken(&mut self) {
        self.role = Role::Busy;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        match state.count(self.role) {
            Some(count) => *count = count.saturating_sub(1),
            // It ended by itself while it was idle: its place in the list goes too.
            None => state.idle.retain(|idle| !idle.wake.is_closed()),
        }
    }
}
