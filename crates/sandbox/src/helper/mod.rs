//! The launcher: a small single-threaded process that starts sandboxes.
//!
//! Hearth itself has many threads, and forking such a process is slow and unsafe: this one is started once, early, by
//! executing the same program again, and clones the pid 1 of every sandbox from its own small memory. It answers
//! requests on one line, watches its children, and when the main process is gone, however it died, it kills what runs,
//! removes its cgroups and leaves.

mod base;
mod clone;
mod folders;
mod identity;
mod polling;
mod running;
mod serve;
mod trial;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::process::{Resource, Rlimit};

use crate::channel;
use crate::protocol::{Event, Request};
use crate::report::{HostReport, Need, Part};
use crate::sys::{self, Side};

/// The argument that makes a program the launcher.
pub(crate) const MARKER: &str = "--hearth-sandbox-launcher";

/// Must be called first in every `main` that uses this crate: the launcher is the same program started again, and in
/// that process this call never returns.
///
/// First means before any thread is started, so not inside `#[tokio::main]`: build the runtime by hand after this call.
/// A program that does not call it must not start a [`Launcher`](crate::Launcher): it would start itself again instead.
pub fn run_launcher_if_asked() {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == MARKER)
    {
        let code = match serve() {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("hearth launcher: {error}");
                1
            }
        };
        sys::exit_now(code);
    }
}

fn serve() -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        // Namespaces cannot be changed then, and forking is not safe.
        return Err(io::Error::other(
            "main must call run_launcher_if_asked before it starts threads",
        ));
    }
    let main = rustix::process::getppid();
    // Whoever started the main process may have left it descriptors that are not its own.
    sys::close_all_except(&mut [0, 1, 2])?;
    let line = take_line()?;
    // Signals to the whole process group or service (Ctrl-C, a service manager's SIGTERM) are for the main process: it
    // lets running functions finish and then hangs up.
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        sys::ignore_signal(signal);
    }
    let _ = rustix::process::setsid();
    // Two or three descriptors a sandbox: as many as this process may have. Sandboxes have their own bound.
    let files = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(
        Resource::Nofile,
        Rlimit {
            current: files.maximum,
            ..files
        },
    );
    let Some((Request::Start { run_dir, network }, mut descriptors)) =
        channel::receive(line.as_fd())?
    else {
        return Ok(());
    };
    let mut companions: Vec<i32> = vec![std::process::id().cast_signed()];
    companions.extend(main.map(rustix::process::Pid::as_raw_pid));
    let mut host = HostReport::default();
    let identity = match identity::enter() {
        Ok(identity) => identity,
        Err(error) => {
            host.parts.push(Part {
                name: "user namespace".to_owned(),
                available: false,
                need: Need::Required,
                detail: error.to_string(),
                advice: identity::ADVICE.to_owned(),
            });
            return channel::send(line.as_fd(), &Event::Ready { host }, &[]);
        }
    };
    let preparer = descriptors
        .pop()
        .map(|end| fork_preparer(end, network))
        .transpose()?;
    companions.extend(preparer);
    // A process may come back only into a network that belongs to its own user namespace, and needs none here anyway.
    sys::unshare(libc::CLONE_NEWNET)?;
    let walls = trial::examine(&run_dir, identity, &companions, &mut host);
    channel::send(line.as_fd(), &Event::Ready { host }, &[])?;
    match walls {
        Some(walls) => serve::Server::new(walls, line, main)?.run(),
        None => Ok(()),
    }
}

/// The line arrives as standard input; moves it away so that 0 is harmless and may be inherited.
fn take_line() -> io::Result<OwnedFd> {
    let line = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(line)
}

/// Starts the process that prepares networks, which must have this process's capabilities but shares nothing else. It
/// ignores the same signals and ends with this process or its line.
fn fork_preparer(end: OwnedFd, options: crate::network::NetworkOptions) -> io::Result<i32> {
    let launcher = rustix::process::getpid();
    match sys::fork()? {
        Side::Parent(pid) => Ok(pid),
        Side::Child => {
            let _ = rustix::process::set_parent_process_death_signal(Some(
                rustix::process::Signal::KILL,
            ));
            let mut keep = [0, 1, 2, std::os::fd::AsRawFd::as_raw_fd(&end)];
            let orphan = rustix::process::getppid() != Some(launcher);
            if !orphan && sys::close_all_except(&mut keep).is_ok() {
                crate::network::preparer_main(end, options);
            }
            sys::exit_now(1)
        }
    }
}

/// Where a launcher mounts its prepared root: below the run folder, in its own mount namespace.
fn base_path(run_dir: &Path) -> std::path::PathBuf {
    run_dir.join("root")
}
