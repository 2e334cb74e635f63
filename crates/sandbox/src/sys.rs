//! The system calls that neither the standard library nor `rustix` offers. All `unsafe` of the process wall is here.

#![allow(
    unsafe_code,
    reason = "raw system calls: each block says why it is sound"
)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Who returns from [`clone3`] and [`fork`].
pub(crate) enum Side<T> {
    /// The new process.
    Child,
    /// The caller, with what it needs to know of the child.
    Parent(T),
}

/// A child of [`clone3`].
#[derive(Debug)]
pub(crate) struct Cloned {
    /// Its number in the caller's pid namespace.
    pub(crate) pid: i32,
    /// A descriptor that becomes readable when the child ends.
    pub(crate) pidfd: OwnedFd,
}

/// `clone3(2)` without shared memory: the child has a copy of everything, as after `fork`. With `cgroup` the child is
/// born in that cgroup v2 (`CLONE_INTO_CGROUP`).
///
/// Only for single-threaded processes: no lock can be held by a thread that the child lacks.
pub(crate) fn clone3(flags: i32, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side<Cloned>> {
    /// From `linux/sched.h`; `libc` types it as a C int, which it does not fit.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain integers, for which zero is valid and means "unused".
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    arguments.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: the structure is valid for the call and has the size given. Without CLONE_VM the child runs on its own
    // copy of this stack, so that returning in both processes is sound.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of_val(&arguments),
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => {
            // SAFETY: the kernel has stored a new descriptor of ours in `pidfd`.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Side::Parent(Cloned {
                pid: pid as i32,
                pidfd,
            }))
        }
    }
}

/// `fork(2)`. Only for single-threaded processes, as [`clone3`].
pub(crate) fn fork() -> io::Result<Side<i32>> {
    // SAFETY: the callers are single-threaded, so the child may go on with ordinary code.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(pid)),
    }
}

/// Ends the process at once, without destructors or handlers of the process that it was cloned from.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Null-terminated strings in the form that `execve` wants.
#[derive(Debug)]
pub(crate) struct Strings(Vec<CString>);

impl Strings {
    /// # Errors
    /// When one of the strings has a NUL inside.
    pub(crate) fn new(
        strings: impl IntoIterator<Item = String>,
    ) -> Result<Self, std::ffi::NulError> {
        Ok(Self(
            strings
                .into_iter()
                .map(CString::new)
                .collect::<Result<_, _>>()?,
        ))
    }

    fn pointers(&self) -> Vec<*const libc::c_char> {
        self.0
            .iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    }
}

/// `execve(2)`: returns only if it fails.
pub(crate) fn execve(program: &CStr, arguments: &Strings, environment: &Strings) -> io::Error {
    let (arguments, environment) = (arguments.pointers(), environment.pointers());
    // SAFETY: the arrays are null-terminated and, like the strings they point to, outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Gives every signal its default action and unblocks all: what `exec` would otherwise hand on.
pub(crate) fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL installs no code. Numbers that cannot be changed give an error that does not matter.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero set is valid storage, which `sigemptyset` then initialises.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ignores a signal.
pub(crate) fn ignore_signal(signal: i32) {
    // SAFETY: SIG_IGN installs no code.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Closes every descriptor but those in `keep`. Descriptors of this process that are still owned somewhere in memory
/// must not be used afterwards: only for a process that is about to drop everything else.
pub(crate) fn close_all_except(keep: &mut [RawFd]) -> io::Result<()> {
    keep.sort_unstable();
    let mut first: u32 = 0;
    for kept in keep.iter().map(|descriptor| descriptor.cast_unsigned()) {
        if kept > first {
            close_range(first, kept - 1)?;
        }
        first = first.max(kept + 1);
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: closing descriptors touches no memory; the caller's contract covers their owners.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// What [`mount_setattr`] sets on a mount.
pub(crate) const READ_ONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// No set-user-id programs.
pub(crate) const NO_SUID: u64 = libc::MOUNT_ATTR_NOSUID;
/// No device nodes.
pub(crate) const NO_DEV: u64 = libc::MOUNT_ATTR_NODEV;
/// No programs at all.
pub(crate) const NO_EXEC: u64 = libc::MOUNT_ATTR_NOEXEC;

/// `mount_setattr(2)` on the mount that `mount` is open at, and on all below it: adds `attributes` and takes them out
/// of every propagation group. With `users` files show the owners that this user namespace maps theirs to.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    attributes: u64,
    users: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mapped = if users.is_some() {
        libc::MOUNT_ATTR_IDMAP
    } else {
        0
    };
    let settings = libc::mount_attr {
        attr_set: attributes | mapped,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: users.map_or(0, |users| u64::from(users.as_raw_fd().cast_unsigned())),
    };
    // SAFETY: the path is empty and null-terminated, the structure valid for the call and of the size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const settings,
            size_of_val(&settings),
        )
    };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// `unshare(2)`. Without `CLONE_FILES` no descriptor changes its meaning.
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: the callers are single-threaded and never pass CLONE_FILES.
    if unsafe { libc::unshare(flags) } == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The Landlock version of the running kernel, `None` without Landlock.
pub(crate) fn landlock_version() -> Option<i64> {
    /// `LANDLOCK_CREATE_RULESET_VERSION` of `linux/landlock.h`.
    const VERSION: u32 = 1;
    // SAFETY: with this flag the kernel reads no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    };
    (version > 0).then_some(version)
}

/// How a child ended and what it used, from [`wait4`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// Its number.
    pub(crate) pid: i32,
    /// As `wait(2)` encodes it.
    pub(crate) status: i32,
    /// The largest resident size in bytes, of it or one of the children that it waited for.
    pub(crate) peak_bytes: u64,
    /// User and system time of it and its children, in microseconds.
    pub(crate) cpu_us: u64,
}

/// `wait4(2)`: blocks until any child ends, or one in particular.
pub(crate) fn wait4(pid: i32) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: `rusage` is plain integers; the kernel fills it.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid, &raw mut status, 0, &raw mut usage), usage)
    };
    if pid == -1 {
        return Err(io::Error::last_os_error());
    }
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    Ok(Ended {
        pid,
        status,
        peak_bytes: usage.ru_maxrss as u64 * 1024,
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
    })
}

/// Takes every capability out of the bounding set, so that no `execve` can bring one back.
pub(crate) fn drop_bounding_set() -> io::Result<()> {
    // Capabilities are bits of 64; the first number that the running kernel does not know ends the walk.
    for capability in 0..64 {
        // SAFETY: this operation takes plain numbers.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == -1 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::EINVAL) {
                Ok(())
            } else {
                Err(error)
            };
        }
    }
    Ok(())
}
