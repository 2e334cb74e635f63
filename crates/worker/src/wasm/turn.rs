//! One call on a lane, from START to REPORT.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_types::ApiError;
use hearth_types::invoke::{Report, RequestId};
use hearth_wasm::{Call, Ending, Output, Usage};
use tokio::sync::oneshot;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::fault::Fault;
use super::guest::Guest;
use super::table::Components;
use crate::failure::Failure;
use crate::lanes::Lane;
use crate::logs::{Conclusion, EnvironmentLog};

/// A call that has begun. One that is dropped instead of ended, ends as abandoned by its caller.
pub(super) struct Turn {
    pub(super) guest: Arc<Guest>,
    pub(super) request_id: RequestId,
    began: Instant,
    /// How long the call waited for the program, if it did.
    loading: Option<Duration>,
    lane: Lane,
    ended: bool,
    _counted: TaskTrackerToken,
}

impl Turn {
    /// Begins: writes START; time runs.
    ///
    /// # Errors
    /// If the worker is shutting down.
    pub(super) fn begin(
        components: &Components,
        guest: Arc<Guest>,
        request_id: RequestId,
        log_tail: bool,
        loading: Option<Duration>,
    ) -> Result<Self, ApiError> {
        let counted = components.calls.count()?;
        let lane = guest.lanes.begin(&request_id, log_tail);
        Ok(Self {
            guest,
            request_id,
            began: Instant::now(),
            loading,
            lane,
            ended: false,
            _counted: counted,
        })
    }

    /// The log of its lane.
    pub(super) fn log(&self) -> Arc<EnvironmentLog> {
        Arc::clone(&self.lane.log)
    }

    /// When its guest is ended.
    pub(super) fn deadline(&self) -> Instant {
        self.began + self.guest.timeout
    }

    /// What the wall is told besides the request. `output` is where the log goes; `ended` gets the turn, to end it.
    pub(super) fn into_call(
        self,
        output: Arc<dyn Output>,
        ended: impl FnOnce(Self, Ending) + Send + 'static,
    ) -> Call {
        Call {
            output,
            deadline: self.deadline(),
            ended: Box::new(move |ending| ended(self, ending)),
        }
    }

    /// As [`into_call`](Self::into_call), for one who waits for the guest's end and ends the turn then.
    pub(super) fn into_awaited_call(
        self,
        output: Arc<dyn Output>,
    ) -> (Call, oneshot::Receiver<(Self, Ending)>) {
        let (sender, receiver) = oneshot::channel();
        let call = self.into_call(output, move |turn, ending| {
            // Nobody waits any more.
            if let Err((turn, ending)) = sender.send((turn, ending)) {
                turn.end_as(&ending);
            }
        });
        (call, receiver)
    }

    /// Ends as the wall says.
    pub(super) fn end_as(self, ending: &Ending) -> (Report, Option<Fault>) {
        let fault = Fault::of(ending, &self.guest);
        let (report, _) = self.end(&ending.usage, fault.as_ref());
        (report, fault)
    }

    /// Ends: writes END and REPORT, and gives the lane back. Gives what was measured, and the log's tail if it was kept.
    pub(super) fn end(mut self, usage: &Usage, fault: Option<&Fault>) -> (Report, Option<Bytes>) {
        self.finish(usage, fault)
    }

    fn finish(&mut self, usage: &Usage, fault: Option<&Fault>) -> (Report, Option<Bytes>) {
        self.ended = true;
        let lane = &self.lane;
        let instance = usage.init.unwrap_or_default();
        let (init, duration) = if lane.warm && self.loading.is_none() {
            (None, usage.duration + instance)
        } else {
            (
                Some(self.loading.unwrap_or_default() + instance),
                usage.duration,
            )
        };
        let memory_mib = self.guest.deployment.configuration.memory_mib;
        let peak_mib = usage.peak_memory_bytes.div_ceil(1 << 20);
        let report = Report {
            duration,
            init,
            max_memory_mib: u32::try_from(peak_mib).map_or(memory_mib, |mib| mib.min(memory_mib)),
        };
        let conclusion = match fault {
            None => Conclusion::Success,
            // Said in REPORT alone, as for processes.
            Some(Fault::Function(failure @ Failure::ResponseTooLarge)) => {
                Conclusion::Error(failure.kind())
            }
            Some(Fault::Function(failure)) => Conclusion::Failure(failure),
            Some(Fault::Platform(_)) => Conclusion::Error("Runtime.Unknown"),
        };
        let lanes = &self.guest.lanes;
        let tail = lanes.end(lane.clone(), &self.request_id, &report, conclusion);
        (report, tail)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            let usage = Usage {
                duration: self.began.elapsed(),
                ..Usage::default()
            };
            self.finish(&usage, Some(&Fault::Function(Failure::Abandoned)));
        }
    }
}
