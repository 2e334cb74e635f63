//! Hosts of routes.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Bytes of a host name (RFC 1035, section 2.3.4).
const HOST_BYTES: usize = 253;
/// Bytes of one label of it.
const LABEL_BYTES: usize = 63;

/// Which hosts a route is for. Names are in lower case and have no dot at their end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `*`: every host that no route names.
    Any,
    /// One name.
    Exact(String),
    /// `*.` and this: every name under it, at any depth, but not the name itself.
    Under(String),
}

/// A text that is no pattern of hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Not a name.
    #[error(
        "'{0}' is not a host: use a name such as api.example.com, *.example.com for every name under it, or * alone; \
         without a scheme, a port or a path, other alphabets in their xn-- form"
    )]
    Form(String),
    /// An address.
    #[error("'{0}' is an IP address: the API is there, so routes name hosts")]
    Address(String),
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        // A hostile value must not be echoed whole.
        let shown = || text.chars().take(80).collect::<String>();
        if text == "*" {
            return Ok(Self::Any);
        }
        let (under, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if is_address(&name) {
            return Err(HostError::Address(shown()));
        }
        if !is_name(&name) {
            return Err(HostError::Form(shown()));
        }
        Ok(if under {
            Self::Under(name)
        } else {
            Self::Exact(name)
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Under(name) => write!(f, "*.{name}"),
        }
    }
}

impl HostPattern {
    /// Whether a host, in the form that [`normal`] gives, is one of these. Every host is one of [`HostPattern::Any`].
    pub fn takes(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name == host,
            Self::Under(name) => host
                .strip_suffix(name.as_str())
                .is_some_and(|rest| rest.ends_with('.')),
        }
    }
}

/// Whether a name is read as an address by anybody: IPv6, IPv4, or what old resolvers take for one (a last label that is
/// a number: WHATWG URL, "ends in a number").
fn is_address(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = |text: &str| {
        let hex = text.strip_prefix("0x");
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    bare.parse::<Ipv6Addr>().is_ok() || bare.parse::<Ipv4Addr>().is_ok() || is_number(last)
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (1..=HOST_BYTES).contains(&name.len()) && name.split('.').all(is_label)
}

/// A request's host in the form that is compared: without its port, without a dot at its end, in lower case. `None` if
/// it is no host that a route could name.
pub fn normal(host: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(host).ok()?;
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => text,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > HOST_BYTES {
        return None;
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some(Cow::Owned(name.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_read_back_in_their_normal_form() {
        for (text, shown) in [
            ("*", "*"),
            ("API.Example.com.", "api.example.com"),
            ("*.Example.com", "*.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("internal", "internal"),
        ] {
            let pattern: HostPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            ".",
            "*.",
            "**",
            "*.*",
            "a.*.b",
            "a*",
            "http://a",
            "a:80",
            "a/b",
            "a b",
            "-a",
            "a-",
            "a..b",
            "bücher.example",
            "127.0.0.1",
            "::1",
            "[::1]",
            "1",
            "0x7f.1",
            "10.1",
            "example.7",
            "*.1.2.3.4",
            &"a".repeat(64),
            &"a.".repeat(128),
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_compared_without_port_case_and_last_dot() {
        for (host, name) in [
            ("Api.Example.com:7070", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("api.example.com.:1", "api.example.com"),
            ("api.example.com:", "api.example.com"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(normal(host.as_bytes()).unwrap(), name);
        }
        assert_eq!(normal(b"\xff"), None);
        assert_eq!(normal("a".repeat(300).as_bytes()), None);
    }

    #[test]
    fn a_wildcard_takes_names_under_it_alone() {
        let under: HostPattern = "*.example.com".parse().unwrap();
        assert!(under.takes("a.example.com") && under.takes("a.b.example.com"));
        assert!(!under.takes("example.com") && !under.takes("badexample.com"));
    }
}
