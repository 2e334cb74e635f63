//! What execution environments are where a wall keeps none for the worker: lanes. Each has one log stream and serves one
//! call at a time, so that lines of concurrent calls never mix.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hearth_telemetry::logs::LogStore;
use hearth_types::function::Deployment;
use hearth_types::invoke::{Report, RequestId};

use crate::logs::{Conclusion, EnvironmentLog, Event, Wording, stream_name};

/// A lane.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) log: Arc<EnvironmentLog>,
    /// Whether it has served a call.
    pub(crate) warm: bool,
}

/// The lanes of one deployment.
pub(crate) struct Lanes {
    deployment: Arc<Deployment>,
    /// What their logs say that runs.
    runtime: String,
    logs: LogStore,
    /// When the deployment was loaded.
    since: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Least recently used first: the last one is taken, and the first ones are let go.
    idle: Vec<(Instant, Lane)>,
    busy: usize,
}

impl Lanes {
    pub(crate) fn new(deployment: Arc<Deployment>, runtime: String, logs: LogStore) -> Self {
        Self {
            deployment,
            runtime,
            logs,
            since: Instant::now(),
            inner: Mutex::default(),
        }
    }

    /// A lane for one call, with START written.
    pub(crate) fn begin(&self, request_id: &RequestId, log_tail: bool) -> Lane {
        let lane = self.take();
        lane.log
            .begin(request_id, self.deployment.version, log_tail);
        lane
    }

    /// Takes a lane back from a call that has ended: writes END and REPORT. Gives the log's tail if it was kept.
    pub(crate) fn end(
        &self,
        lane: Lane,
        request_id: &RequestId,
        report: &Report,
        conclusion: Conclusion<'_>,
    ) -> Option<Bytes> {
        let tail = lane.log.end(request_id, report, conclusion);
        self.give_back(lane);
        tail
    }

    /// The one that was used last, or a new one. How many there are is bounded by admission, which
    /// a call has passed.
    fn take(&self) -> Lane {
        let idle = {
            let mut lanes = self.lock();
            lanes.busy += 1;
            lanes.idle.pop()
        };
        match idle {
            Some((_, lane)) => lane,
            None => self.open(),
        }
    }

    /// A new one, with a new log stream.
    fn open(&self) -> Lane {
        let deployment = &self.deployment;
        let stream = self
            .logs
            .stream(&deployment.key, &stream_name(deployment.version));
        let log = EnvironmentLog::new(stream, Wording::new(&deployment.configuration));
        log.platform(&Event::InitStart {
            runtime: &self.runtime,
        });
        Lane {
            log: Arc::new(log),
            warm: false,
        }
    }

    /// Takes a lane back.
    fn give_back(&self, mut lane: Lane) {
        lane.warm = true;
        let now = Instant::now();
        let mut lanes = self.lock();
        lanes.busy = lanes.busy.saturating_sub(1);
        lanes.idle.push((now, lane));
    }

    /// Lets go of lanes that have been idle since before `idle_since`. Gives whether any is left.
    pub(crate) fn expire(&self, idle_since: Instant) -> bool {
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
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let lanes = self.lock();
        (lanes.busy == 0).then(|| lanes.idle.last().map_or(self.since, |(since, _)| *since))
    }

    /// Lanes that are idle, and lanes that serve a call.
    pub(crate) fn counts(&self) -> [usize; 2] {
        let lanes = self.lock();
        [lanes.idle.len(), lanes.busy]
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every operation leaves the lanes whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
