//! The EventBridge API's door: JSON 1.1 at `POST /`, the operation in `X-Amz-Target`. What operations do is in
//! `hearth-rules`.

use hearth_registry::Scope;
use hearth_rules::error::Kind;
use hearth_rules::{Caller, RuleError, Rules};
use hearth_types::invoke::RequestId;
use hearth_types::{ApiError, ErrorKind};
use http::HeaderValue;
use http::header::RETRY_AFTER;
use http::request::Parts;
use serde_json::json;

use crate::error_response::{self, Answer, Protocol};
use crate::{amz_target, trace_id};

/// Before the operation in `X-Amz-Target` (service model, `targetPrefix`).
const TARGET_PREFIX: &str = "AWSEvents.";
/// Most bytes of a request. Entries of PutEvents have 256 KiB, of which JSON may write each byte with six; the rest is room
/// for everything else.
pub(crate) const BODY_BYTES: usize = 2 << 20;

/// The operation that a request names, if it is one of this API.
pub(crate) fn operation(parts: &Parts) -> Option<&str> {
    amz_target::operation(parts, TARGET_PREFIX)
}

/// Who asks.
pub(crate) fn caller(scope: Scope, parts: &Parts) -> Caller {
    Caller {
        account: scope.account,
        region: scope.region,
        trace: trace_id::given(&parts.headers).map(str::to_owned),
    }
}

/// Does what an authenticated request asks for.
pub(crate) async fn answer(
    rules: &Rules,
    scope: Scope,
    parts: &Parts,
    body: &[u8],
    request_id: RequestId,
) -> Answer {
    let Some(operation) = operation(parts) else {
        let error = ApiError::new(
            ErrorKind::UnknownOperation,
            "X-Amz-Target must name an operation of AWSEvents.",
        );
        return error_response::of(&error, Protocol::Json11, request_id);
    };
    match rules.call(&caller(scope, parts), operation, body).await {
        Ok(body) => error_response::json(200, Protocol::Json11, &body, request_id),
        Err(error) => failure(&error, request_id),
    }
}

fn failure(error: &RuleError, request_id: RequestId) -> Answer {
    let kind = error.kind;
    let body = json!({ "__type": kind.shape(), "message": error.message });
    let mut response = error_response::json(kind.status(), Protocol::Json11, &body, request_id);
    error_response::set_code(response.headers_mut(), kind.shape(), None);
    if kind == Kind::Throttling {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
