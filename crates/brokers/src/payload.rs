//! Payloads of brokers that say nothing of what they are, as the data of CloudEvents.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// A payload as the data of a CloudEvent: JSON as it is, text as text, anything else in base64.
pub(crate) fn data(
    payload: &[u8],
) -> (Option<&'static str>, Option<Box<RawValue>>, Option<String>) {
    // What is nested too deep for a reader is text.
    if serde_json::from_slice::<Value>(payload).is_ok() {
        let raw = std::str::from_utf8(payload).ok();
        let raw = raw.and_then(|text| RawValue::from_string(text.to_owned()).ok());
        return (Some("application/json"), raw, None);
    }
    match std::str::from_utf8(payload) {
        Ok(text) => (Some("text/plain"), to_raw_value(text).ok(), None),
        Err(_) => (None, None, Some(STANDARD.encode(payload))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_or_text_or_bytes() {
        let shown = |payload: &[u8]| {
            let (kind, data, base64) = data(payload);
            (kind, data.map(|data| data.get().to_owned()), base64)
        };
        let (json, text) = (Some("application/json"), Some("text/plain"));
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(shown(b"{\"n\": 1.50}"), (json, own("{\"n\": 1.50}"), None));
        assert_eq!(shown(b"plain"), (text, own("\"plain\""), None));
        assert_eq!(shown(b""), (text, own("\"\""), None));
        assert_eq!(shown(b"\xff"), (None, None, own("/w==")));
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        assert_eq!(shown(deep.as_bytes()).0, text);
    }
}
