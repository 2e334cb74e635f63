//! Interfaces, addresses and routes of one network namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteScope, RouteType,
};
use rtnetlink::{
    Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, MulticastGroup, RouteMessageBuilder,
};

use super::reach::Verdict;
use super::{Prefix, netns};

/// The name of the loopback interface in every namespace.
pub(super) const LOOPBACK: &str = "lo";

/// A line to the kernel about one namespace, whichever the caller is in.
#[derive(Clone, Debug)]
pub(super) struct Netlink {
    handle: Handle,
}

/// An interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mtu: u32,
}

fn failed(what: &str, error: &rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) if message.code.is_some() => {
            let error = message.to_io();
            io::Error::new(error.kind(), format!("cannot {what}: {error}"))
        }
        other => io::Error::other(format!("cannot {what}: {other}")),
    }
}

impl Netlink {
    /// Opens the line in the calling thread's namespace. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub(super) fn here() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Opens the line in another namespace. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// As [`Netlink::here`], and when the namespace cannot be entered.
    pub(super) fn inside(netns: BorrowedFd<'_>) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        netns::inside(netns, move || {
            let _entered = runtime.enter();
            Self::here()
        })
    }

    /// All interfaces.
    pub(super) async fn links(&self) -> io::Result<Vec<Link>> {
        let mut stream = self.handle.link().get().execute();
        let mut links = Vec::new();
        while let Some(message) = stream
            .try_next()
            .await
            .map_err(|error| failed("list interfaces", &error))?
        {
            let mut link = Link {
                index: message.header.index,
                name: String::new(),
                mtu: 0,
            };
            for attribute in message.attributes {
                match attribute {
                    LinkAttribute::IfName(name) => link.name = name,
                    LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                    _ => {}
                }
            }
            links.push(link);
        }
        Ok(links)
    }

    /// The number of an interface; `None` if there is none of that name.
    pub(super) async fn index(&self, name: &str) -> io::Result<Option<u32>> {
        let links = self.links().await?;
        Ok(links
            .iter()
            .find(|link| link.name == name)
            .map(|link| link.index))
    }

    /// Makes a pair of interfaces that are each other's wire: `name` here, `peer` in another namespace. Both are down.
    pub(super) async fn add_veth(
        &self,
        name: &str,
        peer: &str,
        netns: BorrowedFd<'_>,
        mtu: u32,
    ) -> io::Result<()> {
        let far = LinkMessageBuilder::<LinkUnspec>::new()
            .name(peer)
            .mtu(mtu)
            .setns_by_fd(netns.as_raw_fd())
            .build();
        let near = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(name)
            .mtu(mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
            .build();
        self.handle
            .link()
            .add(near)
            .execute()
            .await
            .map_err(|error| failed(&format!("add the interface {name}"), &error))
    }

    /// Takes an interface into service.
    pub(super) async fn up(&self, index: u32) -> io::Result<()> {
        self.handle
            .link()
            .set(LinkUnspec::new_with_index(index).up().build())
            .execute()
            .await
            .map_err(|error| failed("take an interface into service", &error))
    }

    /// Removes an interface, and its peer with it; no error if it is gone already.
    pub(super) async fn remove(&self, index: u32) -> io::Result<()> {
        match self.handle.link().del(index).execute().await {
            Err(rtnetlink::Error::NetlinkError(message)) if message.raw_code() == -libc::ENODEV => {
                Ok(())
            }
            other => other.map_err(|error| failed("remove an interface", &error)),
        }
    }

    /// Gives an interface an address.
    pub(super) async fn add_address(
        &self,
        index: u32,
        address: Ipv4Addr,
        length: u8,
    ) -> io::Result<()> {
        self.handle
            .address()
            .add(index, IpAddr::V4(address), length)
            .execute()
            .await
            .map_err(|error| failed(&format!("add the address {address}"), &error))
    }

    /// All IPv4 addresses of the namespace.
    pub(super) async fn addresses(&self) -> io::Result<Vec<Ipv4Addr>> {
        let mut stream = self.handle.address().get().execute();
        let mut addresses = Vec::new();
        while let Some(message) = stream
            .try_next()
            .await
            .map_err(|error| failed("list addresses", &error))?
        {
            // On a point-to-point interface `Address` is the other side's, and `Local` one's own.
            let own = message
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
                    _ => None,
                });
            addresses.extend(own);
        }
        addresses.sort();
        addresses.dedup();
        Ok(addresses)
    }

    /// Adds a route, or replaces the one for the same range.
    pub(super) async fn add_route(
        &self,
        range: Prefix,
        verdict: Verdict,
        gateway: Ipv4Addr,
    ) -> io::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(range.address(), range.length());
        let route = match verdict {
            Verdict::Pass => route.gateway(gateway),
            Verdict::Refuse => route.kind(RouteType::Prohibit),
        };
        self.handle
            .route()
            .add(route.build())
            .replace()
            .execute()
            .await
            .map_err(|error| failed(&format!("add the route to {range}"), &error))
    }

    /// Removes the refusal of one range; no error if there is none.
    pub(super) async fn remove_refusal(&self, range: Prefix) -> io::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(range.address(), range.length())
            .kind(RouteType::Prohibit)
            // "Any": what the kernel gave it is not said.
            .scope(RouteScope::NoWhere)
            .build();
        match self.handle.route().del(route).execute().await {
            Err(rtnetlink::Error::NetlinkError(message)) if message.raw_code() == -libc::ESRCH => {
                Ok(())
            }
            other => other.map_err(|error| failed(&format!("remove the route to {range}"), &error)),
        }
    }

    /// The IPv4 routes that leave through an interface: where to, and the interface's number.
    pub(super) async fn outgoing_routes(&self) -> io::Result<Vec<(Prefix, u32)>> {
        let mut request = RouteMessage::default();
        request.header.address_family = AddressFamily::Inet;
        let mut stream = self.handle.route().get(request).execute();
        let mut routes = Vec::new();
        while let Some(message) = stream
            .try_next()
            .await
            .map_err(|error| failed("list routes", &error))?
        {
            if message.header.kind != RouteType::Unicast {
                continue;
            }
            let (mut destination, mut interfaces) = (Ipv4Addr::UNSPECIFIED, Vec::new());
            for attribute in &message.attributes {
                match attribute {
                    RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                        destination = *address
                    }
                    RouteAttribute::Oif(index) => interfaces.push(*index),
                    RouteAttribute::MultiPath(hops) => {
                        interfaces.extend(hops.iter().map(|hop| hop.interface_index));
                    }
                    _ => {}
                }
            }
            let range = Prefix::new(destination, message.header.destination_prefix_length);
            routes.extend(interfaces.into_iter().map(|index| (range, index)));
        }
        Ok(routes)
    }
}

/// Tells of each change of IPv4 addresses, routes and interfaces in the calling thread's namespace, with several at
/// once told as one. Ends with the runtime.
///
/// # Errors
/// When the process is out of descriptors.
pub(super) fn changes() -> io::Result<std::sync::Arc<tokio::sync::Notify>> {
    use futures_util::StreamExt;
    let (connection, _, mut messages) = rtnetlink::new_multicast_connection(&[
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv4Route,
    ])?;
    tokio::spawn(connection);
    let told = std::sync::Arc::new(tokio::sync::Notify::new());
    let tell = std::sync::Arc::clone(&told);
    tokio::spawn(async move {
        while messages.next().await.is_some() {
            tell.notify_one();
        }
    });
    Ok(told)
}
