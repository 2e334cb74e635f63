//! An HTTP request as the event of a function that takes events.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Version};
use percent_encoding::percent_decode_str;

use super::media::is_text;
use crate::invoke::RequestId;
use crate::time::Timestamp;
use crate::wire::function_url::{Authorizer, DEFAULT_ROUTE, Event, Http, RequestContext, VERSION};

/// The account of a request that nobody signed.
const ANONYMOUS: &str = "anonymous";

/// A request at a function URL or a route. Its fields are those that may reach a function.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// What tells where it came: the URL's identifier, or the route's name.
    pub api_id: &'a str,
    /// The host name that was asked, without a port.
    pub domain_name: &'a str,
    /// [`DEFAULT_ROUTE`], or the route's method and path.
    pub route_key: &'a str,
    /// What the route's path has captured, unescaped.
    pub path_parameters: BTreeMap<String, String>,
    /// The method.
    pub method: &'a Method,
    /// The version of HTTP.
    pub version: Version,
    /// The path within the URL, still escaped.
    pub path: &'a str,
    /// The query, still escaped; empty if there is none.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// The caller's address.
    pub source: IpAddr,
    /// The request's identifier.
    pub request_id: RequestId,
    /// When it came.
    pub at: Timestamp,
    /// Who was let in, if somebody had to say who they are.
    pub authorizer: Option<Authorizer>,
}

/// The event for a request.
pub fn of_request(asked: Asked<'_>) -> Event {
    let content_type = asked.headers.get(CONTENT_TYPE);
    let (body, is_base64_encoded) = body(asked.body, content_type);
    let signer = asked.authorizer.as_ref().and_then(|who| who.iam.as_ref());
    let account_id = signer.map_or(ANONYMOUS, |signer| &signer.account_id);
    let account_id = account_id.to_owned();
    let prefix = asked.domain_name.split('.').next().unwrap_or_default();
    let user_agent = asked.headers.get(USER_AGENT);
    Event {
        version: VERSION.to_owned(),
        route_key: asked.route_key.to_owned(),
        raw_path: asked.path.to_owned(),
        raw_query_string: asked.query.to_owned(),
        cookies: cookies(asked.headers),
        headers: fields(asked.headers),
        query_string_parameters: parameters(asked.query),
        path_parameters: asked.path_parameters,
        request_context: RequestContext {
            account_id,
            api_id: asked.api_id.to_owned(),
            authorizer: asked.authorizer,
            domain_name: asked.domain_name.to_owned(),
            domain_prefix: prefix.to_owned(),
            http: Http {
                method: asked.method.as_str().to_owned(),
                path: asked.path.to_owned(),
                protocol: protocol(asked.version).to_owned(),
                source_ip: asked.source.to_string(),
                user_agent: user_agent.map_or_else(String::new, |value| text(value).into_owned()),
            },
            request_id: asked.request_id.to_string(),
            route_key: asked.route_key.to_owned(),
            stage: DEFAULT_ROUTE.to_owned(),
            time: asked.at.to_log_string(),
            time_epoch: asked.at.as_millis(),
        },
        body,
        is_base64_encoded,
    }
}

/// The body as an event holds it, and whether it is base64. No bytes are no body.
fn body(bytes: &[u8], content_type: Option<&HeaderValue>) -> (Option<String>, bool) {
    if bytes.is_empty() {
        return (None, false);
    }
    let content_type = content_type.map(text);
    if is_text(content_type.as_deref())
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return (Some(text.to_owned()), false);
    }
    (Some(STANDARD.encode(bytes)), true)
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// A field's value as text: JSON has no other.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// Names are in lower case already. Cookies have their own member.
fn fields(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::<String, String>::new();
    for (name, value) in headers {
        if name == COOKIE {
            continue;
        }
        let value = text(value);
        match fields.get_mut(name.as_str()) {
            None => {
                fields.insert(name.as_str().to_owned(), value.into_owned());
            }
            Some(joined) => {
                joined.push(',');
                joined.push_str(&value);
            }
        }
    }
    fields
}

/// HTTP/2 clients may send a field for each cookie.
fn cookies(headers: &HeaderMap) -> Vec<String> {
    let mut cookies = Vec::new();
    for value in headers.get_all(COOKIE) {
        let value = text(value);
        let pairs = value.split(';').map(str::trim);
        cookies.extend(pairs.filter(|pair| !pair.is_empty()).map(str::to_owned));
    }
    cookies
}

fn parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::<String, String>::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (unescaped(name), unescaped(value));
        match parameters.get_mut(&name) {
            None => {
                parameters.insert(name, value);
            }
            Some(joined) => {
                joined.push(',');
                joined.push_str(&value);
            }
        }
    }
    parameters
}

/// Forms write a plus for a space.
fn unescaped(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;

    use super::*;

    fn event_of(query: &str, fields: &[(&'static str, &str)], body: &[u8]) -> Event {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        of_request(Asked {
            api_id: "aaaa",
            route_key: DEFAULT_ROUTE,
            path_parameters: BTreeMap::new(),
            domain_name: "aaaa.lambda-url.us-east-1.localhost",
            method: &Method::POST,
            version: Version::HTTP_11,
            path: "/a%20b//c",
            query,
            headers: &headers,
            body,
            source: [127, 0, 0, 1].into(),
            request_id: RequestId::from_random([0; 16]),
            at: Timestamp::from_millis(1_631_055_022_677),
            authorizer: None,
        })
    }

    #[test]
    fn a_request_is_the_event_that_the_guide_shows() {
        let event = event_of(
            "a=1&b=x%2Cy&a=2+3&c&%C3%A9=%FF",
            &[
                ("user-agent", "agent"),
                ("x-two", "one"),
                ("x-two", "two"),
                ("cookie", "a=1; b=2"),
                ("cookie", "c=3"),
                ("content-type", "application/json"),
            ],
            b"{}",
        );
        assert_eq!(event.raw_path, "/a%20b//c");
        assert_eq!(event.raw_query_string, "a=1&b=x%2Cy&a=2+3&c&%C3%A9=%FF");
        assert_eq!(event.cookies, ["a=1", "b=2", "c=3"]);
        assert_eq!(event.headers["x-two"], "one,two");
        assert!(!event.headers.contains_key("cookie"));
        let parameters = &event.query_string_parameters;
        assert_eq!(parameters["a"], "1,2 3");
        assert_eq!(parameters["b"], "x,y");
        assert_eq!(parameters["c"], "");
        assert_eq!(parameters["é"], "\u{fffd}");
        let context = &event.request_context;
        assert_eq!(context.account_id, "anonymous");
        assert_eq!(context.api_id, "aaaa");
        assert_eq!(context.domain_prefix, "aaaa");
        assert_eq!(context.route_key, "$default");
        assert_eq!(context.time, "07/Sep/2021:22:50:22 +0000");
        assert_eq!(context.time_epoch, 1_631_055_022_677);
        assert_eq!(context.http.method, "POST");
        assert_eq!(context.http.protocol, "HTTP/1.1");
        assert_eq!(context.http.source_ip, "127.0.0.1");
        assert_eq!(context.http.user_agent, "agent");
        assert_eq!(event.body.as_deref(), Some("{}"));
        assert!(!event.is_base64_encoded);
    }

    #[test]
    fn what_is_not_text_is_base64() {
        let binary = [("content-type", "application/octet-stream")];
        let event = event_of("", &binary, b"abc");
        assert_eq!(event.body.as_deref(), Some("YWJj"));
        assert!(event.is_base64_encoded);
        // Said to be text, but it is none.
        let event = event_of("", &[("content-type", "text/plain")], b"\xff");
        assert_eq!(event.body.as_deref(), Some("/w=="));
        assert!(event.is_base64_encoded);
        let event = event_of("", &[], b"");
        assert_eq!((event.body, event.is_base64_encoded), (None, false));
    }
}
