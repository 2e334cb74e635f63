//! The main process's handle on one running sandbox.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use crate::spec::{Exit, Usage};

/// One running sandbox. Dropping it kills everything inside and cleans up in the background.
#[derive(Debug)]
pub struct Sandbox {}

impl Sandbox {
    /// The listening socket at `127.0.0.1:9001` inside, non-blocking; `None` once taken.
    pub fn take_runtime_api(&mut self) -> Option<TcpListener> {
        None
    }

    /// The listening socket at `127.0.0.1:9002` inside, non-blocking; `None` once taken.
    pub fn take_door(&mut self) -> Option<TcpListener> {
        None
    }

    /// The read end of the function's standard output, non-blocking; `None` once taken.
    pub fn take_stdout(&mut self) -> Option<OwnedFd> {
        None
    }

    /// The read end of the function's standard error, non-blocking; `None` once taken.
    pub fn take_stderr(&mut self) -> Option<OwnedFd> {
        None
    }

    /// The process number of the sandbox's pid 1 as the host sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        0
    }

    /// Waits until the function's main process has ended, and says how. Cancel safe; many callers may wait.
    pub async fn wait(&self) -> Exit {
        Exit::Signal(9)
    }

    /// Kills everything inside, without waiting. [`Sandbox::wait`] then gives `Exit::Signal(9)`.
    pub fn kill(&self) {}

    /// Ends the boost of [`StartCpu::Boost`](crate::StartCpu::Boost): from now on the processor's share is the one of
    /// the memory size. Does not wait.
    pub fn limit_cpu(&self) {}

    /// What the sandbox used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::default()
    }

    /// Kills everything inside and waits until no process, mount or cgroup is left.
    pub async fn destroy(self) {}
}
