//! The system calls that a function may make.
//!
//! An allow-list: whatever is not on it fails with EPERM. Some calls fail with ENOSYS instead, because libc and runtimes
//! then take an older way (`clone3` → `clone`, io_uring → epoll). A filter reads registers, not memory: what cannot be
//! judged by registers alone (`clone3`'s flags) is not allowed at all.
//!
//! The list follows what CPython, Node.js, Go, Rust and the JVM need, minus all that changes the kernel, other
//! processes, mounts, namespaces, keys or time. Capabilities and Landlock would refuse most of it as well: each wall
//! is built as if the others were not there.

mod calls;
mod program;

use std::collections::BTreeMap;

use calls::{ALLOWED, ALLOWED_HERE, MISSING, MISSING_NEW};
use libc::c_long;
use program::Test::{Equal, Masked, NotEqual};
use program::{Rule, Verdict};
use seccompiler::BpfProgram;

/// Which files a function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// Its own, which go with it.
    Own,
    /// Those in folders of the host as well. What it leaves there belongs to a user of the host: it must not be a
    /// set-user-id program, which would run as that user whoever starts it. What it finds there may be the socket of a
    /// daemon of the host: no mount and no network namespace keeps it from being connected to, be the mount read-only.
    Shared,
}

/// The compiled filter.
#[derive(Debug)]
pub(crate) struct Filter(BpfProgram);

impl Filter {
    /// Compiles the filter for this machine.
    ///
    /// # Errors
    /// A sentence, on processors other than x86-64 and 64-bit ARM.
    pub(crate) fn compile(files: Files) -> Result<Self, String> {
        let processor = program::audit_number(std::env::consts::ARCH)
            .ok_or_else(|| format!("no list of system calls for {}", std::env::consts::ARCH))?;
        Ok(Self(program::assemble(processor, &verdicts(files))))
    }

    /// Installs it for this thread and all that come from it, for good.
    ///
    /// # Errors
    /// When the kernel has no seccomp filters.
    pub(crate) fn install(&self) -> Result<(), seccompiler::Error> {
        seccompiler::apply_filter(&self.0)
    }
}

/// Every call that is on a list.
fn verdicts(files: Files) -> BTreeMap<u32, Verdict> {
    let numbered = |verdict: Verdict| move |call: c_long| (number(call), verdict.clone());
    let allowed = ALLOWED
        .iter()
        .chain(ALLOWED_HERE)
        .copied()
        .map(numbered(Verdict::Allow));
    let missing = MISSING
        .iter()
        .copied()
        .chain(MISSING_NEW)
        .map(numbered(Verdict::Errno(libc::ENOSYS)));
    let conditional = conditional()
        .into_iter()
        .map(|(call, rules)| (number(call), Verdict::If(rules)));
    let sharing = match files {
        Files::Own => Vec::new(),
        Files::Shared => sharing(),
    };
    // The last of a call counts.
    allowed
        .chain(missing)
        .chain(conditional)
        .chain(sharing)
        .collect()
}

/// What is narrower where folders of the host are seen: no call makes or changes a file to be set-user-id or
/// set-group-id, and none makes a UNIX socket that could be connected to a path.
fn sharing() -> Vec<(u32, Verdict)> {
    /// `fchmodat2`, the same on every processor.
    const FCHMODAT2: c_long = 452;
    /// `__O_TMPFILE` of `asm-generic/fcntl.h`, the part of O_TMPFILE that is no other flag. Without it and O_CREAT the
    /// mode is not looked at, and may be anything.
    const TMPFILE: u32 = 0o20_000_000;
    const SET_ID: u32 = libc::S_ISUID | libc::S_ISGID;
    let creating = libc::O_CREAT.cast_unsigned() | TMPFILE;
    let plain = |mode: u8| vec![vec![(mode, Masked(SET_ID, 0))]];
    let open = |flags: u8, mode: u8| {
        vec![
            vec![(flags, Masked(creating, 0))],
            vec![(mode, Masked(SET_ID, 0))],
        ]
    };
    let node = |mode: u8| {
        let kinds = PLAIN_KINDS.map(|kind| vec![(mode, Masked(libc::S_IFMT | SET_ID, kind))]);
        kinds.to_vec()
    };
    let rules = [
        (libc::SYS_fchmod, plain(1)),
        (libc::SYS_fchmodat, plain(2)),
        (FCHMODAT2, plain(2)),
        (libc::SYS_openat, open(2, 3)),
        (libc::SYS_mknodat, node(2)),
        (libc::SYS_socket, sockets()),
        (libc::SYS_socketpair, connected_pairs()),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, plain(1)),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, open(1, 2)),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, plain(1)),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, node(1)),
    ];
    let rules = rules
        .into_iter()
        .map(|(call, rules)| (number(call), Verdict::If(rules)));
    // Its mode is in memory, where a filter can't look.
    let openat2 = (number(libc::SYS_openat2), Verdict::Errno(libc::ENOSYS));
    rules.chain([openat2]).collect()
}

/// As the kernel hands it to a filter.
fn number(call: c_long) -> u32 {
    call as u32
}

/// What `mknod` may make: nothing that leads to a device.
const PLAIN_KINDS: [u32; 3] = [libc::S_IFIFO, libc::S_IFREG, libc::S_IFSOCK];

/// `SOCK_TYPE_MASK` of `linux/net.h`: above it are SOCK_CLOEXEC and SOCK_NONBLOCK.
const SOCKET_TYPE: u32 = 0xf;

/// Sockets of every sandbox: TCP and UDP, and asking for interfaces.
fn sockets() -> Vec<Rule> {
    let flag = i32::cast_unsigned;
    let inet = |family: i32, kind: i32, protocol: i32| {
        vec![
            (0, Equal(flag(family))),
            (1, Masked(SOCKET_TYPE, flag(kind))),
            (2, Equal(flag(protocol))),
        ]
    };
    let mut sockets = vec![
        // getifaddrs(3) asks the kernel for the interfaces this way.
        vec![
            (0, Equal(flag(libc::AF_NETLINK))),
            (2, Equal(flag(libc::NETLINK_ROUTE))),
        ],
    ];
    for family in [libc::AF_INET, libc::AF_INET6] {
        for (kind, protocol) in [
            (libc::SOCK_STREAM, libc::IPPROTO_TCP),
            (libc::SOCK_DGRAM, libc::IPPROTO_UDP),
        ] {
            sockets.extend([inet(family, kind, 0), inet(family, kind, protocol)]);
        }
    }
    sockets
}

/// Pairs of UNIX sockets that have each other for good. Those of datagrams can be sent from to any path, and connected
/// anew.
fn connected_pairs() -> Vec<Rule> {
    let kinds = [libc::SOCK_STREAM, libc::SOCK_SEQPACKET].map(i32::cast_unsigned);
    kinds
        .map(|kind| {
            vec![
                (0, Equal(libc::AF_UNIX.cast_unsigned())),
                (1, Masked(SOCKET_TYPE, kind)),
            ]
        })
        .to_vec()
}

/// The calls that depend on their arguments: any of the rules must hold, and of a rule every test.
fn conditional() -> Vec<(c_long, Vec<Rule>)> {
    /// Both of `asm-generic/ioctls.h`; `libc` types them differently from one C library to the next.
    const TIOCSTI: u32 = 0x5412;
    const TIOCLINUX: u32 = 0x541c;
    let flag = i32::cast_unsigned;
    let namespaces = flag(
        libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET,
    );
    let unix = vec![(0, Equal(flag(libc::AF_UNIX)))];
    let mut sockets = sockets();
    sockets.push(unix.clone());
    let plain_file = |argument: u8| {
        PLAIN_KINDS
            .map(|kind| vec![(argument, Masked(libc::S_IFMT, kind))])
            .to_vec()
    };
    vec![
        (libc::SYS_clone, vec![vec![(0, Masked(namespaces, 0))]]),
        (libc::SYS_socket, sockets),
        (libc::SYS_socketpair, vec![unix]),
        // The node empties the pipe of an output at the end of an invocation, whatever is in it: not more than the 64 KiB
        // that a pipe holds by itself.
        (
            libc::SYS_fcntl,
            vec![vec![(1, NotEqual(flag(libc::F_SETPIPE_SZ)))]],
        ),
        // Typing into someone's terminal: TIOCSTI directly, TIOCLINUX by pasting a selection.
        (
            libc::SYS_ioctl,
            vec![vec![(1, NotEqual(TIOCSTI)), (1, NotEqual(TIOCLINUX))]],
        ),
        // Only asking and the default: others weaken address randomisation or map page zero.
        (
            libc::SYS_personality,
            vec![vec![(0, Equal(0))], vec![(0, Equal(u32::MAX))]],
        ),
        (
            libc::SYS_prctl,
            vec![vec![
                (0, NotEqual(flag(libc::PR_SET_SECCOMP))),
                (0, NotEqual(flag(libc::PR_SET_MM))),
            ]],
        ),
        (libc::SYS_mknodat, plain_file(2)),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, plain_file(1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::program::run;
    use super::*;

    const EPERM: u32 = 0x0005_0000 | libc::EPERM as u32;
    const ENOSYS: u32 = 0x0005_0000 | libc::ENOSYS as u32;
    const ALLOW: u32 = 0x7fff_0000;

    fn ask(call: c_long, arguments: [u64; 3]) -> u32 {
        let [a, b, c] = arguments;
        ask_with(Files::Own, call, [a, b, c, 0])
    }

    fn ask_with(files: Files, call: c_long, arguments: [u64; 4]) -> u32 {
        let here = program::audit_number(std::env::consts::ARCH).unwrap();
        let filter = Filter::compile(files).unwrap();
        run(&filter.0, here, number(call), arguments)
    }

    #[test]
    fn no_call_is_listed_twice() {
        let lists = ALLOWED.len()
            + ALLOWED_HERE.len()
            + MISSING.len()
            + MISSING_NEW.count()
            + conditional().len();
        assert_eq!(verdicts(Files::Own).len(), lists);
        // What is narrower there is on a list already.
        assert_eq!(verdicts(Files::Shared).len(), lists);
    }

    #[test]
    fn every_listed_call_gets_its_verdict_and_every_other_eperm() {
        let verdicts = verdicts(Files::Own);
        for call in (0..1024).chain([0x4000_0000, 0x4000_0001, u32::MAX]) {
            let expected = match verdicts.get(&call) {
                Some(Verdict::Allow) => ALLOW,
                Some(Verdict::Errno(_)) => ENOSYS,
                Some(Verdict::If(_)) => continue,
                None => EPERM,
            };
            assert_eq!(ask(c_long::from(call), [0; 3]), expected, "call {call}");
        }
    }

    #[test]
    fn another_processors_calls_kill() {
        // AUDIT_ARCH_I386: the numbers mean other calls there.
        let verdict = run(
            &Filter::compile(Files::Own).unwrap().0,
            0x4000_0003,
            1,
            [0; 4],
        );
        assert_eq!(verdict, libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn threads_may_be_made_and_namespaces_not() {
        let thread = libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        assert_eq!(ask(libc::SYS_clone, [thread as u64, 0, 0]), ALLOW);
        for namespace in [
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWNS,
            libc::CLONE_NEWNET | libc::CLONE_VM,
        ] {
            assert_eq!(ask(libc::SYS_clone, [namespace as u64, 0, 0]), EPERM);
        }
    }

    #[test]
    fn pipes_are_not_enlarged() {
        let fcntl = |command: i32| ask(libc::SYS_fcntl, [1, command as u64, 1 << 20]);
        assert_eq!(fcntl(libc::F_SETPIPE_SZ), EPERM);
        assert_eq!(fcntl(libc::F_GETPIPE_SZ), ALLOW);
        assert_eq!(fcntl(libc::F_SETFL), ALLOW);
    }

    #[test]
    fn sockets_are_for_tcp_udp_unix_and_asking_for_interfaces() {
        let socket = |family: i32, kind: i32, protocol: i32| {
            ask(
                libc::SYS_socket,
                [family as u64, kind as u64, protocol as u64],
            )
        };
        assert_eq!(
            socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0),
            ALLOW
        );
        assert_eq!(
            socket(libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
            ALLOW
        );
        assert_eq!(socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0), ALLOW);
        assert_eq!(
            socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE),
            ALLOW
        );
        assert_eq!(
            socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
            EPERM
        );
        assert_eq!(
            socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
            EPERM
        );
        assert_eq!(
            socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP),
            EPERM
        );
        assert_eq!(socket(libc::AF_PACKET, libc::SOCK_RAW, 0), EPERM);
        assert_eq!(socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0), EPERM);
        assert_eq!(socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0), EPERM);
        assert_eq!(
            socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER),
            EPERM
        );
    }

    #[test]
    fn no_unix_sockets_but_connected_ones_where_folders_are_shared() {
        let shared = |call: c_long, family: i32, kind: i32| {
            ask_with(Files::Shared, call, [family as u64, kind as u64, 0, 0])
        };
        let kinds = [
            (libc::SOCK_STREAM, ALLOW),
            (libc::SOCK_SEQPACKET, ALLOW),
            (libc::SOCK_DGRAM, EPERM),
            // The kernel takes it for one of datagrams.
            (libc::SOCK_RAW, EPERM),
        ];
        for (kind, pair) in kinds {
            for kind in [kind, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK] {
                assert_eq!(shared(libc::SYS_socket, libc::AF_UNIX, kind), EPERM);
                assert_eq!(shared(libc::SYS_socketpair, libc::AF_UNIX, kind), pair);
                let own = [libc::AF_UNIX as u64, kind as u64, 0];
                assert_eq!(ask(libc::SYS_socket, own), ALLOW);
                assert_eq!(ask(libc::SYS_socketpair, own), ALLOW);
            }
        }
        let tcp = shared(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM);
        assert_eq!(tcp, ALLOW);
        let interfaces = shared(libc::SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW);
        assert_eq!(interfaces, ALLOW);
    }

    #[test]
    fn dirt_in_the_upper_half_of_an_argument_changes_nothing() {
        let dirt = 1 << 32;
        assert_eq!(ask(libc::SYS_ioctl, [0, 0x5412 | dirt, 0]), EPERM);
        assert_eq!(ask(libc::SYS_ioctl, [0, 0x5401 | dirt, 0]), ALLOW);
        assert_eq!(
            ask(libc::SYS_clone, [libc::CLONE_NEWUSER as u64 | dirt, 0, 0]),
            EPERM
        );
    }

    #[test]
    fn special_files_are_pipes_and_sockets_only() {
        let mknod = |mode: u32| ask(libc::SYS_mknodat, [0, 0, u64::from(mode | 0o644)]);
        assert_eq!(mknod(libc::S_IFIFO), ALLOW);
        assert_eq!(mknod(libc::S_IFCHR), EPERM);
        assert_eq!(mknod(libc::S_IFBLK), EPERM);
    }

    #[test]
    fn no_set_user_id_programs_where_folders_are_shared() {
        let create = (libc::O_CREAT | libc::O_WRONLY) as u64;
        let unnamed = (libc::O_TMPFILE | libc::O_RDWR) as u64;
        let regular = u64::from(libc::S_IFREG);
        for (call, at_mode, before) in [
            (libc::SYS_fchmod, 1, [0, 0, 0]),
            (libc::SYS_fchmodat, 2, [0, 0, 0]),
            (452, 2, [0, 0, 0]),
            (libc::SYS_openat, 3, [0, 0, create]),
            (libc::SYS_openat, 3, [0, 0, unnamed]),
            (libc::SYS_mknodat, 2, [0, 0, 0]),
        ] {
            for (mode, refused) in [(0o755, false), (0o4755, true), (0o2755, true)] {
                let mut arguments = [before[0], before[1], before[2], 0];
                let kind = if call == libc::SYS_mknodat {
                    regular
                } else {
                    0
                };
                arguments[at_mode] = mode | kind;
                let expected = if refused { EPERM } else { ALLOW };
                assert_eq!(
                    ask_with(Files::Shared, call, arguments),
                    expected,
                    "{call} {mode:o}"
                );
                assert_eq!(
                    ask_with(Files::Own, call, arguments),
                    ALLOW,
                    "{call} {mode:o}"
                );
            }
        }
        // Nothing is made: whatever is where the mode would be means nothing.
        assert_eq!(
            ask_with(Files::Shared, libc::SYS_openat, [0, 0, 0, u64::MAX]),
            ALLOW
        );
        assert_eq!(ask_with(Files::Shared, libc::SYS_openat2, [0; 4]), ENOSYS);
    }
}
