//! A dispatcher whose time is the test's: it passes when nothing else is left to do.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hearth_events::attempt::{Attempt, Attempts};
use hearth_events::destinations::{Destinations, Nobody};
use hearth_events::{Clock, Dispatcher, DispatcherOptions, Event};
use hearth_store::EventOptions;
use hearth_store::conformance::events::memory::{MemoryEventStore, MemoryEvents};
use hearth_store::events::EventStore as _;
use hearth_types::ApiError;
use hearth_types::error::ThrottleReason;
use hearth_types::event_invoke::EventSettings;
use hearth_types::invoke::{BoxFuture, FunctionError, RequestId};
use hearth_types::name::{FunctionKey, Qualifier, Version};
use hearth_types::time::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// When tests begin: any time will do.
const START: i64 = 1_800_000_000_000;

/// The test's clock. Whole milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Time(Instant);

impl Time {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(START + self.0.elapsed().as_millis() as i64)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }

    pub(crate) fn clock(&self) -> Clock {
        let time = *self;
        Arc::new(move || time.now())
    }
}

pub(crate) fn function(name: &str) -> FunctionKey {
    function_of("000000000000", name)
}

pub(crate) fn function_of(account: &str, name: &str) -> FunctionKey {
    FunctionKey {
        account: account.parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        name: name.parse().unwrap(),
    }
}

pub(crate) fn id(n: u64) -> RequestId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    RequestId::from_random(bytes)
}

/// What a function does with an event: how long it takes, and what comes of it.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    Succeed(Duration),
    Fail(Duration),
    Throttle,
    Blocked,
    Panic,
}

impl Does {
    async fn attempt(self) -> Attempt {
        let ran = |error, payload: &'static str| Attempt::Ran {
            version: Version::Latest,
            payload: Bytes::from(payload),
            error,
        };
        match self {
            Self::Succeed(takes) => {
                pass_briefly(takes).await;
                ran(None, "\"done\"")
            }
            Self::Fail(takes) => {
                pass_briefly(takes).await;
                ran(
                    Some(FunctionError::Unhandled),
                    r#"{"errorType":"E","errorMessage":"no"}"#,
                )
            }
            Self::Throttle => Attempt::Refused(ApiError::throttled(
                ThrottleReason::ConcurrentInvocationLimitExceeded,
            )),
            Self::Blocked => Attempt::Blocked,
            Self::Panic => panic!("an attempt that the test asked to panic"),
        }
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tried {
    pub(crate) id: RequestId,
    pub(crate) function: String,
    /// When it began and ended, seconds.
    pub(crate) began: f64,
    pub(crate) ended: f64,
    pub(crate) did: Did,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Succeeded,
    Failed,
    Refused,
    /// Its node was killed before it ended.
    Lost,
    /// Its node was killed in the moment in which it ended.
    Unsure,
}

type Script = dyn Fn(&Event, usize) -> Does + Send + Sync;

/// Functions that do as a script says of an event and the number of its attempt, from 1.
pub(crate) struct Scripted {
    time: Time,
    script: Box<Script>,
    pub(crate) settings: EventSettings,
    pub(crate) reserved: HashMap<FunctionKey, u32>,
    pub(crate) tried: Mutex<Vec<Tried>>,
    running: Mutex<HashMap<FunctionKey, usize>>,
    pub(crate) most_running: Mutex<HashMap<FunctionKey, usize>>,
}

impl Scripted {
    pub(crate) fn new(
        time: Time,
        script: impl Fn(&Event, usize) -> Does + Send + Sync + 'static,
    ) -> Self {
        Self {
            time,
            script: Box::new(script),
            settings: EventSettings::default(),
            reserved: HashMap::new(),
            tried: Mutex::default(),
            running: Mutex::default(),
            most_running: Mutex::default(),
        }
    }

    /// When attempts of an event began, seconds.
    pub(crate) fn seconds_of(&self, n: u64) -> Vec<f64> {
        self.attempts_of(n)
            .iter()
            .map(|tried| tried.began)
            .collect()
    }

    /// Attempts of an event.
    pub(crate) fn attempts_of(&self, n: u64) -> Vec<Tried> {
        let tried = self.tried.lock().unwrap();
        let own = tried.iter().filter(|tried| tried.id == id(n));
        own.cloned().collect()
    }

    /// Runs an event in a node that lives as long as `alive` says.
    async fn attempt(&self, event: Event, alive: &AtomicBool) -> Attempt {
        let (at, number) = {
            let mut tried = self.tried.lock().unwrap();
            tried.push(Tried {
                id: event.id,
                function: event.function.name.to_string(),
                began: self.time.seconds(),
                ended: f64::INFINITY,
                did: Did::Lost,
            });
            let number = tried.iter().filter(|tried| tried.id == event.id).count();
            (tried.len() - 1, number)
        };
        let does = (self.script)(&event, number);
        {
            let mut running = self.running.lock().unwrap();
            let running = running.entry(event.function.clone()).or_default();
            *running += 1;
            let mut most = self.most_running.lock().unwrap();
            let most = most.entry(event.function.clone()).or_default();
            *most = (*most).max(*running);
        }
        let attempt = does.attempt().await;
        if let Some(running) = self.running.lock().unwrap().get_mut(&event.function) {
            *running -= 1;
        }
        if alive.load(Ordering::Relaxed) {
            let tried = &mut self.tried.lock().unwrap()[at];
            tried.ended = self.time.seconds();
            tried.did = match &attempt {
                Attempt::Ran { error: None, .. } => Did::Succeeded,
                Attempt::Ran { .. } => Did::Failed,
                Attempt::Refused(_) | Attempt::Blocked | Attempt::Looped => Did::Refused,
            };
        }
        attempt
    }

    /// A node was killed now.
    fn killed(&self) {
        let now = self.time.seconds();
        for tried in self.tried.lock().unwrap().iter_mut() {
            if tried.ended == now {
                tried.did = Did::Unsure;
            }
        }
    }
}

/// The functions of one node, from its start to its end.
struct OfNode {
    functions: Arc<Scripted>,
    alive: Arc<AtomicBool>,
}

impl Attempts for OfNode {
    fn settings(&self, _: &FunctionKey, _: Option<&Qualifier>) -> EventSettings {
        self.functions.settings.clone()
    }

    fn concurrency(&self, function: &FunctionKey) -> Option<u32> {
        self.functions.reserved.get(function).copied()
    }

    fn attempt(&self, event: Event) -> BoxFuture<'_, Attempt> {
        Box::pin(self.functions.attempt(event, &self.alive))
    }
}

/// A node's event half, from its start to its end.
pub(crate) struct Running {
    pub(crate) store: Arc<MemoryEventStore>,
    functions: Arc<Scripted>,
    alive: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(
        kept: &MemoryEvents,
        time: Time,
        functions: &Arc<Scripted>,
        destinations: Arc<dyn Destinations>,
    ) -> Self {
        let store = Arc::new(kept.open());
        let alive = Arc::new(AtomicBool::new(true));
        let of_node = OfNode {
            functions: Arc::clone(functions),
            alive: Arc::clone(&alive),
        };
        let stop = CancellationToken::new();
        let dispatcher = Dispatcher::new(
            DispatcherOptions::default(),
            Arc::clone(&store) as _,
            Arc::new(of_node),
            destinations,
            time.clock(),
        );
        Self {
            store,
            functions: Arc::clone(functions),
            alive,
            stop: stop.clone(),
            task: tokio::spawn(dispatcher.run(stop)),
        }
    }

    /// As a process that is killed: nothing that ran goes on.
    pub(crate) async fn kill(self) {
        self.alive.store(false, Ordering::Relaxed);
        self.functions.killed();
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    pub(crate) async fn accept(&self, time: Time, function: &FunctionKey, n: u64) {
        let now = time.now();
        let event = Event {
            id: id(n),
            function: function.clone(),
            qualifier: None,
            payload: Bytes::from(n.to_string()),
            client_context: None,
            trace_id: String::new(),
            accepted: now,
            due: now,
        };
        self.store.accept(event).await.unwrap();
    }
}

/// A node with nobody to tell.
pub(crate) fn node(time: Time, functions: &Arc<Scripted>) -> (MemoryEvents, Running) {
    let kept = MemoryEvents::new(EventOptions::default());
    let running = Running::start(&kept, time, functions, Arc::new(Nobody));
    (kept, running)
}

/// Nothing takes no time at all: not the millisecond that a sleep may.
async fn pass_briefly(takes: Duration) {
    if !takes.is_zero() {
        tokio::time::sleep(takes).await;
    }
}

/// Lets time pass.
pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
