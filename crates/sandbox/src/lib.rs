//! Walls: isolate a process and run it.
//!
//! [`Launcher`] starts programs behind the process wall: Linux namespaces, a read-only root, cgroup limits, Landlock and
//! a system call filter, all embedded and the same for root and for an unprivileged user. Inside, a function sees the
//! Lambda Runtime API on 127.0.0.1 and nothing of the host; outside, a [`Sandbox`] is the handle on it. What runs there and
//! for whom is not known here.
//!
//! The way of a launch: [`Launcher::launch`] (main process) takes a prepared network and sends an order to the `helper`
//! (the launcher process), which opens what is to be mounted, clones the sandbox's pid 1 and sets its limits; `inside` is
//! what that process does to itself before the function's first instruction.
//!
//! What a host must offer is tried at start ([`HostReport`]), and never silently done without. Required: user, mount, pid,
//! network, ipc and uts namespaces, mounts by descriptor (Linux 5.12), Landlock (5.13) and seccomp filters; there is no
//! mode without namespaces. Without cgroups, which an unprivileged user has only where systemd delegates them, memory is
//! bounded by polling and `RLIMIT_DATA` (which counts the whole stack of each thread) and the processor not at all: a weak
//! wall, refused unless allowed. Where /proc is masked it is empty inside.
//!
//! Only this crate contains `unsafe` code (INV-5), most of it in `sys`.

mod cgroup;
mod channel;
mod error;
mod folder;
mod helper;
mod inside;
mod launcher;
pub mod network;
mod protocol;
mod report;
mod sandbox;
mod seccomp;
mod spec;
mod sys;

pub use error::{LaunchError, StartError};
pub use folder::{OwnFolder, make_folder, program_folder, remove_folder};
pub use helper::run_launcher_if_asked;
pub use launcher::{Launcher, LauncherOptions, probe};
pub use network::Network;
pub use report::{HostReport, Need, Part};
pub use sandbox::Sandbox;
pub use spec::{DOOR_PORT, Exit, Mount, RUNTIME_API_PORT, SharedFolder, Spec, StartCpu, Usage};
