//! `X-Amzn-Trace-Id`: the caller's, if it is well formed, else a new one.

use hearth_types::lineage;
use hearth_types::time::Timestamp;
use http::HeaderMap;

use crate::random;

/// The header's name.
pub(crate) const HEADER: &str = "x-amzn-trace-id";
/// The longest that is kept, bytes (Root, Parent and Sampled take 74; Lineage comes to them, see
/// [`hearth_types::lineage`]).
const LONGEST: usize = 512;

/// The trace of a request: `Root=1-<time>-<id>;Parent=<id>;Sampled=0`.
pub(crate) fn of_request(headers: &HeaderMap, sampled: bool, now: Timestamp) -> String {
    match given(headers) {
        Some(text) => text.to_owned(),
        None => new(sampled, now),
    }
}

/// The trace that a request came with, if it is well formed.
pub(crate) fn given(headers: &HeaderMap) -> Option<&str> {
    let given = headers.get(HEADER)?.to_str().ok()?;
    is_well_formed(given).then_some(given)
}

fn new(sampled: bool, now: Timestamp) -> String {
    lineage::new_trace(sampled, now, random::bytes())
}

/// The text goes to the function in a header and an environment variable, so it may hold nothing but fields of
/// visible characters, among them a root.
fn is_well_formed(text: &str) -> bool {
    let lower_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let root = |value: &str| {
        let mut parts = value.split('-');
        parts.next() == Some("1")
            && parts.next().is_some_and(|time| lower_hex(time, 8))
            && parts.next().is_some_and(|id| lower_hex(id, 24))
            && parts.next().is_none()
    };
    let mut roots = 0;
    let fields = text.split(';').all(|field| match field.split_once('=') {
        Some(("Root", value)) => {
            roots += 1;
            root(value)
        }
        Some(("Parent", value)) => lower_hex(value, 16),
        Some(("Sampled", value)) => matches!(value, "0" | "1" | "?"),
        Some((name, _)) => !name.is_empty(),
        None => false,
    });
    text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic()) && fields && roots == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_ones_are_well_formed() {
        let text = new(true, Timestamp::from_millis(1_767_323_045_678));
        assert!(is_well_formed(&text), "{text}");
        assert!(text.starts_with("Root=1-69573"), "{text}");
        assert_eq!(text.len(), 74);
        assert!(text.ends_with(";Sampled=1"));
    }

    #[test]
    fn malformed_ones_are_replaced() {
        let good = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, good.parse().unwrap());
        assert_eq!(of_request(&headers, false, Timestamp::default()), good);
        for bad in [
            "",
            "x",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=2",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Root=1-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a994272793; Parent=53995c3f42cd8ad8",
            &format!("{good};Lineage={}", "a".repeat(500)),
        ] {
            headers.insert(HEADER, bad.parse().unwrap());
            assert!(
                of_request(&headers, false, Timestamp::default()) != bad,
                "{bad}"
            );
        }
    }
}
