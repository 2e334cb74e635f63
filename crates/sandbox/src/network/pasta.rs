//! A way out without privileges: `pasta` (package `passt`) turns what a namespace sends into ordinary sockets of this
//! user.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::Prefix;
use super::netlink::Netlink;
use super::reach::Verdict;

/// The name of the interface that `pasta` makes inside.
const INTERFACE: &str = "uplink";

/// The longest that `pasta` may take to appear inside; 20 ms is usual.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to look for it. It tells nobody that it is ready: in the foreground there is no exit to wait for.
const LOOK: Duration = Duration::from_millis(2);

/// The program.
#[derive(Clone, Debug)]
pub(super) struct Pasta(PathBuf);

impl Pasta {
    /// `None` if it is not installed.
    pub(super) fn find() -> Option<Self> {
        super::program("pasta").map(Self)
    }

    /// Connects a namespace to the outside through the calling process's own network, by one process that ends with the
    /// returned handle and with the calling thread. `near` is the namespace's address, `far` its gateway, of a /31.
    ///
    /// # Errors
    /// With what `pasta` said: mostly that the host has no default route, or that /dev/net/tun is missing.
    pub(super) async fn connect(
        &self,
        netns: BorrowedFd<'_>,
        netlink: &Netlink,
        near: Ipv4Addr,
        far: Ipv4Addr,
    ) -> io::Result<Child> {
        let mut command = Command::new(&self.0);
        // No port is forwarded in either direction, no address is mapped to the host's loopback, nothing is offered to
        // the inside but its packets' way out. The namespace goes in as standard input: later versions close all other
        // inherited descriptors. It never waits for the namespace to vanish; its life is this process's affair.
        command
            .args(["--foreground", "--quiet", "--ipv4-only"])
            .args(["--tcp-ports", "none", "--udp-ports", "none"])
            .args(["--tcp-ns", "none", "--udp-ns", "none"])
            .args([
                "--no-map-gw",
                "--no-dhcp",
                "--no-dhcpv6",
                "--no-ndp",
                "--no-ra",
            ])
            .args(["--ns-ifname", INTERFACE, "--mtu", "0"])
            .arg("--address")
            .arg(near.to_string())
            .args(["--netmask", "31"])
            .arg("--gateway")
            .arg(far.to_string())
            // "Root" of the namespace's own user namespace; it would change to "nobody" and could not enter.
            .args(["--runas", "0:0"])
            .args(["--no-netns-quit", "--netns", "/proc/self/fd/0"])
            .env_clear()
            .stdin(Stdio::from(netns.try_clone_to_owned()?))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        super::die_with_parent(&mut command);
        let mut child = command.spawn()?;
        let looking = async {
            loop {
                if let Some(index) = netlink.index(INTERFACE).await? {
                    break Ok(index);
                }
                if child.try_wait()?.is_some() {
                    break Err(io::Error::other("it ended"));
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, looking)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let index = match found {
            Ok(index) => index,
            Err(error) => {
                let _ = child.kill().await;
                return Err(io::Error::other(format!(
                    "pasta: {}",
                    last_words(child, &error).await
                )));
            }
        };
        if let Some(mut stderr) = child.stderr.take() {
            // A full pipe would stop it.
            tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await });
        }
        netlink.up(index).await?;
        netlink.add_address(index, near, 31).await?;
        netlink
            .add_route(Prefix::new(Ipv4Addr::UNSPECIFIED, 0), Verdict::Pass, far)
            .await?;
        Ok(child)
    }
}

/// What a process wrote before it ended, without what it says of a missing log service.
async fn last_words(mut child: Child, error: &io::Error) -> String {
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(16 * 1024).read_to_string(&mut said).await;
    }
    let words: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.ends_with("bytes to syslog"))
        .collect();
    if words.is_empty() {
        error.to_string()
    } else {
        words.join("; ")
    }
}
