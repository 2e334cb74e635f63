//! The components of a worker: what they are loaded with, which are, and how that ends.

use std::time::Instant;

use hearth_code::Packages;
use hearth_telemetry::logs::LogStore;

use super::guest::Guest;
use super::processes::Processes;
use crate::calls::Calls;
use crate::loaded::Loaded;
use crate::options::ComponentOptions;

/// Deployments that stay loaded. Each program has a descriptor and a few mappings, of which a process has 65,530
/// (`vm.max_map_count`); programs of the same package are one.
const MOST_LOADED: usize = 8_192;

/// The components of this worker.
pub(crate) struct Components {
    /// `None`: this node has no such wall.
    pub(super) options: Option<ComponentOptions>,
    /// `None`: guests run in this process.
    pub(super) processes: Option<Processes>,
    pub(super) packages: Packages,
    pub(super) logs: LogStore,
    pub(crate) loaded: Loaded<Guest>,
    pub(crate) calls: Calls,
}

impl Components {
    pub(crate) fn new(
        options: Option<ComponentOptions>,
        processes: Option<Processes>,
        packages: Packages,
        logs: LogStore,
    ) -> Self {
        Self {
            options,
            processes,
            packages,
            logs,
            loaded: Loaded::default(),
            calls: Calls::default(),
        }
    }

    /// Lets go of what has been idle since before `idle_since`. What is loaded again later comes from the wall's cache.
    pub(crate) fn expire(&self, idle_since: Instant) {
        self.loaded.expire(idle_since);
        self.loaded.evict(MOST_LOADED);
    }

    /// Forgets everything, and ends accounts' processes.
    pub(crate) async fn end(&self) {
        self.loaded.clear();
        if let Some(processes) = &self.processes {
            processes.end().await;
        }
    }
}
