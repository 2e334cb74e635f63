//! Where a request of a function goes, in one spelling for every check and for the wire.

use hearth_types::network::{Host, Hosts, Scheme};
use http::header::{HOST, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use crate::error::Error;

/// Fields of a connection, which is the host's, and those by which the platform speaks: a function neither sends nor sees
/// them. (RFC 9110, 7.6.1; RFC 9113, 8.2.2.)
const FORBIDDEN: [&str; 10] = [
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What every name begins with that is between the parts of the platform.
const OWN_PREFIX: &str = "x-hearth-";

/// Whether a function may neither set nor see this field.
pub fn is_forbidden(name: &HeaderName) -> bool {
    let name = name.as_str();
    FORBIDDEN.contains(&name) || name.starts_with(OWN_PREFIX)
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub(crate) scheme: Scheme,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

impl Target {
    /// Reads it from a request, and rewrites the request to what is sent: the path alone on its first line, one `host`
    /// field of the checked host, and no field that is not the function's to set.
    ///
    /// # Errors
    /// What is wrong with it: the function's fault.
    pub(crate) fn take_from<B>(request: &mut Request<B>) -> Result<Self, Error> {
        if request.method() == Method::CONNECT {
            // A tunnel would carry what nobody checks.
            return Err(Error::Method);
        }
        let target = Self::of(request.uri())?;
        let path = match request.uri().path_and_query() {
            // An empty path with a query would be a request line without its slash.
            Some(path) if path.as_str().starts_with('/') => path.clone(),
            Some(path) => {
                PathAndQuery::try_from(format!("/{}", path.as_str())).map_err(|_| Error::Url)?
            }
            None => PathAndQuery::from_static("/"),
        };
        *request.uri_mut() = Uri::from(path);
        *request.version_mut() = Version::HTTP_11;
        let host = HeaderValue::try_from(target.authority()).map_err(|_| Error::Url)?;
        clean(request.headers_mut());
        request.headers_mut().insert(HOST, host);
        Ok(target)
    }

    fn of(uri: &Uri) -> Result<Self, Error> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(Error::Scheme),
        };
        let authority = uri.authority().ok_or(Error::Url)?;
        if authority.as_str().contains('@') {
            // User names belong into a header; here they only make one host look like another.
            return Err(Error::Url);
        }
        let host: Host = authority.host().parse().map_err(|_| Error::Url)?;
        // What is behind the host is a port or nothing; `Authority` lets a colon stand alone.
        let port = match &authority.as_str()[authority.host().len()..] {
            "" | ":" => scheme.default_port(),
            _ => authority
                .port_u16()
                .filter(|port| *port != 0)
                .ok_or(Error::Url)?,
        };
        Ok(Self { scheme, host, port })
    }

    /// The host, and the port where it is not the scheme's own: the `host` field, and an entry of an allow-list.
    pub fn authority(&self) -> String {
        Hosts::entry_for(self.scheme, &self.host, self.port)
    }
}

/// Takes fields out that a function may neither set nor see.
pub fn clean(headers: &mut HeaderMap) {
    let forbidden: Vec<_> = headers
        .keys()
        .filter(|name| is_forbidden(name))
        .cloned()
        .collect();
    for name in forbidden {
        headers.remove(name);
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(formatter, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(uri: &str) -> Result<(Target, Request<()>), Error> {
        let mut request = Request::builder()
            .uri(uri)
            .header("host", "evil.example")
            .header("x-hearth-account", "1")
            .header("transfer-encoding", "chunked")
            .header("accept", "text/plain")
            .body(())
            .unwrap();
        Target::take_from(&mut request).map(|target| (target, request))
    }

    #[test]
    fn what_is_sent_is_what_was_checked() {
        for (uri, shown, line, host) in [
            (
                "http://EXAMPLE.org",
                "http://example.org",
                "/",
                "example.org",
            ),
            (
                "https://example.org./a?b",
                "https://example.org",
                "/a?b",
                "example.org",
            ),
            (
                "https://example.org:443/",
                "https://example.org",
                "/",
                "example.org",
            ),
            (
                "https://example.org:/",
                "https://example.org",
                "/",
                "example.org",
            ),
            (
                "http://example.org:443/",
                "http://example.org:443",
                "/",
                "example.org:443",
            ),
            (
                "http://example.org?q",
                "http://example.org",
                "/?q",
                "example.org",
            ),
            (
                "http://0x7f.1:81/",
                "http://127.0.0.1:81",
                "/",
                "127.0.0.1:81",
            ),
            ("http://[::1]:81/", "http://[::1]:81", "/", "[::1]:81"),
        ] {
            let (target, request) = take(uri).unwrap();
            assert_eq!(target.to_string(), shown);
            assert_eq!(request.uri().to_string(), line, "{uri}");
            let hosts: Vec<_> = request.headers().get_all(HOST).iter().collect();
            assert_eq!(hosts, [host], "{uri}");
            assert_eq!(request.headers().len(), 2, "host and accept");
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for uri in [
            "http://user@example.org/",
            "http://user:password@example.org/",
            "http://example.org@evil.example/",
            "http://example.org:0/",
            "http://example.org:65536/",
            "http://1.2.3.4.5/",
            "http://a..b/",
            "/",
        ] {
            // Some are refused before, when they are read as a URI.
            if uri.parse::<Uri>().is_ok() {
                assert!(
                    matches!(take(uri), Err(Error::Url | Error::Scheme)),
                    "{uri}"
                );
            }
        }
        assert!(matches!(take("ftp://example.org/"), Err(Error::Scheme)));
        let mut tunnel = Request::connect("http://example.org").body(()).unwrap();
        assert!(matches!(Target::take_from(&mut tunnel), Err(Error::Method)));
    }

    #[test]
    fn fields_of_the_connection_and_of_the_platform_are_forbidden() {
        for name in ["Host", "connection", "X-Hearth-Anything", "te"] {
            assert!(is_forbidden(&name.parse().unwrap()), "{name}");
        }
        for name in ["accept", "content-length", "authorization", "x-hearthstone"] {
            assert!(!is_forbidden(&name.parse().unwrap()), "{name}");
        }
    }
}
