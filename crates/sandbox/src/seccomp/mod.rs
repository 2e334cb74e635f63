//! The system calls that a function may make.
//!
//! Two filters, compiled once in the launcher. The first is the allow-list: whatever is not on it fails with EPERM.
//! The second makes some calls fail with ENOSYS instead, because libc and runtimes then take an older way (`clone3` →
//! `clone`, io_uring → epoll); the first one lets these through. A filter reads registers, not memory: what cannot be
//! judged by registers alone (`clone3`'s flags) is not allowed at all.
//!
//! The list follows what CPython, Node.js, Go, Rust and the JVM need, minus all that changes the kernel, other
//! processes, mounts, namespaces, keys or time. Capabilities and Landlock would refuse most of it as well: each wall
//! is built as if the others were not there.

mod calls;

use std::collections::BTreeMap;

use calls::{ALLOWED, ALLOWED_HERE, MISSING, MISSING_NEW};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};

/// The compiled filters, in the order in which they must be installed.
#[derive(Debug)]
pub(crate) struct Filters([BpfProgram; 2]);

impl Filters {
    /// Compiles the filters for this machine.
    ///
    /// # Errors
    /// On processor architectures other than x86-64 and 64-bit ARM.
    pub(crate) fn compile() -> Result<Self, seccompiler::Error> {
        let arch: TargetArch = std::env::consts::ARCH
            .try_into()
            .map_err(seccompiler::Error::Backend)?;
        let missing: BTreeMap<_, _> = MISSING
            .iter()
            .copied()
            .chain(MISSING_NEW)
            .map(|call| (call, Vec::new()))
            .collect();
        let mut allowed: BTreeMap<_, _> = ALLOWED
            .iter()
            .chain(ALLOWED_HERE)
            .map(|&call| (call, Vec::new()))
            .collect();
        allowed.extend(missing.clone());
        allowed.extend(conditional()?);
        let errno = |number: i32| SeccompAction::Errno(number.cast_unsigned());
        let missing = SeccompFilter::new(missing, SeccompAction::Allow, errno(libc::ENOSYS), arch)?;
        let allowed = SeccompFilter::new(allowed, errno(libc::EPERM), SeccompAction::Allow, arch)?;
        Ok(Self([missing.try_into()?, allowed.try_into()?]))
    }

    /// Installs them for this thread and all that come from it, for good.
    ///
    /// # Errors
    /// When the kernel has no seccomp filters.
    pub(crate) fn install(&self) -> Result<(), seccompiler::Error> {
        self.0
            .iter()
            .try_for_each(|program| seccompiler::apply_filter(program))
    }
}

/// One rule: every condition must hold.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, seccompiler::Error> {
    let conditions = conditions
        .iter()
        // The kernel takes 32 bits of each of these arguments. A comparison of 64 would let one with dirt in its upper
        // half past a "not equal".
        .map(|(argument, operator, value)| {
            SeccompCondition::new(*argument, Dword, operator.clone(), *value)
        })
        .collect::<Result<_, _>>()?;
    Ok(SeccompRule::new(conditions)?)
}

/// The calls that depend on their arguments.
fn conditional() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::Error> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let flag = |flag: i32| u64::from(flag.cast_unsigned());
    let namespaces = flag(
        libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET,
    );
    /// Both of `asm-generic/ioctls.h`; `libc` types them differently from one C library to the next.
    const TIOCSTI: u64 = 0x5412;
    const TIOCLINUX: u64 = 0x541c;
    /// `SOCK_TYPE_MASK` of `linux/net.h`: above it are SOCK_CLOEXEC and SOCK_NONBLOCK.
    const TYPE: u64 = 0xf;
    let inet = |family: i32, kind: i32, protocol: i32| {
        rule(&[
            (0, Eq, flag(family)),
            (1, MaskedEq(TYPE), flag(kind)),
            (2, Eq, flag(protocol)),
        ])
    };
    let file_kind =
        |argument: u8, kind: u32| rule(&[(argument, MaskedEq(libc::S_IFMT.into()), kind.into())]);
    let mut rules = BTreeMap::from([
        (
            libc::SYS_clone,
            vec![rule(&[(0, MaskedEq(namespaces), 0)])?],
        ),
        (
            libc::SYS_socket,
            vec![
                rule(&[(0, Eq, flag(libc::AF_UNIX))])?,
                inet(libc::AF_INET, libc::SOCK_STREAM, 0)?,
                inet(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP)?,
                inet(libc::AF_INET, libc::SOCK_DGRAM, 0)?,
                inet(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP)?,
                inet(libc::AF_INET6, libc::SOCK_STREAM, 0)?,
                inet(libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP)?,
                inet(libc::AF_INET6, libc::SOCK_DGRAM, 0)?,
                inet(libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP)?,
                // getifaddrs(3) asks the kernel for the interfaces this way.
                rule(&[
                    (0, Eq, flag(libc::AF_NETLINK)),
                    (2, Eq, flag(libc::NETLINK_ROUTE)),
                ])?,
            ],
        ),
        (
            libc::SYS_socketpair,
            vec![rule(&[(0, Eq, flag(libc::AF_UNIX))])?],
        ),
        (
            libc::SYS_ioctl,
            // Typing into someone's terminal: TIOCSTI directly, TIOCLINUX by pasting a selection.
            vec![rule(&[(1, Ne, TIOCSTI), (1, Ne, TIOCLINUX)])?],
        ),
        (
            libc::SYS_personality,
            // Only asking (0xffffffff) and the default: others weaken address randomisation or map page zero.
            vec![rule(&[(0, Eq, 0)])?, rule(&[(0, Eq, 0xffff_ffff)])?],
        ),
        (
            libc::SYS_prctl,
            vec![rule(&[
                (0, Ne, flag(libc::PR_SET_SECCOMP)),
                (0, Ne, flag(libc::PR_SET_MM)),
            ])?],
        ),
        (
            libc::SYS_mknodat,
            vec![
                file_kind(2, libc::S_IFIFO)?,
                file_kind(2, libc::S_IFREG)?,
                file_kind(2, libc::S_IFSOCK)?,
            ],
        ),
    ]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(
        libc::SYS_mknod,
        vec![
            file_kind(1, libc::S_IFIFO)?,
            file_kind(1, libc::S_IFREG)?,
            file_kind(1, libc::S_IFSOCK)?,
        ],
    );
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_fit_into_what_the_kernel_takes() {
        let filters = Filters::compile().unwrap();
        // BPF_MAXINSNS of linux/bpf_common.h.
        assert!(
            filters
                .0
                .iter()
                .all(|program| !program.is_empty() && program.len() <= 4096)
        );
    }

    #[test]
    fn no_call_is_listed_twice_or_both_allowed_and_conditional() {
        let mut all: Vec<_> = ALLOWED
            .iter()
            .chain(ALLOWED_HERE)
            .chain(MISSING)
            .copied()
            .chain(MISSING_NEW)
            .collect();
        all.extend(conditional().unwrap().into_keys());
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
