//! A function's result as an HTTP response. The result is hostile input (INV-8): whatever would break the framing of
//! the response, or speak in the platform's name, does not get into it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::fields::may_be_set;
use super::prelude::PRELUDE_BYTES;
use crate::wire::function_url;

/// Bytes of all header fields of a result together. Clients and proxies take 8 to 64 KiB.
const FIELDS_BYTES: usize = 64 * 1024;

/// Why a result that has a `statusCode` is no response. The text is for whoever wrote the function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A member is of another type than payload format 2.0 gives it.
    #[error("the result is not of payload format 2.0: {0}")]
    Shape(String),
    /// No final HTTP status.
    #[error("the statusCode {0} is not between 200 and 599")]
    Status(u16),
    /// A header field can't be sent.
    #[error("the header field '{0}' has a name or a value that HTTP can't carry")]
    Field(String),
    /// Too much of them.
    #[error("the header fields together are larger than {FIELDS_BYTES} bytes")]
    Fields,
    /// A streamed response announces a prelude and does not begin with one.
    #[error(
        "the response does not begin with a prelude of at most {PRELUDE_BYTES} bytes and 8 NUL bytes"
    )]
    Prelude,
    /// A response that is made piece by piece is too large to be sent whole.
    #[error(
        "the response has more than {0} bytes, which is the most for InvokeMode BUFFERED; use RESPONSE_STREAM"
    )]
    Large(usize),
    /// The body can't be decoded.
    #[error("isBase64Encoded is true, but the body is not base64")]
    Base64,
}

/// The response that a result asks for. An object with a `statusCode` says what it is; anything else is the body of a
/// 200 of type `application/json`, as it is.
///
/// # Errors
/// [`Malformed`]: the function's fault.
pub fn to_response(payload: Bytes) -> Result<Response<Bytes>, Malformed> {
    // A list would be read member by member.
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return Ok(plain(payload));
    }
    match serde_json::from_slice::<function_url::Response>(&payload) {
        Ok(response) => match response.status_code {
            Some(status) => said(status, response),
            None => Ok(plain(payload)),
        },
        Err(_) if !has_status(&payload) => Ok(plain(payload)),
        Err(error) => Err(Malformed::Shape(error.to_string())),
    }
}

/// Whether the result wants to be a response, whatever its other members are.
fn has_status(payload: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Wants {
        #[serde(rename = "statusCode")]
        status_code: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Wants>(payload).is_ok_and(|wants| wants.status_code.is_some())
}

fn plain(body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn said(status: u16, said: function_url::Response) -> Result<Response<Bytes>, Malformed> {
    let mut response = head(status, &said, JSON)?.map(|()| Bytes::new());
    let body = match said.body {
        None => Bytes::new(),
        Some(text) if said.is_base64_encoded => {
            STANDARD.decode(text).map_err(|_| Malformed::Base64)?.into()
        }
        Some(text) => text.into(),
    };
    if has_body(response.status()) {
        *response.body_mut() = body;
    }
    Ok(response)
}

/// Whether a response of this status has a body (RFC 9110, sections 15.3.5 and 15.4.5).
pub fn has_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The head that a function asks for.
pub(super) fn head(
    status: u16,
    said: &function_url::Response,
    media_type: HeaderValue,
) -> Result<Response<()>, Malformed> {
    let code = StatusCode::from_u16(status)
        .ok()
        .filter(|_| (200..600).contains(&status))
        .ok_or(Malformed::Status(status))?;
    let mut headers = HeaderMap::new();
    let mut bytes = 0;
    let mut put = |name: &str, value: &str| {
        let bad = || Malformed::Field(name.chars().take(80).collect());
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?;
        bytes += field.as_str().len() + value.len();
        if bytes > FIELDS_BYTES {
            return Err(Malformed::Fields);
        }
        if may_be_set(&field) {
            headers
                .try_append(field, value)
                .map_err(|_| Malformed::Fields)?;
        }
        Ok(())
    };
    let several = &said.multi_value_headers;
    for (name, value) in &said.headers {
        if !several.keys().any(|other| other.eq_ignore_ascii_case(name)) {
            put(name, &value.0)?;
        }
    }
    for (name, values) in several {
        values.iter().try_for_each(|value| put(name, &value.0))?;
    }
    said.cookies
        .iter()
        .try_for_each(|cookie| put(SET_COOKIE.as_str(), cookie))?;
    headers.entry(CONTENT_TYPE).or_insert(media_type);
    let mut response = Response::new(());
    *response.status_mut() = code;
    *response.headers_mut() = headers;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(payload: &str) -> Result<Response<Bytes>, Malformed> {
        to_response(Bytes::copy_from_slice(payload.as_bytes()))
    }

    #[test]
    fn anything_without_a_status_is_the_body() {
        for payload in [
            "\"Hello\"",
            "{\"message\": 1}",
            "[{\"statusCode\": 500}]",
            "null",
            "",
            "not json",
            "{\"headers\": 5}",
            "{\"statusCode\": null, \"body\": \"x\"}",
            "{\"statusCode\": ",
        ] {
            let response = of(payload).unwrap();
            assert_eq!(response.status(), 200, "{payload}");
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(response.body(), payload);
        }
    }

    #[test]
    fn a_response_is_sent_as_it_is_said() {
        let response = of(
            r#"{"statusCode": 201, "headers": {"X-A": "1", "ETag": 7, "set-cookie": "z=0"},
                "multiValueHeaders": {"x-a": ["2", "3"]}, "cookies": ["a=1; Path=/", "b=2"],
                "body": "aGk=", "isBase64Encoded": true}"#,
        )
        .unwrap();
        assert_eq!(response.status(), 201);
        let all = |name: &str| -> Vec<_> {
            let values = response.headers().get_all(name).iter();
            values.map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(all("x-a"), ["2", "3"]);
        assert_eq!(all("etag"), ["7"]);
        assert_eq!(all("set-cookie"), ["z=0", "a=1; Path=/", "b=2"]);
        assert_eq!(all("content-type"), ["application/json"]);
        assert_eq!(response.body(), "hi");
        let html =
            of(r#"{"statusCode": 200, "headers": {"Content-Type": "text/html"}, "body": "é"}"#);
        let html = html.unwrap();
        assert_eq!(html.headers()["content-type"], "text/html");
        assert_eq!(html.body(), "é");
        assert!(
            of(r#"{"statusCode": 204, "body": "x"}"#)
                .unwrap()
                .body()
                .is_empty()
        );
    }

    #[test]
    fn framing_and_the_platforms_fields_are_not_the_functions() {
        let response = of(r#"{"statusCode": 200, "headers": {"Content-Length": "99", "Transfer-Encoding": "chunked",
                "Connection": "close", "x-amzn-RequestId": "forged", "X-Hearth-Account": "1", "x-b": "2"}}"#)
        .unwrap();
        let names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-b", "content-type"]);
    }

    #[test]
    fn what_http_can_not_carry_is_refused() {
        for bad in [
            r#"{"statusCode": 99}"#,
            r#"{"statusCode": 101}"#,
            r#"{"statusCode": 600}"#,
            r#"{"statusCode": 0}"#,
            r#"{"statusCode": "x"}"#,
            r#"{"statusCode": 200, "headers": {"a": "b\r\nc: d"}}"#,
            r#"{"statusCode": 200, "headers": {"a b": "c"}}"#,
            r#"{"statusCode": 200, "headers": {"": "c"}}"#,
            r#"{"statusCode": 200, "cookies": ["a=b\n"]}"#,
            r#"{"statusCode": 200, "multiValueHeaders": {"a": ["\u0000"]}}"#,
            r#"{"statusCode": 200, "body": {"a": 1}}"#,
            r#"{"statusCode": 200, "body": "!", "isBase64Encoded": true}"#,
            r#"{"statusCode": 200, "body": "\ud800"}"#,
            &format!(
                r#"{{"statusCode": 200, "headers": {{"a": "{}"}}}}"#,
                "x".repeat(70_000)
            ),
        ] {
            assert!(of(bad).is_err(), "{bad:.200}");
        }
    }
}
