//! Where CloudEvents come in: `POST /events`, or `POST /events/<bus>`, by CloudEvents' HTTP binding. Requests are signed
//! for the service `events`, or come with the token of a sender, who knows no signatures.

use hearth_registry::Scope;
use hearth_rules::cloud_event::{self, Post, Refused};
use hearth_rules::error::Kind;
use hearth_rules::{Caller, RuleError};
use hearth_types::error::ThrottleReason;
use hearth_types::invoke::RequestId;
use hearth_types::{ApiError, ErrorKind};
use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use hyper::body::Incoming;

use crate::body;
use crate::error_response::{self, Answer};
use crate::events_api;
use crate::gateway::{Parted, Refusal, discard, unread_refusal};
use crate::storage_inbox;

/// Most bytes of a request: four events of the largest size, or a batch of small ones.
pub(crate) const BODY_BYTES: usize = 1 << 20;
/// What a request is called in a refusal.
const OPERATION: &str = "SendEvents";
/// The bus of a signed request that names none.
const DEFAULT_BUS: &str = "default";

/// What follows `/events` in a path, if it is such a path: nothing, or a bus.
fn bus(path: &str) -> Option<Option<&str>> {
    match path.strip_prefix("/events")? {
        "" | "/" => Some(None),
        rest => {
            let bus = rest.strip_prefix('/')?;
            (!bus.contains('/')).then_some(Some(bus))
        }
    }
}

/// Whether a path is one of these.
pub(crate) fn is_path(path: &str) -> bool {
    bus(path).is_some()
}

/// Whether a request comes with a token rather than a signature.
pub(crate) fn has_token(parts: &Parts) -> bool {
    storage_inbox::token(&parts.headers).is_some()
}

/// Refuses methods but the one.
fn check_method(parts: &Parts) -> Result<(), Refusal> {
    if parts.method == Method::POST {
        return Ok(());
    }
    let mut refusal = Refusal::from(ApiError::new(
        ErrorKind::MethodNotAllowed,
        "Events are sent here. Use POST.",
    ));
    refusal.allow = Some("POST".to_owned());
    Err(refusal)
}

/// Takes in what the sender of a token sends.
pub(crate) async fn from_sender(
    gateway: &Parted,
    parts: &Parts,
    mut body: Incoming,
    request_id: RequestId,
) -> Result<Answer, Refusal> {
    if let Err(refusal) = check_method(parts) {
        discard(parts, body);
        return Err(refusal);
    }
    let token = storage_inbox::token(&parts.headers).unwrap_or_default();
    let named = bus(parts.uri.path()).flatten();
    let sender = gateway.rules.sender(&token);
    let Some(sender) = sender.filter(|sender| named.is_none_or(|bus| bus == sender.bus)) else {
        discard(parts, body);
        return Err(ApiError::new(
            ErrorKind::AccessDenied,
            "No sender has this token, or it is for another event bus. Send the one of events.senders in the node's \
             configuration as Authorization: Bearer.",
        )
        .into());
    };
    let read = body::read(
        &mut body,
        BODY_BYTES,
        &gateway.budget,
        gateway.connections.pace,
    )
    .await;
    let read = read.map_err(|unread| unread_refusal(unread, BODY_BYTES, OPERATION))?;
    let scope = Scope {
        account: sender.account.clone(),
        region: sender.region.clone(),
    };
    let caller = events_api::caller(scope, parts);
    let answer = take(
        gateway,
        &caller,
        &sender.bus,
        parts,
        &read.bytes,
        request_id,
    );
    Ok(answer.await?)
}

/// Takes in what a signed request sends.
pub(crate) async fn signed(
    gateway: &Parted,
    scope: Scope,
    parts: &Parts,
    body: &[u8],
    request_id: RequestId,
) -> Result<Answer, Refusal> {
    check_method(parts)?;
    let caller = events_api::caller(scope, parts);
    let bus = bus(parts.uri.path()).flatten().unwrap_or(DEFAULT_BUS);
    let answer = take(gateway, &caller, bus, parts, body, request_id);
    Ok(answer.await?)
}

async fn take(
    gateway: &Parted,
    caller: &Caller,
    bus: &str,
    parts: &Parts,
    body: &[u8],
    request_id: RequestId,
) -> Result<Answer, ApiError> {
    let content_type = match parts.headers.get(CONTENT_TYPE) {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_| {
            ApiError::invalid("The CloudEvent is not valid: Content-Type is not ASCII.")
        })?),
    };
    let fields = parts.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("ce-")?;
        Some((name, value.as_bytes()))
    });
    let post = Post {
        content_type,
        fields: fields.collect(),
        body,
    };
    let events = cloud_event::read(&post).map_err(|refused| match refused {
        Refused::MediaType(why) => ApiError::new(ErrorKind::UnsupportedMediaType, why),
        Refused::Invalid(why) => ApiError::invalid(format!("The CloudEvent is not valid: {why}")),
    })?;
    let taken = gateway.rules.put_cloud_events(caller, bus, events).await;
    taken.map_err(refusal)?;
    // Without a body: a sender may take one for an event in answer.
    Ok(error_response::empty(202, request_id))
}

fn refusal(error: RuleError) -> ApiError {
    let kind = match error.kind {
        Kind::Throttling => {
            return ApiError {
                message: error.message.into(),
                ..ApiError::throttled(ThrottleReason::CallerRateLimitExceeded)
            };
        }
        Kind::ResourceNotFound => ErrorKind::ResourceNotFound,
        Kind::Internal => ErrorKind::ServiceUnavailable,
        _ => ErrorKind::InvalidParameterValue,
    };
    ApiError::new(kind, error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_a_bound_it_is_said_when_to_come_again() {
        let full = RuleError {
            kind: Kind::Throttling,
            message: "full".to_owned(),
        };
        let error = refusal(full);
        assert_eq!(error.kind.status(), 429);
        assert!(error.retry_after.is_some());
        assert_eq!(error.message, "full");
    }

    #[test]
    fn a_path_names_one_bus_or_none() {
        assert_eq!(bus("/events"), Some(None));
        assert_eq!(bus("/events/"), Some(None));
        assert_eq!(bus("/events/orders"), Some(Some("orders")));
        assert_eq!(bus("/events/a/b"), None);
        assert_eq!(bus("/eventsx"), None);
        assert_eq!(bus("/"), None);
    }
}
