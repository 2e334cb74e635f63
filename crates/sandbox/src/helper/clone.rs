//! From an order to a cloned pid 1.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::thread::LinkNameSpaceType;

use super::base::{MOUNT_POINTS, open_read_only};
use super::folders;
use super::trial::Walls;
use crate::cgroup::Group;
use crate::channel;
use crate::inside::{self, Plan, Program};
use crate::protocol::{Failure, Go, Order};
use crate::spec::SharedFolder;
use crate::sys::{self, Cloned, NO_DEV, Side, Strings};

/// The namespaces of every sandbox, besides its network.
const NAMESPACES: i32 = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS;

/// How much likelier than others a function is killed when the host runs out of memory, from 0 to 1000 (proc(5)): as if it
/// used half of the host's memory more than it does.
const OOM_SCORE: &str = "500";

/// A sandbox that has been born.
#[derive(Debug)]
pub(super) struct Born {
    pub(super) child: Cloned,
    /// The launcher's end of the line to pid 1, non-blocking.
    pub(super) line: OwnedFd,
    pub(super) group: Option<Group>,
    /// Its user on the host.
    pub(super) user: u32,
}

/// What a sandbox runs, with everything of the host already open.
pub(super) struct Work<'a> {
    pub(super) mounts: Vec<(OwnedFd, PathBuf)>,
    /// Opened when it is known as whom.
    pub(super) folders: &'a [SharedFolder],
    pub(super) program: Option<Program>,
    /// The network namespace; a new and empty one without.
    pub(super) netns: Option<OwnedFd>,
}

/// Opens what an order names.
pub(super) fn prepare(order: &Order, descriptors: Vec<OwnedFd>) -> Result<Work<'_>, Failure> {
    let Ok([netns, stdout, stderr]) = <[OwnedFd; 3]>::try_from(descriptors) else {
        return Err(Failure::Spec {
            reason: "a launch needs three descriptors".to_owned(),
        });
    };
    let nul = |what: &str| Failure::Spec {
        reason: format!("{what} holds a NUL character"),
    };
    let path = order.argv.first().cloned().unwrap_or_default();
    let program = Program {
        path: CString::new(path).map_err(|_| nul("the program's path"))?,
        arguments: Strings::new(order.argv.iter().cloned()).map_err(|_| nul("an argument"))?,
        environment: Strings::new(
            order
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        )
        .map_err(|_| nul("an environment variable"))?,
        stdout,
        stderr,
    };
    let mut places = vec![(order.code.as_path(), Path::new("/var/task"))];
    places.extend(
        order
            .layers
            .as_deref()
            .map(|layers| (layers, Path::new("/opt"))),
    );
    places.extend(
        order
            .mounts
            .iter()
            .map(|mount| (mount.source.as_path(), mount.target.as_path())),
    );
    let mounts = places
        .into_iter()
        .map(|(source, target)| open(source, target))
        .collect::<Result<_, _>>()?;
    Ok(Work {
        mounts,
        folders: &order.folders,
        program: Some(program),
        netns: Some(netns),
    })
}

fn open(source: &Path, target: &Path) -> Result<(OwnedFd, PathBuf), Failure> {
    let inside = target.strip_prefix("/").unwrap_or(target);
    if !MOUNT_POINTS[..4]
        .iter()
        .any(|point| inside == Path::new(point))
    {
        let reason = format!("nothing can be mounted at {}", target.display());
        return Err(Failure::Spec { reason });
    }
    let tree = open_read_only(source, NO_DEV)
        .map_err(|error| Failure::setup(&format!("open {}", source.display()), &error))?;
    Ok((tree, inside.to_owned()))
}

/// Clones the process, gives it its identity and its limits and lets it go on.
pub(super) fn start(walls: &mut Walls, order: &Limits, work: Work<'_>) -> Result<Born, Failure> {
    let group = match &mut walls.groups {
        Some(groups) => Some(
            groups
                .take()
                .map_err(|error| Failure::setup("make a cgroup", &error))?,
        ),
        None => None,
    };
    let user = match walls.identity.take() {
        Ok(user) => user,
        Err(error) => {
            put_back(walls, group, None);
            return Err(Failure::setup("find a user", &error));
        }
    };
    match born(walls, order, work, group.as_ref(), user) {
        Ok((child, line)) => Ok(Born {
            child,
            line,
            group,
            user,
        }),
        Err(failure) => {
            put_back(walls, group, Some(user));
            Err(failure)
        }
    }
}

/// How much a sandbox may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) memory_mib: u32,
    pub(super) tmp_mib: u32,
    pub(super) start_cpu: crate::spec::StartCpu,
}

/// Takes back what a sandbox that is no more had.
pub(super) fn put_back(walls: &mut Walls, group: Option<Group>, user: Option<u32>) {
    if let (Some(groups), Some(group)) = (&mut walls.groups, group) {
        groups.remove(group);
    }
    if let Some(user) = user {
        walls.identity.release(user);
    }
}

fn born(
    walls: &Walls,
    limits: &Limits,
    work: Work<'_>,
    group: Option<&Group>,
    user: u32,
) -> Result<(Cloned, OwnedFd), Failure> {
    let setup = |step: &'static str| move |error: io::Error| Failure::setup(step, &error);
    if let Some(group) = group {
        group
            .limit(limits.memory_mib, limits.start_cpu)
            .map_err(setup("set the cgroup's limits"))?;
    }
    let (line, theirs) = channel::pair().map_err(setup("open a line"))?;
    let Work {
        mounts,
        folders,
        program,
        netns,
    } = work;
    let folders = folders
        .iter()
        .map(|folder| folders::open(folder, &walls.identity, user))
        .collect::<Result<Vec<_>, _>>()?;
    let filter = if folders.is_empty() {
        &walls.filter
    } else {
        &walls.sharing_filter
    };
    let plan = Plan {
        mounts,
        folders,
        tmp_mib: limits.tmp_mib,
        proc: walls.proc,
        own_cgroup: group.is_some(),
        data_limit: group
            .is_none()
            .then(|| u64::from(limits.memory_mib) * 1024 * 1024),
        filter,
        program,
        line: theirs,
    };
    if let Some(program) = &plan.program {
        // /dev/stdout and /dev/stderr are opened anew by name: that asks for permission, which the pipe's maker alone
        // would have.
        for pipe in [&program.stdout, &program.stderr] {
            own(pipe.as_fd(), user).map_err(setup("hand over the output"))?;
        }
    }
    let side = clone_into(
        netns.as_ref().map(AsFd::as_fd),
        &walls.own_netns,
        group.and_then(Group::born_in),
    )
    .map_err(setup("clone"))?;
    let child = match side {
        Side::Child => inside::run(&plan),
        Side::Parent(child) => child,
    };
    drop(plan);
    // On a host that runs out of memory a function must go before Hearth. If this fails they are equals, as by default.
    let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.pid), OOM_SCORE);
    let placed = walls
        .identity
        .map(child.pid, user)
        .map_err(setup("map the user"))
        .and_then(|()| {
            group
                .map_or(Ok(()), |group| group.attach(child.pid))
                .map_err(setup("enter the cgroup"))
        })
        .and_then(|()| channel::send(line.as_fd(), &Go {}, &[]).map_err(setup("start pid 1")))
        .and_then(|()| {
            rustix::io::ioctl_fionbio(&line, true)
                .map_err(io::Error::from)
                .map_err(setup("watch pid 1"))
        });
    if let Err(failure) = placed {
        kill_and_reap(&child);
        return Err(failure);
    }
    Ok((child, line))
}

fn own(pipe: BorrowedFd<'_>, user: u32) -> io::Result<()> {
    let (uid, gid) = (
        rustix::fs::Uid::from_raw(user),
        rustix::fs::Gid::from_raw(user),
    );
    rustix::fs::fchown(pipe, Some(uid), Some(gid))?;
    Ok(())
}

/// Clones with this process for a moment in the sandbox's network, which the child is then born into.
fn clone_into(
    netns: Option<BorrowedFd<'_>>,
    own_netns: &OwnedFd,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Side<Cloned>> {
    let Some(netns) = netns else {
        return sys::clone3(NAMESPACES | libc::CLONE_NEWNET, cgroup);
    };
    let enter =
        |netns| rustix::thread::move_into_link_name_space(netns, Some(LinkNameSpaceType::Network));
    enter(netns)?;
    let side = sys::clone3(NAMESPACES, cgroup);
    if !matches!(side, Ok(Side::Child)) {
        enter(own_netns.as_fd())?;
    }
    side
}

/// Ends a pid 1, with all that live in its namespace, and waits for it.
pub(super) fn kill_and_reap(child: &Cloned) {
    let _ = rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL);
    let _ = sys::wait4(child.pid);
}
