//! The way from functions' namespaces to the outside, one for all of them, with the rules that functions cannot touch.
//!
//! With privileges over the host's network the host itself routes: it forwards and masquerades. Without, a namespace of
//! Hearth's own routes in the same way and leaves through `pasta`. Either way each function hangs on the router by a
//! virtual cable with two addresses, in its own namespace by the name `eth0`.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::process::Child;
use tokio::time::Instant;

use super::claim::{self, Claim, INTERFACE_PREFIX, NUMBERS, Pairs, Turn};
use super::netlink::{LOOPBACK, Netlink};
use super::nft::{self, Nft};
use super::pasta::Pasta;
use super::{NetworkOptions, Prefix, Uplink, netns, reach};

/// The name of the interface in a function's namespace.
const INSIDE: &str = "eth0";

/// The largest packet in bytes that Ethernet carries everywhere.
const ETHERNET_MTU: u32 = 1500;

/// The smallest packet in bytes that every IPv4 network carries unbroken, RFC 791.
const SMALLEST_MTU: u32 = 576;

/// How long to wait before a `pasta` that ended is started anew.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// A function's cable: what is to be removed with it.
#[derive(Debug)]
pub(super) struct Cable {
    index: u32,
    pair: u32,
}

/// The router. [`Router::close`] removes it; dropping it only ends `pasta`.
#[derive(Debug)]
pub(super) struct Router {
    nft: Nft,
    number: u8,
    netlink: Netlink,
    host: Netlink,
    pairs: Pairs,
    options: NetworkOptions,
    mtu: u32,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The host's own network.
    Host {
        _claim: Claim,
        /// The interfaces that were looked at: they forward now, by whomever.
        known: BTreeSet<String>,
    },
    /// A namespace of Hearth's own.
    Own(Box<Own>),
}

#[derive(Debug)]
struct Own {
    netns: OwnedFd,
    pasta: Pasta,
    child: Child,
    ends: (Ipv4Addr, Ipv4Addr),
    refused: BTreeSet<Ipv4Addr>,
    /// Since `pasta` ended: when to start it anew.
    again: Option<Instant>,
}

impl Router {
    /// Builds the best router that this host allows.
    ///
    /// # Errors
    /// [`Uplink::Unavailable`], with what to do.
    pub(super) async fn build(options: &NetworkOptions) -> Result<Self, Uplink> {
        let unavailable = |why: String, what_to_do: &str| Uplink::Unavailable {
            why,
            what_to_do: what_to_do.to_owned(),
        };
        options
            .validate()
            .map_err(|error| unavailable(error.to_string(), "correct the configuration"))?;
        let nft = Nft::find().ok_or_else(|| {
            unavailable(
                "the program nft is not installed".to_owned(),
                "install nftables, and without root also passt; then start again",
            )
        })?;
        let refusal = match Self::on_host(nft.clone(), options).await {
            Ok(router) => return Ok(router),
            Err(error) => error,
        };
        let Some(pasta) = Pasta::find() else {
            return Err(unavailable(
                format!("the host's network cannot be used ({refusal}) and pasta is not installed"),
                "install passt, or run as root; then start again",
            ));
        };
        Self::own(nft, pasta, options).await.map_err(|error| {
            unavailable(
                format!("the host's network cannot be used ({refusal}), nor one of Hearth's own ({error})"),
                "look at the reasons given; /dev/net/tun must be writable and the host have a default route",
            )
        })
    }

    async fn on_host(nft: Nft, options: &NetworkOptions) -> io::Result<Self> {
        // The first thing that needs the privilege, and changes nothing.
        nft.run("add table inet hearth\ndelete table inet hearth\n")?;
        let netlink = Netlink::here()?;
        let turn = Turn::wait().await?;
        let with_table = nft.numbers()?;
        let links = netlink.links().await?;
        let mut own = None;
        for number in NUMBERS {
            let prefix = claim::interface_prefix(number);
            let something = with_table.contains(&number)
                || links.iter().any(|link| link.name.starts_with(&prefix));
            if own.is_some() && !something {
                continue;
            }
            let Some(claim) = Claim::take(number)? else {
                continue;
            };
            if something {
                sweep(&nft, &netlink, number).await?;
            }
            if own.is_none() {
                own = Some(claim);
            }
        }
        let claim =
            own.ok_or_else(|| io::Error::other("16 instances of Hearth run on this host already"))?;
        let number = claim.number();
        let slice = claim::slice(options.veth_range, number);
        let routes = reach::routes(&options.allowed_private, options.veth_range, &[]);
        nft.run(&nft::ruleset(number, slice, &routes))?;
        drop(turn);
        let mut router = Self {
            nft,
            number,
            host: netlink.clone(),
            netlink,
            pairs: Pairs::new(slice),
            options: options.clone(),
            mtu: ETHERNET_MTU,
            place: Place::Host {
                _claim: claim,
                known: BTreeSet::new(),
            },
        };
        match router.follow_host().await {
            Ok(()) => Ok(router),
            Err(error) => {
                router.close().await;
                Err(error)
            }
        }
    }

    async fn own(nft: Nft, pasta: Pasta, options: &NetworkOptions) -> io::Result<Self> {
        let number = 0;
        let host = Netlink::here()?;
        let netns = netns::create()?;
        let netlink = Netlink::inside(netns.as_fd())?;
        let slice = claim::slice(options.veth_range, number);
        let routes = reach::routes(&options.allowed_private, options.veth_range, &[]);
        netns::inside(netns.as_fd(), || {
            without_ipv6("default");
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            nft.run(&nft::ruleset(number, slice, &routes))
        })?;
        let mut pairs = Pairs::new(slice);
        let pair = pairs
            .take()
            .ok_or_else(|| io::Error::other("no addresses"))?;
        let ends = pairs.addresses(pair);
        let child = pasta
            .connect(netns.as_fd(), &netlink, ends.1, ends.0)
            .await?;
        let mut router = Self {
            nft,
            number,
            netlink,
            host,
            pairs,
            options: options.clone(),
            mtu: ETHERNET_MTU,
            place: Place::Own(Box::new(Own {
                netns,
                pasta,
                child,
                ends,
                refused: BTreeSet::new(),
                again: None,
            })),
        };
        router.follow_host().await?;
        Ok(router)
    }

    /// What it is, for the report.
    pub(super) fn uplink(&self) -> Uplink {
        match self.place {
            Place::Host { .. } => Uplink::Veth,
            Place::Own(_) => Uplink::Pasta,
        }
    }

    /// Takes over what changed in the host's network: its own addresses and its ways out.
    ///
    /// # Errors
    /// When the host cannot forward, and cannot be made to.
    pub(super) async fn follow_host(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Host { known, .. } => {
                self.mtu =
                    open_ways(&self.nft, &self.netlink, self.number, &self.options, known).await?;
            }
            Place::Own(own) => {
                // The rules for packets to the host itself are the host's; here its addresses are places like others.
                let now: BTreeSet<_> = self
                    .host
                    .addresses()
                    .await?
                    .into_iter()
                    .filter(|a| !a.is_loopback())
                    .collect();
                for address in now.difference(&own.refused) {
                    self.netlink
                        .add_route(Prefix::host(*address), reach::Verdict::Refuse, *address)
                        .await?;
                }
                for address in own.refused.difference(&now) {
                    self.netlink.remove_refusal(Prefix::host(*address)).await?;
                }
                own.refused = now;
            }
        }
        Ok(())
    }

    /// Connects a function's namespace, whose line is `inside`.
    ///
    /// # Errors
    /// When the addresses are used up or the kernel refuses; then nothing is left.
    pub(super) async fn connect(&mut self, netns: &OwnedFd, inside: &Netlink) -> io::Result<Cable> {
        let pair = self.pairs.take().ok_or_else(|| {
            io::Error::other("all addresses of veth_range are in use; choose a larger range")
        })?;
        let name = format!("{}{pair:x}", claim::interface_prefix(self.number));
        let connected = self.connect_as(&name, pair, netns, inside).await;
        match connected {
            Ok(index) => Ok(Cable { index, pair }),
            Err(error) => {
                if let Ok(Some(index)) = self.netlink.index(&name).await {
                    let _ = self.netlink.remove(index).await;
                }
                self.pairs.give_back(pair);
                Err(error)
            }
        }
    }

    async fn connect_as(
        &self,
        name: &str,
        pair: u32,
        netns: &OwnedFd,
        inside: &Netlink,
    ) -> io::Result<u32> {
        let (near, far) = self.pairs.addresses(pair);
        let gone = || io::Error::other("a new interface vanished");
        // IPv6 stays off: what has no address there reaches nobody, whatever the host routes.
        netns::inside(netns.as_fd(), || {
            without_ipv6("default");
            Ok(())
        })?;
        self.netlink
            .add_veth(name, INSIDE, netns.as_fd(), self.mtu)
            .await?;
        let index = self.netlink.index(name).await?.ok_or_else(gone)?;
        if let Place::Host { .. } = self.place {
            without_ipv6(name);
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/forwarding"), "1")?;
        }
        self.netlink.add_address(index, near, 31).await?;
        self.netlink.up(index).await?;

        let index_inside = inside.index(INSIDE).await?.ok_or_else(gone)?;
        inside.add_address(index_inside, far, 31).await?;
        inside.up(index_inside).await?;
        let host = self.host.addresses().await?;
        // The way out comes last: there is no moment at which it is open and a closed range is not closed.
        let routes = reach::routes(
            &self.options.allowed_private,
            self.options.veth_range,
            &host,
        );
        for (range, verdict) in routes {
            inside.add_route(range, verdict, near).await?;
        }
        Ok(index)
    }

    /// Removes a function's cable, even if its namespace is still in use.
    pub(super) async fn disconnect(&mut self, cable: Cable) {
        match self.netlink.remove(cable.index).await {
            Ok(()) => self.pairs.give_back(cable.pair),
            // Its addresses stay taken: better lost than given to two.
            Err(error) => eprintln!("hearth network: {error}"),
        }
    }

    /// Waits until the way out ends by itself, and builds it anew; never returns where the kernel is the way. Cancel
    /// safe.
    pub(super) async fn keep_up(&mut self) {
        let Place::Own(own) = &mut self.place else {
            return std::future::pending().await;
        };
        let _ = own.child.wait().await;
        let again = *own
            .again
            .get_or_insert_with(|| Instant::now() + RESTART_PAUSE);
        tokio::time::sleep_until(again).await;
        own.again = None;
        let (far, near) = own.ends;
        match own
            .pasta
            .connect(own.netns.as_fd(), &self.netlink, near, far)
            .await
        {
            Ok(child) => own.child = child,
            Err(error) => eprintln!("hearth network: the way out is down: {error}"),
        }
    }

    /// Removes everything that the host has because of this router.
    pub(super) async fn close(mut self) {
        match &mut self.place {
            Place::Host { .. } => {
                let swept = async {
                    let _turn = Turn::wait().await?;
                    sweep(&self.nft, &self.netlink, self.number).await
                };
                if let Err(error) = swept.await {
                    eprintln!("hearth network: {error}");
                }
            }
            // The rest goes with the namespace.
            Place::Own(own) => {
                let _ = own.child.kill().await;
            }
        }
    }
}

/// Removes what an instance has, or what one that was killed has left: interfaces, rules, forwarding.
async fn sweep(nft: &Nft, netlink: &Netlink, number: u8) -> io::Result<()> {
    let prefix = claim::interface_prefix(number);
    for link in netlink.links().await? {
        if link.name.starts_with(&prefix) {
            netlink.remove(link.index).await?;
        }
    }
    let opened = nft.opened(number).unwrap_or_default();
    if !opened.is_empty() && !forwards("all") {
        let others = opened_by_others(nft, number)?;
        for interface in opened.difference(&others) {
            // An interface that is gone needs nothing.
            let _ = std::fs::write(forwarding(interface), "0");
        }
    }
    nft.remove(number)
}

/// The interfaces that other instances made forward.
fn opened_by_others(nft: &Nft, number: u8) -> io::Result<BTreeSet<String>> {
    let others = nft.numbers()?.into_iter().filter(|other| *other != number);
    Ok(others
        .filter_map(|other| nft.opened(other))
        .flatten()
        .collect())
}

/// Lets the interfaces that lead outside take part in forwarding, which answers to functions need, and finds the largest
/// packet that all of them carry.
async fn open_ways(
    nft: &Nft,
    netlink: &Netlink,
    number: u8,
    options: &NetworkOptions,
    known: &mut BTreeSet<String>,
) -> io::Result<u32> {
    let links = netlink.links().await?;
    let mut ways: BTreeSet<u32> = BTreeSet::new();
    for (destination, index) in netlink.outgoing_routes().await? {
        if reach::leads_outside(destination, &options.allowed_private) {
            ways.insert(index);
        }
    }
    let ways: Vec<_> = links
        .iter()
        .filter(|link| ways.contains(&link.index))
        .filter(|link| link.name != LOOPBACK && !link.name.starts_with(INTERFACE_PREFIX))
        .collect();
    // One that comes back under its name is another interface.
    known.retain(|name| links.iter().any(|link| link.name == *name));
    if forwards("all") {
        // Somebody made the whole host forward: it is theirs to switch off, and theirs to filter.
        if !known.is_empty() {
            nft.forget(number)?;
            known.clear();
        }
    } else {
        for way in &ways {
            if !nft::is_plain(&way.name) || known.contains(&way.name) {
                continue;
            }
            let _turn = Turn::wait().await?;
            if !forwards(&way.name) || opened_by_others(nft, number)?.contains(&way.name) {
                nft.remember(number, &way.name)?;
                std::fs::write(forwarding(&way.name), "1").map_err(|error| {
                    let name = &way.name;
                    let why = format!("{name} does not forward and cannot be made to: {error}");
                    io::Error::new(error.kind(), why)
                })?;
            }
            known.insert(way.name.clone());
        }
    }
    let smallest = ways.iter().map(|way| way.mtu).min().unwrap_or(ETHERNET_MTU);
    Ok(smallest.clamp(SMALLEST_MTU, ETHERNET_MTU))
}

fn forwarding(interface: &str) -> String {
    format!("/proc/sys/net/ipv4/conf/{interface}/forwarding")
}

fn forwards(interface: &str) -> bool {
    std::fs::read_to_string(forwarding(interface)).is_ok_and(|text| text.trim() == "1")
}

/// Switches IPv6 off for an interface, or by the name `default` for all that come. Without effect where the kernel has
/// no IPv6, or /proc is not writable; then the router's rules drop it.
fn without_ipv6(interface: &str) {
    let _ = std::fs::write(
        format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"),
        "1",
    );
}
