//! `X-Amz-Target`, by which services whose operations aren't in the path name them.

use http::request::Parts;

/// The operation that a request names, if it is one of the API whose targets begin with `prefix`.
pub(crate) fn operation<'a>(parts: &'a Parts, prefix: &str) -> Option<&'a str> {
    let target = parts.headers.get("x-amz-target")?;
    target.to_str().ok()?.strip_prefix(prefix)
}
