//! The loop that gives functions their events: it takes what is due, as many at a time as may run, and lets each be
//! worked on in a task of its own.
//!
//! It holds a lane for each function that has events, nothing for each event that waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use hearth_store::StoreError;
use hearth_store::events::{EventStore, Head, MOST_DEAD, Taken};
use hearth_types::name::{AccountId, FunctionKey};
use hearth_types::time::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Clock;
use crate::attempt::Attempts;
use crate::destinations::Destinations;
use crate::policy::after_loss;
use crate::turns::Turns;
use crate::work::{Went, Work};

/// The loop looks at the clock at least this often: the wall clock may be set, and sleeps do not follow it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Wait after the store refused to give events: a full disk, mostly.
const TAKE_AGAIN: Duration = Duration::from_secs(1);

/// How often events that died too long ago are removed.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// Bounds of a [`Dispatcher`].
#[derive(Clone, Copy, Debug)]
pub struct DispatcherOptions {
    /// Most attempts at the same time. Their payloads are in memory: up to 1 MB each.
    pub most: usize,
    /// Most of one account, those that are their function's only one excepted: a flood of one account leaves room.
    pub most_of_account: usize,
    /// Most of one function.
    pub most_of_function: usize,
    /// Most events that one turn gives a function.
    pub turn: usize,
    /// How long dead events are kept.
    pub keep_dead: Duration,
}

impl Default for DispatcherOptions {
    fn default() -> Self {
        Self {
            most: 256,
            most_of_account: 192,
            most_of_function: 64,
            turn: 16,
            // As long as SQS keeps a message at most.
            keep_dead: Duration::from_secs(14 * 24 * 3_600),
        }
    }
}

/// Gives functions their events.
pub struct Dispatcher {
    options: DispatcherOptions,
    work: Arc<Work>,
    lanes: HashMap<FunctionKey, Lane>,
    turns: Turns,
    /// Functions by when their next event is due, if that is later than now.
    timers: BTreeSet<(Timestamp, FunctionKey)>,
    /// Attempts that run or are being taken.
    running: usize,
    running_of: HashMap<AccountId, usize>,
    tasks: JoinSet<Ended>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher")
            .field("options", &self.options)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// A function that has events.
#[derive(Debug)]
struct Lane {
    /// When its next event is due, as far as is known.
    next: Option<Timestamp>,
    /// What was heard of it while a take was on its way, whose answer may be older.
    heard: Option<Timestamp>,
    /// What it has in `timers`.
    timer: Option<Timestamp>,
    /// Attempts that run or are being taken.
    running: usize,
    /// A take is on its way.
    taking: bool,
    /// Most attempts at the same time, as far as the platform has let them in lately: half as many after each refusal,
    /// one more after each attempt that ran. So a queue does not press against a bound that others share.
    window: usize,
}

/// The end of a task.
enum Ended {
    Take {
        function: FunctionKey,
        asked: usize,
        taken: Result<Taken, StoreError>,
    },
    Attempt {
        function: FunctionKey,
        went: Went,
    },
}

impl Dispatcher {
    /// Gives functions the events of `store`, as `attempts` runs them.
    pub fn new(
        options: DispatcherOptions,
        store: Arc<dyn EventStore>,
        attempts: Arc<dyn Attempts>,
        destinations: Arc<dyn Destinations>,
        clock: Clock,
    ) -> Self {
        Self {
            options,
            work: Arc::new(Work {
                store,
                attempts,
                destinations,
                clock,
            }),
            lanes: HashMap::new(),
            turns: Turns::default(),
            timers: BTreeSet::new(),
            running: 0,
            running_of: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Works until it is stopped, and then until what runs has ended. Dropping the future abandons what runs: it is due
    /// again at the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let forgetting = forget(Arc::clone(&self.work), self.options.keep_dead, stop.clone());
        tokio::join!(self.dispatch(&stop), forgetting);
    }

    async fn dispatch(&mut self, stop: &CancellationToken) {
        let work = Arc::clone(&self.work);
        if stop.run_until_cancelled(reclaim(&work)).await.is_none() {
            return;
        }
        loop {
            self.wake();
            self.take();
            let sleep = self.sleep();
            tokio::select! {
                () = stop.cancelled() => break,
                heads = work.store.news() => self.hear(heads),
                Some(ended) = self.tasks.join_next() => self.end(ended),
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while let Some(ended) = self.tasks.join_next().await {
            self.end(ended);
        }
    }

    fn now(&self) -> Timestamp {
        (self.work.clock)()
    }

    /// How long nothing can become due.
    fn sleep(&self) -> Duration {
        let Some((due, _)) = self.timers.first() else {
            return LONGEST_SLEEP;
        };
        let millis = due.as_millis().saturating_sub(self.now().as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(LONGEST_SLEEP)
    }

    /// Takes note of functions that have got something to do.
    fn hear(&mut self, mut heads: Vec<Head>) {
        // The order in which a store says it means nothing: one that is always the same makes runs repeatable.
        heads.sort_by(|a, b| a.function.cmp(&b.function));
        for head in heads {
            let most = self.options.most_of_function;
            let lane = self
                .lanes
                .entry(head.function.clone())
                .or_insert_with(|| Lane {
                    next: None,
                    heard: None,
                    timer: None,
                    running: 0,
                    taking: false,
                    window: most,
                });
            let known = if lane.taking {
                &mut lane.heard
            } else {
                &mut lane.next
            };
            *known = earlier(*known, Some(head.due));
            self.place(&head.function);
        }
    }

    /// Gives functions their turns whose time has come.
    fn wake(&mut self) {
        let now = self.now();
        while let Some((due, function)) = self.timers.first().cloned() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            if let Some(lane) = self.lanes.get_mut(&function) {
                lane.timer = None;
            }
            self.place(&function);
        }
    }

    /// Puts a function where it belongs after anything about it has changed: into the round, among the timers, or
    /// nowhere.
    fn place(&mut self, function: &FunctionKey) {
        let now = self.now();
        let Some(lane) = self.lanes.get_mut(function) else {
            return;
        };
        if let Some(timer) = lane.timer.take() {
            self.timers.remove(&(timer, function.clone()));
        }
        match lane.next {
            // What comes of the take says how it goes on.
            _ if lane.taking => {}
            None if lane.running == 0 => {
                self.lanes.remove(function);
            }
            None => {}
            Some(next) if next > now => {
                lane.timer = Some(next);
                self.timers.insert((next, function.clone()));
            }
            // Otherwise it is placed when one of its attempts ends.
            Some(_) if lane.running < lane.window => self.turns.add(function),
            Some(_) => {}
        }
    }

    /// Starts takes while there is room.
    fn take(&mut self) {
        while self.running < self.options.most {
            let (options, lanes, running_of) = (&self.options, &self.lanes, &self.running_of);
            let next = self.turns.next(|function| {
                let of_account = running_of.get(&function.account).copied();
                let is_first = lanes.get(function).is_none_or(|lane| lane.running == 0);
                is_first || of_account.unwrap_or(0) < options.most_of_account
            });
            let Some(function) = next else {
                break;
            };
            let Some(lane) = self.lanes.get_mut(&function) else {
                continue;
            };
            let of_function = match self.work.attempts.concurrency(&function) {
                // One that is stopped: its events end.
                None | Some(0) => lane.window,
                Some(reserved) => lane.window.min(reserved as usize),
            };
            let of_account = self.running_of.get(&function.account).copied().unwrap_or(0);
            let room_of_account = match lane.running {
                0 => self
                    .options
                    .most_of_account
                    .saturating_sub(of_account)
                    .max(1),
                _ => self.options.most_of_account.saturating_sub(of_account),
            };
            let asked = of_function
                .saturating_sub(lane.running)
                .min(self.options.most - self.running)
                .min(room_of_account)
                .min(self.options.turn);
            if asked == 0 || lane.taking {
                // It is placed when one of its attempts ends.
                continue;
            }
            lane.taking = true;
            lane.running += asked;
            self.running += asked;
            *self.running_of.entry(function.account.clone()).or_default() += asked;
            let work = Arc::clone(&self.work);
            let now = self.now();
            self.tasks.spawn(async move {
                let taken = work.store.take(&function, now, asked).await;
                if taken.is_err() {
                    tokio::time::sleep(TAKE_AGAIN).await;
                }
                Ended::Take {
                    function,
                    asked,
                    taken,
                }
            });
        }
    }

    /// Takes note of the end of a task.
    fn end(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended::Take {
                function,
                asked,
                taken,
            }) => {
                let events = match taken {
                    Ok(taken) => {
                        if let Some(lane) = self.lanes.get_mut(&function) {
                            lane.next = taken.next;
                        }
                        taken.events
                    }
                    Err(error) => {
                        tracing::error!(%error, %function, "take a function's events");
                        Vec::new()
                    }
                };
                self.release(&function, asked.saturating_sub(events.len()));
                if let Some(lane) = self.lanes.get_mut(&function) {
                    lane.taking = false;
                    lane.next = earlier(lane.next, lane.heard.take());
                }
                for leased in events {
                    let (work, function) = (Arc::clone(&self.work), function.clone());
                    self.tasks.spawn(async move {
                        let went = work.run(leased).await;
                        Ended::Attempt { function, went }
                    });
                }
                self.place(&function);
            }
            Ok(Ended::Attempt { function, went }) => {
                self.release(&function, 1);
                let most = self.options.most_of_function;
                if let Some(lane) = self.lanes.get_mut(&function) {
                    lane.window = match went {
                        Went::Ran => (lane.window + 1).min(most),
                        Went::Refused => (lane.window / 2).max(1),
                    };
                }
                self.place(&function);
            }
            Err(error) => tracing::error!(%error, "a task of the dispatcher"),
        }
    }

    /// Gives back room.
    fn release(&mut self, function: &FunctionKey, attempts: usize) {
        self.running -= attempts;
        if let Some(lane) = self.lanes.get_mut(function) {
            lane.running -= attempts;
        }
        if let Some(of_account) = self.running_of.get_mut(&function.account) {
            *of_account -= attempts;
            if *of_account == 0 {
                self.running_of.remove(&function.account);
            }
        }
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Makes due again what processes before this one have left running.
async fn reclaim(work: &Work) {
    loop {
        let clock = Arc::clone(&work.clock);
        let due = move |lost| after_loss(clock(), lost);
        match work.store.reclaim(Box::new(due)).await {
            Ok(0) => return,
            Ok(lost) => {
                tracing::info!(lost, "events that ran when the node ended are due again");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "take back what ran when the node ended");
                tokio::time::sleep(TAKE_AGAIN).await;
            }
        }
    }
}

/// Removes dead events that are too old, now and then.
async fn forget(work: Arc<Work>, keep: Duration, stop: CancellationToken) {
    let forgetting = async {
        loop {
            let now = (work.clock)().as_millis();
            let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
            let before = Timestamp::from_millis(now.saturating_sub(keep));
            match work.store.forget(before).await {
                Ok(MOST_DEAD..) => {}
                Ok(_) => tokio::time::sleep(FORGET_EVERY).await,
                Err(error) => {
                    tracing::warn!(%error, "remove old dead events");
                    tokio::time::sleep(FORGET_EVERY).await;
                }
            }
        }
    };
    stop.run_until_cancelled(forgetting).await;
}
