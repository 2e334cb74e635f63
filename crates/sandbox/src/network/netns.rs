//! Network namespaces: making one, and acting inside one for a moment.
//!
//! A thread enters and ends there: an unprivileged process could not come back from a namespace of its own into the
//! host's, and a thread's namespace is its own affair.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::LinkNameSpaceType;

/// A namespace that nothing else is in. It lives until the last descriptor, process and socket of it is gone.
///
/// # Errors
/// Without `CAP_SYS_ADMIN` over the user namespace, or beyond the kernel's bounds (`user.max_net_namespaces`).
pub(super) fn create() -> io::Result<OwnedFd> {
    apart(|| {
        crate::sys::unshare(libc::CLONE_NEWNET)?;
        current()
    })
}

/// The calling thread's namespace.
pub(super) fn current() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Runs `action` inside `netns`. What it opens stays there, and so do the processes that it starts.
///
/// # Errors
/// Those of `action`, and of entering.
pub(super) fn inside<T: Send>(
    netns: BorrowedFd<'_>,
    action: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    apart(|| {
        rustix::thread::move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        action()
    })
}

/// Runs `action` on a thread of its own, and waits for it.
fn apart<T: Send>(action: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, action)?
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread inside a namespace panicked")))
    })
}
