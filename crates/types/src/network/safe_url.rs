//! Which URLs the node itself may be told to use: for keys of token issuers, for webhooks.

use std::net::IpAddr;

use url::{Host, Url};

/// Whether nobody can listen in at a URL: `https`, or `http` on a loopback address; without a user, a password or a
/// fragment. It says nothing about where the name leads.
pub fn is_safe_url(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    let is_private = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    is_private && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
}

/// Whether a URL says that it is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_https_or_of_this_machine() {
        for good in [
            "https://login.example.com",
            "https://login.example.com/a?b=c",
            "http://127.0.0.1:8080/x",
            "http://localhost",
            "http://[::1]:1",
        ] {
            assert!(is_safe_url(good), "{good}");
        }
        for bad in [
            "",
            "login.example.com",
            "http://login.example.com",
            "http://localhost.example",
            "http://10.0.0.1",
            "https://user@host/",
            "https://user:word@host/",
            "https://host/#x",
            "file:///etc/passwd",
            "ftp://127.0.0.1",
        ] {
            assert!(!is_safe_url(bad), "{bad}");
        }
    }
}
