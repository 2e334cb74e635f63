//! Who the process is, what it may do and how much.

use std::io;

use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets, Gid, Uid};

use super::{GID, UID};
use crate::cgroup::MAX_PROCESSES;
use crate::sys;

/// AWS's documentation ("Lambda quotas"): 1,024 file descriptors.
const MAX_FILES: u64 = 1024;

/// Takes the sandbox's user and group, which the launcher has mapped, and leaves the host's groups behind.
pub(super) fn become_user() -> io::Result<()> {
    // An unprivileged launcher has to forbid setgroups(2) for the user namespace: its own groups then stay, but there
    // is nothing inside that they would open.
    match rustix::thread::set_thread_groups(&[]) {
        Ok(()) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let (uid, gid) = (Uid::from_raw(UID), Gid::from_raw(GID));
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Bounds that hold for each process, besides those of the cgroup.
pub(super) fn limit_resources(data: Option<u64>) -> io::Result<()> {
    let limit = |resource, value| {
        rustix::process::setrlimit(
            resource,
            Rlimit {
                current: Some(value),
                maximum: Some(value),
            },
        )
    };
    limit(Resource::Nofile, MAX_FILES)?;
    limit(Resource::Core, 0)?;
    // Counts by user in the user namespace, so by sandbox (Linux 5.14).
    limit(Resource::Nproc, MAX_PROCESSES)?;
    if let Some(bytes) = data {
        limit(Resource::Data, bytes)?;
    }
    Ok(())
}

/// Gives up all capabilities and every way to get one back.
pub(super) fn drop_capabilities() -> io::Result<()> {
    sys::drop_bounding_set()?;
    rustix::thread::set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )?;
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}
