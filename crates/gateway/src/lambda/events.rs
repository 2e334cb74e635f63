//! Events that wait, run or were given up: Hearth's own operations.

use hearth_events::{Position, State};
use hearth_types::invoke::RequestId;
use hearth_types::name::{FunctionKey, Qualifier};
use hearth_types::time::Timestamp;
use hearth_types::wire::events::{
    DeadEvent, EventQueue, ListEventQueuesResponse, ListEventsResponse, ListedEvent, MovedEvents,
};
use hearth_types::{ApiError, ErrorKind};

use super::invoke::enumeration_error;
use crate::error_response::Answer;
use crate::gateway::Call;

/// Entries of a page when none are asked for.
const PAGE: i64 = 50;
/// Most entries of a page.
const LARGEST_PAGE: i64 = 1_000;

pub(super) async fn queues(call: Call<'_>) -> Result<Answer, ApiError> {
    let counts = call.gateway.events.counts(&call.scope).await?;
    let queues = counts
        .into_iter()
        .map(|(function, counts)| EventQueue {
            function_name: function.name.to_string(),
            queued: counts.queued,
            retrying: counts.retrying,
            running: counts.running,
            dead: counts.dead,
            bytes: counts.bytes,
            dead_bytes: counts.dead_bytes,
        })
        .collect();
    Ok(call.ok(&ListEventQueuesResponse { queues }))
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let function = key(&call)?;
    let state = match call.text("State")?.as_deref() {
        None | Some("Waiting") => State::Waiting,
        Some("Running") => State::Running,
        Some("Dead") => State::Dead,
        Some(other) => {
            return Err(enumeration_error(
                "state",
                other,
                "[Waiting, Running, Dead]",
            ));
        }
    };
    let page = call.page()?;
    let after = page.marker.as_deref().map(position).transpose()?;
    let limit = page.max_items.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let limit = usize::try_from(limit).unwrap_or(1);
    let events = &call.gateway.events;
    let found = events.list(&function, state, after, limit).await?;
    let shown = found.events.into_iter().map(|listed| ListedEvent {
        request_id: listed.id.to_string(),
        qualifier: listed.qualifier.as_ref().map(Qualifier::to_string),
        accepted: listed.accepted.to_iso_string(),
        payload_bytes: listed.payload_bytes,
        due: listed.due.map(Timestamp::to_iso_string),
        attempts: listed.tries.begun,
        failed: listed.tries.failed,
        lost: listed.tries.lost,
        cause: listed.cause,
        ended: listed.ended.map(|(at, _)| at.to_iso_string()),
        condition: listed
            .ended
            .map(|(_, condition)| condition.as_str().to_owned()),
    });
    Ok(call.ok(&ListEventsResponse {
        events: shown.collect(),
        next_marker: found.next.map(|Position(a, b)| format!("{a}.{b}")),
    }))
}

pub(super) async fn get_dead(call: Call<'_>) -> Result<Answer, ApiError> {
    let id = request_id(&call.target.path("RequestId")?)?;
    let found = call.gateway.events.dead(&call.scope, id).await?;
    let (event, end) = (found.event, found.end);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(call.ok(&DeadEvent {
        request_id: event.id.to_string(),
        function_name: event.function.name.to_string(),
        qualifier: event.qualifier.as_ref().map(Qualifier::to_string),
        accepted: event.accepted.to_iso_string(),
        ended: end.at.to_iso_string(),
        condition: end.condition.as_str().to_owned(),
        attempts: end.attempts,
        executed_version: end.version.map(|version| version.to_string()),
        function_error: end.error.map(|error| error.as_str().to_owned()),
        message: end.message,
        payload: text(&event.payload),
        client_context: event.client_context,
        response: end.response.as_deref().map(text),
    }))
}

pub(super) async fn redrive(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, which) = (key(&call)?, which(&call)?);
    let events = call.gateway.events.redrive(&function, which).await?;
    moved(&call, which, events)
}

pub(super) async fn purge(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, which) = (key(&call)?, which(&call)?);
    let events = call.gateway.events.purge(&function, which).await?;
    moved(&call, which, events)
}

fn moved(call: &Call<'_>, which: Option<RequestId>, events: usize) -> Result<Answer, ApiError> {
    match which {
        Some(id) if events == 0 => Err(ApiError::not_found(format!(
            "The function has no event {id} that was given up and can be run."
        ))),
        _ => Ok(call.ok(&MovedEvents { events })),
    }
}

/// The function that the path names. It need not be there any more: its events still are.
fn key(call: &Call<'_>) -> Result<FunctionKey, ApiError> {
    call.scope.key(&call.function()?)
}

/// The parameter `RequestId`: one event instead of all.
fn which(call: &Call<'_>) -> Result<Option<RequestId>, ApiError> {
    let text = call.text("RequestId")?;
    text.as_deref().map(request_id).transpose()
}

fn request_id(text: &str) -> Result<RequestId, ApiError> {
    RequestId::parse(text).ok_or_else(|| {
        ApiError::new(
            ErrorKind::Validation,
            "RequestId must be the request ID of an asynchronous invocation: 36 characters, in lower case.",
        )
    })
}

fn position(marker: &str) -> Result<Position, ApiError> {
    marker
        .split_once('.')
        .and_then(|(a, b)| Some(Position(a.parse().ok()?, b.parse().ok()?)))
        .ok_or_else(|| {
            ApiError::new(
                ErrorKind::Validation,
                "Marker must be the NextMarker of the page before.",
            )
        })
}
