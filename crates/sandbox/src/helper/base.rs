//! The read-only root that all sandboxes see, prepared once.
//!
//! Programs and libraries are the host's (`/usr`), everything that says something about the host is made up. Each entry
//! is looked up on the host, so that hosts with and without a merged `/usr` work.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags};

use crate::inside::{GID, HOST_NAME, UID};
use crate::sys::{self, NO_DEV, NO_EXEC, NO_SUID, READ_ONLY};

/// The host's programs.
const PROGRAMS: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What programs need from the host's /etc: certificates, library paths and alternatives. No keys, accounts or names.
const SETTINGS: [&str; 11] = [
    "etc/ssl/certs",
    "etc/ssl/openssl.cnf",
    "etc/pki/ca-trust",
    "etc/pki/tls/certs",
    "etc/pki/tls/cert.pem",
    "etc/pki/tls/openssl.cnf",
    "etc/ca-certificates",
    "etc/crypto-policies",
    "etc/alternatives",
    "etc/ld.so.cache",
    "etc/ld.so.conf.d",
];

/// The JVM's own settings, which Debian keeps in one folder a version.
const JAVA_SETTINGS: &str = "etc/java-";

/// The devices that every program may use.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Folders that are empty until a sandbox mounts something there.
pub(super) const MOUNT_POINTS: [&str; 7] = [
    "var/task",
    "opt",
    "var/runtime",
    "var/lang",
    "tmp",
    "proc",
    "mnt",
];

/// Opens a detached copy of a host folder or file with all that is mounted below, and makes it read-only.
pub(super) fn open_read_only(source: &Path, attributes: u64) -> io::Result<OwnedFd> {
    let tree = open_tree(source, OpenTreeFlags::empty())?;
    sys::mount_setattr(tree.as_fd(), READ_ONLY | NO_SUID | attributes, None)?;
    Ok(tree)
}

/// Opens a detached copy as it is.
pub(super) fn open_tree(source: &Path, flags: OpenTreeFlags) -> io::Result<OwnedFd> {
    let flags = flags
        | OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(rustix::mount::open_tree(CWD, source, flags)?)
}

/// Builds the tree at `base`, in the launcher's own mount namespace.
pub(super) fn build(base: &Path) -> io::Result<()> {
    at(base, fs::create_dir_all(base))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    at(
        base,
        rustix::mount::mount("tmpfs", base, "tmpfs", flags, c"mode=0755,size=4m")
            .map_err(Into::into),
    )?;
    for folder in MOUNT_POINTS {
        at(base, fs::create_dir_all(base.join(folder)))?;
    }
    for name in PROGRAMS {
        mirror(base, Path::new(name))?;
    }
    settings(base)?;
    devices(base)?;
    let root = at(
        base,
        rustix::mount::open_tree(CWD, base, OpenTreeFlags::OPEN_TREE_CLOEXEC).map_err(Into::into),
    )?;
    at(
        base,
        sys::mount_setattr(root.as_fd(), READ_ONLY | NO_SUID, None),
    )
}

/// Says which path an error is about.
fn at<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Shows a file or folder of the host at the same place: links as links, the rest as read-only mounts.
fn mirror(base: &Path, name: &Path) -> io::Result<()> {
    let host = Path::new("/").join(name);
    let Ok(kind) = fs::symlink_metadata(&host) else {
        return Ok(());
    };
    let target = base.join(name);
    at(&target, fs::create_dir_all(target.parent().unwrap_or(base)))?;
    if kind.is_symlink() && name.parent() == Some(Path::new("")) {
        return at(&target, symlink(at(&host, fs::read_link(&host))?, &target));
    }
    // Below the root links are followed: what they point to may not be there inside.
    let Ok(kind) = fs::metadata(&host) else {
        return Ok(());
    };
    place(&host, &target, kind.is_dir(), NO_DEV)
}

/// Mounts a host's file or folder read-only.
fn place(host: &Path, target: &Path, folder: bool, attributes: u64) -> io::Result<()> {
    if folder {
        at(target, fs::create_dir_all(target))?;
    } else {
        at(target, fs::write(target, ""))?;
    }
    let tree = at(host, open_read_only(host, attributes))?;
    at(
        target,
        rustix::mount::move_mount(
            tree.as_fd(),
            "",
            CWD,
            target,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )
        .map_err(Into::into),
    )
}

fn settings(base: &Path) -> io::Result<()> {
    let mut names: Vec<PathBuf> = SETTINGS.iter().map(PathBuf::from).collect();
    names.push(PathBuf::from("etc/ld.so.conf"));
    for entry in fs::read_dir("/etc").into_iter().flatten().flatten() {
        let name = Path::new("etc").join(entry.file_name());
        if name
            .to_str()
            .is_some_and(|name| name.starts_with(JAVA_SETTINGS))
        {
            names.push(name);
        }
    }
    for name in &names {
        mirror(base, name)?;
    }
    let files = [
        (
            "passwd",
            format!(
                "root:x:0:0:root:/root:/sbin/nologin\nsbx_user1051:x:{UID}:{GID}::/tmp:/sbin/nologin\n"
            ),
        ),
        ("group", format!("root:x:0:\nsbx_user1051:x:{GID}:\n")),
        (
            "hosts",
            format!("127.0.0.1 localhost {HOST_NAME}\n::1 localhost\n"),
        ),
        ("hostname", format!("{HOST_NAME}\n")),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"
                .into(),
        ),
        // The sandbox's network has a resolver on its loopback.
        (
            "resolv.conf",
            "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n".into(),
        ),
    ];
    for (name, text) in files {
        let path = base.join("etc").join(name);
        at(&path, fs::write(&path, text))?;
    }
    for name in ["services", "protocols"] {
        mirror(base, &Path::new("etc").join(name))?;
    }
    Ok(())
}

fn devices(base: &Path) -> io::Result<()> {
    let folder = base.join("dev");
    at(&folder, fs::create_dir_all(&folder))?;
    for name in DEVICES {
        // Writing to a device is no change of the file system that it is on: read-only does not forbid it.
        place(
            &Path::new("/dev").join(name),
            &folder.join(name),
            false,
            NO_EXEC,
        )?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        at(&folder, symlink(target, folder.join(name)))?;
    }
    Ok(())
}
