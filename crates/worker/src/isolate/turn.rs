//! One call on a lane, from START to REPORT.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_isolates::{Expected, Line};
use hearth_types::ApiError;
use hearth_types::invoke::{Report, RequestId};
use serde_json::Value;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::fault::{self, Fault};
use super::guest::Guest;
use super::lines;
use super::table::Workers;
use super::tail;
use crate::lanes::Lane;
use crate::logs::Conclusion;

/// A call that has begun.
pub(super) struct Turn {
    pub(super) guest: Arc<Guest>,
    pub(super) request_id: RequestId,
    began: Instant,
    /// How long the call waited for the worker, if it did.
    loading: Option<Duration>,
    lane: Lane,
    expected: Expected,
    /// What somebody who watches is told that it was asked, and when.
    watched: Option<(Value, i64)>,
    _counted: TaskTrackerToken,
}

/// How a call ended.
pub(super) struct Ended {
    pub(super) fault: Option<Fault>,
    pub(super) report: Report,
    pub(super) log_tail: Option<Bytes>,
}

impl Turn {
    /// Begins: writes START; time runs. `asked` is made if somebody watches.
    ///
    /// # Errors
    /// If the worker is shutting down.
    pub(super) fn begin(
        workers: &Workers,
        guest: Arc<Guest>,
        request_id: RequestId,
        log_tail: bool,
        loading: Option<Duration>,
        asked: impl FnOnce() -> Value,
    ) -> Result<Self, ApiError> {
        let counted = workers.calls.count()?;
        let is_watched = guest.tails.is_watched(&guest.deployment.key);
        let lane = guest.lanes.begin(&request_id, log_tail);
        Ok(Self {
            expected: guest.code.expect(request_id),
            guest,
            request_id,
            began: Instant::now(),
            loading,
            lane,
            watched: is_watched.then(|| (asked(), now())),
            _counted: counted,
        })
    }

    /// When it is ended.
    pub(super) fn deadline(&self) -> Instant {
        self.began + self.guest.timeout
    }

    /// What it took until now.
    fn report(&self) -> Report {
        let init = self.loading.filter(|_| !self.lane.warm);
        Report {
            duration: self.began.elapsed(),
            init,
            // The engine does not say what one isolate holds.
            max_memory_mib: 0,
        }
    }

    /// Ends well. What the worker has left to run on may run until the deadline; nobody waits for it, and END is
    /// written then.
    pub(super) fn end_later(self) -> Report {
        let report = self.report();
        if self.expected.is_done() {
            self.conclude(report, None);
        } else {
            tokio::spawn(async move {
                self.wait().await;
                self.conclude(report, None);
            });
        }
        report
    }

    /// Ends, and waits for what the worker still writes if that was a good end.
    pub(super) async fn end(self, fault: Option<Fault>) -> Ended {
        let report = self.report();
        if fault.is_none() {
            self.wait().await;
        } else {
            self.expected.hear();
        }
        self.conclude(report, fault)
    }

    /// Waits for what the worker has left to run on, as long as it may.
    async fn wait(&self) {
        let left = self.deadline().saturating_duration_since(Instant::now());
        self.expected.done(left).await;
    }

    fn conclude(mut self, report: Report, fault: Option<Fault>) -> Ended {
        let lines = self.expected.take();
        for line in &lines {
            self.write(line);
        }
        if let Some(Fault::Thrown(thrown)) = &fault {
            self.write(&Line {
                timestamp: now(),
                level: "error".to_owned(),
                text: format!(
                    "Uncaught {}: {}\n{}",
                    fault::name(thrown),
                    thrown.message,
                    thrown.stack.as_deref().unwrap_or_default()
                ),
            });
        }
        if let Some((asked, began)) = self.watched.take() {
            let function = &self.guest.deployment.key;
            let item = tail::item(function, began, asked, &lines, fault.as_ref());
            self.guest.tails.tell(function, &item);
        }
        let conclusion = match &fault {
            None => Conclusion::Success,
            Some(Fault::Function(failure)) => Conclusion::Failure(failure),
            Some(Fault::Thrown(thrown)) => Conclusion::Error(fault::name(thrown)),
            Some(Fault::Platform(_)) => Conclusion::Error("Runtime.Unknown"),
        };
        let lanes = &self.guest.lanes;
        let log_tail = lanes.end(self.lane.clone(), &self.request_id, &report, conclusion);
        Ended {
            fault,
            report,
            log_tail,
        }
    }

    fn write(&self, line: &Line) {
        let logging = &self.guest.deployment.configuration.logging;
        if let Some(text) = lines::line(line, &self.request_id, logging) {
            self.lane.log.push(0, text.as_bytes());
        }
    }
}

fn now() -> i64 {
    hearth_types::time::Timestamp::from(std::time::SystemTime::now()).as_millis()
}
