//! An event for a worker: a request is made of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_isolates::{Entry, Handlers};
use hearth_types::ApiError;
use hearth_types::invoke::{FunctionError, Invocation, Outcome};
use hearth_types::limits::RESPONSE_PAYLOAD_BYTES;
use http_body_util::BodyExt as _;
use serde::Deserialize;

use super::fault::Fault;
use super::guest::Guest;
use super::table::Workers;
use super::tail;
use super::turn::Turn;
use crate::collect::{Uncollected, collect};
use crate::event;
use crate::failure::Failure;
use crate::stamp::stamp;

/// Runs one invocation to its end. `loading` is how long it waited for the worker, if it did. A caller that leaves does
/// not end it.
///
/// # Errors
/// Failures of the platform; an event that no request can be made of.
pub(crate) async fn invoke(
    workers: &Workers,
    guest: Arc<Guest>,
    loading: Option<Duration>,
    invocation: Invocation,
) -> Result<Outcome, ApiError> {
    let entry = entry(guest.handlers, &invocation.payload);
    let payload = invocation.payload.clone();
    let (mut request, form) = event::request(invocation.payload, "/")?;
    let request_id = invocation.request_id;
    stamp(request.headers_mut(), &request_id, invocation.trace_id);
    let log_tail = invocation.log_tail;
    let turn = Turn::begin(workers, guest, request_id, log_tail, loading, || {
        tail::of_event(entry, &payload, &request)
    })?;
    let ran = tokio::spawn(async move {
        let guest = Arc::clone(&turn.guest);
        let request = request.map(|body| body.map_err(|never| match never {}).boxed_unsync());
        let answer = async {
            let sent = guest.engines.send(&guest.code, entry, request).await;
            let response = sent.map_err(|failure| Fault::of(failure, &guest))?;
            let (head, body) = response.into_parts();
            let result = event::result(form, &head, collect(body).await?);
            if result.len() > RESPONSE_PAYLOAD_BYTES {
                return Err(Fault::Function(Failure::ResponseTooLarge));
            }
            Ok(result)
        };
        let answer = match tokio::time::timeout_at(turn.deadline().into(), answer).await {
            Ok(answer) => answer,
            Err(_) => {
                guest.engines.doubt(&guest.code);
                Err(Fault::Function(Failure::Timeout(guest.timeout)))
            }
        };
        let (payload, fault) = match answer {
            Ok(payload) if !log_tail => {
                let report = turn.end_later();
                return Ok(Outcome {
                    payload,
                    error: None,
                    log_tail: None,
                    report,
                });
            }
            Ok(payload) => (payload, None),
            Err(fault) => (Bytes::new(), Some(fault)),
        };
        let ended = turn.end(fault).await;
        let (payload, error) = match ended.fault {
            None => (payload, None),
            Some(Fault::Platform(error)) => return Err(error),
            Some(fault) => (fault.body(&request_id), Some(FunctionError::Unhandled)),
        };
        Ok(Outcome {
            payload,
            error,
            log_tail: ended.log_tail,
            report: ended.report,
        })
    });
    ran.await.unwrap_or_else(|error| {
        tracing::error!(%error, "run a worker");
        Err(ApiError::service("The invocation was lost. Try again."))
    })
}

/// What tells an event of a schedule or of a queue from others.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow, rename = "detail-type")]
    detail_type: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "Records", default)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "eventSource")]
    source: Option<Cow<'a, str>>,
}

/// Which handler takes an event: what no handler of its own takes is for `fetch`.
fn entry(handlers: Handlers, payload: &[u8]) -> Entry {
    if handlers == Handlers::default() {
        return Entry::Fetch;
    }
    let Ok(told) = serde_json::from_slice::<Told<'_>>(payload) else {
        return Entry::Fetch;
    };
    let is_of_queue = |record: &Record<'_>| record.source.as_deref() == Some("aws:sqs");
    let scheduled = told.detail_type.as_deref() == Some("Scheduled Event");
    let queue = !told.records.is_empty() && told.records.iter().all(is_of_queue);
    if (handlers.scheduled && scheduled && told.records.is_empty()) || (handlers.queue && queue) {
        Entry::Event
    } else {
        Entry::Fetch
    }
}

impl From<Uncollected> for Fault {
    fn from(why: Uncollected) -> Self {
        Self::Function(match why {
            Uncollected::Broken => Failure::Truncated,
            Uncollected::TooLarge => Failure::ResponseTooLarge,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_to_handlers_of_their_own_where_there_are_some() {
        let schedule = br#"{"detail-type": "Scheduled Event", "time": "2026-01-01T00:00:00Z"}"#;
        let queue = br#"{"Records": [{"eventSource": "aws:sqs", "body": "x"}]}"#;
        let mixed = br#"{"Records": [{"eventSource": "aws:sqs"}, {"eventSource": "aws:s3"}]}"#;
        let both = Handlers {
            scheduled: true,
            queue: true,
        };
        assert_eq!(entry(both, schedule), Entry::Event);
        assert_eq!(entry(both, queue), Entry::Event);
        for other in [&mixed[..], b"{}", b"[]", b"x", br#"{"Records": []}"#] {
            assert_eq!(entry(both, other), Entry::Fetch);
        }
        for payload in [&schedule[..], queue] {
            assert_eq!(entry(Handlers::default(), payload), Entry::Fetch);
        }
        let one = Handlers {
            scheduled: true,
            queue: false,
        };
        assert_eq!(entry(one, queue), Entry::Fetch);
    }
}
