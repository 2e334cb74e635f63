//! The environments of one deployment and the invocations that wait for them.
//!
//! An environment has one place or more, and runs an invocation in each. An invocation takes a place in the fullest
//! environment that has one, and among equally full ones in that which was used last: the others become idle and can
//! go, and what is warm stays warm. If there is none it joins a bounded first-in-first-out queue and is taken by
//! whichever place asks first, one that got free or one of an environment that was started. Places that are free and
//! invocations that wait are never there at the same time.
//!
//! The lock belongs to this deployment alone and is held for a few instructions, which grow with the logarithm of its
//! environments; nothing waits under it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hearth_types::ApiError;
use hearth_types::function::Deployment;
use hearth_types::invoke::{Invocation, RequestId};
use slab::Slab;
use tokio::sync::mpsc;

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

/// What an environment is given; never more than it has places. The end means: go.
pub(crate) type Jobs = mpsc::UnboundedReceiver<Job>;

/// One deployment.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) deployment: Arc<Deployment>,
    /// Invocations that one environment runs at the same time.
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

/// One environment.
#[derive(Debug)]
struct Entry {
    /// `None`: it gets nothing more.
    jobs: Option<mpsc::UnboundedSender<Job>>,
    rank: Rank,
    free: usize,
    busy: usize,
    finishing: usize,
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

    /// Invocations that one environment runs at the same time; at least 1.
    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// Hands an invocation to an environment with a free place, or queues it.
    pub(crate) fn place(&self, job: Job) -> Placed {
        let mut state = self.lock();
        if state.closed {
            return Placed::Closed(job);
        }
        let job = match state.give(job) {
            None => return Placed::Running,
            Some(job) => job,
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
                Ok(Member {
                    pool: Arc::clone(self),
                    entry: None,
                })
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
            places,
            busy: self.busy,
            finishing: self.finishing,
            usual_duration: self.usual_duration,
            mean_init: self.mean_init,
        }
    }

    /// Hands an invocation to an environment; gives it back if none has a free place.
    fn give(&mut self, mut job: Job) -> Option<Job> {
        let since = job.since;
        while let Some((_, at)) = self.open.last().copied() {
            if let Some(entry) = self.entries.get_mut(at)
                && let Some(jobs) = entry.jobs.as_ref().filter(|_| entry.expires > since)
            {
                match jobs.send(job) {
                    Ok(()) => {
                        // Counted here, before the environment's task has run, so that the next caller sees it.
                        entry.free -= 1;
                        entry.busy += 1;
                        self.busy += 1;
                        self.moved = Some(since);
                        self.rank(at);
                        return None;
                    }
                    // It has just ended.
                    Err(mpsc::error::SendError(back)) => job = back,
                }
            }
            self.let_go(at);
        }
        Some(job)
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
    fn let_go(&mut self, at: usize) -> Option<mpsc::UnboundedSender<Job>> {
        let entry = self.entries.get_mut(at)?;
        self.open.remove(&(entry.rank, at));
        entry.free = 0;
        entry.jobs.take()
    }

    fn let_all_go(&mut self) -> Vec<Option<mpsc::UnboundedSender<Job>>> {
        let open: Vec<usize> = self.open.iter().map(|(_, at)| *at).collect();
        open.into_iter().map(|at| self.let_go(at)).collect()
    }
}

/// An environment's membership in its pool: keeps the counts right however the environment ends.
#[derive(Debug)]
pub(crate) struct Member {
    pool: Arc<Pool>,
    /// `None` while it is starting.
    entry: Option<usize>,
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

    /// The environment has `places` more, each of which is about to be [`ready`](Self::ready). `expires` is when it is
    /// too old to wait for an invocation. What it gives is for the places that wait.
    pub(crate) fn enter(&mut self, places: usize, expires: Instant) -> Jobs {
        let (give, jobs) = mpsc::unbounded_channel();
        let pool = Arc::clone(&self.pool);
        let mut state = pool.lock();
        let at = self.entry(&mut state);
        if let Some(entry) = state.entries.get_mut(at) {
            entry.jobs = Some(give);
            entry.expires = expires;
            entry.finishing += places;
            state.finishing += places;
        }
        jobs
    }

    /// The runtime has answered after `took` and is about to ask for the next invocation.
    pub(crate) fn answered(&self, took: Duration) {
        let mut state = self.pool.lock();
        state.usual_duration = Some(scaling::median_with(state.usual_duration, took));
        if let Some(entry) = self.entry.and_then(|at| state.entries.get_mut(at)) {
            entry.busy -= 1;
            entry.finishing += 1;
            state.busy -= 1;
            state.finishing += 1;
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
                && let Some(job) = state.give(job)
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
                jobs: None,
                rank: Rank::default(),
                free: 0,
                busy: 0,
                finishing: 0,
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
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_types::function::Runtime;
    use hearth_types::invoke::Outcome;
    use tokio::sync::oneshot;

    use super::*;
    use crate::testing;

    type Answer = oneshot::Receiver<Result<Outcome, ApiError>>;

    const LONG: Duration = Duration::from_secs(3_600);

    fn pool(places: usize) -> Arc<Pool> {
        let deployment = testing::deployment(Runtime::Python { minor: 12 });
        Pool::new(Arc::new(deployment), places, 100)
    }

    fn job(pool: &Arc<Pool>, number: u8) -> (Job, Answer) {
        let (reply, answer) = oneshot::channel();
        let invocation = Invocation {
            request_id: RequestId::from_random([number; 16]),
            deployment: Arc::clone(&pool.deployment),
            invoked_arn: String::new(),
            payload: bytes::Bytes::new(),
            client_context: None,
            trace_id: String::new(),
            log_tail: false,
        };
        let job = Job {
            invocation,
            reply: Reply::Whole(reply),
            since: Instant::now(),
        };
        (job, answer)
    }

    /// Places an invocation; gives the end that waits for it.
    fn place(pool: &Arc<Pool>, number: u8) -> (Placed, Answer) {
        let (job, answer) = job(pool, number);
        (pool.place(job), answer)
    }

    fn number(job: &Job) -> u8 {
        // The first two digits of an identifier of equal bytes.
        u8::from_str_radix(&job.request_id().as_str()[..2], 16).unwrap()
    }

    /// An environment all of whose places are free.
    fn environment(pool: &Arc<Pool>) -> (Member, Jobs) {
        pool.lock().starting += 1;
        let mut member = Member {
            pool: Arc::clone(pool),
            entry: None,
        };
        let jobs = member.enter(pool.places, Instant::now() + LONG);
        for _ in 0..pool.places {
            assert!(matches!(member.ready(Instant::now(), false), Ready::Idle));
        }
        (member, jobs)
    }

    /// The place of one that has been answered asks for the next.
    fn done(member: &Member) -> Ready {
        member.answered(Duration::from_millis(1));
        member.ready(Instant::now(), false)
    }

    #[test]
    fn the_fullest_is_filled_first_and_then_the_one_used_last() {
        let pool = pool(2);
        let (first, mut for_first) = environment(&pool);
        let (_second, mut for_second) = environment(&pool);
        let mut waits = Vec::new();
        for n in 1..=3 {
            let (placed, wait) = place(&pool, n);
            assert!(matches!(placed, Placed::Running));
            waits.push(wait);
        }
        let got = |jobs: &mut Jobs| -> Vec<u8> {
            std::iter::from_fn(|| jobs.try_recv().ok().map(|job| number(&job))).collect()
        };
        assert_eq!(
            got(&mut for_second),
            [1, 2],
            "used last, and then the fullest"
        );
        assert_eq!(got(&mut for_first), [3]);
        assert!(matches!(done(&first), Ready::Idle));
        assert_eq!(pool.counts(), [0, 1, 1, 0]);
        let (placed, _wait) = place(&pool, 4);
        assert!(matches!(placed, Placed::Running));
        assert_eq!(got(&mut for_first), [4]);
        assert_eq!(pool.counts(), [0, 0, 2, 0]);
        let (placed, _wait) = place(&pool, 5);
        assert!(matches!(placed, Placed::Running), "one place is left");
        assert!(matches!(place(&pool, 6).0, Placed::Queued));
    }

    #[test]
    fn the_queue_is_first_in_first_out_over_all_places() {
        let pool = pool(2);
        let (member, mut jobs) = environment(&pool);
        let waits: Vec<_> = (1..=5).map(|n| place(&pool, n)).collect();
        let queued = |(placed, _): &&(Placed, Answer)| matches!(placed, Placed::Queued);
        assert_eq!(waits.iter().filter(queued).count(), 3);
        assert_eq!(number(&jobs.try_recv().unwrap()), 1);
        assert_eq!(number(&jobs.try_recv().unwrap()), 2);
        for expected in 3..=5 {
            match done(&member) {
                Ready::Run(job) => assert_eq!(number(&job), expected),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(done(&member), Ready::Idle));
        assert!(matches!(done(&member), Ready::Idle));
        assert_eq!(pool.counts(), [0, 1, 0, 0]);
    }

    #[test]
    fn what_an_environment_was_given_and_has_not_begun_goes_to_another_in_its_order() {
        let pool = pool(3);
        let (dies, mut its_jobs) = environment(&pool);
        let waits: Vec<_> = (1..=4).map(|n| place(&pool, n)).collect();
        assert_eq!(
            number(&its_jobs.try_recv().unwrap()),
            1,
            "it has begun this one"
        );
        dies.leave(&mut its_jobs);
        drop(dies);
        assert_eq!(pool.counts(), [0, 0, 0, 3]);
        pool.lock().starting += 1;
        let mut next = Member {
            pool: Arc::clone(&pool),
            entry: None,
        };
        let mut jobs = next.enter(3, Instant::now() + LONG);
        for expected in 2..=4 {
            match next.ready(Instant::now(), false) {
                Ready::Run(job) => assert_eq!(number(&job), expected),
                other => panic!("{other:?}"),
            }
        }
        assert!(jobs.try_recv().is_err());
        drop(waits);
    }

    #[test]
    fn one_that_is_put_back_finds_a_free_place_at_once() {
        let pool = pool(1);
        let (idle, mut for_idle) = environment(&pool);
        let (dies, mut its_jobs) = environment(&pool);
        let (_, _wait) = place(&pool, 1);
        dies.leave(&mut its_jobs);
        assert_eq!(number(&for_idle.try_recv().unwrap()), 1);
        drop((idle, dies));
        assert!(pool.close_if_empty());
    }

    #[test]
    fn whoever_leaves_half_full_takes_nothing_more_and_is_counted_to_its_end() {
        let pool = pool(2);
        let (member, mut jobs) = environment(&pool);
        let (_, _wait) = place(&pool, 1);
        jobs.try_recv().unwrap();
        pool.retire(true);
        assert!(matches!(
            jobs.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        ));
        assert!(matches!(place(&pool, 2).0, Placed::Queued));
        assert_eq!(pool.counts(), [0, 0, 1, 1]);
        assert!(matches!(done(&member), Ready::Leave));
        assert_eq!(pool.counts(), [0, 0, 0, 1]);
        assert!(!pool.close_if_empty());
    }

    #[test]
    fn only_environments_without_any_invocation_are_evicted_or_expire() {
        let pool = pool(2);
        let (_half, _its_jobs) = environment(&pool);
        let (_, _wait) = place(&pool, 1);
        assert_eq!(pool.least_recently_used(), None);
        assert!(!pool.evict());
        let (_idle, mut jobs) = environment(&pool);
        pool.expire(Instant::now() + LONG * 2, None);
        assert!(matches!(
            jobs.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        ));
        assert_eq!(pool.counts(), [0, 0, 1, 0]);
        // The half full one is too old for what comes later, too.
        let (mut late, _wait) = job(&pool, 2);
        late.since += LONG * 2;
        assert!(matches!(pool.place(late), Placed::Queued));
    }

    #[test]
    fn counts_are_right_after_any_order_of_things() {
        // A small generator of pseudo-random numbers (Knuth's linear congruential one, MMIX).
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for places in [1, 2, 7] {
            let pool = pool(places);
            let mut environments: Vec<(Member, Jobs, usize)> = Vec::new();
            let mut waits = Vec::new();
            for step in 0..2_000 {
                match random(6) {
                    0 if environments.len() < 5 => {
                        pool.lock().starting += 1;
                        let mut member = Member {
                            pool: Arc::clone(&pool),
                            entry: None,
                        };
                        let jobs = member.enter(places, Instant::now() + LONG);
                        let runs = (0..places)
                            .filter(|_| {
                                matches!(member.ready(Instant::now(), false), Ready::Run(_))
                            })
                            .count();
                        environments.push((member, jobs, runs));
                    }
                    1 | 2 => waits.push(place(&pool, (step % 200) as u8)),
                    3 | 4 if !environments.is_empty() => {
                        let at = random(environments.len());
                        let (member, jobs, runs) = &mut environments[at];
                        while jobs.try_recv().is_ok() {
                            *runs += 1;
                        }
                        if *runs > 0 && !matches!(done(member), Ready::Run(_)) {
                            *runs -= 1;
                        }
                        assert!(*runs <= places);
                    }
                    5 if !environments.is_empty() => {
                        let at = random(environments.len());
                        let (member, mut jobs, _) = environments.swap_remove(at);
                        member.leave(&mut jobs);
                    }
                    _ => {}
                }
                let state = pool.lock();
                let sum = |what: fn(&Entry) -> usize| -> usize {
                    state.entries.iter().map(|(_, entry)| what(entry)).sum()
                };
                assert_eq!(state.busy, sum(|entry| entry.busy));
                assert_eq!(state.finishing, sum(|entry| entry.finishing));
                assert_eq!(state.entries.len(), environments.len());
                assert!(state.open.is_empty() || state.queue.is_empty());
                for (rank, at) in &state.open {
                    let entry = &state.entries[*at];
                    assert_eq!((*rank, entry.free + entry.busy), (entry.rank, places));
                }
            }
            environments.clear();
            pool.lock().queue.clear();
            assert!(pool.close_if_empty());
        }
    }
}
