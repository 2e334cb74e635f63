//! Which addresses a function's request may be sent to.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use hearth_types::network::{Prefix, ranges};
use rtnetlink::packet_route::route::RouteType;
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::options::{Outside, ThisHost};

/// Why a function can't be connected to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It is not for functions: what is there.
    To(&'static str),
    /// This host knows no way to it.
    NoRoute,
}

/// Which addresses are open.
#[derive(Debug)]
pub(crate) struct Reach {
    options: Outside,
}

impl Reach {
    pub(crate) fn new(options: Outside) -> Self {
        Self { options }
    }

    /// Those of `addresses` that may be connected to, in their order, and why the last of the others may not.
    ///
    /// # Errors
    /// If the kernel can't be asked whether an address is this host's own: then nothing is open.
    pub(crate) async fn open(
        &self,
        addresses: &[IpAddr],
    ) -> io::Result<(Vec<IpAddr>, Option<Closed>)> {
        let mut open = Vec::with_capacity(addresses.len());
        let mut closed = None;
        let mut routes = None;
        for address in addresses {
            let address = address.to_canonical();
            if let Err(what) = self.check(address) {
                closed = Some(Closed::To(what));
                continue;
            }
            if self.options.this_host == ThisHost::Open {
                open.push(address);
                continue;
            }
            let routes = match &mut routes {
                Some(routes) => routes,
                none => none.insert(Routes::ask()?),
            };
            match routes.kind(address).await? {
                Some(RouteType::Unicast) => open.push(address),
                // Also what is this host's without being on an interface, and broadcast in an opened range.
                Some(_) => closed = Some(Closed::To("an address of this host")),
                None => closed = Some(Closed::NoRoute),
            }
        }
        Ok((open, closed))
    }

    fn check(&self, address: IpAddr) -> Result<(), &'static str> {
        if self.options.this_host == ThisHost::Open && address.is_loopback() {
            return Ok(());
        }
        if let Some(inner) = inner_v4(address)
            && self
                .options
                .closed
                .iter()
                .any(|range| range.covers(Prefix::host(inner)))
        {
            return Err("other functions");
        }
        ranges::check(address, &self.options.allowed_private)
    }
}

/// An IPv4 address as such or translated (RFC 6052); mapped ones were made canonical before.
fn inner_v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => ranges::carried(address),
    }
}

/// A line to the kernel's routing.
struct Routes {
    handle: Handle,
}

impl Routes {
    fn ask() -> io::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        // Ends when the handle is dropped.
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// What the kernel would do with a packet to `address`; `None`: it has no way.
    async fn kind(&self, address: IpAddr) -> io::Result<Option<RouteType>> {
        let length = if address.is_ipv4() { 32 } else { 128 };
        let question = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(address, length)
            .map_err(|error| io::Error::other(error.to_string()))?
            .build();
        match self.handle.route().get(question).execute().try_next().await {
            Ok(Some(route)) => Ok(Some(route.header.kind)),
            Ok(None) => Ok(None),
            // No route, or one that refuses: unreachable, prohibit, blackhole.
            Err(rtnetlink::Error::NetlinkError(message)) if message.code.is_some() => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    async fn open(options: Outside, texts: &[&str]) -> (Vec<String>, Option<Closed>) {
        let (open, closed) = Reach::new(options).open(&addresses(texts)).await.unwrap();
        (open.iter().map(ToString::to_string).collect(), closed)
    }

    /// What is decided by the ranges alone, whatever network the test runs in.
    fn ranges_only(opened: &[&str], closed: &[&str]) -> Outside {
        let ranges = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Outside {
            allowed_private: ranges(opened),
            closed: ranges(closed),
            this_host: ThisHost::Open,
            ..Outside::default()
        }
    }

    #[tokio::test]
    async fn only_checked_addresses_are_left_of_a_mixed_answer() {
        let mixed = [
            "10.0.0.1",
            "1.1.1.1",
            "::ffff:192.168.0.1",
            "fd00::1",
            "::ffff:9.9.9.9",
        ];
        let (left, closed) = open(ranges_only(&[], &[]), &mixed).await;
        assert_eq!(left, ["1.1.1.1", "9.9.9.9"]);
        assert!(matches!(closed, Some(Closed::To(_))));
        let (left, _) = open(ranges_only(&["10.0.0.0/8"], &[]), &mixed).await;
        assert_eq!(left, ["10.0.0.1", "1.1.1.1", "9.9.9.9"]);
    }

    #[tokio::test]
    async fn environments_stay_closed_in_an_opened_range() {
        let options = ranges_only(&["100.64.0.0/10"], &["100.127.0.0/16"]);
        let (left, _) = open(
            options,
            &["100.64.0.1", "100.127.0.1", "64:ff9b::100.127.0.1"],
        )
        .await;
        assert_eq!(left, ["100.64.0.1"]);
    }

    #[tokio::test]
    async fn loopback_is_closed_whatever_is_opened() {
        let outside = Outside {
            allowed_private: vec!["127.0.0.0/8".parse().unwrap()],
            ..Outside::default()
        };
        let (left, closed) = open(outside, &["127.0.0.1", "::1", "0.0.0.0"]).await;
        assert_eq!((left.len(), closed.is_some()), (0, true));
    }

    #[tokio::test]
    async fn the_kernel_knows_its_own_addresses() {
        let routes = Routes::ask().unwrap();
        let kind = routes.kind("127.0.0.9".parse().unwrap()).await.unwrap();
        assert_eq!(kind, Some(RouteType::Local));
        // The address by which this host would reach the outside, if there is one: its own, and so closed.
        let socket = tokio::net::UdpSocket::bind("0.0.0.0:0").await.unwrap();
        if socket.connect("1.1.1.1:9").await.is_ok() {
            let own = socket.local_addr().unwrap().ip();
            assert_eq!(routes.kind(own).await.unwrap(), Some(RouteType::Local));
            let outside = Outside {
                allowed_private: vec![Prefix::host(match own {
                    IpAddr::V4(own) => own,
                    IpAddr::V6(_) => unreachable!("the socket is of IPv4"),
                })],
                ..Outside::default()
            };
            let (left, closed) = Reach::new(outside).open(&[own]).await.unwrap();
            assert!(left.is_empty() && closed.is_some(), "{own}");
        }
    }
}
