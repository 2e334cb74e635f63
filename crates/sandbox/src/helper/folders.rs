//! Folders of the host that a function has: opened, bared of all but plain files, and shown as the function's own.
//!
//! As root each sandbox is another user of the host, so that files which one environment leaves would belong to nobody
//! by the next. A folder is therefore mounted with its owner in the place of the sandbox's user (an idmapped mount): what
//! belongs to the owner belongs to the function there, and what it makes is the owner's on the disk. Files of others
//! are nobody's inside: read if everyone may read them, and never written.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use hearth_types::folder::Access;
use rustix::fs::FileType;
use rustix::mount::OpenTreeFlags;

use super::base;
use super::identity::Identity;
use crate::channel;
use crate::inside::Folder;
use crate::protocol::Failure;
use crate::spec::SharedFolder;
use crate::sys::{self, NO_DEV, NO_EXEC, NO_SUID, READ_ONLY, Side};

/// Where folders are inside.
const PARENT: &str = "/mnt";

/// Opens a folder for a sandbox that is `user` on the host.
pub(super) fn open(
    folder: &SharedFolder,
    identity: &Identity,
    user: u32,
) -> Result<Folder, Failure> {
    let failed = |error: io::Error| Failure::Folder {
        target: folder.target.clone(),
        reason: error.to_string(),
    };
    let place = place(&folder.target)?;
    // Whoever put a link in the folder's place would choose what is mounted.
    let tree =
        base::open_tree(&folder.source, OpenTreeFlags::AT_SYMLINK_NOFOLLOW).map_err(failed)?;
    let found = rustix::fs::fstat(&tree).map_err(|error| failed(error.into()))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    let mut attributes = NO_SUID | NO_DEV | NO_EXEC;
    if folder.access == Access::Read {
        attributes |= READ_ONLY;
    }
    let mapped = match identity {
        // All are the launcher's own user, the folder's files too if they are the function's business.
        Identity::Own => sys::mount_setattr(tree.as_fd(), attributes, None),
        Identity::Range { .. } => owners_as(user, found.st_uid, found.st_gid)
            .and_then(|users| sys::mount_setattr(tree.as_fd(), attributes, Some(users.as_fd()))),
    };
    match mapped {
        Ok(()) => {}
        // The file system can't do it, or belongs to another user namespace than this. To look around it takes no owner.
        Err(_) if folder.access == Access::Read => {
            sys::mount_setattr(tree.as_fd(), attributes, None).map_err(failed)?;
        }
        Err(error) => {
            return Err(Failure::Folder {
                target: folder.target.clone(),
                reason: format!(
                    "its file system can't be mounted with other owners, so that it can only be read ({error})"
                ),
            });
        }
    }
    Ok(Folder {
        mount: tree,
        place,
        access: folder.access,
    })
}

/// The place relative to the root: one name below [`PARENT`].
fn place(target: &Path) -> Result<std::path::PathBuf, Failure> {
    let name = target.strip_prefix(PARENT).ok();
    let mut parts = name.into_iter().flat_map(Path::components);
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => Ok(Path::new("mnt").join(name)),
        _ => Err(Failure::Spec {
            reason: format!("no folder can be mounted at {}", target.display()),
        }),
    }
}

/// A user namespace in which `owner` and `group` of a file system are `user`: nobody lives in it, it is a table.
fn owners_as(user: u32, owner: u32, group: u32) -> io::Result<OwnedFd> {
    let (line, theirs) = channel::pair()?;
    let child = match sys::clone3(libc::CLONE_NEWUSER, None)? {
        Side::Child => {
            drop(line);
            // Until the other end is closed, be it by the launcher's death.
            let _ = channel::receive::<()>(theirs.as_fd());
            sys::exit_now(0)
        }
        Side::Parent(child) => child,
    };
    let proc = Path::new("/proc").join(child.pid.to_string());
    let made = fs::write(proc.join("uid_map"), format!("{owner} {user} 1"))
        .and_then(|()| fs::write(proc.join("gid_map"), format!("{group} {user} 1")))
        .and_then(|()| fs::File::open(proc.join("ns/user")));
    super::clone::kill_and_reap(&child);
    made.map(Into::into)
}
