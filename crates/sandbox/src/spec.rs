//! What to run inside a sandbox, and what came of it.

use std::path::PathBuf;
use std::time::Duration;

use hearth_types::folder::Access;
use serde::{Deserialize, Serialize};

use crate::network::Network;

/// The port of the Lambda Runtime API on 127.0.0.1 inside every sandbox.
pub const RUNTIME_API_PORT: u16 = 9001;

/// The port of Hearth's own API on 127.0.0.1 inside every sandbox: the one door from a function to the platform.
pub const DOOR_PORT: u16 = 9002;

/// Everything that one sandbox needs to know; nothing of it is shared with another.
#[derive(Clone, Debug)]
pub struct Spec {
    /// A label for logs and errors. Not seen inside, any text.
    pub name: String,
    /// The folder that becomes `/var/task`, read-only. Files must be readable by others (mode `o+r`, folders `o+rx`)
    /// because they keep their owner; the folders above may be closed to others.
    pub code: PathBuf,
    /// The folder that becomes `/opt`, read-only; an empty folder if `None`.
    pub layers: Option<PathBuf>,
    /// More read-only folders, for example an interpreter at `/var/lang`; readable by others like `code`.
    pub mounts: Vec<Mount>,
    /// Folders of the host that others use as well.
    pub folders: Vec<SharedFolder>,
    /// The program, as a path inside the sandbox, and its arguments; never empty. There is no search in `PATH`.
    pub argv: Vec<String>,
    /// The whole environment: nothing of the platform's own is added.
    pub env: Vec<(String, String)>,
    /// Memory in MiB, 1 or more; everything that the function's processes hold counts, files in `/tmp` included.
    /// The share of the processor follows from it: one virtual processor for each 1,769 MiB.
    pub memory_mib: u32,
    /// The size of `/tmp` in MiB, 1 or more.
    pub tmp_mib: u32,
    /// What the function may reach.
    pub network: Network,
    /// How much of the processor there is before [`Sandbox::limit_cpu`](crate::Sandbox::limit_cpu) is called.
    pub start_cpu: StartCpu,
}

/// The processor's share while the function starts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum StartCpu {
    /// The share that belongs to the memory size, from the first instruction.
    #[default]
    Share,
    /// No less than two virtual processors until [`Sandbox::limit_cpu`](crate::Sandbox::limit_cpu): Init isn't slowed
    /// down by a small memory size.
    Boost,
}

/// One more folder or file of the host, read-only inside.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Mount {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where it is inside: `/var/lang`, `/var/runtime`, or `/opt` if there are no layers.
    pub target: PathBuf,
}

/// A folder of the host that others use as well. What is on it is data: no programs, no devices, no links, pipes or
/// sockets of the function's making, and no way to sockets that are there. The function acts there as the folder's owner.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SharedFolder {
    /// Where it is on the host. No link, and nothing that a function could replace by one.
    pub source: PathBuf,
    /// Where it is inside: `/mnt/` and one name, another for each.
    pub target: PathBuf,
    /// What may be done there.
    pub access: Access,
}

/// How the function's main process ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Exit {
    /// It left with this status, 0 to 255.
    Code(i32),
    /// This signal ended it; [`Sandbox::kill`](crate::Sandbox::kill) shows as 9.
    Signal(i32),
    /// It was killed because the sandbox reached its memory limit.
    OutOfMemory,
}

/// What a sandbox used so far.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Usage {
    /// The highest memory use in bytes.
    pub peak_memory_bytes: u64,
    /// Processor time of all its processes.
    pub cpu: Duration,
}
