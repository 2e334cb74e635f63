//! Which addresses are closed to functions, as pure decisions.
//!
//! The process wall makes routes and filters of [`NEVER`] and [`CLOSED`]; a wall that dials for its guests asks
//! [`check`] about each address before it does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Prefix;

const fn range(a: u8, b: u8, c: u8, d: u8, length: u8) -> Prefix {
    Prefix::new(Ipv4Addr::new(a, b, c, d), length)
}

/// Ranges that no configuration opens, and what is there. From the IANA IPv4 Special-Purpose Address Registry, and the
/// addresses at which providers of machines serve metadata and credentials outside of 169.254.0.0/16.
pub const NEVER: &[(Prefix, &str)] = &[
    (range(0, 0, 0, 0, 8), "this host on this network"),
    (range(127, 0, 0, 0, 8), "loopback"),
    (range(169, 254, 0, 0, 16), "link-local: metadata services"),
    (
        range(100, 100, 100, 200, 32),
        "metadata service of Alibaba Cloud",
    ),
    (range(168, 63, 129, 16, 32), "metadata service of Azure"),
    (
        range(192, 0, 0, 192, 32),
        "metadata service of Oracle Cloud",
    ),
    (range(224, 0, 0, 0, 4), "multicast"),
    (range(240, 0, 0, 0, 4), "reserved, and broadcast"),
];

/// Ranges that are closed unless the configuration opens a part: private networks, and special purposes.
pub const CLOSED: &[Prefix] = &[
    range(10, 0, 0, 0, 8),     // RFC 1918
    range(172, 16, 0, 0, 12),  // RFC 1918
    range(192, 168, 0, 0, 16), // RFC 1918
    range(100, 64, 0, 0, 10),  // RFC 6598: shared between providers
    range(192, 0, 0, 0, 24),   // RFC 6890: protocol assignments
    range(198, 18, 0, 0, 15),  // RFC 2544: benchmarks
];

/// Ranges in which no public host can be: who answers there is on this site. Routes don't close them, for nothing
/// leads there; who dials for a guest does.
const NOT_PUBLIC: &[Prefix] = &[
    range(192, 0, 2, 0, 24),    // RFC 5737: documentation
    range(198, 51, 100, 0, 24), // RFC 5737: documentation
    range(203, 0, 113, 0, 24),  // RFC 5737: documentation
    range(192, 88, 99, 0, 24),  // RFC 7526: relays of 6to4, withdrawn
];

/// Parts of 2000::/3 that are not for public hosts (IANA IPv6 Special-Purpose Address Registry): first address, length.
/// They hold what carries IPv4 addresses inside (Teredo, 6to4), so that no such address needs to be taken apart.
const NOT_PUBLIC_6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // RFC 2928: protocols; Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // RFC 3849: documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // RFC 7526: 6to4, withdrawn
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // RFC 9637: documentation
];

/// Global unicast, the one part of IPv6 in which public hosts are (RFC 4291, 2.4, and IANA's assignments): what is not
/// in it is closed, be it loopback, link-local, unique local, multicast, or not thought of.
const GLOBAL_6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// IPv4 behind a translator (RFC 6052): the last 32 bits are the address that is reached.
const NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether a guest may be connected to `address`, which is public, or in a range of `opened`. The host's own addresses
/// are not known here.
///
/// Of two ranges that hold the address the longer decides, as it does for routes: an opened 0.0.0.0/1 is no word about
/// 10.0.0.0/8. IPv6 carries IPv4 addresses only where that is how a host reaches IPv4; then they are what is looked at.
///
/// # Errors
/// What is there, if it is closed.
pub fn check(address: IpAddr, opened: &[Prefix]) -> Result<(), &'static str> {
    match address {
        IpAddr::V4(address) => check_4(address, opened),
        IpAddr::V6(address) => match carried(address) {
            Some(inner) => check_4(inner, opened),
            None => check_6(address),
        },
    }
}

fn check_4(address: Ipv4Addr, opened: &[Prefix]) -> Result<(), &'static str> {
    let host = Prefix::host(address);
    let longest = |ranges: &mut dyn Iterator<Item = &Prefix>| {
        ranges
            .filter(|range| range.covers(host))
            .map(|range| range.length())
            .max()
    };
    if let Some((_, what)) = NEVER.iter().find(|(range, _)| range.covers(host)) {
        return Err(what);
    }
    let closed = longest(&mut CLOSED.iter().chain(NOT_PUBLIC));
    if closed.is_none() || longest(&mut opened.iter()) >= closed {
        Ok(())
    } else {
        Err("a private or special range")
    }
}

fn check_6(address: Ipv6Addr) -> Result<(), &'static str> {
    if !within(address, GLOBAL_6) {
        return Err("not a public IPv6 address");
    }
    if NOT_PUBLIC_6.iter().any(|range| within(address, *range)) {
        return Err("an IPv6 range for special purposes");
    }
    Ok(())
}

/// The IPv4 address that is reached through `address`: mapped (RFC 4291, 2.5.5.2) or translated.
#[must_use]
pub fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if within(address, NAT64) {
        let [.., a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    address.to_ipv4_mapped()
}

const fn within(address: Ipv6Addr, (first, length): (Ipv6Addr, u8)) -> bool {
    let shift = 128 - length as u32;
    address.to_bits() >> shift == first.to_bits() >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(address: &str, opened: &[&str]) -> bool {
        let opened: Vec<Prefix> = opened.iter().map(|text| text.parse().unwrap()).collect();
        check(address.parse().unwrap(), &opened).is_ok()
    }

    #[test]
    fn public_addresses_are_open() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(open(address, &[]), "{address}");
        }
    }

    #[test]
    fn everything_else_is_closed() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a9fe:a9fe::1",
            "2002:101:101::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!open(address, &[]), "{address}");
        }
    }

    #[test]
    fn a_range_opens_itself_and_nothing_that_is_never_open() {
        assert!(open("10.1.2.3", &["10.1.0.0/16"]));
        assert!(!open("10.2.2.3", &["10.1.0.0/16"]));
        assert!(open("10.1.2.3", &["10.0.0.0/8"]));
        assert!(open("::ffff:10.1.2.3", &["10.0.0.0/8"]));
        assert!(open("203.0.113.1", &["203.0.113.0/24"]));
        assert!(!open("10.1.2.3", &["0.0.0.0/1"]), "not specific");
        for (address, range) in [
            ("127.0.0.1", "127.0.0.1/32"),
            ("169.254.169.254", "169.254.0.0/16"),
            ("100.100.100.200", "100.64.0.0/10"),
            ("224.0.0.1", "224.0.0.1/32"),
        ] {
            assert!(!open(address, &[range]), "{address}");
        }
    }
}
