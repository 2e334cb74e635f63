//! Answers to the runtime, in the shapes of AWS's own Runtime API.

use bytes::Bytes;
use hearth_types::limits::RESPONSE_PAYLOAD_BYTES;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

use super::session::{Handout, Refusal};
use crate::failure::error_object;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// 202: an answer or an error was taken.
pub(super) fn accepted() -> Handout {
    json(
        StatusCode::ACCEPTED,
        Bytes::from_static(b"{\"status\":\"OK\"}\n"),
    )
}

/// What an answer gets that was read to its end.
pub(super) fn taken(taken: Result<(), Refusal>) -> Handout {
    match taken {
        Ok(()) => accepted(),
        Err(refusal) => refused(refusal),
    }
}

/// What a call out of turn gets.
pub(super) fn refused(refusal: Refusal) -> Handout {
    match refusal {
        Refusal::InvalidRequestId => json(
            StatusCode::BAD_REQUEST,
            error_object("InvalidRequestID", "Invalid request ID"),
        ),
        Refusal::Overdue => json(
            StatusCode::GONE,
            error_object("InvokeTimeout", "Invoke timeout"),
        ),
        Refusal::InvalidStateTransition { from, to } => json(
            StatusCode::FORBIDDEN,
            error_object(
                "InvalidStateTransition",
                &format!("Transition from {from} to {to} is not allowed."),
            ),
        ),
    }
}

/// 413: more than the limit; the invocation has ended with that error.
pub(super) fn too_large() -> Handout {
    json(
        StatusCode::PAYLOAD_TOO_LARGE,
        error_object(
            "RequestEntityTooLarge",
            &format!("Exceeded maximum allowed payload size ({RESPONSE_PAYLOAD_BYTES} bytes)."),
        ),
    )
}

/// 400: the body ended before its length.
pub(super) fn truncated() -> Handout {
    json(
        StatusCode::BAD_REQUEST,
        error_object("TruncatedHTTPRequest", "HTTP request detected as truncated"),
    )
}

/// 400: a response mode that is not known.
pub(super) fn invalid_response_mode() -> Handout {
    json(
        StatusCode::BAD_REQUEST,
        error_object(
            "InvalidFunctionResponseMode",
            "Invalid function response mode",
        ),
    )
}

/// 404: no such path.
pub(super) fn not_found() -> Handout {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// 405: the path is there for another method.
pub(super) fn method_not_allowed() -> Handout {
    plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n")
}

/// 410: the environment is on its way out.
pub(super) fn gone() -> Handout {
    closing(json(
        StatusCode::GONE,
        error_object(
            "InvalidStateTransition",
            "The execution environment is shutting down.",
        ),
    ))
}

/// The same, and the connection is closed after it.
pub(super) fn closing(mut response: Handout) -> Handout {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn json(status: StatusCode, body: Bytes) -> Handout {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Handout {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
