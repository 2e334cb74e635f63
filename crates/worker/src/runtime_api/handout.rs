//! One invocation as the runtime gets it: the answer to `next`.

use std::time::SystemTime;

use bytes::Bytes;
use hearth_types::invoke::Invocation;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Response};
use http_body_util::Full;

use super::session::Handout;

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");
const CLIENT_CONTEXT: HeaderName = HeaderName::from_static("lambda-runtime-client-context");

/// Words an invocation whose time is up at `deadline`. The event is passed on, not copied.
pub(crate) fn handout(invocation: &Invocation, deadline: SystemTime) -> Handout {
    let deadline_ms = deadline
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
    let mut response = Response::new(Full::new(invocation.payload.clone()));
    let headers = response.headers_mut();
    headers.reserve(7);
    // The official Python client reads the content type without asking whether there is one.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(DEADLINE, HeaderValue::from(deadline_ms));
    insert(headers, REQUEST_ID, invocation.request_id.as_str());
    insert(headers, ARN, &invocation.invoked_arn);
    insert(headers, TRACE, &invocation.trace_id);
    if let Some(context) = &invocation.client_context {
        if context.contains(['\r', '\n']) {
            // Between the tokens of JSON a line break is a space; inside of a string it can't stand.
            insert(headers, CLIENT_CONTEXT, &context.replace(['\r', '\n'], " "));
        } else {
            insert(headers, CLIENT_CONTEXT, context);
        }
    }
    response
}

/// Sets a header; what no header can hold (control characters) is left out, as is an empty value.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if value.is_empty() {
        return;
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value.as_bytes())) {
        headers.insert(name, value);
    }
}
