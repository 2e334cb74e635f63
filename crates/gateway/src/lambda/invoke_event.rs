//! Asynchronous invocation, `Event` and the older InvokeAsync: the event is on disk before it is answered with 202, and runs when its turn comes.

use hearth_events::Event;
use hearth_types::limits::EVENT_PAYLOAD_BYTES;
use hearth_types::{ApiError, ErrorKind};
use http::HeaderValue;

use super::invoke::{client_context, payload, remapped};
use crate::error_response::{self, Answer};
use crate::gateway::Call;
use crate::trace_id;

/// Queues an event for the function that the path names.
///
/// # Errors
/// The caller's mistakes; a full queue; a store that can't. Nothing was accepted then.
pub(super) async fn answer(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let event = event(&mut call)?;
    let mut response = error_response::empty(202, call.request_id);
    if let Ok(trace) = HeaderValue::from_str(&event.trace_id) {
        response.headers_mut().insert(trace_id::HEADER, trace);
    }
    call.gateway.events.accept(event).await?;
    Ok(remapped(response))
}

/// Reads what the caller sends. That the function can be run now is checked, and forgotten: each attempt looks for what
/// it runs anew.
fn event(call: &mut Call<'_>) -> Result<Event, ApiError> {
    let resolved = call.resolve()?;
    let client_context = client_context(&call.parts.headers)?;
    let body = std::mem::take(&mut call.body);
    if body.len() > EVENT_PAYLOAD_BYTES {
        return Err(ApiError::new(
            ErrorKind::RequestTooLarge,
            format!(
                "{} byte payload is too large for the Event invocation type (limit {EVENT_PAYLOAD_BYTES} bytes)",
                body.len()
            ),
        ));
    }
    let sampled = resolved.deployment.configuration.tracing_active;
    Ok(Event {
        id: call.request_id,
        function: resolved.key().clone(),
        qualifier: resolved.qualifier,
        payload: payload(body)?,
        client_context,
        trace_id: trace_id::of_request(&call.parts.headers, sampled, call.now),
        accepted: call.now,
        due: call.now,
    })
}
