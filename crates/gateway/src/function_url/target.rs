//! Whether a request is at a function URL, and at which: by its host, or by its path on every other host.

use hearth_types::function_url::UrlId;
use http::header::HOST;
use http::request::Parts;

use super::domain::{LABEL, UrlDomain};

/// Begins the path of a function URL on hosts that are none: `/_url/<id>/…`, for machines without wildcard DNS.
const PREFIX: &str = "/_url/";

/// A request at a function URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'r> {
    /// Which one; `None` if what stands in its place is no identifier.
    pub(super) id: Option<UrlId>,
    /// The region that the host names, if the URL was named by its host.
    pub(super) region: Option<&'r str>,
    /// How many bytes of the path come before the URL's own.
    pub(super) prefix: usize,
}

/// The host of a request can't be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadHost;

/// Finds out whether a request is at a function URL.
///
/// # Errors
/// [`BadHost`] if the request names several hosts, or if it is at a function URL of a host that is none.
pub(crate) fn find<'r>(
    parts: &'r Parts,
    domain: &UrlDomain,
) -> Result<Option<Target<'r>>, BadHost> {
    let host = host(parts)?;
    if let Some((id, region)) = host.and_then(|host| by_host(host, domain)) {
        return Ok(Some(Target {
            id: UrlId::from_host(id),
            region: Some(std::str::from_utf8(region).map_err(|_| BadHost)?),
            prefix: 0,
        }));
    }
    let path = parts.uri.path();
    let Some(rest) = path.strip_prefix(PREFIX) else {
        return Ok(None);
    };
    if !host.is_some_and(is_host) {
        return Err(BadHost);
    }
    let id = rest.split('/').next().unwrap_or_default();
    Ok(Some(Target {
        id: UrlId::read(id.as_bytes()),
        region: None,
        prefix: PREFIX.len() + id.len(),
    }))
}

/// Whether a host is that of a function URL.
pub(crate) fn is_url_host(host: &[u8], domain: &UrlDomain) -> bool {
    by_host(host, domain).is_some()
}

/// The host that a request names, with its port if it has one; `None` if it names none.
///
/// # Errors
/// [`BadHost`] if it names several.
pub(crate) fn host(parts: &Parts) -> Result<Option<&[u8]>, BadHost> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (host, None) => host.map(|host| host.as_bytes()),
        (_, Some(_)) => return Err(BadHost),
    };
    // HTTP/2 has it in the request line, HTTP/1.1 may have it there; then it is the one that counts, and a `Host`
    // that says something else is an attempt to be seen as two (RFC 9112, section 3.2.2).
    match (parts.uri.authority(), host) {
        (None, host) => Ok(host),
        (Some(authority), None) => Ok(Some(authority.as_str().as_bytes())),
        (Some(authority), Some(host)) => {
            let authority = authority.as_str().as_bytes();
            if !authority.eq_ignore_ascii_case(host) {
                return Err(BadHost);
            }
            Ok(Some(host))
        }
    }
}

/// The identifier and the region of `<id>.lambda-url.<region>.<domain>`.
fn by_host<'h>(host: &'h [u8], domain: &UrlDomain) -> Option<(&'h [u8], &'h [u8])> {
    let dot = host.iter().position(|byte| *byte == b'.')?;
    let (id, rest) = (&host[..dot], &host[dot + 1..]);
    let (label, rest) = rest.split_at_checked(LABEL.len())?;
    if !label.eq_ignore_ascii_case(LABEL.as_bytes()) {
        return None;
    }
    let rest = rest.strip_prefix(b".")?;
    let dot = rest.iter().position(|byte| *byte == b'.')?;
    let (region, rest) = (&rest[..dot], &rest[dot + 1..]);
    let (name, end) = rest.split_at_checked(domain.name().len())?;
    let end = end.strip_prefix(b".").unwrap_or(end);
    let is_port = |end: &[u8]| match end {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    (name.eq_ignore_ascii_case(domain.name().as_bytes()) && is_port(end)).then_some((id, region))
}

/// Whether it could be a host and a port: names, addresses, brackets.
pub(crate) fn is_host(host: &[u8]) -> bool {
    !host.is_empty()
        && host
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const ID: &str = "abcdefghijklmnopqrstuvwxyz234567";

    fn parts(uri: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn find_in(parts: &Parts) -> Result<Option<Target<'_>>, BadHost> {
        find(parts, &UrlDomain::default())
    }

    #[test]
    fn a_host_names_a_url() {
        for host in [
            format!("{ID}.lambda-url.us-east-1.localhost"),
            format!("{ID}.lambda-url.us-east-1.localhost:7070"),
            format!("{ID}.lambda-url.us-east-1.localhost."),
            format!("{ID}.lambda-url.us-east-1.localhost").to_uppercase(),
        ] {
            let parts = parts("/_url/x", &[&host]);
            let target = find_in(&parts).unwrap().unwrap();
            assert_eq!(target.id.unwrap().as_str(), ID);
            assert!(target.region.unwrap().eq_ignore_ascii_case("us-east-1"));
            assert_eq!(target.prefix, 0);
        }
        let uri = format!("http://{ID}.lambda-url.us-east-1.localhost/a");
        let absolute = parts(&uri, &[]);
        assert!(find_in(&absolute).unwrap().is_some());
    }

    #[test]
    fn other_hosts_name_none() {
        for host in [
            "localhost",
            "127.0.0.1:7070",
            "lambda.us-east-1.amazonaws.com",
            &format!("{ID}.lambda-url.us-east-1.localhost.example"),
            &format!("{ID}.lambda-url.us-east-1.example"),
            &format!("{ID}.lambda-url.us-east-1.localhost:x"),
            &format!("{ID}.lambda-url.localhost"),
            &format!("{ID}.lambda-url"),
            ".",
            "",
        ] {
            let parts = parts("/2015-03-31/functions", &[host]);
            assert_eq!(find_in(&parts), Ok(None), "{host}");
        }
        let short = parts("/", &["short.lambda-url.us-east-1.localhost"]);
        assert_eq!(find_in(&short).unwrap().unwrap().id, None);
    }

    #[test]
    fn a_path_names_a_url_on_any_host() {
        for (path, prefix) in [
            (format!("/_url/{ID}/a/b?c"), 38),
            (format!("/_url/{ID}"), 38),
            (format!("/_url/{ID}?c"), 38),
        ] {
            let parts = parts(&path, &["127.0.0.1:1"]);
            let target = find_in(&parts).unwrap().unwrap();
            assert_eq!((target.id.unwrap().as_str(), target.prefix), (ID, prefix));
        }
        let other = parts("/_url/nothing/x", &["h"]);
        assert_eq!(find_in(&other).unwrap().unwrap().id, None);
        let neighbour = parts("/_urls", &["h"]);
        assert_eq!(find_in(&neighbour), Ok(None));
    }

    #[test]
    fn a_request_has_one_host() {
        let two = parts("/", &["a", "b"]);
        assert_eq!(find_in(&two), Err(BadHost));
        let differs = parts("http://a/", &["b"]);
        assert_eq!(find_in(&differs), Err(BadHost));
        for hosts in [&[][..], &[""], &["a b"], &["a/b"], &["a\u{e9}"]] {
            let path = format!("/_url/{ID}/");
            assert_eq!(find_in(&parts(&path, hosts)), Err(BadHost), "{hosts:?}");
        }
    }
}
