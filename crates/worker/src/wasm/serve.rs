//! HTTP handed to a component that takes it: no JSON on the way, nothing is buffered, no task is started.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hearth_types::ApiError;
use hearth_types::invoke::{Body, FunctionError, HttpInvocation, Outcome, Served};
use hearth_wasm::Shape;
use http_body_util::BodyExt as _;

use super::fault::Fault;
use super::guest::Guest;
use super::table::Components;
use super::turn::Turn;
use crate::stamp::stamp;

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
