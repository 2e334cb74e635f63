//! Walls: isolate a process and run it.
#![allow(dead_code, reason = "the line comes before its users")]

mod channel;
mod launcher;
pub mod network;
mod report;
mod sandbox;
mod spec;

pub use launcher::{LaunchError, Launcher, LauncherOptions, StartError};
pub use network::Network;
pub use report::{HostReport, Need, Part};
pub use sandbox::Sandbox;
pub use spec::{DOOR_PORT, Exit, Mount, RUNTIME_API_PORT, Spec, StartCpu, Usage};

/// Must be called first in every `main` that uses this crate: the launcher is the same program started again, and in
/// that process this call never returns.
pub fn run_launcher_if_asked() {}

/// Asks the host what it offers for the process wall; needs no running node.
pub async fn probe(options: LauncherOptions) -> HostReport {
    let _ = options;
    HostReport::default()
}
