//! The sandbox's own tree: the prepared root, the function's code, a private /tmp and /proc, and nothing of the host's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

use super::{During, Folder, GID, Plan, Step, UID};

/// The most files and folders in /tmp for each MiB of its size. 16 KiB a file is what a usual ext4 file system is made
/// for (`inode_ratio` in mke2fs.conf), and bounds the kernel memory that empty files take.
const INODES_PER_MIB: u64 = 64;

/// Builds the tree and makes it the root. The host's mounts are gone afterwards.
pub(super) fn enter_root(plan: &Plan<'_>) -> Result<(), Step> {
    // The launcher's working directory is the prepared root, and so is its copy here: no path leads through folders that
    // only the launcher may enter. That copy is locked in place: clone it, with all below it, over itself. What is
    // read-only in the launcher's namespace cannot be made writable in this one, whatever the capabilities.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let root = rustix::mount::open_tree(CWD, ".", flags).during("clone the root")?;
    place(root.as_fd(), Path::new(".")).during("mount the root")?;
    rustix::process::fchdir(root.as_fd()).during("enter the root")?;
    drop(root);
    for (mount, target) in &plan.mounts {
        place(mount.as_fd(), target).during("mount the code")?;
    }
    let tmp = format!(
        "size={}m,nr_inodes={},mode=0700,uid={UID},gid={GID}\0",
        plan.tmp_mib,
        u64::from(plan.tmp_mib) * INODES_PER_MIB + 1
    );
    let options = std::ffi::CStr::from_bytes_with_nul(tmp.as_bytes()).ok();
    let safe = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", "tmp", "tmpfs", safe, options).during("mount /tmp")?;
    mount_folders(&plan.folders)?;
    if plan.proc {
        // Processes of others, pid 1 among them because it is not dumpable, cannot be seen.
        rustix::mount::mount(
            "proc",
            "proc",
            "proc",
            safe | MountFlags::NOEXEC,
            c"hidepid=2",
        )
        .during("mount /proc")?;
    }
    rustix::process::pivot_root(".", ".").during("pivot_root")?;
    // Both roots are at "." now, the old one on top.
    rustix::mount::unmount(".", UnmountFlags::DETACH).during("detach the host's root")?;
    rustix::process::chdir("/").during("enter the root")
}

/// Mounts what is detached.
fn place(mount: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", CWD, target, flags)?)
}

/// Puts folders in their places, which no prepared root can have: their names are the function's choice.
fn mount_folders(folders: &[Folder]) -> Result<(), Step> {
    if folders.is_empty() {
        return Ok(());
    }
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", "mnt", "tmpfs", safe, c"size=64k,mode=0755")
        .during("mount /mnt")?;
    for folder in folders {
        std::fs::create_dir(&folder.place).during("make a folder's place")?;
        place(folder.mount.as_fd(), &folder.place).during("mount a folder")?;
    }
    rustix::mount::mount_remount("mnt", safe | MountFlags::BIND | MountFlags::RDONLY, c"")
        .during("close /mnt")
}
