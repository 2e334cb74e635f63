//! The EventBridge Scheduler API's door: JSON over paths and methods. What operations do is in `hearth-schedules`.

use hearth_registry::Scope;
use hearth_schedules::{Call, Place, Schedules};
use hearth_types::invoke::RequestId;
use hearth_types::{ApiError, ErrorKind};
use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::error_response::{self, Answer, Protocol};

/// Most bytes of a request. An input has 256 KiB, of which JSON may write each byte with six; the rest is room for
/// everything else.
pub(crate) const BODY_BYTES: usize = 2 << 20;

/// Whether a path is one of this API. Lambda's own begin with a date.
pub(crate) fn is_path(path: &str) -> bool {
    matches!(
        path.split('/').nth(1),
        Some("schedules" | "schedule-groups" | "tags")
    )
}

/// The operation that a method and the segments of a path ask for (service model, `requestUri`).
fn operation(method: &Method, collection: &str, is_named: bool) -> Option<&'static str> {
    let (post, get, put) = (Method::POST, Method::GET, Method::PUT);
    Some(match (collection, is_named) {
        ("schedules", false) if *method == get => "ListSchedules",
        ("schedules", true) if *method == post => "CreateSchedule",
        ("schedules", true) if *method == get => "GetSchedule",
        ("schedules", true) if *method == put => "UpdateSchedule",
        ("schedules", true) if *method == Method::DELETE => "DeleteSchedule",
        ("schedule-groups", false) if *method == get => "ListScheduleGroups",
        ("schedule-groups", true) if *method == post => "CreateScheduleGroup",
        ("schedule-groups", true) if *method == get => "GetScheduleGroup",
        ("schedule-groups", true) if *method == Method::DELETE => "DeleteScheduleGroup",
        ("tags", true) if *method == post => "TagResource",
        ("tags", true) if *method == get => "ListTagsForResource",
        ("tags", true) if *method == Method::DELETE => "UntagResource",
        _ => return None,
    })
}

fn decoded(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    Some(text.into_owned())
}

/// The pairs of a query; `None` if one is no text.
fn query(text: &str) -> Option<Vec<(String, String)>> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // As forms write a space.
            Some((decoded(name)?, decoded(&value.replace('+', " "))?))
        })
        .collect()
}

/// Does what an authenticated request asks for.
pub(crate) async fn answer(
    schedules: &Schedules,
    scope: Scope,
    parts: &Parts,
    body: &[u8],
    request_id: RequestId,
) -> Answer {
    let refuse = |kind, message: &'static str| {
        error_response::of(
            &ApiError::new(kind, message),
            Protocol::RestJson,
            request_id,
        )
    };
    let mut segments = parts.uri.path().trim_start_matches('/').splitn(2, '/');
    let collection = segments.next().unwrap_or_default();
    let name = segments.next().unwrap_or_default();
    let Some(operation) = operation(&parts.method, collection, !name.is_empty()) else {
        return refuse(
            ErrorKind::UnknownOperation,
            "EventBridge Scheduler has no such operation at this path.",
        );
    };
    let named = decoded(name).zip(query(parts.uri.query().unwrap_or_default()));
    let Some((name, query)) = named else {
        return refuse(ErrorKind::Validation, "Path and query must be UTF-8.");
    };
    let place = Place {
        account: scope.account,
        region: scope.region,
    };
    let call = Call {
        operation,
        name: &name,
        query: &query,
        body,
    };
    match schedules.call(&place, call).await {
        Ok(body) => error_response::json(200, Protocol::RestJson, &body, request_id),
        Err(error) => {
            let body = json!({ "Message": error.message });
            let status = error.kind.status();
            let mut response = error_response::json(status, Protocol::RestJson, &body, request_id);
            error_response::set_code(response.headers_mut(), error.kind.shape(), None);
            response
        }
    }
}
