//! Header fields that end at the front door.

use http::HeaderMap;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};

/// Whether a field speaks of one connection only (RFC 9110, section 7.6.1; `keep-alive` and `proxy-connection` are
/// of old clients).
fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether a field is one by which the platform speaks to functions and runtimes.
fn is_of_platform(name: &str) -> bool {
    name.starts_with("x-amzn-")
        || name.starts_with("x-hearth-")
        || name.starts_with("lambda-runtime-")
}

/// Takes what may not reach a function out of a request's head: fields of the connection, those that the
/// `Connection` field names, and whatever a caller may not say in the platform's name.
pub fn strip_request(headers: &mut HeaderMap) {
    strip(headers, |name| {
        is_of_connection(name) || is_of_platform(name)
    });
}

/// Takes what may not reach a client out of the head of a function's response (INV-8). `Content-Length` stays.
pub fn strip_response(headers: &mut HeaderMap) {
    strip(headers, |name| {
        is_of_connection(name) || name.starts_with("x-amzn-") || name.starts_with("x-hearth-")
    });
}

/// Whether a function may name this field in a result: how long the body is and how it is framed is for the server
/// to say.
pub fn may_be_set(name: &HeaderName) -> bool {
    *name != CONTENT_LENGTH
        && *name != TRANSFER_ENCODING
        && !is_of_connection(name.as_str())
        && !name.as_str().starts_with("x-amzn-")
        && !name.as_str().starts_with("x-hearth-")
}

/// One look at each name; nothing is allocated for a head that has nothing to be taken out.
fn strip(headers: &mut HeaderMap, ends_here: impl Fn(&str) -> bool) {
    let mut named: Vec<HeaderName> = Vec::new();
    for name in headers.keys() {
        if ends_here(name.as_str()) {
            named.push(name.clone());
        }
    }
    if named.is_empty() {
        return;
    }
    for value in headers.get_all(CONNECTION) {
        let words = value.as_bytes().split(|byte| *byte == b',');
        named.extend(words.filter_map(|word| HeaderName::from_bytes(word.trim_ascii()).ok()));
    }
    for name in named {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        fields.collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_ends_here_does_not_reach_a_function() {
        let mut head = headers(&[
            ("host", "h"),
            ("connection", "close, X-Private ,"),
            ("x-private", "1"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
            ("x-hearth-account", "1"),
            ("lambda-runtime-aws-request-id", "1"),
            ("x-amzn-requestid", "1"),
            ("x-amz-date", "1"),
            ("accept", "*/*"),
        ]);
        strip_request(&mut head);
        assert_eq!(names(&head), ["accept", "host", "x-amz-date"]);
    }

    #[test]
    fn what_ends_here_does_not_reach_a_client() {
        let mut head = headers(&[
            ("connection", "x-private"),
            ("x-private", "1"),
            ("transfer-encoding", "chunked"),
            ("x-amzn-requestid", "forged"),
            ("content-length", "3"),
            ("etag", "e"),
        ]);
        strip_response(&mut head);
        assert_eq!(names(&head), ["content-length", "etag"]);
        assert!(!may_be_set(&HeaderName::from_static("content-length")));
        assert!(may_be_set(&HeaderName::from_static("etag")));
    }
}
