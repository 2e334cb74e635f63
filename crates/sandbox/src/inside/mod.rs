//! What the first process of a sandbox does: builds the walls around itself, from the outermost to the innermost, then
//! starts the function and keeps watch.
//!
//! The order matters. Mounts need the capabilities that the user namespace gives; Landlock must see the finished tree;
//! dropping capabilities comes after everything that needs them; the system call filter comes last because it forbids
//! most of the above.

mod init;
mod landlock;
mod mounts;
mod privileges;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use hearth_types::folder::Access;
use rustix::event::{PollFd, PollFlags};

use crate::channel;
use crate::protocol::{Failure, Go, Report};
use crate::seccomp::Filter;
use crate::sys::{self, Strings};

/// The user number inside. Lambda's `sbx_user1051` has it.
pub(crate) const UID: u32 = 993;
/// The group number inside, Lambda's as well.
pub(crate) const GID: u32 = 990;
/// The host name inside.
pub(crate) const HOST_NAME: &str = "sandbox";

/// Everything that the new process needs, prepared by the launcher and inherited by the clone. The working
/// directory is inherited too: the prepared root.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// Detached, read-only mounts and where they go, relative to the root.
    pub(crate) mounts: Vec<(OwnedFd, PathBuf)>,
    pub(crate) folders: Vec<Folder>,
    pub(crate) tmp_mib: u32,
    /// Whether /proc can be mounted here.
    pub(crate) proc: bool,
    /// Whether the process has a cgroup of its own, to become the root of its view.
    pub(crate) own_cgroup: bool,
    /// `RLIMIT_DATA` in bytes, where no cgroup bounds memory.
    pub(crate) data_limit: Option<u64>,
    pub(crate) filter: &'a Filter,
    /// What to run; a trial run of the walls alone has nothing.
    pub(crate) program: Option<Program>,
    /// The line to the launcher.
    pub(crate) line: OwnedFd,
}

/// A folder that is shared with others.
#[derive(Debug)]
pub(crate) struct Folder {
    /// Detached, with its attributes.
    pub(crate) mount: OwnedFd,
    /// `mnt/` and a name.
    pub(crate) place: PathBuf,
    pub(crate) access: Access,
}

/// The function's main process.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: CString,
    pub(crate) arguments: Strings,
    pub(crate) environment: Strings,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// A step that failed, and why.
type Step = (&'static str, io::Error);

/// Names the step in which an error happened.
trait During<T> {
    fn during(self, step: &'static str) -> Result<T, Step>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: &'static str) -> Result<T, Step> {
        self.map_err(|error| (step, error.into()))
    }
}

/// The life of pid 1.
pub(crate) fn run(plan: &Plan<'_>) -> ! {
    let report = match wall_up(plan) {
        Ok(()) => match &plan.program {
            Some(program) => init::run(plan, program),
            None => Report::Started,
        },
        Err((step, error)) => Report::Failed(Failure::setup(step, &error)),
    };
    // If the launcher is gone there is nobody to tell.
    let _ = channel::send(plan.line.as_fd(), &report, &[]);
    sys::exit_now(0)
}

fn wall_up(plan: &Plan<'_>) -> Result<(), Step> {
    close_others(plan).during("close descriptors")?;
    if channel::receive::<Go>(plan.line.as_fd())
        .during("wait for the launcher")?
        .is_none()
    {
        sys::exit_now(0);
    }
    privileges::become_user().during("change user")?;
    die_with_the_launcher(plan).during("follow the launcher")?;
    rustix::process::setsid().during("leave the session")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if plan.own_cgroup {
        sys::unshare(libc::CLONE_NEWCGROUP).during("cgroup namespace")?;
    }
    rustix::system::sethostname(HOST_NAME.as_bytes()).during("host name")?;
    mounts::enter_root(plan)?;
    privileges::limit_resources(plan.data_limit).during("resource limits")?;
    rustix::thread::set_no_new_privs(true).during("no_new_privs")?;
    landlock::enforce(Path::new("/"), &plan.folders).during("landlock")?;
    privileges::drop_capabilities().during("capabilities")?;
    // After the last change of identity, which would make it dumpable again: nobody inside can read pid 1's memory.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .during("dumpable")?;
    plan.filter
        .install()
        .map_err(io::Error::other)
        .during("seccomp")
}

/// Closes all that the launcher had open for itself and for other sandboxes.
fn close_others(plan: &Plan<'_>) -> io::Result<()> {
    // 0 to 2 are the launcher's and harmless; were they free, the next descriptors to be opened would take them, and the
    // function's own would later be put in their place.
    let mut keep = vec![0, 1, 2, plan.line.as_raw_fd()];
    keep.extend(plan.mounts.iter().map(|(mount, _)| mount.as_raw_fd()));
    keep.extend(plan.folders.iter().map(|folder| folder.mount.as_raw_fd()));
    if let Some(program) = &plan.program {
        keep.extend([program.stdout.as_raw_fd(), program.stderr.as_raw_fd()]);
    }
    sys::close_all_except(&mut keep)
}

/// Asks the kernel to kill this process, and so the sandbox, when the launcher dies however it dies.
fn die_with_the_launcher(plan: &Plan<'_>) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // It may have died just before; the line then has no other end.
    let mut line = [PollFd::new(&plan.line, PollFlags::empty())];
    rustix::event::poll(&mut line, Some(&rustix::event::Timespec::default()))?;
    if line[0].revents().contains(PollFlags::HUP) {
        sys::exit_now(0);
    }
    Ok(())
}
