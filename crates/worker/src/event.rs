//! Events as requests, and responses as results: what `Invoke` is to a function that takes HTTP.
//!
//! An event of a function URL (payload format 2.0) becomes the request that it tells of, and the response becomes a
//! result of the same format. Any other payload becomes a `POST` with the payload as its body; if the response is a
//! success with a JSON body then that body is the result, as it is for a function that returns a value, and otherwise
//! the result is the response in payload format 2.0.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hearth_types::function_url::media;
use hearth_types::wire::function_url::{Event, FieldValue, Response as Result2, VERSION};
use hearth_types::{ApiError, ErrorKind};
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap,
    HeaderName, HeaderValue, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, response};
use http_body_util::Full;
use serde::de::IgnoredAny;

/// The host of requests whose event names none.
const LOCALHOST: &str = "localhost";

/// Fields that belong to a connection or to a body as it was sent: the event has neither (RFC 9110, sections 7.6.1 and
/// 8.6).
const OF_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What a payload was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An event of a function URL.
    Url,
    /// Anything else.
    Plain,
}

/// The request that a payload stands for. What is no event of a function URL goes to `path`.
///
/// # Errors
/// [`ErrorKind::InvalidRequestContent`] for an event of a function URL that tells of no possible request.
pub(crate) fn request(
    payload: Bytes,
    path: &str,
) -> Result<(Request<Full<Bytes>>, Form), ApiError> {
    match url_event(&payload) {
        Some(event) => Ok((of_event(event).map_err(impossible)?, Form::Url)),
        None => {
            let mut request = Request::new(Full::new(payload));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = uri(Scheme::HTTP, None, path.parse().ok()).map_err(impossible)?;
            let headers = request.headers_mut();
            headers.insert(HOST, HeaderValue::from_static(LOCALHOST));
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok((request, Form::Plain))
        }
    }
}

/// The result that a response stands for.
pub(crate) fn result(form: Form, head: &response::Parts, body: Bytes) -> Bytes {
    match form {
        Form::Plain if head.status.is_success() && body.is_empty() => Bytes::from_static(b"null"),
        Form::Plain if head.status.is_success() && is_json(&head.headers, &body) => body,
        Form::Plain | Form::Url => {
            // It has a JSON form: maps with strings for keys, strings and numbers.
            let result = serde_json::to_vec(&of_response(head, &body));
            result.map(Bytes::from).unwrap_or_default()
        }
    }
}

fn impossible(what: &str) -> ApiError {
    ApiError::new(
        ErrorKind::InvalidRequestContent,
        format!("The payload is an event of a function URL, and {what}."),
    )
}

/// The payload as an event of a function URL, if it is one.
fn url_event(payload: &[u8]) -> Option<Event> {
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let event: Event = serde_json::from_slice(payload).ok()?;
    let is_one = event.version == VERSION && !event.request_context.http.method.is_empty();
    is_one.then_some(event)
}

/// Header fields of an event that becomes a request. The front door takes far fewer.
const HEADERS: usize = 1_000;

fn of_event(event: Event) -> Result<Request<Full<Bytes>>, &'static str> {
    // A map of headers has a bound of its own, beyond which it panics.
    if event.headers.len() > HEADERS {
        return Err("it has more than 1000 headers");
    }
    let mut headers = HeaderMap::with_capacity(event.headers.len() + 2);
    for (name, value) in &event.headers {
        let name = HeaderName::try_from(name).map_err(|_| "one of its header names is none")?;
        let value = HeaderValue::try_from(value).map_err(|_| "one of its headers can't be sent")?;
        headers.append(name, value);
    }
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    if !event.cookies.is_empty() {
        let cookies = event.cookies.join("; ");
        let cookies =
            HeaderValue::try_from(cookies).map_err(|_| "one of its cookies can't be sent")?;
        headers.insert(COOKIE, cookies);
    }
    let body = match event.body {
        None => Bytes::new(),
        Some(text) if event.is_base64_encoded => STANDARD
            .decode(text)
            .map_err(|_| "its body is not base64")?
            .into(),
        Some(text) => text.into(),
    };
    if !body.is_empty() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let scheme = match headers.get("x-forwarded-proto").map(HeaderValue::as_bytes) {
        Some(b"https") => Scheme::HTTPS,
        _ => Scheme::HTTP,
    };
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .or(Some(event.request_context.domain_name.as_str()))
        .filter(|host| !host.is_empty())
        .unwrap_or(LOCALHOST);
    let host: Authority = host.parse().map_err(|_| "its host is none")?;
    let path = match (event.raw_path.as_str(), event.raw_query_string.as_str()) {
        ("", "") => "/".to_owned(),
        (path, "") => path.to_owned(),
        ("", query) => format!("/?{query}"),
        (path, query) => format!("{path}?{query}"),
    };
    let path: PathAndQuery = path.parse().map_err(|_| "its rawPath is no path")?;
    if !path.path().starts_with('/') {
        return Err("its rawPath does not begin with a slash");
    }
    let authority = HeaderValue::try_from(host.as_str()).map_err(|_| "its host can't be sent")?;
    headers.insert(HOST, authority);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::from_bytes(event.request_context.http.method.as_bytes())
        .map_err(|_| "its method is none")?;
    *request.uri_mut() = uri(scheme, Some(host), Some(path))?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn uri(
    scheme: Scheme,
    host: Option<Authority>,
    path: Option<PathAndQuery>,
) -> Result<Uri, &'static str> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(host.unwrap_or_else(|| Authority::from_static(LOCALHOST)));
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|_| "its host and path make no address")
}

fn is_json(headers: &HeaderMap, body: &[u8]) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let says_so = content_type.is_none_or(|content_type| {
        let essence = content_type
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii()
            .to_ascii_lowercase();
        essence == b"application/json" || essence.ends_with(b"+json")
    });
    // Skipping a value neither recurses nor allocates, but does not look into its strings: hence the check of UTF-8.
    says_so
        && !headers.contains_key(CONTENT_ENCODING)
        && std::str::from_utf8(body)
            .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn of_response(head: &response::Parts, body: &Bytes) -> Result2 {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut result = Result2 {
        status_code: Some(head.status.as_u16()),
        ..Result2::default()
    };
    for name in head.headers.keys() {
        if OF_CONNECTION.contains(name) {
            continue;
        }
        let values = head.headers.get_all(name).iter().map(text);
        if *name == SET_COOKIE {
            result.cookies = values.collect();
        } else {
            let joined = values.collect::<Vec<_>>().join(",");
            result
                .headers
                .insert(name.as_str().to_owned(), FieldValue(joined));
        }
    }
    let content_type = result.headers.get(CONTENT_TYPE.as_str());
    let is_text = media::is_text(content_type.map(|value| value.0.as_str()))
        && !head.headers.contains_key(CONTENT_ENCODING);
    match std::str::from_utf8(body) {
        Ok(text) if is_text => result.body = Some(text.to_owned()),
        _ => {
            result.body = Some(STANDARD.encode(body));
            result.is_base64_encoded = true;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;

    async fn made(payload: Value) -> (http::request::Parts, Bytes, Form) {
        let (request, form) = request(payload.to_string().into(), "/").unwrap();
        let (head, body) = request.into_parts();
        (head, body.collect().await.unwrap().to_bytes(), form)
    }

    fn response(status: u16, headers: &[(&str, &str)]) -> response::Parts {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    fn json_of(result: &Bytes) -> Value {
        serde_json::from_slice(result).unwrap()
    }

    #[tokio::test]
    async fn an_event_of_a_url_is_the_request_that_it_tells_of() {
        let (head, body, form) = made(json!({
            "version": "2.0",
            "rawPath": "/a%20b",
            "rawQueryString": "x=1&y=%20",
            "cookies": ["a=1", "b=2"],
            "headers": {"X-One": "1", "host": "shop.example:8080", "content-length": "99",
                        "x-forwarded-proto": "https", "transfer-encoding": "chunked"},
            "requestContext": {"http": {"method": "PUT"}},
            "body": "aGk=",
            "isBase64Encoded": true,
        }))
        .await;
        assert_eq!(form, Form::Url);
        assert_eq!(head.method, Method::PUT);
        assert_eq!(head.uri, "https://shop.example:8080/a%20b?x=1&y=%20");
        assert_eq!(body, "hi");
        let mut headers: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        assert_eq!(
            headers,
            [
                "content-length: 2",
                "cookie: a=1; b=2",
                "host: shop.example:8080",
                "x-forwarded-proto: https",
                "x-one: 1"
            ]
        );
    }

    #[tokio::test]
    async fn anything_else_is_posted() {
        for payload in [
            json!({}),
            json!(null),
            json!([1]),
            json!({"version": "1.0", "requestContext": {"http": {"method": "GET"}}}),
            json!({"version": "2.0"}),
            json!({"version": 2, "headers": []}),
        ] {
            let (head, body, form) = made(payload.clone()).await;
            assert_eq!(form, Form::Plain, "{payload}");
            assert_eq!(head.method, Method::POST);
            assert_eq!(head.uri, "http://localhost/");
            assert_eq!(head.headers["content-type"], "application/json");
            assert_eq!(body, payload.to_string());
        }
    }

    #[test]
    fn an_event_of_no_possible_request_is_refused_in_words() {
        for (member, value, part) in [
            ("rawPath", json!("no-slash"), "no path"),
            ("rawPath", json!("*"), "slash"),
            ("rawPath", json!("/a b"), "no path"),
            ("headers", json!({"a b": "c"}), "header names"),
            ("headers", json!({"a": "b\r\nc: d"}), "can't be sent"),
            ("headers", json!({"host": "a b"}), "host"),
            ("cookies", json!(["a\nb"]), "cookies"),
        ] {
            let mut event = json!({
                "version": "2.0",
                "requestContext": {"http": {"method": "GET"}},
            });
            event[member] = value;
            let error = request(event.to_string().into(), "/").unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidRequestContent);
            assert!(error.message.contains(part), "{}", error.message);
        }
        let event = json!({
            "version": "2.0",
            "requestContext": {"http": {"method": "G T"}},
            "body": "!",
        });
        assert!(request(event.to_string().into(), "/").is_err());
    }

    #[test]
    fn a_response_is_a_result_of_the_same_format() {
        let head = response(
            201,
            &[
                ("content-type", "text/html; charset=utf-8"),
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("x-many", "1"),
                ("x-many", "2"),
                ("content-length", "5"),
                ("connection", "close"),
            ],
        );
        let text = result(Form::Url, &head, Bytes::from_static("héllo".as_bytes()));
        assert_eq!(
            json_of(&text),
            json!({
                "statusCode": 201,
                "headers": {"content-type": "text/html; charset=utf-8", "x-many": "1,2"},
                "cookies": ["a=1", "b=2"],
                "body": "héllo",
                "isBase64Encoded": false,
            })
        );
        for (headers, body) in [
            (&[("content-type", "image/png")][..], &b"png"[..]),
            (&[("content-type", "text/plain")], b"\xff"),
            (
                &[("content-type", "text/plain"), ("content-encoding", "gzip")],
                b"x",
            ),
        ] {
            let head = response(200, headers);
            let binary = json_of(&result(Form::Url, &head, Bytes::from_static(body)));
            assert_eq!(binary["isBase64Encoded"], true);
            assert_eq!(binary["body"], STANDARD.encode(body));
        }
    }

    #[test]
    fn a_plain_payload_gets_the_json_that_was_answered() {
        let of = |status, content_type: Option<&str>, body: &'static [u8]| {
            let headers: Vec<_> = content_type
                .map(|value| ("content-type", value))
                .into_iter()
                .collect();
            let head = response(status, &headers);
            result(Form::Plain, &head, Bytes::from_static(body))
        };
        assert_eq!(of(200, Some("application/json"), b"{\"a\":1}"), "{\"a\":1}");
        assert_eq!(of(200, Some("application/vnd.x+json"), b"[1]"), "[1]");
        assert_eq!(of(200, None, b" 42 "), " 42 ");
        assert_eq!(of(204, None, b""), "null");
        for (status, content_type, body) in [
            (200, Some("text/plain"), &b"42"[..]),
            (200, Some("application/json"), b"{"),
            (200, Some("application/json"), b"\"\xff\""),
            (404, Some("application/json"), b"{}"),
            (500, None, b""),
        ] {
            let shape = json_of(&of(status, content_type, body));
            assert_eq!(shape["statusCode"], status, "{shape}");
        }
    }
}
