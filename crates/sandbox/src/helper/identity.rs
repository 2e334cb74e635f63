//! Who the launcher is to the kernel, and which users of the host the sandboxes become.
//!
//! One way for root and for everyone else: each sandbox has a user namespace of its own. Root maps the user inside to a
//! user of the host that no one else has, a different one for each sandbox. An unprivileged launcher has only its own user
//! to give; it first enters a user namespace in which it may mount.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use crate::inside::{GID, UID};
use crate::sys;

/// The first host user of sandboxes: above what systemd and container tools hand out (`systemd.io/UIDS-GIDS`: up to
/// 0x6FFF_FFFF for containers), below 2^31, which old interfaces take for negative.
const FIRST: u32 = 0x7F00_0000;
/// How many host users there are for sandboxes.
const COUNT: u32 = 0x1_0000;
/// In a container with fewer users to give, this many from the top of its range.
const FEW: u32 = 2048;

/// What a person can do if no user namespace can be had.
pub(super) const ADVICE: &str = "allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1 \
    (Debian), kernel.apparmor_restrict_unprivileged_userns=0 or a profile (Ubuntu); in a container, give it CAP_SYS_ADMIN \
    and a seccomp profile that allows clone3, unshare and mount";

/// How sandboxes are mapped.
#[derive(Debug)]
pub(super) enum Identity {
    /// A host user each, from a range.
    Range {
        first: u32,
        count: u32,
        next: u32,
        used: BTreeSet<u32>,
    },
    /// All are the launcher's own user, which is 0 in its namespace.
    Own,
}

/// Enters the namespaces that the launcher works in: its own mounts, and its own users unless it is root.
pub(super) fn enter() -> io::Result<Identity> {
    if rustix::process::geteuid().is_root()
        && let Some((first, count)) = range()
        && sys::unshare(libc::CLONE_NEWNS).is_ok()
    {
        make_mounts_private()?;
        return Ok(Identity::Range {
            first,
            count,
            next: 0,
            used: BTreeSet::new(),
        });
    }
    let (user, group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    make_mounts_private()?;
    Ok(Identity::Own)
}

/// Nothing that is mounted from here on shows outside.
fn make_mounts_private() -> io::Result<()> {
    use rustix::mount::MountPropagationFlags;
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    Ok(())
}

/// The users that this process's own user namespace has to give.
fn range() -> Option<(u32, u32)> {
    let map = fs::read_to_string("/proc/self/uid_map").ok()?;
    let of = |line: &str| -> Option<(u32, u32)> {
        let mut numbers = line.split_whitespace().map(str::parse);
        let (first, _host, count) = (
            numbers.next()?.ok()?,
            numbers.next()?,
            numbers.next()?.ok()?,
        );
        choose(first, count)
    };
    map.lines().filter_map(of).max_by_key(|(_, count)| *count)
}

/// The part of one line of a user map that sandboxes take.
fn choose(first: u32, count: u32) -> Option<(u32, u32)> {
    let end = first.saturating_add(count);
    if first <= FIRST && end >= FIRST + COUNT {
        Some((FIRST, COUNT))
    } else if count >= 2 * FEW {
        Some((end - FEW, FEW))
    } else {
        None
    }
}

impl Identity {
    /// A host user that no living sandbox has.
    pub(super) fn take(&mut self) -> io::Result<u32> {
        match self {
            Self::Own => Ok(0),
            Self::Range {
                first,
                count,
                next,
                used,
            } => {
                // Round robin, so that a user comes back as late as possible.
                let free = (0..*count)
                    .map(|step| (*next + step) % *count)
                    .find(|user| !used.contains(user));
                let free =
                    free.ok_or_else(|| io::Error::other("all host users of sandboxes are in use"))?;
                used.insert(free);
                *next = (free + 1) % *count;
                Ok(*first + free)
            }
        }
    }

    /// Gives a host user back, once no process of it is left.
    pub(super) fn release(&mut self, user: u32) {
        if let Self::Range { first, used, .. } = self {
            used.remove(&(user - *first));
        }
    }

    /// Maps the user inside of a new process's namespace to `user`.
    pub(super) fn map(&self, pid: i32, user: u32) -> io::Result<()> {
        if matches!(self, Self::Own) {
            fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
        }
        fs::write(format!("/proc/{pid}/uid_map"), format!("{UID} {user} 1"))?;
        fs::write(format!("/proc/{pid}/gid_map"), format!("{GID} {user} 1"))
    }

    /// For the report.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Own => "unprivileged: all sandboxes are this user on the host".to_owned(),
            Self::Range { first, count, .. } => {
                format!(
                    "as root: each sandbox is a host user of its own, {first} to {}",
                    first + (count - 1)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_never_given_twice_while_it_is_used() {
        let mut identity = Identity::Range {
            first: 100,
            count: 3,
            next: 0,
            used: BTreeSet::new(),
        };
        assert_eq!([(); 3].map(|()| identity.take().unwrap()), [100, 101, 102]);
        assert!(identity.take().is_err());
        identity.release(101);
        assert_eq!(identity.take().unwrap(), 101);
    }

    #[test]
    fn a_released_user_comes_back_last() {
        let mut identity = Identity::Range {
            first: 100,
            count: 3,
            next: 0,
            used: BTreeSet::new(),
        };
        let user = identity.take().unwrap();
        identity.release(user);
        assert_eq!([(); 3].map(|()| identity.take().unwrap()), [101, 102, 100]);
    }

    #[test]
    fn the_range_fits_into_what_the_host_gives() {
        assert_eq!(choose(0, u32::MAX), Some((FIRST, COUNT)));
        assert_eq!(choose(0, 65_536), Some((65_536 - FEW, FEW)));
        assert_eq!(choose(0, 1), None);
    }
}
