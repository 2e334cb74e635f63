//! One deployment that can be called: its function behind the wall, and its lanes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hearth_telemetry::logs::LogStore;
use hearth_types::function::Deployment;
use hearth_wasm::{Function, Shape};

use super::lane::Lane;
use crate::environment;

/// One deployment (INV-1).
pub(crate) struct Guest {
    pub(super) deployment: Arc<Deployment>,
    pub(super) function: Function,
    pub(super) timeout: Duration,
    /// When it was loaded.
    since: Instant,
    logs: LogStore,
    lanes: Mutex<Lanes>,
}

#[derive(Debug, Default)]
struct Lanes {
    /// Least recently used first: the last one is taken, and the first ones are let go.
    idle: Vec<(Instant, Lane)>,
    busy: usize,
}

impl Guest {
    pub(super) fn new(
        deployment: Arc<Deployment>,
        function: Function,
        logs: LogStore,
    ) -> Arc<Self> {
        Arc::new(Self {
            timeout: environment::timeout(&deployment),
            deployment,
            function,
            since: Instant::now(),
            logs,
            lanes: Mutex::default(),
        })
    }

    /// How it is called.
    pub(crate) fn shape(&self) -> Shape {
        self.function.program().shape()
    }

    /// A lane for one call: the one that was used last, or a new one. How many there are is bounded by admission, which
    /// a call has passed, and by the wall, in which it waits for an instance.
    pub(super) fn take(&self) -> Lane {
        let idle = {
            let mut lanes = self.lock();
            lanes.busy += 1;
            lanes.idle.pop()
        };
        match idle {
            Some((_, lane)) => lane,
            None => Lane::open(&self.deployment, self.shape(), &self.logs),
        }
    }

    /// Takes a lane back.
    pub(super) fn give_back(&self, mut lane: Lane) {
        lane.warm = true;
        let now = Instant::now();
        let mut lanes = self.lock();
        lanes.busy = lanes.busy.saturating_sub(1);
        lanes.idle.push((now, lane));
    }

    /// Lets go of lanes that have been idle since before `idle_since`. Gives whether any is left.
    pub(super) fn expire(&self, idle_since: Instant) -> bool {
        let mut lanes = self.lock();
        let expired = lanes
            .idle
            .partition_point(|(since, _)| *since <= idle_since);
        let expired: Vec<_> = lanes.idle.drain(..expired).collect();
        let needed = lanes.busy > 0 || !lanes.idle.is_empty();
        drop(lanes);
        drop(expired);
        needed
    }

    /// Since when no call runs, as far as lanes remember; `None` while one does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let lanes = self.lock();
        (lanes.busy == 0).then(|| lanes.idle.last().map_or(self.since, |(since, _)| *since))
    }

    /// Lanes that are idle, and lanes that serve a call.
    pub(super) fn lanes(&self) -> [usize; 2] {
        let lanes = self.lock();
        [lanes.idle.len(), lanes.busy]
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // Every operation leaves the lanes whole.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
