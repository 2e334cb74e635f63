//! A list of hosts that a function may send requests to, as people write it in a tag.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Entries of one list: far above what the value of one tag can hold, so that only a generated list meets it.
const MAX_ENTRIES: usize = 256;

/// Longest name in DNS, as text without the final dot (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;

/// Longest label of a name (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// Hosts that may be reached, separated by spaces or commas; nothing else may be. An empty list allows nothing.
///
/// | entry | allows |
/// |---|---|
/// | `api.example.org` | this host at the scheme's own port: 443 for `https`, 80 for `http` |
/// | `api.example.org:8443` | this host at this port, whatever the scheme |
/// | `.example.org` | every name below it, not itself; with `:port` too |
/// | `192.0.2.7`, `[2001:db8::7]:8080` | this address when a request names it so, not names that lead to it |
///
/// Names are compared without regard to case, a final dot or how a letter outside of ASCII is written. That a host is
/// listed does not open an address that is closed.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hosts(Vec<Entry>);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Entry {
    pattern: Pattern,
    /// `None`: the scheme's own.
    port: Option<u16>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Pattern {
    Exact(Host),
    /// Names that end in this, which begins with a dot.
    Below(String),
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The port that is meant where none is written.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The host of a request in its one spelling: a name in lower-case ASCII without a final dot, or an address.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Host {
    /// A name.
    Name(String),
    /// An address, by whatever number notation it was written.
    Address(IpAddr),
}

/// Why a text is not a host.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is not a host: {why}")]
pub struct HostError {
    text: String,
    why: &'static str,
}

impl FromStr for Host {
    type Err = HostError;

    /// Reads the host of a URL by the rules of the URL Standard: percent-encoding and international names are brought
    /// to ASCII, and what ends in a number is an IPv4 address or nothing. An IPv6 address is written in brackets.
    fn from_str(text: &str) -> Result<Self, HostError> {
        let error = |why| HostError {
            text: text.chars().take(MAX_NAME).collect(),
            why,
        };
        match url::Host::parse(text) {
            Err(_) => Err(error(
                "write a name such as api.example.org, or an IP address",
            )),
            Ok(url::Host::Ipv4(address)) => Ok(Self::Address(address.into())),
            Ok(url::Host::Ipv6(address)) => Ok(Self::Address(address.into())),
            Ok(url::Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(&name);
                if name.len() > MAX_NAME {
                    return Err(error("it is too long"));
                }
                if name
                    .split('.')
                    .any(|label| label.is_empty() || label.len() > MAX_LABEL)
                {
                    return Err(error("between dots there must be 1 to 63 characters"));
                }
                Ok(Self::Name(name.to_owned()))
            }
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(formatter),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

/// Why a text is not a list of [`Hosts`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HostsError {
    /// An entry can't be read.
    #[error("the entry {entry:?} can't be read: {why}")]
    Entry {
        /// It, as it was written.
        entry: String,
        /// What to write instead.
        why: String,
    },
    /// Too many.
    #[error("more than 256 hosts; list a domain with everything below it as .example.org")]
    TooMany,
}

impl Hosts {
    /// Whether nothing may be reached.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a request may be sent to `host` at `port`. About the address behind a name it says nothing.
    #[must_use]
    pub fn allows(&self, scheme: Scheme, host: &Host, port: u16) -> bool {
        self.0.iter().any(|entry| {
            entry.port.unwrap_or(scheme.default_port()) == port && entry.pattern.fits(host)
        })
    }

    /// What to add to the list to allow a request.
    #[must_use]
    pub fn entry_for(scheme: Scheme, host: &Host, port: u16) -> String {
        if port == scheme.default_port() {
            host.to_string()
        } else {
            format!("{host}:{port}")
        }
    }
}

impl Pattern {
    fn fits(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(listed), host) => listed == host,
            (Self::Below(suffix), Host::Name(name)) => name.ends_with(suffix.as_str()),
            (Self::Below(_), Host::Address(_)) => false,
        }
    }
}

impl FromStr for Hosts {
    type Err = HostsError;

    fn from_str(text: &str) -> Result<Self, HostsError> {
        let entries = text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|entry| !entry.is_empty())
            .map(Entry::from_str)
            .take(MAX_ENTRIES + 1)
            .collect::<Result<Vec<_>, _>>()?;
        if entries.len() > MAX_ENTRIES {
            return Err(HostsError::TooMany);
        }
        Ok(Self(entries))
    }
}

impl FromStr for Entry {
    type Err = HostsError;

    fn from_str(text: &str) -> Result<Self, HostsError> {
        let error = |why: String| HostsError::Entry {
            entry: text.chars().take(MAX_NAME).collect(),
            why,
        };
        if text.contains("://") {
            return Err(error(
                "leave the scheme out; http and https are both meant".to_owned(),
            ));
        }
        if let Some(sign) = text.chars().find(|c| "/@?#*\\%".contains(*c)) {
            return Err(error(format!(
                "write a host, and a port if it is not the scheme's own, without {sign:?}; names below a domain are \
                 written as .example.org"
            )));
        }
        // An IPv6 address without a port, and so without brackets.
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self {
                pattern: Pattern::Exact(Host::Address(address)),
                port: None,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port
                    .parse::<u16>()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or_else(|| {
                        error("behind the colon there must be a port, 1 to 65535".into())
                    })?;
                (host, Some(port))
            }
            _ => (text, None),
        };
        let pattern = match host.strip_prefix('.') {
            None => Pattern::Exact(
                host.parse()
                    .map_err(|e: HostError| error(e.why.to_owned()))?,
            ),
            Some(domain) => match domain.parse() {
                Err(HostError { why, .. }) => return Err(error(why.to_owned())),
                Ok(Host::Name(name)) if name.contains('.') => Pattern::Below(format!(".{name}")),
                Ok(Host::Name(_)) => {
                    return Err(error(
                        "a whole top-level domain is too wide; list domains below it".to_owned(),
                    ));
                }
                Ok(Host::Address(_)) => {
                    return Err(error("nothing is below an address".to_owned()));
                }
            },
        };
        Ok(Self { pattern, port })
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, entry) in self.0.iter().enumerate() {
            if n > 0 {
                formatter.write_str(" ")?;
            }
            match &entry.pattern {
                Pattern::Exact(host) => host.fmt(formatter)?,
                Pattern::Below(suffix) => formatter.write_str(suffix)?,
            }
            if let Some(port) = entry.port {
                write!(formatter, ":{port}")?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Hosts {
    type Error = HostsError;

    fn try_from(text: String) -> Result<Self, HostsError> {
        text.parse()
    }
}

impl From<Hosts> for String {
    fn from(hosts: Hosts) -> Self {
        hosts.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    fn allows(list: &str, scheme: Scheme, name: &str, port: u16) -> bool {
        list.parse::<Hosts>()
            .unwrap()
            .allows(scheme, &host(name), port)
    }

    fn https(list: &str, name: &str) -> bool {
        allows(list, Scheme::Https, name, 443)
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        for list in ["", "  ", " , "] {
            assert!(list.parse::<Hosts>().unwrap().is_empty());
            assert!(!https(list, "example.org"));
        }
    }

    #[test]
    fn names_are_compared_in_one_spelling() {
        for (list, name) in [
            ("api.example.org", "API.Example.ORG"),
            ("API.EXAMPLE.ORG", "api.example.org"),
            ("api.example.org.", "api.example.org"),
            ("api.example.org", "api.example.org."),
            ("bücher.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "BÜCHER.example"),
            ("api.example.org", "%61pi.example.org"),
            ("api.example.org", "api。example。org"),
            ("other.example,api.example.org", "api.example.org"),
            ("my_host.example.org", "my_host.example.org"),
        ] {
            assert!(https(list, name), "{list} {name}");
        }
        for (list, name) in [
            ("api.example.org", "example.org"),
            ("api.example.org", "x.api.example.org"),
            ("api.example.org", "api.example.org.evil.example"),
            ("api.example.org", "evilapi.example.org"),
            ("api.example.org", "api-example.org"),
        ] {
            assert!(!https(list, name), "{list} {name}");
        }
    }

    #[test]
    fn a_leading_dot_is_everything_below_and_not_the_domain_itself() {
        assert!(https(".example.org", "a.example.org"));
        assert!(https(".Example.ORG", "a.b.example.org"));
        assert!(!https(".example.org", "example.org"));
        assert!(!https(".example.org", "evilexample.org"));
        assert!(!https(".example.org", "example.org.evil.example"));
        assert!(allows(".example.org:81", Scheme::Http, "a.example.org", 81));
    }

    #[test]
    fn without_a_port_the_schemes_own_is_meant() {
        assert!(allows("example.org", Scheme::Http, "example.org", 80));
        assert!(!allows("example.org", Scheme::Http, "example.org", 443));
        assert!(!allows("example.org", Scheme::Https, "example.org", 8443));
        assert!(allows(
            "example.org:8443",
            Scheme::Https,
            "example.org",
            8443
        ));
        assert!(!allows(
            "example.org:8443",
            Scheme::Https,
            "example.org",
            443
        ));
    }

    #[test]
    fn addresses_are_allowed_only_as_listed() {
        assert!(https("192.0.2.7", "192.0.2.7"));
        assert!(https("192.0.2.7", "0xc0000207"), "the same address");
        assert!(https("192.0.519", "192.0.2.7"), "the same address");
        assert!(https("2001:db8::7", "[2001:DB8:0::7]"));
        assert!(allows(
            "[2001:db8::7]:81",
            Scheme::Http,
            "[2001:db8::7]",
            81
        ));
        assert!(https("[2001:db8::7]", "[2001:db8::7]"));
        assert!(!https(".example.org", "192.0.2.7"));
        assert!(!https("192.0.2.8", "192.0.2.7"));
        assert!(!https("192.0.2.7", "[::ffff:192.0.2.7]"));
    }

    #[test]
    fn what_can_not_be_read_is_said_in_words() {
        for (list, part) in [
            ("https://example.org", "leave the scheme out"),
            ("user@example.org", "without '@'"),
            ("example.org/path", "without '/'"),
            ("*.example.org", ".example.org"),
            ("*", "without '*'"),
            ("example.org:", "1 to 65535"),
            ("example.org:0", "1 to 65535"),
            ("example.org:65536", "1 to 65535"),
            ("example.org:https", "1 to 65535"),
            (".", "write a name"),
            ("..example.org", "between dots"),
            ("a..example.org", "between dots"),
            (".org", "too wide"),
            (".1.2.3.4", "below an address"),
            ("1.2.3.4.5", "write a name"),
            ("[::1", "write a name"),
            ("exa<mple.org", "write a name"),
        ] {
            let error = list.parse::<Hosts>().unwrap_err().to_string();
            assert!(error.contains(part), "{list}: {error}");
        }
        let long = format!("{}.example", "a".repeat(64));
        assert!(long.parse::<Hosts>().is_err());
        assert_eq!(
            vec!["a.example"; 257].join(" ").parse::<Hosts>(),
            Err(HostsError::TooMany)
        );
    }

    #[test]
    fn hosts_of_requests_that_are_none_are_refused() {
        for text in [
            "",
            "a b",
            "1.2.3.4.5",
            "1.2.3.999",
            "a..b",
            "[::1",
            "::1",
            "a@b",
            "a/b",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_reads_back_from_what_it_says() {
        let hosts: Hosts = "Example.org, .example.com:8080 [2001:db8::1]:81 2001:db8::2"
            .parse()
            .unwrap();
        assert_eq!(
            hosts.to_string(),
            "example.org .example.com:8080 [2001:db8::1]:81 [2001:db8::2]"
        );
        assert_eq!(hosts.to_string().parse::<Hosts>().unwrap(), hosts);
        let json = serde_json::to_string(&hosts).unwrap();
        assert_eq!(serde_json::from_str::<Hosts>(&json).unwrap(), hosts);
    }

    #[test]
    fn what_would_allow_a_request_does() {
        for (scheme, name, port) in [
            (Scheme::Https, "example.org", 443),
            (Scheme::Http, "example.org", 443),
            (Scheme::Http, "[2001:db8::1]", 8080),
        ] {
            let entry = Hosts::entry_for(scheme, &host(name), port);
            assert!(allows(&entry, scheme, name, port), "{entry}");
        }
    }
}
