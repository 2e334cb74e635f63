//! An event for a worker: a request is made of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_types::ApiError;
use hearth_types::invoke::{FunctionError, Invocation, Outcome};
use hearth_types::limits::RESPONSE_PAYLOAD_BYTES;
use http_body_util::BodyExt as _;

use super::fault::Fault;
use super::guest::Guest;
use super::table::Workers;
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
    let (mut request, form) = event::request(invocation.payload, "/")?;
    let request_id = invocation.request_id;
    stamp(request.headers_mut(), &request_id, invocation.trace_id);
    let log_tail = invocation.log_tail;
    let turn = Turn::begin(workers, guest, request_id, log_tail, loading)?;
    let ran = tokio::spawn(async move {
        let guest = Arc::clone(&turn.guest);
        let request = request.map(|body| body.map_err(|never| match never {}).boxed_unsync());
        let answer = async {
            let sent = guest.engines.send(&guest.code, request).await;
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

impl From<Uncollected> for Fault {
    fn from(why: Uncollected) -> Self {
        Self::Function(match why {
            Uncollected::Broken => Failure::Truncated,
            Uncollected::TooLarge => Failure::ResponseTooLarge,
        })
    }
}
