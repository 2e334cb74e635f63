//! Pid 1 after the walls are up: starts the function's main process, reaps whatever loses its parent, and reports.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};

use super::{Plan, Program};
use crate::channel;
use crate::protocol::{Failure, Report};
use crate::sys::{self, Side};

/// Runs the program and returns the last report: how it ended, or why it did not start.
pub(super) fn run(plan: &Plan<'_>, program: &Program) -> Report {
    match start(program) {
        Ok(main) => {
            // The function's output must end with the function.
            let _ = sys::close_all_except(&mut [plan.line.as_raw_fd()]);
            let _ = channel::send(plan.line.as_fd(), &Report::Started, &[]);
            reap(main)
        }
        Err(failure) => Report::Failed(failure),
    }
}

/// Forks and executes; returns once `execve` has succeeded.
fn start(program: &Program) -> Result<i32, Failure> {
    let failed = |error: io::Error| Failure::setup("start the program", &error);
    // Closed by a successful execve; otherwise the error number comes through.
    let (mut outcome, tell) = io::pipe().map_err(failed)?;
    match sys::fork().map_err(failed)? {
        Side::Child => {
            let error = execute(program);
            let number = error.raw_os_error().unwrap_or(libc::EIO);
            let _ = File::from(std::os::fd::OwnedFd::from(tell)).write_all(&number.to_ne_bytes());
            sys::exit_now(127)
        }
        Side::Parent(main) => {
            drop(tell);
            let mut number = [0; 4];
            match outcome.read_exact(&mut number) {
                Err(_) => Ok(main),
                Ok(()) => Err(Failure::Exec {
                    errno: i32::from_ne_bytes(number),
                }),
            }
        }
    }
}

/// The child's way to the program; returns only if it fails.
fn execute(program: &Program) -> io::Error {
    let prepared = || -> io::Result<()> {
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        rustix::stdio::dup2_stdout(&program.stdout)?;
        rustix::stdio::dup2_stderr(&program.stderr)?;
        rustix::process::chdir("/var/task")?;
        sys::reset_signals();
        Ok(())
    };
    match prepared() {
        Ok(()) => sys::execve(&program.path, &program.arguments, &program.environment),
        Err(error) => error,
    }
}

/// Waits for children until the main one ends.
fn reap(main: i32) -> Report {
    loop {
        match sys::wait4(-1) {
            Ok(ended) if ended.pid == main => {
                return Report::Ended {
                    status: ended.status,
                    peak_bytes: ended.peak_bytes,
                    cpu_us: ended.cpu_us,
                };
            }
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            // Without children the main process cannot be there any more either.
            Err(_) => {
                return Report::Ended {
                    status: libc::SIGKILL,
                    peak_bytes: 0,
                    cpu_us: 0,
                };
            }
        }
    }
}
