//! HTTP handed to a component that takes it: no JSON on the way, nothing is buffered, no task is started.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hearth_types::ApiError;
use hearth_types::invoke::{Body, FunctionError, HttpInvocation, Outcome, RequestId, Served};
use hearth_wasm::Shape;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt as _;

use super::fault::Fault;
use super::guest::Guest;
use super::table::Components;
use super::turn::Turn;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
/// What the Runtime API calls its own fields: a guest may take one for the platform's word.
const PLATFORM: &str = "lambda-runtime-";

/// Hands a request over. `loading` is how long it waited for the program, if it did.
///
/// # Errors
/// Failures of the platform: no room, shutting down, the wall itself.
pub(crate) async fn serve(
    components: &Components,
    guest: Arc<Guest>,
    loading: Option<Duration>,
    invocation: HttpInvocation,
    mut request: http::Request<Body>,
) -> Result<Served, ApiError> {
    if guest.shape() == Shape::Command {
        return Ok(Served::TakesEvents(request));
    }
    let request_id = invocation.request_id;
    stamp(request.headers_mut(), &request_id, invocation.trace_id);
    let turn = Turn::begin(components, Arc::clone(&guest), request_id, false, loading)?;
    let end = Arc::new(OnceLock::new());
    let told = Arc::clone(&end);
    let log = turn.log();
    let call = turn.into_call(log, move |turn, ending| {
        // Told once.
        let _ = told.set(turn.end_as(&ending));
    });
    match guest.function.request(request, call).await {
        Ok(response) => Ok(Served::Response(
            response.map(|body| Body::new(body.map_err(Into::into))),
        )),
        Err(_) => match end.get() {
            Some((report, Some(Fault::Function(failure)))) => Ok(Served::Failed(Outcome {
                payload: failure.body(&request_id),
                error: Some(FunctionError::Unhandled),
                log_tail: None,
                report: *report,
            })),
            Some((_, Some(Fault::Platform(error)))) => Err(error.clone()),
            // The wall tells how a call ended before it says that it failed.
            Some((_, None)) | None => Err(ApiError::service("The invocation was lost. Try again.")),
        },
    }
}

/// Sets the platform's own fields, whatever the client said in their place.
pub(super) fn stamp(headers: &mut HeaderMap, request_id: &RequestId, trace_id: String) {
    let spoofed = |name: &HeaderName| name.as_str().starts_with(PLATFORM);
    if headers.keys().any(spoofed) {
        let names: Vec<_> = headers
            .keys()
            .filter(|name| spoofed(name))
            .cloned()
            .collect();
        for name in names {
            headers.remove(name);
        }
    }
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    match HeaderValue::try_from(trace_id) {
        Ok(value) => {
            headers.insert(TRACE_ID, value);
        }
        Err(_) => {
            headers.remove(TRACE_ID);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoofed_fields_are_replaced_or_removed() {
        let id = RequestId::from_random([0; 16]);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-amzn-requestid", "a"),
            ("x-amzn-requestid", "b"),
            ("x-amzn-trace-id", "c"),
            ("lambda-runtime-deadline-ms", "d"),
            ("lambda-runtime-aws-request-id", "e"),
            ("x-other", "f"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        stamp(&mut headers, &id, "Root=1".to_owned());
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        all.sort();
        assert_eq!(
            all,
            [
                format!("x-amzn-requestid: {id}"),
                "x-amzn-trace-id: Root=1".to_owned(),
                "x-other: f".to_owned()
            ]
        );
    }
}
