//! Why there is no sandbox: the crate's two errors.

use std::path::PathBuf;

use crate::protocol::Failure;
use crate::spec::Spec;

/// Why no sandbox can be run at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The host lacks a part of the wall that nothing runs without.
    #[error("this host cannot run functions behind a process wall: {}", .0.join("; "))]
    Refused(Vec<String>),
    /// The host lacks a part of the wall, and weak walls were not allowed.
    #[error(
        "this host offers only a weak process wall (allow weak walls to run functions all the same): {}",
        .0.join("; ")
    )]
    Weak(Vec<String>),
    /// The launcher process could not be started or failed.
    #[error("cannot start the launcher: {0}")]
    Helper(String),
}

impl StartError {
    pub(crate) fn helper(error: impl ToString) -> Self {
        Self::Helper(error.to_string())
    }
}

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The request is wrong (relative path, NUL in an argument, a target out of place, larger than 128 KiB…). The
    /// caller's fault.
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
    /// A folder of [`Spec::folders`](crate::Spec::folders) is not there, or its file system can't be shared so. The
    /// host's fault; the same again until that is changed.
    #[error("cannot mount {}: {reason}", .target.display())]
    Folder {
        /// Where it was to be inside.
        target: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A step of setting the walls up failed, for example because the code's folder is not there. Safe to retry.
    #[error("cannot set up the sandbox: {0}")]
    Setup(String),
    /// The launch took longer than 10 s and was undone. Safe to retry.
    #[error("the sandbox was not ready in time")]
    Timeout,
    /// The launcher process is gone, every sandbox with it. A new [`Launcher`](crate::Launcher) is needed.
    #[error("the launcher is gone")]
    Gone,
}

impl LaunchError {
    pub(crate) fn from_failure(failure: Failure, spec: &Spec) -> Self {
        match failure {
            Failure::Spec { reason } => Self::Spec(reason),
            Failure::Setup { step, reason } => Self::Setup(format!("{step}: {reason}")),
            Failure::Folder { target, reason } => Self::Folder { target, reason },
            Failure::Exec { errno } => Self::Exec {
                program: spec.argv.first().cloned().unwrap_or_default(),
                errno,
                reason: std::io::Error::from_raw_os_error(errno).to_string(),
            },
        }
    }
}
