//! The canonical form of a request: the bytes that a signature covers, as the Signature Version 4 documentation
//! ("Create a signed AWS API request", step 1) and the public signers write them.

use std::borrow::Cow;

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Everything but RFC 3986's unreserved characters is escaped.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// In a path, slashes separate.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// What is signed of a request, apart from its date and scope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Canonical<'a> {
    /// The method.
    pub(crate) method: &'a str,
    /// The path as it came, still escaped.
    pub(crate) path: &'a str,
    /// The query as it came, still escaped, without the question mark.
    pub(crate) query: &'a str,
    /// The query parameter that carries the signature itself, where one does.
    pub(crate) without: Option<&'a str>,
    /// The headers.
    pub(crate) headers: &'a HeaderMap,
    /// The value of `host` when the request has it in its target (HTTP/2's `:authority`) and not as a header.
    pub(crate) authority: Option<&'a str>,
    /// Names of the signed headers: lower case, ascending, joined by `;`.
    pub(crate) signed_headers: &'a str,
    /// The hexadecimal SHA-256 of the body, or the word that stands for it.
    pub(crate) payload_hash: &'a str,
}

impl Canonical<'_> {
    /// The canonical request. `None` if a signed header is not there: what was signed is not what came.
    pub(crate) fn to_bytes(self) -> Option<Vec<u8>> {
        // A typical Invoke's canonical request has about 350 bytes.
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b'\n');
        write_path(&mut out, self.path);
        out.push(b'\n');
        write_query(&mut out, self.query, self.without);
        out.push(b'\n');
        for name in self.signed_headers.split(';') {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            self.write_header(&mut out, name)?;
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.payload_hash.as_bytes());
        Some(out)
    }

    /// All values of a header, each without the spaces around it and with single spaces inside, joined by commas.
    fn write_header(&self, out: &mut Vec<u8>, name: &str) -> Option<()> {
        let mut values = self.headers.get_all(name).iter().peekable();
        if values.peek().is_none() {
            let authority = self.authority.filter(|_| name == "host")?;
            out.extend_from_slice(authority.as_bytes());
            return Some(());
        }
        let mut first = true;
        for value in values {
            if !first {
                out.push(b',');
            }
            first = false;
            let mut words = value
                .as_bytes()
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            if let Some(word) = words.next() {
                out.extend_from_slice(word);
            }
            for word in words {
                out.push(b' ');
                out.extend_from_slice(word);
            }
        }
        Some(())
    }
}

/// Dot segments and empty segments are taken out (RFC 3986, section 5.2.4), and what came escaped is escaped once
/// more: every service but S3 signs the path escaped twice.
fn write_path(out: &mut Vec<u8>, path: &str) {
    let mut segments: Vec<&str> = Vec::with_capacity(8);
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    for segment in &segments {
        out.push(b'/');
        for piece in percent_encode(segment.as_bytes(), PATH) {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    if segments.is_empty() || path.ends_with('/') {
        out.push(b'/');
    }
}

/// Parameters are brought to one way of escaping, then sorted by name and value.
fn write_query(out: &mut Vec<u8>, query: &str, without: Option<&str>) {
    if query.is_empty() {
        return;
    }
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| Some(*name) != without)
        .map(|(name, value)| (escaped(name), escaped(value)))
        .collect();
    pairs.sort_unstable();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let bytes: Cow<'_, [u8]> = percent_decode_str(text).into();
    Cow::Owned(percent_encode(&bytes, QUERY).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        let mut out = Vec::new();
        write_path(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    fn query(text: &str) -> String {
        let mut out = Vec::new();
        write_query(&mut out, text, Some("X-Amz-Signature"));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn paths_are_normalised_and_escaped_twice() {
        assert_eq!(path("/"), "/");
        assert_eq!(path(""), "/");
        assert_eq!(path("/a//b/./c/../d/"), "/a/b/d/");
        assert_eq!(path("/../.."), "/");
        assert_eq!(path("/f/arn%3Aaws"), "/f/arn%253Aaws");
        assert_eq!(path("/f/arn:aws"), "/f/arn%3Aaws");
    }

    #[test]
    fn queries_are_sorted_and_escaped_in_one_way() {
        assert_eq!(query("b=2&a=1&a=0"), "a=0&a=1&b=2");
        assert_eq!(query("Qualifier=$LATEST&x"), "Qualifier=%24LATEST&x=");
        assert_eq!(query("Qualifier=%24LATEST"), "Qualifier=%24LATEST");
        assert_eq!(query("X-Amz-Signature=00&a="), "a=");
        assert_eq!(query("a=%zz&b=%e4"), "a=%25zz&b=%E4");
    }

    #[test]
    fn a_signed_header_that_is_missing_is_noticed() {
        let headers = HeaderMap::new();
        let canonical = Canonical {
            method: "GET",
            path: "/",
            query: "",
            without: None,
            headers: &headers,
            authority: Some("a"),
            signed_headers: "host",
            payload_hash: "",
        };
        assert_eq!(canonical.to_bytes().unwrap(), b"GET\n/\n\nhost:a\n\nhost\n");
        let absent = Canonical {
            signed_headers: "host;x-amz-date",
            ..canonical
        };
        assert!(absent.to_bytes().is_none());
    }
}
