//! `X-Amzn-Trace-Id`: the caller's, if it is well formed, else a new one.

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
    let given = headers.get(HEADER).and_then(|value| value.to_str().ok());
    match given {
        Some(text) if is_well_formed(text) => text.to_owned(),
        _ => new(sampled, now),
    }
}

fn new(sampled: bool, now: Timestamp) -> String {
    // Four bytes of seconds last until 2106.
    let seconds = (now.as_millis() / 1_000) as u32;
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    bytes[4..].copy_from_slice(&random::bytes::<20>());
    let mut digits = [0; 48];
    // Twice as long as the bytes: it can't fail.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    let (time, random) = digits.split_at(8);
    let (root, parent) = random.split_at(24);
    let sampled = if sampled { "1" } else { "0" };
    let text = [
        b"Root=1-",
        time,
        b"-",
        root,
        b";Parent=",
        parent,
        b";Sampled=",
        sampled.as_bytes(),
    ]
    .concat();
    String::from_utf8(text).unwrap_or_default()
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
