//! What an execution environment is on this wall: one log stream, and one call at a time.

use std::sync::Arc;

use hearth_telemetry::logs::LogStore;
use hearth_types::function::Deployment;
use hearth_wasm::{Output, OutputStream, Shape};

use crate::logs::{EnvironmentLog, Event, Wording, stream_name};

/// A lane.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) log: Arc<EnvironmentLog>,
    /// Whether it has served a call.
    pub(super) warm: bool,
}

impl Lane {
    /// A new one, with a new log stream.
    pub(super) fn open(deployment: &Deployment, shape: Shape, logs: &LogStore) -> Self {
        let stream = logs.stream(&deployment.key, &stream_name(deployment.version));
        let log = EnvironmentLog::new(stream, Wording::new(&deployment.configuration));
        log.platform(&Event::InitStart {
            runtime: match shape {
                Shape::Http02 => "wasm:wasi-http-0.2",
                Shape::Http03 => "wasm:wasi-http-0.3",
                Shape::Command => "wasm:wasi-cli",
            },
        });
        Self {
            log: Arc::new(log),
            warm: false,
        }
    }
}

impl Output for EnvironmentLog {
    fn write(&self, stream: OutputStream, bytes: &[u8]) {
        let which = match stream {
            OutputStream::Stdout => 0,
            OutputStream::Stderr => 1,
        };
        self.push(which, bytes);
    }
}
