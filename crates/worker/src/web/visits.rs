//! The requests inside one environment: let in, bounded, measured and logged.
//!
//! A request begins and ends in the task that brings it: that waits for no other one, and wakes none. The environment's task
//! watches over all of them: it knows when the next one's time is up, and is woken for what is out of the ordinary: a request
//! that left badly, a process that has ended, an environment that is to go.
//!
//! A request whose time is up is cut: its connection is closed, and the others run on. The environment ends as well if
//! its server seems to be stuck: if no head of any response came from it for as long as the request waited for its own.
//!
//! Order of locks: the pool's, then this one's. None is held while a request begins or ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::visit::{Leaving, Line, Visit};
use crate::environment::{End, Environment, Turn, timeout};
use crate::failure::Failure;
use crate::logs::EnvironmentLog;
use crate::meter::Meter;
use crate::pool::{Job, Ready, Seat};
use crate::reply::Reply;
use crate::runtime_api::Answer;
use crate::shared::Shared;

/// How long a server's end may take to be known after its connections have told of it, and the other way round: what
/// it wrote last may still be on its way.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// The requests inside one environment.
pub(crate) struct Visits {
    shared: Arc<Shared>,
    seat: Seat,
    server: Arc<Server>,
    log: Arc<EnvironmentLog>,
    meter: Arc<Meter>,
    /// When the environment is too old.
    expires: Instant,
    /// When its Init was over.
    ready_at: Instant,
    state: Mutex<State>,
    /// For the environment's task.
    news: Notify,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// Requests that were admitted and have not quite left.
    inside: usize,
    /// Those that run, the one whose time is up first in front.
    running: BTreeMap<Key, Running>,
    /// Counts what was begun.
    begun: u64,
    /// Those that left badly, and it is to be found out why.
    badly: Vec<(Running, Failure)>,
    /// When the environment's task looks again by itself.
    looks_at: Option<Instant>,
    /// How long Init took, until a request has it in its REPORT.
    init: Option<Duration>,
}

/// When a request's time is up, and which one it is.
type Key = (Instant, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Requests come.
    Open,
    /// Nobody is let in any more.
    Leaving,
    /// The process has ended: what was let in can't begin either.
    Gone,
}

/// A request that runs.
#[derive(Debug)]
struct Running {
    turn: Turn,
    over: CancellationToken,
    line: Line,
    /// Heads that had come when it began.
    heads: u64,
    inside: Inside,
}

impl std::fmt::Debug for Visits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visits").finish_non_exhaustive()
    }
}

impl Visits {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        seat: &Seat,
        environment: &Environment,
        server: &Arc<Server>,
        expires: Instant,
        init: Option<Duration>,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            seat: seat.clone(),
            server: Arc::clone(server),
            log: Arc::clone(&environment.log),
            meter: Arc::clone(&environment.meter),
            expires,
            ready_at: Instant::now(),
            state: Mutex::new(State {
                stage: Stage::Open,
                inside: 0,
                running: BTreeMap::new(),
                begun: 0,
                badly: Vec::new(),
                looks_at: None,
                init,
            }),
            news: Notify::new(),
        })
    }

    /// The way in, for the pool.
    pub(crate) fn door(self: &Arc<Self>) -> Door {
        Door(Arc::clone(self))
    }

    /// Opens `places` places, and one more in which an invocation has begun already if there is such a one.
    pub(crate) fn open(self: &Arc<Self>, places: usize, first: Option<Turn>) {
        let served = first.is_some();
        if let Some(turn) = first {
            self.enter(self.count(), turn);
        }
        for _ in 0..places {
            self.next(self.count(), served);
        }
    }

    /// Watches over those inside until nobody is let in any more and all have left.
    pub(crate) async fn watch(self: &Arc<Self>, environment: &Environment) {
        let mut ending = FuturesUnordered::new();
        // How the process ended, and until when its last words are waited for.
        let mut ended = None;
        let mut silent_at: Option<Instant> = None;
        loop {
            let silent = silent_at.is_some_and(|at| at <= Instant::now());
            let look = self.look(silent);
            for running in look.overdue {
                match &ended {
                    Some(end) => self.ends(running, End::clone(end), false),
                    None => self.time_out(running),
                }
            }
            for (running, failure) in look.badly {
                ending.push(self.find_out(environment, running, failure));
            }
            if look.is_over {
                return;
            }
            tokio::select! {
                biased;
                exit = environment.exit(), if ended.is_none() => {
                    self.lock().stage = Stage::Gone;
                    self.seat.let_go();
                    silent_at = Some(Instant::now() + LAST_WORDS);
                    ended = Some(environment.exited(exit).await);
                }
                Some(()) = ending.next(), if !ending.is_empty() => {}
                () = self.news.notified() => {}
                () = sleep_until(look.again) => {}
                () = sleep_until(silent_at), if !silent => {}
            }
        }
    }

    /// Nobody is let in any more, and those inside are forgotten. Waits until no task is at work on one of them.
    pub(crate) async fn end(&self) {
        self.seat.let_go();
        loop {
            let forgotten = {
                let mut state = self.lock();
                state.stage = Stage::Gone;
                (
                    std::mem::take(&mut state.running),
                    std::mem::take(&mut state.badly),
                )
            };
            drop(forgotten);
            if self.lock().inside == 0 {
                return;
            }
            self.news.notified().await;
        }
    }

    /// What there is to do for the environment's task. `all` says that nobody inside has any time left.
    fn look(&self, all: bool) -> Look {
        let now = Instant::now();
        let mut state = self.lock();
        let mut overdue = Vec::new();
        while let Some(first) = state.running.first_entry()
            && (all || first.key().0 <= now)
        {
            overdue.push(first.remove());
        }
        let next = state.running.keys().next().map(|(deadline, _)| *deadline);
        // What begins later ends later: with this a task that has looked once need not be woken for the next request.
        state.looks_at = next.or(state.looks_at.filter(|at| *at > now));
        Look {
            overdue,
            badly: std::mem::take(&mut state.badly),
            again: state.looks_at,
            is_over: state.stage != Stage::Open && state.inside == 0,
        }
    }

    /// Counts one that is inside.
    fn count(self: &Arc<Self>) -> Inside {
        self.lock().inside += 1;
        Inside(Arc::clone(self))
    }

    /// Lets one in that was admitted.
    fn begin(self: &Arc<Self>, inside: Inside, job: Job) {
        let (is_gone, init) = {
            let mut state = self.lock();
            (state.stage == Stage::Gone, state.init.take())
        };
        if is_gone {
            if self.seat.give_back(job) {
                self.shared.ask_for(self.seat.pool());
            }
            return;
        }
        // It goes to the first one, if that came while Init ran and so has waited for it.
        let waited_for = init.filter(|_| job.since < self.ready_at);
        self.enter(inside, Turn::begin(job, &self.log, waited_for));
    }

    /// Lets one in whose time runs.
    fn enter(self: &Arc<Self>, inside: Inside, mut turn: Turn) {
        let (tell, ended) = oneshot::channel();
        let reply = std::mem::replace(&mut turn.job.reply, Reply::Whole(tell));
        let over = CancellationToken::new();
        let line = Line::default();
        let deadline = turn.deadline;
        let running = Running {
            turn,
            over: over.clone(),
            line: line.clone(),
            heads: self.server.heads(),
            inside,
        };
        let (key, is_news) = {
            let mut state = self.lock();
            let key = (deadline, state.begun);
            state.begun += 1;
            state.running.insert(key, running);
            let in_time = state.looks_at.is_some_and(|at| at <= deadline);
            if !in_time {
                state.looks_at = Some(deadline);
            }
            (key, !in_time || state.stage == Stage::Gone)
        };
        if is_news {
            self.news.notify_one();
        }
        let stay = Stay {
            visits: Arc::clone(self),
            key: Some(key),
        };
        // If nobody takes it, it is dropped, and has left.
        reply.let_in(Visit::new(&self.server, over, line, stay, ended));
    }

    /// One has left by itself: `None` if its caller went away.
    fn left(self: &Arc<Self>, key: Key, how: Option<Leaving>) {
        let mut state = self.lock();
        // Whoever ended it before has said so.
        let Some(running) = state.running.remove(&key) else {
            return;
        };
        let end = match how {
            Some(Leaving::Badly(failure)) => {
                state.badly.push((running, failure));
                drop(state);
                self.news.notify_one();
                return;
            }
            Some(Leaving::Well) => End::Answer(Answer::Response(Bytes::new())),
            None => End::Failure(Failure::Abandoned),
        };
        drop(state);
        self.ends(running, end, true);
    }

    /// One left badly: why may be known in a moment.
    async fn find_out(
        self: &Arc<Self>,
        environment: &Environment,
        running: Running,
        failure: Failure,
    ) {
        let exit = tokio::time::timeout(LAST_WORDS, environment.exit()).await;
        let (end, reusable) = match exit {
            Ok(exit) => (environment.exited(exit).await, false),
            // A server that does not listen any more is of no use to anybody.
            Err(_) => (End::Failure(failure), !self.server.is_deaf()),
        };
        self.ends(running, end, reusable);
    }

    /// The time of one is up.
    fn time_out(self: &Arc<Self>, running: Running) {
        let stuck = self.server.heads() == running.heads;
        tracing::debug!(stuck, waited = ?running.turn.began.elapsed(), "cut a request");
        let limit = timeout(&running.turn.job.invocation.deployment);
        self.ends(running, End::Failure(Failure::Timeout(limit)), !stuck);
    }

    /// One has ended, and its place can take another if the environment is `reusable`.
    fn ends(self: &Arc<Self>, running: Running, end: End, reusable: bool) {
        let Running {
            turn,
            over,
            line,
            inside,
            ..
        } = running;
        if matches!(end, End::Failure(_) | End::Platform(_)) {
            over.cancel();
            if let Some(cut) = line.take() {
                cut.cancel();
            }
        }
        let took = turn.began.elapsed();
        self.seat.answered(took);
        let max_memory_mib = self.meter.peak_mib(!reusable);
        turn.end(end, took, max_memory_mib, &self.log);
        if !reusable {
            self.seat.let_go();
        }
        self.next(inside, true);
    }

    /// A place can take a request. `served` says that the environment has had one.
    fn next(self: &Arc<Self>, inside: Inside, served: bool) {
        let capacity = &self.shared.capacity;
        let deployment = &self.seat.pool().deployment;
        let leaves = {
            let mut state = self.lock();
            if state.stage == Stage::Open && capacity.should_yield(deployment.id) {
                state.stage = Stage::Leaving;
                if state.inside == 1 {
                    // The environment's room is free as soon as it leaves.
                    capacity.expect(u64::from(deployment.configuration.memory_mib));
                }
            }
            state.stage != Stage::Open
        };
        let now = Instant::now();
        // A new one serves whoever waited for it, even if it is too old by now.
        let too_old = served && self.expires <= now;
        match self.seat.ready(now, leaves || too_old) {
            Ready::Run(job) => self.begin(inside, job),
            Ready::Idle if capacity.wanted() => capacity.press(),
            Ready::Idle | Ready::Leave => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every operation leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the environment's task finds.
struct Look {
    overdue: Vec<Running>,
    badly: Vec<(Running, Failure)>,
    again: Option<Instant>,
    is_over: bool,
}

/// The way into an environment. Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Door(Arc<Visits>);

impl Door {
    /// Lets one through, unless nobody is let in any more.
    pub(crate) fn admit(&self) -> Option<Inside> {
        let mut state = self.0.lock();
        let open = state.stage == Stage::Open;
        state.inside += usize::from(open);
        open.then(|| Inside(Arc::clone(&self.0)))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.stage == Stage::Open {
            state.stage = Stage::Leaving;
        }
        drop(state);
        self.0.news.notify_one();
    }
}

/// Counts as inside: the environment does not end before it is dropped.
#[derive(Debug)]
pub(crate) struct Inside(Arc<Visits>);

impl Inside {
    /// Begins what was admitted.
    pub(crate) fn begin(self, job: Job) {
        let visits = Arc::clone(&self.0);
        visits.begin(self, job);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.inside -= 1;
        let last = state.inside == 0 && state.stage != Stage::Open;
        drop(state);
        if last {
            self.0.news.notify_one();
        }
    }
}

/// A request's stay, as whoever brought it holds it.
#[derive(Debug)]
pub(super) struct Stay {
    visits: Arc<Visits>,
    /// `None`: it has left.
    key: Option<Key>,
}

impl Stay {
    pub(super) fn leave(mut self, how: Leaving) {
        if let Some(key) = self.key.take() {
            self.visits.left(key, Some(how));
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.visits.left(key, None);
        }
    }
}

/// Sleeps until then; for ever if that is never.
async fn sleep_until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}
