//! How failures look on the wire.

use std::time::Duration;

use bytes::Bytes;
use hearth_types::invoke::RequestId;
use hearth_types::{ApiError, ErrorKind};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value};

/// A whole response.
pub(crate) type Answer = Response<Full<Bytes>>;

/// `x-amzn-RequestId`.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The way in which a service writes its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// JSON over paths and methods: the Lambda API.
    RestJson,
    /// JSON 1.0, the operation in `X-Amz-Target`: SQS.
    Json10,
    /// JSON 1.1, the operation in `X-Amz-Target`: CloudWatch Logs.
    Json11,
    /// Forms in and XML out, the operation in `Action`: STS.
    Query,
}

impl Protocol {
    /// The media type of its messages.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::RestJson => "application/json",
            Self::Json10 => "application/x-amz-json-1.0",
            Self::Json11 => "application/x-amz-json-1.1",
            Self::Query => "text/xml",
        }
    }
}

/// The response for a failure.
pub(crate) fn of(error: &ApiError, protocol: Protocol, request_id: RequestId) -> Answer {
    let code = error.kind.code();
    let mut body = Map::new();
    let mut status = error.kind.status();
    match protocol {
        Protocol::RestJson => {
            if is_modelled(error.kind) {
                body.insert("Type".to_owned(), error.kind.fault().into());
            }
            if let Some(reason) = error.throttle {
                body.insert("Reason".to_owned(), reason.as_str().into());
            }
            body.insert(message_member(error.kind).to_owned(), message(error));
        }
        Protocol::Json10 | Protocol::Json11 => {
            body.insert("__type".to_owned(), code.into());
            body.insert("message".to_owned(), message(error));
            // Every fault of the caller is a 400 in these protocols.
            if status < 500 {
                status = 400;
            }
        }
        // XML: written below.
        Protocol::Query => {}
    }
    let mut response = if protocol == Protocol::Query {
        crate::sts_api::failure(status, code, &error.message, request_id)
    } else {
        json(status, protocol, &Value::Object(body), request_id)
    };
    set_code(response.headers_mut(), code, error.retry_after);
    response
}

/// Adds a failure's code, and when to try again, to the head of its response.
pub(crate) fn set_code(headers: &mut HeaderMap, code: &'static str, retry_after: Option<Duration>) {
    headers.insert(ERROR_TYPE, HeaderValue::from_static(code));
    if let Some(after) = retry_after {
        // Whole seconds, never zero: zero would invite the next request at once.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

/// Adds the request's identifier to the head of its response.
pub(crate) fn set_request_id(headers: &mut HeaderMap, request_id: RequestId) {
    if let Ok(id) = HeaderValue::from_str(request_id.as_str()) {
        headers.insert(REQUEST_ID, id);
    }
}

/// A response with a JSON body.
pub(crate) fn json(
    status: u16,
    protocol: Protocol,
    body: &impl serde::Serialize,
    request_id: RequestId,
) -> Answer {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let mut response = empty(status, request_id);
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static(protocol.media_type()),
            );
            *response.body_mut() = Full::new(body.into());
            response
        }
        Err(error) => {
            tracing::error!(%error, "write a response as JSON");
            empty(500, request_id)
        }
    }
}

/// A response with a body that is written already.
pub(crate) fn text(status: u16, protocol: Protocol, body: String, request_id: RequestId) -> Answer {
    let mut response = empty(status, request_id);
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(protocol.media_type()),
    );
    *response.body_mut() = Full::new(body.into());
    response
}

/// A response without a body.
pub(crate) fn empty(status: u16, request_id: RequestId) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    set_request_id(response.headers_mut(), request_id);
    response
}

fn message(error: &ApiError) -> Value {
    Value::String(error.message.clone().into_owned())
}

/// The service model writes the message's name in two ways.
const fn message_member(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ResourceNotFound
        | ErrorKind::InvalidZipFile
        | ErrorKind::ResourceInUse
        | ErrorKind::InvalidRuntime
        | ErrorKind::FolderMount
        | ErrorKind::RecursiveInvocation
        | ErrorKind::Service => "Message",
        _ => "message",
    }
}

/// Whether the service model has the error. The others come from AWS's front end and have no `Type`.
const fn is_modelled(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::Validation
            | ErrorKind::Serialization
            | ErrorKind::UnknownOperation
            | ErrorKind::MethodNotAllowed
            | ErrorKind::MissingAuthenticationToken
            | ErrorKind::UnrecognizedClient
            | ErrorKind::InvalidSignature
            | ErrorKind::IncompleteSignature
            | ErrorKind::ExpiredToken
            | ErrorKind::AccessDenied
    )
}

#[cfg(test)]
mod tests {
    use hearth_types::error::ThrottleReason;
    use http_body_util::BodyExt as _;

    use super::*;

    fn answer(error: &ApiError, protocol: Protocol) -> (Response<()>, Value) {
        let response = of(error, protocol, RequestId::from_random([0; 16]));
        let (parts, body) = response.into_parts();
        let body = futures_util::FutureExt::now_or_never(body.collect())
            .unwrap()
            .unwrap();
        (
            Response::from_parts(parts, ()),
            serde_json::from_slice(&body.to_bytes()).unwrap(),
        )
    }

    #[test]
    fn a_throttle_says_why_and_when() {
        let mut error = ApiError::throttled(ThrottleReason::ConcurrentInvocationLimitExceeded);
        error.retry_after = Some(Duration::from_millis(1_200));
        let (head, body) = answer(&error, Protocol::RestJson);
        assert_eq!(head.status(), 429);
        assert_eq!(
            head.headers()["x-amzn-errortype"],
            "TooManyRequestsException"
        );
        assert_eq!(head.headers()["retry-after"], "2");
        assert_eq!(body["Reason"], "ConcurrentInvocationLimitExceeded");
        assert_eq!(body["Type"], "User");
        assert_eq!(body["message"], "Rate Exceeded.");
    }

    #[test]
    fn each_protocol_has_its_shape() {
        let error = ApiError::not_found("gone");
        let (head, body) = answer(&error, Protocol::RestJson);
        assert_eq!(
            (head.status().as_u16(), &body["Message"]),
            (404, &"gone".into())
        );
        let (head, body) = answer(&error, Protocol::Json11);
        assert_eq!(
            (head.status().as_u16(), &body["message"]),
            (400, &"gone".into())
        );
        assert_eq!(body["__type"], "ResourceNotFoundException");
        let denied = ApiError::new(ErrorKind::AccessDenied, "no");
        let (_, body) = answer(&denied, Protocol::RestJson);
        assert_eq!(body, serde_json::json!({"message": "no"}));
    }
}
