//! An event for a component: one that takes HTTP gets a request made of it, a command gets it on its standard input.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_types::ApiError;
use hearth_types::invoke::{FunctionError, Invocation, Outcome};
use hearth_types::limits::RESPONSE_PAYLOAD_BYTES;
use hearth_wasm::{Ending, Shape};

use super::command;
use super::fault::Fault;
use super::guest::Guest;
use super::table::Components;
use super::turn::Turn;
use crate::collect::{Uncollected, collect};
use crate::event;
use crate::failure::Failure;
use crate::stamp::stamp;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The wall says so, when it says how the call ended.
    AsEnded,
    /// What came is not what it should be.
    Failure(Failure),
}

impl From<Uncollected> for NoAnswer {
    fn from(why: Uncollected) -> Self {
        match why {
            Uncollected::Broken => Self::AsEnded,
            Uncollected::TooLarge => Self::Failure(Failure::ResponseTooLarge),
        }
    }
}

/// Runs one invocation to its end. `loading` is how long it waited for the program, if it did.
///
/// # Errors
/// Failures of the platform; an event that no request can be made of.
pub(crate) async fn invoke(
    components: &Components,
    guest: Arc<Guest>,
    loading: Option<Duration>,
    invocation: Invocation,
) -> Result<Outcome, ApiError> {
    match guest.shape() {
        Shape::Command => command::run(components, guest, loading, invocation).await,
        Shape::Http02 | Shape::Http03 => http(components, guest, loading, invocation).await,
    }
}

async fn http(
    components: &Components,
    guest: Arc<Guest>,
    loading: Option<Duration>,
    invocation: Invocation,
) -> Result<Outcome, ApiError> {
    let (mut request, form) = event::request(invocation.payload, "/")?;
    let request_id = invocation.request_id;
    stamp(request.headers_mut(), &request_id, invocation.trace_id);
    let turn = Turn::begin(
        components,
        Arc::clone(&guest),
        request_id,
        invocation.log_tail,
        loading,
    )?;
    let log = turn.log();
    let (call, ended) = turn.into_awaited_call(log);
    let answer = match guest.function.request(request, call).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            match collect(body).await {
                Ok(body) => bounded(event::result(form, &head, body)),
                Err(why) => Err(why.into()),
            }
        }
        Err(_) => Err(NoAnswer::AsEnded),
    };
    let (turn, ending) = ended.await.map_err(|_| lost())?;
    outcome(turn, &ending, answer)
}

/// Ends the turn, and makes what the caller gets.
///
/// # Errors
/// Failures of the platform.
pub(super) fn outcome(
    turn: Turn,
    ending: &Ending,
    answer: Result<Bytes, NoAnswer>,
) -> Result<Outcome, ApiError> {
    let fault = match &answer {
        Err(NoAnswer::Failure(failure)) => Some(Fault::Function(failure.clone())),
        Err(NoAnswer::AsEnded) => {
            // A body that breaks off without a reason has one.
            let without = || Fault::Function(Failure::NoResponse);
            Some(Fault::of(ending, &turn.guest).unwrap_or_else(without))
        }
        // Whatever came after the answer was whole is for the log alone.
        Ok(_) => Fault::of(ending, &turn.guest),
    };
    let request_id = turn.request_id;
    let (report, log_tail) = turn.end(&ending.usage, fault.as_ref());
    let (payload, error) = match (answer, fault) {
        (Ok(payload), _) => (payload, None),
        (Err(_), Some(Fault::Function(failure))) => {
            (failure.body(&request_id), Some(FunctionError::Unhandled))
        }
        (Err(_), Some(Fault::Platform(error))) => return Err(error),
        (Err(_), None) => return Err(lost()),
    };
    Ok(Outcome {
        payload,
        error,
        log_tail,
        report,
    })
}

/// A result within the bound of a synchronous invocation.
pub(super) fn bounded(result: Bytes) -> Result<Bytes, NoAnswer> {
    if result.len() > RESPONSE_PAYLOAD_BYTES {
        Err(NoAnswer::Failure(Failure::ResponseTooLarge))
    } else {
        Ok(result)
    }
}

pub(super) fn lost() -> ApiError {
    ApiError::service("The invocation was lost. Try again.")
}
