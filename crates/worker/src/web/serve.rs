//! HTTP handed to a function that is a web server.

use hearth_types::ApiError;
use hearth_types::invoke::{Body, HttpInvocation, Served};

use super::exchange;
use super::visit::{Unserved, Visit, word};
use crate::stamp::stamp;

/// Hands a request over. `visit` is its place in an environment, or why there is none.
///
/// # Errors
/// Failures of the platform.
pub(crate) async fn serve(
    visit: Result<Visit, Unserved>,
    invocation: HttpInvocation,
    mut request: http::Request<Body>,
) -> Result<Served, ApiError> {
    let visit = match visit {
        Ok(visit) => visit,
        Err(Unserved::Platform(error)) => return Err(error),
        Err(Unserved::Function(outcome)) => return Ok(Served::Failed(outcome)),
    };
    stamp(
        request.headers_mut(),
        &invocation.request_id,
        invocation.trace_id,
    );
    match exchange::exchange(visit, request).await {
        Ok(response) => Ok(Served::Response(response.map(Body::new))),
        Err((mut visit, failure)) => {
            let ended = visit.take_ended();
            exchange::leave(visit, failure);
            Ok(Served::Failed(word(ended).await?))
        }
    }
}
