//! What this host offers, found by trying it: the walls are put up once around nothing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::clone::{self, Born, Limits, Work};
use super::identity::{self, Identity};
use super::{base, base_path};
use crate::cgroup::{self, Groups};
use crate::channel;
use crate::protocol::{Failure, Report};
use crate::report::{HostReport, Need, Part};
use crate::seccomp::{Files, Filter};
use crate::spec::StartCpu;
use crate::sys;

/// What the launcher builds every sandbox from.
#[derive(Debug)]
pub(super) struct Walls {
    /// Whether a /proc can be mounted.
    pub(super) proc: bool,
    pub(super) filter: Filter,
    /// For sandboxes that have folders of the host.
    pub(super) sharing_filter: Filter,
    pub(super) identity: Identity,
    /// `None` on hosts without usable cgroups.
    pub(super) groups: Option<Groups>,
    /// The launcher's own network, to come back to.
    pub(super) own_netns: OwnedFd,
}

/// Tries each part and writes down what came of it; `None` if no sandbox can be had.
pub(super) fn examine(
    run_dir: &Path,
    identity: Identity,
    companions: &[i32],
    host: &mut HostReport,
) -> Option<Walls> {
    let mut note = |name: &str, need: Need, outcome: Result<String, String>, advice: &str| {
        let available = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|reason| reason);
        let advice = if available { "" } else { advice };
        host.parts.push(Part {
            name: name.to_owned(),
            available,
            need,
            detail,
            advice: advice.to_owned(),
        });
        available
    };
    note(
        "user namespace",
        Need::Required,
        Ok(identity.describe()),
        "",
    );
    let base = base_path(run_dir);
    let built = base::build(&base)
        .and_then(|()| enter(&base))
        .map(|()| "the host's programs, nothing else of the host".to_owned());
    let rooted = note(
        "read-only root",
        Need::Required,
        said(built),
        "needs Linux 5.12 or newer (mount_setattr)",
    );
    let landlock = sys::landlock_version().map(|version| format!("version {version}"));
    let locked = note(
        "landlock",
        Need::Required,
        landlock.ok_or_else(|| "the kernel has no Landlock or it is switched off".to_owned()),
        "needs Linux 5.13 or newer with landlock in the kernel parameter lsm=",
    );
    let filter =
        Filter::compile(Files::Own).and_then(|own| Ok((own, Filter::compile(Files::Shared)?)));
    let described = filter
        .as_ref()
        .map(|_| "allow-list".to_owned())
        .map_err(Clone::clone);
    let filtered = note(
        "seccomp",
        Need::Required,
        described,
        "runs on x86-64 and 64-bit ARM",
    );
    let groups = cgroup::discover(companions)
        .and_then(|hierarchy| Groups::new(hierarchy).map_err(|error| error.to_string()));
    note(
        "cgroup",
        Need::Strong,
        groups.as_ref().map(Groups::describe).map_err(|reason| {
            format!("{reason}; memory is then bounded by polling and by RLIMIT_DATA, the processor not at all")
        }),
        "run as root, or let systemd delegate a cgroup: systemd-run --user --scope -p Delegate=yes …, or Delegate=yes in \
         the service",
    );
    let own_netns = std::fs::File::open("/proc/self/ns/net")
        .map(OwnedFd::from)
        .ok()?;
    if !(rooted && locked && filtered) {
        return None;
    }
    let (filter, sharing_filter) = filter.ok()?;
    let mut walls = Walls {
        proc: true,
        filter,
        sharing_filter,
        identity,
        groups: groups.ok(),
        own_netns,
    };
    let mut outcome = try_once(&mut walls);
    let hidden = matches!(&outcome, Err(Failure::Setup { step, .. }) if step == "mount /proc");
    if hidden {
        walls.proc = false;
        outcome = try_once(&mut walls);
    }
    let tried = outcome
        .map(|()| "mount, pid, network, ipc, uts and cgroup".to_owned())
        .map_err(|failure| match failure {
            Failure::Setup { step, reason } => format!("{step}: {reason}"),
            Failure::Spec { reason } | Failure::Folder { reason, .. } => reason,
            Failure::Exec { errno } => io::Error::from_raw_os_error(errno).to_string(),
        });
    let walled = note("namespaces", Need::Required, tried, identity::ADVICE);
    note(
        "/proc",
        Need::Comfort,
        if hidden {
            Err("masked here, so it is empty inside".to_owned())
        } else {
            Ok("own processes only".to_owned())
        },
        "in a container: run it with an unmasked /proc (systempaths=unconfined)",
    );
    if walled {
        return Some(walls);
    }
    if let Some(groups) = &mut walls.groups {
        groups.clear();
    }
    None
}

/// Makes the prepared root the working directory: every sandbox finds it there.
fn enter(base: &Path) -> io::Result<()> {
    rustix::process::chdir(base)?;
    Ok(())
}

fn said(outcome: io::Result<String>) -> Result<String, String> {
    outcome.map_err(|error| error.to_string())
}

/// Puts all walls up around a process that then ends.
fn try_once(walls: &mut Walls) -> Result<(), Failure> {
    let limits = Limits {
        memory_mib: 64,
        tmp_mib: 1,
        start_cpu: StartCpu::Boost,
    };
    let Born {
        child,
        line,
        group,
        user,
    } = clone::start(
        walls,
        &limits,
        Work {
            mounts: Vec::new(),
            folders: &[],
            program: None,
            netns: None,
        },
    )?;
    let _ = rustix::io::ioctl_fionbio(&line, false);
    let report = channel::receive::<Report>(line.as_fd());
    clone::kill_and_reap(&child);
    clone::put_back(walls, group, Some(user));
    match report {
        Ok(Some((Report::Failed(failure), _))) => Err(failure),
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(Failure::Setup {
            step: "pid 1".to_owned(),
            reason: "ended without a word".to_owned(),
        }),
        Err(error) => Err(Failure::setup("hear from pid 1", &error)),
    }
}
