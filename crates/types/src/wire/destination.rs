//! What destinations are told of an event's end: the record of the developer guide ("Capturing records of Lambda
//! asynchronous invocations"), and what a dead-letter queue gets.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An invocation record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvocationRecord {
    /// `1.0`.
    pub version: String,
    /// When it ended: `2026-01-02T03:04:05.678Z`.
    pub timestamp: String,
    /// Which event.
    pub request_context: RequestContext,
    /// The event.
    pub request_payload: Box<RawValue>,
    /// How the function answered; absent if it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_context: Option<ResponseContext>,
    /// What it answered; absent if it was not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_payload: Option<Box<RawValue>>,
}

/// Which event, or batch, a record is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestContext {
    /// The request that was answered with 202; of a batch, its last invocation.
    pub request_id: String,
    /// The function, with the qualifier that was asked for or `$LATEST`.
    pub function_arn: String,
    /// In what way it ended.
    pub condition: String,
    /// Attempts; of an event lost ones included.
    pub approximate_invoke_count: u32,
}

/// How the function answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseContext {
    /// 200: the function was run.
    pub status_code: u16,
    /// The version that was run.
    pub executed_version: String,
    /// `Unhandled` or `Handled`, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_error: Option<String>,
}
