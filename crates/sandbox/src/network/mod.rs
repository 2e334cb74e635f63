//! The network of a sandbox: what a function may reach, and the doors through which it is reached.
//!
//! Every environment gets a network namespace of its own, never used twice. It belongs to the user namespace in which
//! Hearth works, while the function lives in one below without capabilities there: it cannot change interfaces, routes
//! or rules. In it listen, on 127.0.0.1, the Runtime API and the door to Hearth's own API; with [`Network::Egress`] there
//! are also a resolver and a way out.
//!
//! In reading order: [`NetworkOptions`] is what an operator says; `reach` makes routes of it and of what is closed;
//! `prepare` is the process that makes namespaces, off the requests' path, with `netns` and `netlink` as its hands;
//! `router` is the way out, filtered by `nft`, and through `pasta` where there are no privileges; `claim` keeps several
//! instances on one host apart and finds what killed ones left; `pool` gives prepared networks to the launcher; `dns`
//! answers the functions' resolver.
//!
//! IPv6 leads nowhere but to the namespace's own loopback: there is no address and no route, so that `::ffff:0:0/96`,
//! `64:ff9b::/96`, `fd00:ec2::254` and link-local neighbours need no rules of their own.
//!
//! The prepared namespace, not the function, is what ends a network: when a [`Slot`] is dropped its cable is cut even if
//! a process is left inside.

#![allow(unsafe_code, reason = "a child process is told to die with its parent")]

mod claim;
mod dns;
mod netlink;
mod netns;
mod nft;
mod options;
mod pasta;
mod pool;
mod prepare;
mod reach;
mod router;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

pub use hearth_types::network::{Prefix, PrefixError};

use crate::report::{Need, Part};
use serde::{Deserialize, Serialize};

pub use options::{NetworkOptions, OptionsError, Resolver, ResolverError};
pub use pool::Preparer;
pub use prepare::preparer_main;

/// What a function may reach.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Network {
    /// Only its own loopback and Hearth's doors.
    None,
    /// The outside world, never the host.
    #[default]
    Egress,
}

/// The network of one environment, until dropped.
#[derive(Debug)]
pub struct Slot {
    /// The network namespace, for a process to be born into.
    pub netns: OwnedFd,
    /// Listens on 127.0.0.1:9001 inside; non-blocking.
    pub runtime_api: TcpListener,
    /// Listens on 127.0.0.1:9002 inside, for Hearth's own API; non-blocking.
    pub door: TcpListener,
    /// Answers the resolver's sockets; ends when dropped.
    resolver: tokio::task::JoinSet<()>,
    /// The preparer sees when this is closed.
    _lifeline: Option<OwnedFd>,
}

/// Why there is no network for an environment. The host's fault.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NetworkError {
    /// The preparer said so; safe to retry.
    #[error("cannot prepare a network: {0}")]
    Failed(String),
    /// The preparer is gone; final for this [`Preparer`].
    #[error("the process that prepares networks is gone; start Hearth again")]
    Gone,
}

/// What this host offers for functions' outgoing network.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NetworkReport {
    /// The way out of [`Network::Egress`].
    pub uplink: Uplink,
}

/// How functions reach the outside.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Uplink {
    /// Through the host's own routing, with masquerading: needs privileges.
    Veth,
    /// Through a router of Hearth's own and `pasta`: works for every user.
    Pasta,
    /// Not at all: [`Network::Egress`] gives the same as [`Network::None`].
    Unavailable {
        /// What is missing, for a person.
        why: String,
        /// How to get it.
        what_to_do: String,
    },
}

impl NetworkReport {
    /// The same as a part of the host's report. A function without a way out is no less walled in.
    pub(crate) fn part(self) -> Part {
        let (available, detail, advice) = match self.uplink {
            Uplink::Veth => (
                true,
                "routed and masqueraded by this host".to_owned(),
                String::new(),
            ),
            Uplink::Pasta => (true, "through pasta".to_owned(), String::new()),
            Uplink::Unavailable { why, what_to_do } => (false, why, what_to_do),
        };
        Part {
            name: "outgoing network".to_owned(),
            available,
            need: Need::Comfort,
            detail,
            advice,
        }
    }
}

/// Where programs for administrators are, in a process that has no `PATH`.
const PROGRAM_FOLDERS: [&str; 7] = [
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/run/current-system/sw/bin",
];

fn program(name: &str) -> Option<PathBuf> {
    PROGRAM_FOLDERS
        .iter()
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|path| path.is_file())
}

/// Lets a child be killed when the thread that starts it ends, however that happens.
fn die_with_parent(command: &mut tokio::process::Command) {
    let parent = std::process::id();
    let arrange = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have ended before the call.
        let now = rustix::process::getppid().map(|pid| pid.as_raw_pid().cast_unsigned());
        if now == Some(parent) {
            Ok(())
        } else {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(arrange);
    }
}
