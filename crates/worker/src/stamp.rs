//! Header fields by which the platform speaks to a function that takes HTTP.

use hearth_types::invoke::RequestId;
use http::header::{HeaderMap, HeaderName, HeaderValue};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
/// What the Runtime API calls its own fields: a function may take one for the platform's word.
const PLATFORM: &str = "lambda-runtime-";

/// Sets the platform's own fields, whatever the client said in their place.
pub(crate) fn stamp(headers: &mut HeaderMap, request_id: &RequestId, trace_id: String) {
    let spoofed = |name: &HeaderName| name.as_str().starts_with(PLATFORM);
    if headers.keys().any(spoofed) {
        let names: Vec<_> = headers
            .keys()
            .filter(|name| spoofed(name))
            .cloned()
            .collect();
        for name in names {
            headers.remove(name);
        }
    }
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    match HeaderValue::try_from(trace_id) {
        Ok(value) => {
            headers.insert(TRACE_ID, value);
        }
        Err(_) => {
            headers.remove(TRACE_ID);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoofed_fields_are_replaced_or_removed() {
        let id = RequestId::from_random([0; 16]);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-amzn-requestid", "a"),
            ("x-amzn-requestid", "b"),
            ("x-amzn-trace-id", "c"),
            ("lambda-runtime-deadline-ms", "d"),
            ("lambda-runtime-aws-request-id", "e"),
            ("x-other", "f"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        stamp(&mut headers, &id, "Root=1".to_owned());
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        all.sort();
        assert_eq!(
            all,
            [
                format!("x-amzn-requestid: {id}"),
                "x-amzn-trace-id: Root=1".to_owned(),
                "x-other: f".to_owned()
            ]
        );
    }
}
