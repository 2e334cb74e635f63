//! What a function may reach, as pure decisions: what follows for routes and rules from the ranges that are
//! closed.
//!
//! Two layers say the same. Routes inside the function's namespace refuse at once, with an error that a person
//! understands. The router in front of it (see [`super::router`]) drops what comes all the same: a socket bound to the
//! interface (`SO_BINDTODEVICE`) or a multicast packet does not ask the routes.

use std::net::Ipv4Addr;

use hearth_types::network::ranges::{CLOSED, NEVER};

use super::Prefix;

const fn range(a: u8, b: u8, c: u8, d: u8, length: u8) -> Prefix {
    Prefix::new(Ipv4Addr::new(a, b, c, d), length)
}

/// What a route inside a function's namespace does with a range; the longest range that fits decides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// "Permission denied", at once.
    Refuse,
    /// To the router.
    Pass,
}

/// The routes of a function's namespace besides its own link: everything goes to the router but what is closed. No
/// range comes twice.
pub(super) fn routes(
    allowed: &[Prefix],
    veth_range: Prefix,
    host: &[Ipv4Addr],
) -> Vec<(Prefix, Verdict)> {
    let mut routes: Vec<(Prefix, Verdict)> = Vec::new();
    // From the strongest word to the weakest: the first one about a range stays.
    let own = host
        .iter()
        // 127.0.0.0/8 is the function's own loopback: the kernel's local routes come before these.
        .filter(|address| !address.is_loopback())
        .map(|address| (Prefix::host(*address), Verdict::Refuse));
    let never = NEVER
        .iter()
        .filter(|(range, _)| !range.address().is_loopback())
        .map(|(range, _)| (*range, Verdict::Refuse));
    let opened = allowed.iter().map(|range| (*range, Verdict::Pass));
    let closed = CLOSED.iter().map(|range| (*range, Verdict::Refuse));
    let rest = [
        (veth_range, Verdict::Refuse),
        (range(0, 0, 0, 0, 0), Verdict::Pass),
    ];
    for (range, verdict) in own.chain(never).chain(opened).chain(closed).chain(rest) {
        if !routes.iter().any(|(known, _)| *known == range) {
            routes.push((range, verdict));
        }
    }
    routes
}

/// Whether a route of the host leads somewhere that functions may go, so that its interface must forward their answers.
pub(super) fn leads_outside(destination: Prefix, allowed: &[Prefix]) -> bool {
    let closed = NEVER
        .iter()
        .map(|(range, _)| range)
        .chain(CLOSED)
        .any(|closed| closed.covers(destination));
    !closed || allowed.iter().any(|opened| opened.overlaps(destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(routes: &[(Prefix, Verdict)], address: &str) -> Verdict {
        let address: Prefix = address.parse().unwrap();
        routes
            .iter()
            .filter(|(range, _)| range.covers(address))
            .max_by_key(|(range, _)| range.length())
            .unwrap()
            .1
    }

    fn ranges(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const VETH: Prefix = range(100, 127, 0, 0, 16);
    const CLOSED_EXAMPLES: &[&str] = &[
        "0.0.0.1",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.9.9",
        "169.254.169.254",
        "169.254.170.2",
        "172.31.255.255",
        "192.168.1.1",
        "192.0.0.192",
        "198.19.0.1",
        "224.0.0.251",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "100.100.100.200",
    ];

    #[test]
    fn by_default_only_public_addresses_pass() {
        let routes = routes(&[], VETH, &["203.0.113.5".parse().unwrap()]);
        for closed in CLOSED_EXAMPLES {
            assert_eq!(verdict(&routes, closed), Verdict::Refuse, "{closed}");
        }
        assert_eq!(
            verdict(&routes, "203.0.113.5"),
            Verdict::Refuse,
            "the host itself"
        );
        for open in [
            "1.1.1.1",
            "203.0.113.6",
            "172.32.0.1",
            "192.0.1.1",
            "100.128.0.1",
        ] {
            assert_eq!(verdict(&routes, open), Verdict::Pass, "{open}");
        }
    }

    #[test]
    fn an_opened_range_passes_but_never_the_host_nor_metadata() {
        let host = ["10.1.0.1".parse().unwrap(), "192.168.1.2".parse().unwrap()];
        let allowed = ranges(&["10.0.0.0/8", "192.168.1.2/32", "0.0.0.0/1", "128.0.0.0/1"]);
        let routes = routes(&allowed, VETH, &host);
        assert_eq!(verdict(&routes, "10.2.3.4"), Verdict::Pass);
        for closed in [
            "10.1.0.1",
            "192.168.1.2",
            "169.254.169.254",
            "224.0.0.1",
            "100.100.100.200",
            "100.127.0.9",
        ] {
            assert_eq!(verdict(&routes, closed), Verdict::Refuse, "{closed}");
        }
        assert_eq!(
            verdict(&routes, "192.168.1.3"),
            Verdict::Refuse,
            "a wide opening is not specific"
        );
    }

    #[test]
    fn no_range_has_two_routes() {
        let routes = routes(
            &ranges(&["10.0.0.0/8", "10.0.0.0/8"]),
            VETH,
            &[Ipv4Addr::LOCALHOST],
        );
        let mut seen: Vec<_> = routes.iter().map(|(range, _)| *range).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), routes.len());
        assert_eq!(verdict(&routes, "10.0.0.1"), Verdict::Pass);
        assert!(
            routes
                .iter()
                .all(|(range, _)| !range.address().is_loopback())
        );
    }

    #[test]
    fn only_interfaces_to_open_places_forward() {
        let range = |text: &str| text.parse::<Prefix>().unwrap();
        assert!(leads_outside(range("0.0.0.0/0"), &[]));
        assert!(leads_outside(range("203.0.113.0/24"), &[]));
        assert!(!leads_outside(range("172.17.0.0/16"), &[]));
        assert!(!leads_outside(range("169.254.0.0/16"), &[]));
        assert!(leads_outside(
            range("172.17.0.0/16"),
            &[range("172.17.3.0/24")]
        ));
    }
}
