//! The messages between the main process, the launcher and the pid 1 of each sandbox.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::network::NetworkOptions;
use crate::report::HostReport;
use crate::spec::{Exit, Mount, SharedFolder, StartCpu, Usage};

/// From the main process to the launcher.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Request {
    /// The first message, with the preparer's end of its own line as descriptor.
    Start {
        run_dir: PathBuf,
        network: NetworkOptions,
    },
    /// Descriptors: network namespace, standard output, standard error.
    Launch { id: u64, order: Order },
    /// Kill everything in a sandbox.
    Kill { id: u64 },
    /// End the boost of its start.
    LimitCpu { id: u64 },
}

/// What to run: [`crate::Spec`] without what the main process does itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) code: PathBuf,
    pub(crate) layers: Option<PathBuf>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) folders: Vec<SharedFolder>,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) memory_mib: u32,
    pub(crate) tmp_mib: u32,
    pub(crate) start_cpu: StartCpu,
}

/// From the launcher to the main process.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Event {
    /// The answer to [`Request::Start`].
    Ready { host: HostReport },
    /// The program has been executed.
    Launched { id: u64, pid: u32, meter: Meter },
    /// The program never ran; nothing is left of the sandbox.
    Failed { id: u64, failure: Failure },
    /// All processes are gone and the cgroup is removed.
    Exited { id: u64, exit: Exit, usage: Usage },
    /// The use of a sandbox that has no cgroup, whenever its peak has grown.
    Polled { id: u64, usage: Usage },
}

/// Where the main process reads a running sandbox's use.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Meter {
    /// Files of cgroup v2: `memory.peak`, `cpu.stat`.
    V2 { group: PathBuf },
    /// Folders of cgroup v1: `memory.max_usage_in_bytes`, `cpuacct.usage`.
    V1 {
        memory: PathBuf,
        cpuacct: Option<PathBuf>,
    },
    /// No cgroup: [`Event::Polled`].
    Polled,
}

/// Why a launch failed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Failure {
    /// The request itself.
    Spec { reason: String },
    /// A step of setting up the wall.
    Setup { step: String, reason: String },
    /// A folder that the sandbox was to share.
    Folder { target: PathBuf, reason: String },
    /// `execve`.
    Exec { errno: i32 },
}

impl Failure {
    /// A failed step with the system's reason.
    pub(crate) fn setup(step: &str, error: &std::io::Error) -> Self {
        Self::Setup {
            step: step.to_owned(),
            reason: error.to_string(),
        }
    }
}

/// From the launcher to a new pid 1: cgroup and identity are in place.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Go {}

/// From pid 1 to the launcher.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Report {
    /// The program has been executed.
    Started,
    /// It has not; pid 1 ends.
    Failed(Failure),
    /// The function's main process has ended, with this `wait` status; pid 1 ends and takes all others along.
    Ended {
        status: i32,
        peak_bytes: u64,
        cpu_us: u64,
    },
}
