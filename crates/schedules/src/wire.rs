//! Shapes of the EventBridge Scheduler API (service model `scheduler`, 2021-06-30): requests are read and answers
//! written. What a request must have is said where it is checked.

use std::collections::BTreeMap;

pub use hearth_targets::wire::{DeadLetterConfig, RetryPolicy, SqsParameters, Tag};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// CreateSchedule and UpdateSchedule.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct ScheduleRequest {
    pub group_name: Option<String>,
    pub schedule_expression: Option<String>,
    pub schedule_expression_timezone: Option<String>,
    /// Seconds since 1970.
    pub start_date: Option<f64>,
    pub end_date: Option<f64>,
    pub description: Option<String>,
    pub state: Option<String>,
    pub kms_key_arn: Option<String>,
    pub target: Option<Target>,
    pub flexible_time_window: Option<FlexibleTimeWindow>,
    pub action_after_completion: Option<String>,
    pub client_token: Option<String>,
}

/// `Target`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Target {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_config: Option<DeadLetterConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqs_parameters: Option<SqsParameters>,
    /// Parameters of other targets: each is refused.
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

/// `FlexibleTimeWindow`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct FlexibleTimeWindow {
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_window_in_minutes: Option<i64>,
}

/// GetSchedule's answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Schedule {
    pub arn: String,
    pub group_name: String,
    pub name: String,
    pub schedule_expression: String,
    pub schedule_expression_timezone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub state: &'static str,
    pub creation_date: f64,
    pub last_modification_date: f64,
    pub target: Target,
    pub flexible_time_window: FlexibleTimeWindow,
    pub action_after_completion: &'static str,
}

/// `ScheduleSummary`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct ScheduleSummary {
    pub arn: String,
    pub group_name: String,
    pub name: String,
    pub state: &'static str,
    pub creation_date: f64,
    pub last_modification_date: f64,
    pub target: TargetSummary,
}

/// `TargetSummary`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct TargetSummary {
    pub arn: String,
}

/// CreateScheduleGroup and TagResource.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct TagsRequest {
    pub tags: Option<Vec<Tag>>,
    pub client_token: Option<String>,
}

/// GetScheduleGroup's answer, and `ScheduleGroupSummary`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct Group {
    pub arn: String,
    pub name: String,
    pub state: &'static str,
    pub creation_date: f64,
    pub last_modification_date: f64,
}

/// A schedule with its times, as Hearth's own API shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleTimes {
    /// Its group.
    pub group_name: String,
    /// Its name.
    pub name: String,
    /// Its expression.
    pub schedule_expression: String,
    /// The zone of that.
    pub schedule_expression_timezone: String,
    /// `ENABLED` or `DISABLED`.
    pub state: &'static str,
    /// What it is fired at.
    pub target: String,
    /// When it is fired next.
    pub next: Option<String>,
    /// The time for which it was fired last, or should have been.
    pub last: Option<String>,
    /// Times that were passed over, since nobody was there.
    pub missed: u64,
    /// Firings that were given up.
    pub failed: u64,
}

/// A page of them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleTimesPage {
    /// Schedules, by group and name.
    pub schedules: Vec<ScheduleTimes>,
    /// `Marker` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}
