//! The main process's side of the launcher.

use std::path::PathBuf;

use crate::network::NetworkOptions;
use crate::report::HostReport;
use crate::sandbox::Sandbox;
use crate::spec::Spec;

/// How to start a [`Launcher`].
#[derive(Clone, Debug)]
pub struct LauncherOptions {
    /// A folder of Hearth's own for mount points; made if absent. One launcher a folder.
    pub run_dir: PathBuf,
    /// Run functions even where the host lacks a part of the wall that [`HostReport::weaknesses`] names.
    pub allow_weak_walls: bool,
    /// How sandboxes reach the outside.
    pub network: NetworkOptions,
}

/// Starts sandboxes. Cheap to clone; all clones speak to the same launcher process.
#[derive(Clone, Debug)]
pub struct Launcher {}

impl Launcher {
    /// Starts the launcher process, asks the host what it offers and prepares the read-only root.
    ///
    /// # Errors
    /// [`StartError`]: the host's or the configuration's fault; the same again until that is changed.
    pub async fn start(options: LauncherOptions) -> Result<Self, StartError> {
        let _ = options;
        Err(StartError::Helper("the launcher is not built yet".into()))
    }

    /// What this host offers.
    #[must_use]
    pub fn host(&self) -> &HostReport {
        unreachable!("a launcher exists only after start")
    }

    /// Runs a program behind the wall; returns once it has been executed.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub async fn launch(&self, spec: Spec) -> Result<Sandbox, LaunchError> {
        let _ = spec;
        Err(LaunchError::Gone)
    }

    /// Ends every sandbox and the launcher process, and removes what they left.
    pub async fn shutdown(&self) {}
}

/// Why no sandbox can be run at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The host lacks a part of the wall that nothing runs without.
    #[error("this host cannot run functions behind a process wall: {}", .0.join("; "))]
    Refused(Vec<String>),
    /// The host lacks a part of the wall, and weak walls were not allowed.
    #[error("this host offers only a weak process wall (allow weak walls to run functions all the same): {}", .0.join("; "))]
    Weak(Vec<String>),
    /// The launcher process could not be started or failed.
    #[error("cannot start the launcher: {0}")]
    Helper(String),
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The request is wrong (empty `argv`, NUL in an argument, a target out of place…). The caller's fault.
    #[error("invalid sandbox specification: {0}")]
    Spec(String),
    /// The program could not be executed: the function's fault (no such file, not executable, wrong format).
    #[error("cannot execute {program}: {reason}")]
    Exec {
        /// `argv[0]`.
        program: String,
        /// Which error number `execve` gave, for example `ENOENT` as 2.
        errno: i32,
        /// The same in words.
        reason: String,
    },
    /// No network could be prepared. The host's fault; safe to retry.
    #[error("cannot prepare the sandbox's network: {0}")]
    Network(String),
    /// A step of setting the walls up failed. The host's fault; safe to retry.
    #[error("cannot set up the sandbox: {0}")]
    Setup(String),
    /// The launch took longer than its bound. Safe to retry.
    #[error("the sandbox was not ready in time")]
    Timeout,
    /// The launcher process is gone, every sandbox with it.
    #[error("the launcher is gone")]
    Gone,
}
