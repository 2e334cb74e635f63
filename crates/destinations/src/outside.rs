//! Which addresses a webhook may be at: what functions may reach, and no more, for whoever has a function's credentials
//! can name a webhook. Names are looked up once, and what was checked is what is connected to.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use hearth_types::network::{Prefix, ranges};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Addresses of one answer that are looked at. Names with more are not meant to be tried one by one.
const MOST_ADDRESSES: usize = 16;

/// What is open besides public addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Private ranges.
    pub allowed_private: Vec<Prefix>,
    /// Ranges that are closed whatever is opened: those of the functions' environments.
    pub closed: Vec<Prefix>,
    /// Loopback addresses of this host.
    pub loopback: Loopback,
}

/// Whether webhooks may be on loopback addresses of this host, where services are that trust whoever reaches them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loopback {
    /// They may.
    Open,
    /// They may not.
    #[default]
    Closed,
}

impl Outside {
    /// Whether `address` may be connected to.
    ///
    /// # Errors
    /// What is there.
    fn check(&self, address: IpAddr) -> Result<(), &'static str> {
        let address = address.to_canonical();
        if self.loopback == Loopback::Open && address.is_loopback() {
            return Ok(());
        }
        let inner = match address {
            IpAddr::V4(inner) => Some(inner),
            IpAddr::V6(outer) => ranges::carried(outer),
        };
        if let Some(inner) = inner
            && self
                .closed
                .iter()
                .any(|range| range.covers(Prefix::host(inner)))
        {
            return Err("functions");
        }
        ranges::check(address, &self.allowed_private)?;
        if is_own(address) {
            return Err("an address of this host");
        }
        Ok(())
    }

    /// Checks the host of a URL if it is an address; a name is checked when it is looked up.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), String> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.check(address)
            .map_err(|what| refusal(&address.to_string(), what))
    }
}

fn refusal(host: &str, what: &str) -> String {
    format!("{host} is not open to webhooks: {what}")
}

/// Whether packets to `address` would stay on this host: then the kernel gives them the address itself for a source, or
/// one of loopback. Nothing is sent.
fn is_own(address: IpAddr) -> bool {
    let any = match address {
        IpAddr::V4(_) => "0.0.0.0:0",
        IpAddr::V6(_) => "[::]:0",
    };
    let source = UdpSocket::bind(any).and_then(|socket| {
        // The port does not matter; 9 is the one of "discard" (RFC 863).
        socket.connect(SocketAddr::new(address, 9))?;
        socket.local_addr()
    });
    // No way to it: connecting will say so.
    source.is_ok_and(|source| source.ip() == address || source.ip().is_loopback())
}

/// The host's own resolver, whose answers are checked.
#[derive(Debug)]
pub(crate) struct Resolver(pub(crate) Arc<Outside>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let outside = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut open = Vec::new();
            let mut closed = "no address";
            for address in found.take(MOST_ADDRESSES) {
                match outside.check(address.ip()) {
                    Ok(()) => open.push(address),
                    Err(what) => closed = what,
                }
            }
            if open.is_empty() {
                return Err(refusal(name.as_str(), closed).into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(private: &[&str], loopback: Loopback) -> Outside {
        Outside {
            allowed_private: private.iter().map(|text| text.parse().unwrap()).collect(),
            closed: vec!["10.9.0.0/16".parse().unwrap()],
            loopback,
        }
    }

    fn open(outside: &Outside, url: &str) -> bool {
        outside.check_url(&url.parse().unwrap()).is_ok()
    }

    #[test]
    fn what_is_inside_is_closed() {
        let outside = outside(&[], Loopback::Closed);
        assert!(open(&outside, "https://1.1.1.1/"));
        for url in [
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://2130706433/",
            "http://0x7f.1/",
            "https://0.0.0.0/",
            "https://10.0.0.1/",
            "https://169.254.169.254/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://[64:ff9b::169.254.169.254]/",
            "https://10.9.0.1/",
        ] {
            assert!(!open(&outside, url), "{url}");
        }
    }

    #[test]
    fn what_is_opened_is_open_and_no_more() {
        let outside = outside(&["10.0.0.0/8"], Loopback::Open);
        for url in [
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "https://10.1.2.3/",
        ] {
            assert!(open(&outside, url), "{url}");
        }
        for url in [
            "https://10.9.0.1/",
            "https://192.168.0.1/",
            "https://169.254.169.254/",
            "https://0.0.0.0/",
        ] {
            assert!(!open(&outside, url), "{url}");
        }
    }

    #[test]
    fn an_address_of_this_host_is_known() {
        assert!(is_own("127.0.0.9".parse().unwrap()));
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        // The address by which this host would reach the outside, if there is one.
        if socket.connect("1.1.1.1:9").is_ok() {
            let own = socket.local_addr().unwrap().ip();
            assert!(is_own(own), "{own}");
            assert!(!is_own("1.1.1.1".parse().unwrap()));
        }
    }

    #[tokio::test]
    async fn names_are_checked_by_what_they_lead_to() {
        let lookup = |loopback| {
            let resolver = Resolver(Arc::new(outside(&[], loopback)));
            resolver.resolve("localhost".parse().unwrap())
        };
        assert!(lookup(Loopback::Open).await.is_ok());
        let error = lookup(Loopback::Closed).await.err().unwrap();
        assert!(
            error.to_string().contains("not open to webhooks"),
            "{error}"
        );
    }
}
