//! One deployment that can be called: its function behind the wall, and its lanes.

use std::sync::Arc;
use std::time::Duration;

use hearth_telemetry::logs::LogStore;
use hearth_types::function::Deployment;
use hearth_wasm::{Function, Output, OutputStream, Shape};

use crate::environment;
use crate::lanes::Lanes;
use crate::loaded;
use crate::logs::EnvironmentLog;

/// One deployment (INV-1).
pub(crate) struct Guest {
    pub(super) deployment: Arc<Deployment>,
    pub(super) function: Function,
    pub(super) timeout: Duration,
    pub(super) lanes: Lanes,
}

impl Guest {
    pub(super) fn new(
        deployment: Arc<Deployment>,
        function: Function,
        logs: LogStore,
    ) -> Arc<Self> {
        let runtime = match function.program().shape() {
            Shape::Http02 => "wasm:wasi-http-0.2",
            Shape::Http03 => "wasm:wasi-http-0.3",
            Shape::Command => "wasm:wasi-cli",
        };
        Arc::new(Self {
            timeout: environment::timeout(&deployment),
            lanes: Lanes::new(Arc::clone(&deployment), runtime.to_owned(), logs),
            deployment,
            function,
        })
    }

    /// How it is called.
    pub(crate) fn shape(&self) -> Shape {
        self.function.program().shape()
    }
}

impl loaded::Guest for Guest {
    fn lanes(&self) -> &Lanes {
        &self.lanes
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
