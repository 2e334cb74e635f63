//! A guest's `/tmp`: a file system of its own in memory, with a bound that the kernel holds.
//!
//! It is mounted nowhere: there is no path to it, for another guest or for a process of this host, and it is gone with
//! the last descriptor of it, however the instance or the node ends. WASI resolves a guest's paths below that descriptor,
//! `..` and symbolic links included.

use std::io;
use std::os::fd::AsRawFd as _;

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// Where the guest finds it.
const PATH: &str = "/tmp";

/// Bytes for each file or folder that there may be: what a file of one page and its inode take, so that the number of
/// files is no way around the bound.
const BYTES_PER_FILE: u64 = 8 << 10;

/// Files and folders that there may be in the smallest `/tmp`, and in the largest: each takes about 1 KiB of the kernel's
/// memory beside its content.
const FILES: (u64, u64) = (64, 65_536);

/// Gives a guest an empty `/tmp` of `bytes`.
///
/// # Errors
/// If this process may not make file systems, or is out of descriptors.
pub(crate) fn give(wasi: &mut WasiCtxBuilder, bytes: u64) -> io::Result<()> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let files = (bytes / BYTES_PER_FILE).clamp(FILES.0, FILES.1);
    fsconfig_set_string(&context, "size", bytes.to_string())?;
    fsconfig_set_string(&context, "nr_inodes", files.to_string())?;
    fsconfig_set_string(&context, "mode", "0700")?;
    fsconfig_create(&context)?;
    let mount = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )?;
    // WASI's builder takes a path. What it opens keeps the file system, and `mount` is not needed any more.
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    wasi.preopened_dir(path, PATH, FsPerms::ReadWrite)
        .map_err(io::Error::other)?;
    Ok(())
}

/// Whether a `/tmp` can be had in this process.
///
/// # Errors
/// Why not.
pub(crate) fn probe() -> io::Result<()> {
    give(&mut WasiCtxBuilder::new(), BYTES_PER_FILE)
}
