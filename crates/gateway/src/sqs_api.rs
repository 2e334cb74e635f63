//! The SQS API's door: JSON 1.0 at `POST /`, the operation in `X-Amz-Target`. What operations do is in
//! `hearth-queues`.

use hearth_queues::{Caller, QueueError, Queues};
use hearth_registry::Scope;
use hearth_types::invoke::RequestId;
use hearth_types::{ApiError, ErrorKind};
use http::HeaderValue;
use http::header::{HeaderName, RETRY_AFTER};
use http::request::Parts;
use serde_json::json;

use crate::error_response::{self, Answer, Protocol};
use crate::{amz_target, trace_id};

/// Before the operation in `X-Amz-Target` (service model, `targetPrefix`).
const TARGET_PREFIX: &str = "AmazonSQS.";
/// The namespace of error shapes.
const NAMESPACE: &str = "com.amazonaws.sqs#";
/// The code of the service's earlier protocol and whose fault it is, for clients that tell errors by it
/// (`awsQueryCompatible` in the service model).
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");
/// Most bytes of a request. A batch has 1 MiB of texts, which JSON in ASCII alone writes with up to three bytes for one;
/// the rest is room for its names.
pub(crate) const BODY_BYTES: usize = 4 << 20;

/// The operation that a request names, if it is one of this API.
pub(crate) fn operation(parts: &Parts) -> Option<&str> {
    amz_target::operation(parts, TARGET_PREFIX)
}

/// Does what an authenticated request asks for. `base` is how the caller has reached the node.
pub(crate) async fn answer(
    queues: &Queues,
    scope: Scope,
    base: String,
    parts: &Parts,
    body: &[u8],
    request_id: RequestId,
) -> Answer {
    let Some(operation) = operation(parts) else {
        let error = ApiError::new(
            ErrorKind::UnknownOperation,
            "X-Amz-Target must name an operation of AmazonSQS.",
        );
        return error_response::of(&error, Protocol::Json10, request_id);
    };
    let caller = Caller {
        account: scope.account,
        region: scope.region,
        base,
        trace: trace_id::given(&parts.headers).map(str::to_owned),
    };
    match queues.call(&caller, operation, body).await {
        Ok(body) => error_response::json(200, Protocol::Json10, &body, request_id),
        Err(error) => failure(&error, request_id),
    }
}

fn failure(error: &QueueError, request_id: RequestId) -> Answer {
    let kind = error.kind;
    let body = json!({
        "__type": format!("{NAMESPACE}{}", kind.shape()),
        "message": error.message,
    });
    let mut response = error_response::json(kind.status(), Protocol::Json10, &body, request_id);
    let fault = if kind.is_callers() {
        "Sender"
    } else {
        "Receiver"
    };
    if let Ok(value) = HeaderValue::from_str(&format!("{};{fault}", kind.code())) {
        response.headers_mut().insert(QUERY_ERROR, value);
    }
    if matches!(kind.status(), 429 | 503) {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
