//! What an operator can choose about functions' outgoing network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use hearth_types::network::ranges::NEVER;
use serde::{Deserialize, Serialize};

use super::Prefix;

/// The port of DNS (RFC 1035, section 4.2).
pub(super) const DNS_PORT: u16 = 53;

/// How many instances of Hearth on one host can share a [`NetworkOptions::veth_range`]: each claims one slice.
pub(super) const SLICE_BITS: u8 = 4;

/// How sandboxes reach the outside.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkOptions {
    /// Private ranges that functions may reach all the same. Addresses of the host itself, loopback and metadata services
    /// stay closed inside of them.
    pub allowed_private: Vec<Prefix>,
    /// Who answers functions' DNS queries, asked from the host's own network; at most 8. Empty: as the host's
    /// `/etc/resolv.conf` says.
    pub resolvers: Vec<Resolver>,
    /// The addresses of functions' interfaces; two for each environment. They appear only on this host: outside, traffic
    /// carries the host's address. The default is the last /16 of the space that RFC 6598 shares out for addresses behind a
    /// provider's translation, which homes and offices don't use; change it where this host routes to those addresses.
    /// /8 to /24, divided between up to 16 instances of Hearth on one host.
    pub veth_range: Prefix,
    /// How many prepared networks wait for new environments: 0 to 64. Each costs the host about 100 KiB.
    pub pool_size: usize,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            allowed_private: Vec::new(),
            resolvers: Vec::new(),
            veth_range: Prefix::new(Ipv4Addr::new(100, 127, 0, 0), 16),
            pool_size: 4,
        }
    }
}

/// Why [`NetworkOptions`] cannot be. The operator's fault.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OptionsError {
    /// A range that no configuration opens.
    #[error(
        "allowed_private: {asked} cannot be opened: {closed} stays closed to functions ({reason}); remove it"
    )]
    NeverOpen {
        /// The range asked for.
        asked: Prefix,
        /// The range that it is in.
        closed: Prefix,
        /// What is there.
        reason: &'static str,
    },
    /// The addresses of functions' own interfaces cannot be opened.
    #[error(
        "allowed_private: {0} is in veth_range, whose addresses are environments' own; choose another veth_range"
    )]
    InsideVeth(Prefix),
    /// Too small to divide or too large to be meant.
    #[error("veth_range: {0} must be a /8 to /24")]
    VethLength(Prefix),
    /// Loopback, metadata or multicast.
    #[error("veth_range: {0} is not a range for interfaces; use private or shared addresses")]
    VethUnusable(Prefix),
    /// More than the resolver tries.
    #[error("resolvers: at most 8")]
    TooManyResolvers,
    /// More than a pool is for.
    #[error("pool_size: {0} is more than 64")]
    PoolSize(usize),
}

/// More resolvers than this are never asked.
const MAX_RESOLVERS: usize = 8;

/// A pool only bridges the milliseconds that preparing takes.
const MAX_POOL: usize = 64;

impl NetworkOptions {
    /// Checks what the single members cannot check for themselves.
    ///
    /// # Errors
    /// [`OptionsError`], in words for the operator.
    pub fn validate(&self) -> Result<(), OptionsError> {
        let veth = self.veth_range;
        if !(8..=24).contains(&veth.length()) {
            return Err(OptionsError::VethLength(veth));
        }
        if NEVER.iter().any(|(never, _)| never.covers(veth)) {
            return Err(OptionsError::VethUnusable(veth));
        }
        for asked in &self.allowed_private {
            if let Some((closed, reason)) = NEVER.iter().find(|(never, _)| never.covers(*asked)) {
                return Err(OptionsError::NeverOpen {
                    asked: *asked,
                    closed: *closed,
                    reason,
                });
            }
            if veth.covers(*asked) {
                return Err(OptionsError::InsideVeth(*asked));
            }
        }
        if self.resolvers.len() > MAX_RESOLVERS {
            return Err(OptionsError::TooManyResolvers);
        }
        if self.pool_size > MAX_POOL {
            return Err(OptionsError::PoolSize(self.pool_size));
        }
        Ok(())
    }
}

/// Where a DNS server listens: `192.0.2.1`, `192.0.2.1:5353` or `[2001:db8::1]:53`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resolver(pub SocketAddr);

impl fmt::Display for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl From<Resolver> for String {
    fn from(resolver: Resolver) -> Self {
        resolver.to_string()
    }
}

/// Why a text is not a [`Resolver`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is not the address of a DNS server: write an IP address, with a port if it is not 53"
)]
pub struct ResolverError(String);

impl FromStr for Resolver {
    type Err = ResolverError;

    fn from_str(text: &str) -> Result<Self, ResolverError> {
        text.parse::<IpAddr>()
            .map(|address| SocketAddr::new(address, DNS_PORT))
            .or_else(|_| text.parse())
            .map(Self)
            .map_err(|_| ResolverError(text.to_owned()))
    }
}

impl TryFrom<String> for Resolver {
    type Error = ResolverError;

    fn try_from(text: String) -> Result<Self, ResolverError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_allowed(range: &str) -> NetworkOptions {
        NetworkOptions {
            allowed_private: vec![range.parse().unwrap()],
            ..NetworkOptions::default()
        }
    }

    #[test]
    fn defaults_are_valid_and_survive_configuration() {
        let options = NetworkOptions::default();
        options.validate().unwrap();
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(
            serde_json::from_str::<NetworkOptions>(&text).unwrap(),
            options
        );
        assert_eq!(
            serde_json::from_str::<NetworkOptions>("{}").unwrap(),
            options
        );
    }

    #[test]
    fn private_ranges_open_and_dangerous_ones_never() {
        for fine in ["10.0.0.0/8", "192.168.7.0/24", "0.0.0.0/1", "100.64.0.0/10"] {
            with_allowed(fine).validate().unwrap();
        }
        for never in [
            "169.254.169.254",
            "169.254.0.0/16",
            "127.0.0.1",
            "224.0.0.0/8",
            "168.63.129.16",
        ] {
            let error = with_allowed(never).validate().unwrap_err();
            assert!(
                matches!(error, OptionsError::NeverOpen { .. }),
                "{never}: {error}"
            );
        }
        assert!(matches!(
            with_allowed("100.127.3.0/24").validate(),
            Err(OptionsError::InsideVeth(_))
        ));
    }

    #[test]
    fn ranges_for_interfaces_have_bounds() {
        for (range, fine) in [
            ("10.200.0.0/16", true),
            ("100.127.4.0/24", true),
            ("100.127.4.0/25", false),
            ("0.0.0.0/0", false),
            ("127.64.0.0/16", false),
            ("169.254.0.0/16", false),
        ] {
            let options = NetworkOptions {
                veth_range: range.parse().unwrap(),
                ..NetworkOptions::default()
            };
            assert_eq!(options.validate().is_ok(), fine, "{range}");
        }
    }

    #[test]
    fn resolvers_have_a_port_of_their_own_or_53() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
        ] {
            assert_eq!(text.parse::<Resolver>().unwrap().to_string(), address);
        }
        "dns.example".parse::<Resolver>().unwrap_err();
        serde_json::from_str::<NetworkOptions>(r#"{"resolvers": ["example"]}"#).unwrap_err();
        serde_json::from_str::<NetworkOptions>(r#"{"resolver": []}"#).unwrap_err();
    }
}
