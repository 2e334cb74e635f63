//! Invoke: the operation that everything else is for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hearth_registry::Permit;
use hearth_types::invoke::{Invocation, Outcome};
use hearth_types::limits::CLIENT_CONTEXT_BYTES;
use hearth_types::lineage::{self, MOST_RUNS};
use hearth_types::name::Version;
use hearth_types::{ApiError, ErrorKind};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http_body_util::Full;
use serde::de::IgnoredAny;

use super::invoke_event;
use crate::error_response::{self, Answer};
use crate::gateway::Call;
use crate::trace_id;

const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");
const REMAPPED_LENGTH: HeaderName = HeaderName::from_static("x-amzn-remapped-content-length");

/// What an invocation's caller asks for.
pub(super) enum Asked {
    /// Nothing is to be run: the answer.
    DryRun(Answer),
    /// To run this.
    Run(Box<Admitted>),
}

/// An invocation that is let in.
pub(super) struct Admitted {
    pub(super) invocation: Invocation,
    pub(super) permit: Permit,
    /// What the answer begins with.
    pub(super) head: Answer,
}

/// Runs the function that the path names, and answers with what it returned.
///
/// # Errors
/// The caller's mistakes, throttling, and failures of the platform. What the function does wrong is in the answer.
pub(super) async fn answer(mut call: Call<'_>) -> Result<Answer, ApiError> {
    if call.parts.headers.get(INVOCATION_TYPE) == Some(&EVENT) {
        return invoke_event::answer(call).await;
    }
    let mut admitted = match ask(&mut call, kind)? {
        Asked::DryRun(answer) => return Ok(remapped(answer)),
        Asked::Run(admitted) => admitted,
    };
    admitted.head = remapped(admitted.head);
    let outcome = call
        .gateway
        .run(admitted.invocation, admitted.permit)
        .await?;
    Ok(finish(admitted.head, outcome))
}

/// Reads what the caller asks for, and lets the invocation in. `kind` reads the invocation type.
///
/// # Errors
/// The caller's mistakes, and throttling.
pub(super) fn ask(
    call: &mut Call<'_>,
    kind: fn(&HeaderMap) -> Result<Kind, ApiError>,
) -> Result<Asked, ApiError> {
    let kind = kind(&call.parts.headers)?;
    let log_tail = log_tail(&call.parts.headers)?;
    let registry = &call.gateway.registry;
    let resolved = call.resolve()?;
    let client_context = client_context(&call.parts.headers)?;
    let payload = payload(std::mem::take(&mut call.body))?;
    if matches!(kind, Kind::DryRun) {
        let answer = head(204, call.request_id, resolved.executed_version);
        return Ok(Asked::DryRun(answer));
    }
    let sampled = resolved.deployment.configuration.tracing_active;
    let trace_id = trace_id::of_request(&call.parts.headers, sampled, call.now);
    if registry.is_loop(resolved.key(), &trace_id) {
        return Err(recursive());
    }
    let trace_id = lineage::with(&trace_id, resolved.key());
    let permit = registry.admit(&resolved)?;
    let mut head = head(200, call.request_id, resolved.executed_version);
    if let Ok(trace) = HeaderValue::from_str(&trace_id) {
        head.headers_mut().insert(trace_id::HEADER, trace);
    }
    let invocation = Invocation {
        request_id: call.request_id,
        invoked_arn: resolved.invoked_arn(),
        deployment: resolved.deployment,
        payload,
        client_context,
        trace_id,
        log_tail,
    };
    Ok(Asked::Run(Box::new(Admitted {
        invocation,
        permit,
        head,
    })))
}

fn recursive() -> ApiError {
    ApiError::new(
        ErrorKind::RecursiveInvocation,
        format!(
            "Recursive loop: the chain of invocations that this request is of has run the function {MOST_RUNS} times. \
             Change what it invokes, or let it go on with PutFunctionRecursionConfig."
        ),
    )
}

fn head(status: u16, request_id: hearth_types::invoke::RequestId, executed: Version) -> Answer {
    let mut response = error_response::empty(status, request_id);
    let executed = match executed {
        Version::Latest => HeaderValue::from_static("$LATEST"),
        Version::Number(number) => HeaderValue::from(number),
    };
    response.headers_mut().insert(EXECUTED_VERSION, executed);
    response
}

pub(super) fn remapped(mut response: Answer) -> Answer {
    let zero = HeaderValue::from_static("0");
    response.headers_mut().insert(REMAPPED_LENGTH, zero);
    response
}

/// Adds what the function returned. Its bytes go into the body alone (INV-8).
fn finish(mut response: Answer, outcome: Outcome) -> Answer {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(error) = outcome.error {
        headers.insert(FUNCTION_ERROR, HeaderValue::from_static(error.as_str()));
    }
    if let Some(tail) = outcome.log_tail
        && let Ok(tail) = HeaderValue::from_str(&STANDARD.encode(tail))
    {
        headers.insert(LOG_RESULT, tail);
    }
    *response.body_mut() = Full::new(outcome.payload);
    response
}

/// A header that the caller may send once.
pub(super) fn header<'h>(
    headers: &'h HeaderMap,
    name: &'static str,
) -> Result<Option<&'h str>, ApiError> {
    match headers.get(name) {
        None => Ok(None),
        Some(value) => value
            .to_str()
            .map(Some)
            .map_err(|_| ApiError::invalid(format!("The header {name} is not text."))),
    }
}

pub(super) fn enumeration_error(member: &str, value: &str, set: &str) -> ApiError {
    let shown: String = value.chars().take(80).collect();
    ApiError::new(
        ErrorKind::Validation,
        format!(
            "1 validation error detected: Value '{shown}' at '{member}' failed to satisfy constraint: Member must \
             satisfy enum value set: {set}"
        ),
    )
}

/// `X-Amz-Invocation-Type`, as far as the caller waits for what the function does.
#[derive(Debug)]
pub(super) enum Kind {
    RequestResponse,
    DryRun,
}

/// The header of the invocation type.
pub(super) const INVOCATION_TYPE: &str = "x-amz-invocation-type";

/// Its value for those who do not wait.
const EVENT: HeaderValue = HeaderValue::from_static("Event");

fn kind(headers: &HeaderMap) -> Result<Kind, ApiError> {
    match header(headers, INVOCATION_TYPE)? {
        None | Some("RequestResponse") => Ok(Kind::RequestResponse),
        Some("DryRun") => Ok(Kind::DryRun),
        Some(other) => Err(enumeration_error(
            "invocationType",
            other,
            "[Event, RequestResponse, DryRun]",
        )),
    }
}

fn log_tail(headers: &HeaderMap) -> Result<bool, ApiError> {
    match header(headers, "x-amz-log-type")? {
        None | Some("None") => Ok(false),
        Some("Tail") => Ok(true),
        Some(other) => Err(enumeration_error("logType", other, "[None, Tail]")),
    }
}

/// `X-Amz-Client-Context`: JSON in base64.
pub(super) fn client_context(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(encoded) = header(headers, "x-amz-client-context")? else {
        return Ok(None);
    };
    let bad = |message: &'static str| ApiError::new(ErrorKind::InvalidRequestContent, message);
    // The service model counts the encoded form.
    if encoded.len() > CLIENT_CONTEXT_BYTES {
        return Err(bad(
            "Client context must be no more than 3583 bytes when base64-encoded.",
        ));
    }
    let bytes = STANDARD
        .decode(encoded)
        .map_err(|_| bad("Client context must be a valid Base64-encoded JSON object."))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| bad("Client context must be a valid Base64-encoded JSON object."))?;
    serde_json::from_str::<IgnoredAny>(&text)
        .map_err(|_| bad("Client context must be a valid Base64-encoded JSON object."))?;
    Ok(Some(text))
}

/// The event. Nothing is the empty object; anything else must be one JSON value, and goes on byte for byte.
pub(super) fn payload(body: Bytes) -> Result<Bytes, ApiError> {
    if body.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    let bad = |why: &dyn std::fmt::Display| {
        ApiError::new(
            ErrorKind::InvalidRequestContent,
            format!("Could not parse request body into json: {why}"),
        )
    };
    // Skipping a value neither recurses nor allocates, but does not look into its strings: hence the check of UTF-8.
    let text = std::str::from_utf8(&body).map_err(|error| bad(&error))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| bad(&error))?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn events_are_one_json_value_each() {
        assert_eq!(payload(Bytes::new()).unwrap(), "{}");
        for good in ["{}", "null", " [1, 2] ", "\"\\ud800\"", "1e400"] {
            assert_eq!(payload(Bytes::from(good)).unwrap(), good);
        }
        for bad in [
            &b"{"[..],
            b"{} {}",
            b"foo",
            b" ",
            b"\"\xff\"",
            b"\"\n\"",
            b"{\"a\":}",
            b"01",
        ] {
            let error = payload(Bytes::from_static(bad)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidRequestContent, "{bad:?}");
        }
        let deep = [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat();
        assert!(payload(deep.into()).is_ok());
    }

    #[test]
    fn a_client_context_is_json_in_base64() {
        let context = |value: &str| client_context(&headers("x-amz-client-context", value));
        let good = STANDARD.encode("{\"client\":{}}");
        assert_eq!(context(&good).unwrap().unwrap(), "{\"client\":{}}");
        for bad in [
            "!",
            "",
            &STANDARD.encode("{"),
            &STANDARD.encode(b"\xff"),
            &"A".repeat(3_584),
        ] {
            assert_eq!(
                context(bad).unwrap_err().kind,
                ErrorKind::InvalidRequestContent,
                "{bad}"
            );
        }
    }

    #[test]
    fn kinds_that_are_none_are_refused() {
        let kind_of = |value: &str| kind(&headers("x-amz-invocation-type", value)).map(|_| ());
        assert!(kind_of("DryRun").is_ok());
        assert_eq!(kind_of("event").unwrap_err().kind, ErrorKind::Validation);
        assert!(log_tail(&headers("x-amz-log-type", "Tail")).unwrap());
        assert!(log_tail(&headers("x-amz-log-type", "tail")).is_err());
    }
}
