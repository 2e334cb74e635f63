//! InvokeWithResponseStream: the function's response as it is made, in an event stream.
//!
//! A `PayloadChunk` for each piece, then one `InvokeComplete` that says how the function ended. The caller reads at its
//! own pace; when it goes away, what it holds of the response is dropped, which cancels the invocation.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hearth_types::ApiError;
use hearth_types::invoke::{Body, BodyError, BoxFuture, Outcome, Streamed};
use hearth_types::wire::lambda::{ErrorObject, InvokeComplete};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};

use super::invoke::{self, Asked, INVOCATION_TYPE, Kind, enumeration_error};
use crate::event_stream;
use crate::gateway::Call;
use crate::response_body::ResponseBody;

/// Runs the function that the path names, and answers with an event stream.
///
/// # Errors
/// The caller's mistakes, throttling, and failures of the platform. What the function does wrong is in the stream.
pub(super) async fn answer(mut call: Call<'_>) -> Result<Response<ResponseBody>, ApiError> {
    let admitted = match invoke::ask(&mut call, kind)? {
        Asked::DryRun(answer) => return Ok(answer.map(ResponseBody::Whole)),
        Asked::Run(admitted) => admitted,
    };
    let held = (admitted.permit, call.memory);
    let streamed = call
        .gateway
        .run_streaming(admitted.invocation, held)
        .await?;
    let events = match streamed {
        Streamed::Begun(response) => Events {
            pieces: Some(response.body),
            ended: Some(response.ended),
        },
        Streamed::Whole(outcome) => Events::of(outcome),
    };
    let mut head = admitted.head;
    head.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(event_stream::MEDIA_TYPE),
    );
    Ok(head.map(|_| ResponseBody::Function(events.boxed_unsync())))
}

fn kind(headers: &HeaderMap) -> Result<Kind, ApiError> {
    match invoke::header(headers, INVOCATION_TYPE)? {
        None | Some("RequestResponse") => Ok(Kind::RequestResponse),
        Some("DryRun") => Ok(Kind::DryRun),
        Some(other) => Err(enumeration_error(
            "invocationType",
            other,
            "[RequestResponse, DryRun]",
        )),
    }
}

/// The events of one response.
struct Events {
    /// `None` once they have ended.
    pieces: Option<Body>,
    /// `None` once that has been said.
    ended: Option<BoxFuture<'static, Result<Outcome, ApiError>>>,
}

impl Events {
    /// Those of a function that answered, or failed, in one piece.
    fn of(mut outcome: Outcome) -> Self {
        let pieces = match outcome.error {
            None => {
                let whole = Full::new(std::mem::take(&mut outcome.payload));
                Some(whole.map_err(|never| match never {}).boxed_unsync())
            }
            Some(_) => None,
        };
        Self {
            pieces,
            ended: Some(Box::pin(std::future::ready(Ok(outcome)))),
        }
    }
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while let Some(pieces) = &mut self.pieces {
            let Some(frame) = ready!(Pin::new(pieces).poll_frame(cx)) else {
                self.pieces = None;
                break;
            };
            if let Ok(piece) = frame?.into_data()
                && !piece.is_empty()
            {
                return Poll::Ready(Some(message("PayloadChunk", OCTETS, piece)));
            }
        }
        let Some(ended) = &mut self.ended else {
            return Poll::Ready(None);
        };
        let end = ready!(ended.as_mut().poll(cx));
        self.ended = None;
        let json = serde_json::to_vec(&complete(end))?;
        Poll::Ready(Some(message("InvokeComplete", JSON, json.into())))
    }
}

const OCTETS: &str = "application/octet-stream";
const JSON: &str = "application/json";

fn message(
    event: &'static str,
    content_type: &'static str,
    payload: Bytes,
) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(event_stream::message(
        event,
        content_type,
        payload,
    )?))
}

/// How the function ended.
fn complete(end: Result<Outcome, ApiError>) -> InvokeComplete {
    match end {
        Ok(outcome) => InvokeComplete {
            error_code: outcome
                .error
                .map(|error| error_code(&outcome.payload).unwrap_or_else(|| error.as_str().into())),
            error_details: outcome
                .error
                .map(|_| String::from_utf8_lossy(&outcome.payload).into_owned()),
            log_result: outcome.log_tail.map(|tail| STANDARD.encode(tail)),
        },
        // The status has been sent: this is the only place left to say it.
        Err(error) => InvokeComplete {
            error_code: Some(error.kind.code().to_owned()),
            error_details: Some(error.message.into_owned()),
            log_result: None,
        },
    }
}

/// The error's type, if it is one of the platform's; what a function threw is unhandled, whatever it calls it.
fn error_code(payload: &[u8]) -> Option<String> {
    let object: ErrorObject = serde_json::from_slice(payload).ok()?;
    let platforms = ["Runtime.", "Sandbox.", "Function."];
    platforms
        .iter()
        .any(|platform| object.error_type.starts_with(platform))
        .then_some(object.error_type)
}

#[cfg(test)]
mod tests {
    use hearth_types::ErrorKind;
    use hearth_types::invoke::{FunctionError, Report};

    use super::*;

    fn failed(payload: &'static str) -> InvokeComplete {
        complete(Ok(Outcome {
            payload: payload.into(),
            error: Some(FunctionError::Unhandled),
            log_tail: Some(Bytes::from_static(b"END")),
            report: Report::default(),
        }))
    }

    #[test]
    fn the_last_event_says_how_the_function_ended() {
        let timeout = r#"{"errorType":"Sandbox.Timedout","errorMessage":"x"}"#;
        let said = failed(timeout);
        assert_eq!(said.error_code.as_deref(), Some("Sandbox.Timedout"));
        assert_eq!(said.error_details.as_deref(), Some(timeout));
        assert_eq!(said.log_result.as_deref(), Some("RU5E"));
        for thrown in ["{\"errorType\":\"ValueError\"}", "\"x\"", "", "{"] {
            assert_eq!(failed(thrown).error_code.as_deref(), Some("Unhandled"));
        }
        let lost = complete(Err(ApiError::new(ErrorKind::ServiceUnavailable, "gone")));
        assert_eq!(lost.error_details.as_deref(), Some("gone"));
        let well = complete(Ok(Outcome {
            payload: Bytes::new(),
            error: None,
            log_tail: None,
            report: Report::default(),
        }));
        assert_eq!(serde_json::to_string(&well).unwrap(), "{}");
    }
}
