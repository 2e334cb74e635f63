//! An event for a function that is a web server: a request is made of it, and a result of the response.

use bytes::{Bytes, BytesMut};
use hearth_types::ApiError;
use hearth_types::invoke::{Body, Outcome, RequestId};
use hearth_types::limits::RESPONSE_PAYLOAD_BYTES;
use http::Request;
use http_body_util::{BodyExt as _, Full};

use super::download::Download;
use super::exchange;
use super::visit::{Unserved, Visit, word};
use crate::event::{self, Form};
use crate::failure::Failure;
use crate::stamp::stamp;

/// Sends the request that stands for an event, and gives the result that the response stands for.
///
/// # Errors
/// Failures of the platform.
pub(crate) async fn invoke(
    visit: Result<Visit, Unserved>,
    request_id: RequestId,
    trace_id: String,
    request: Request<Full<Bytes>>,
    form: Form,
) -> Result<Outcome, ApiError> {
    let mut visit = match visit {
        Ok(visit) => visit,
        Err(Unserved::Platform(error)) => return Err(error),
        Err(Unserved::Function(outcome)) => return Ok(outcome),
    };
    let mut request =
        request.map(|body| -> Body { body.map_err(|never| match never {}).boxed_unsync() });
    stamp(request.headers_mut(), &request_id, trace_id);
    let ended = visit.take_ended();
    let result = match exchange::exchange(visit, request).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            collect(body)
                .await
                .map(|body| event::result(form, &head, body))
        }
        Err((visit, failure)) => {
            exchange::leave(visit, failure);
            None
        }
    };
    let outcome = word(ended).await?;
    let too_large = |result: &Bytes| result.len() > RESPONSE_PAYLOAD_BYTES;
    Ok(match result {
        // As JSON it may be larger than what came.
        Some(result) if outcome.error.is_none() && too_large(&result) => Outcome {
            payload: Failure::ResponseTooLarge.body(&request_id),
            error: Some(hearth_types::invoke::FunctionError::Unhandled),
            ..outcome
        },
        Some(payload) if outcome.error.is_none() => Outcome { payload, ..outcome },
        _ => outcome,
    })
}

/// All of a body, after which the stay is over; `None` if that ended badly.
async fn collect(mut body: Download) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > RESPONSE_PAYLOAD_BYTES {
            body.fail(Failure::ResponseTooLarge);
            return None;
        }
        whole.extend_from_slice(&data);
    }
    Some(whole.freeze())
}
