//! Shapes of CloudWatch Logs' read operations. Requests are read and responses written; instants are milliseconds
//! since the UNIX epoch.

use serde::{Deserialize, Serialize};

/// Body of `FilterLogEvents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FilterLogEventsRequest {
    /// The group's name.
    pub log_group_name: Option<String>,
    /// The group's name or ARN, in place of the name.
    pub log_group_identifier: Option<String>,
    /// Streams; all if absent.
    pub log_stream_names: Option<Vec<String>>,
    /// How the names of streams begin.
    pub log_stream_name_prefix: Option<String>,
    /// Least timestamp, inclusive.
    pub start_time: Option<i64>,
    /// Greatest timestamp, inclusive.
    pub end_time: Option<i64>,
    /// Which messages.
    pub filter_pattern: Option<String>,
    /// Where to go on.
    pub next_token: Option<String>,
    /// Most events of the page.
    pub limit: Option<i64>,
}

/// Answer of `FilterLogEvents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterLogEventsResponse {
    /// The page, oldest first.
    pub events: Vec<FilteredLogEvent>,
    /// Always empty, as the service has it now.
    pub searched_log_streams: Vec<SearchedLogStream>,
    /// Where the next page begins, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// `SearchedLogStream`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchedLogStream {
    /// The stream.
    pub log_stream_name: String,
    /// Whether all of it was searched.
    pub searched_completely: bool,
}

/// An event of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilteredLogEvent {
    /// The stream.
    pub log_stream_name: String,
    /// When it was written.
    pub timestamp: i64,
    /// The text.
    pub message: String,
    /// When it was stored.
    pub ingestion_time: i64,
    /// Names the event.
    pub event_id: String,
}

/// Body of `GetLogEvents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetLogEventsRequest {
    /// The group's name.
    pub log_group_name: Option<String>,
    /// The group's name or ARN, in place of the name.
    pub log_group_identifier: Option<String>,
    /// The stream.
    pub log_stream_name: Option<String>,
    /// Least timestamp, inclusive.
    pub start_time: Option<i64>,
    /// Greatest timestamp, exclusive.
    pub end_time: Option<i64>,
    /// Where to go on.
    pub next_token: Option<String>,
    /// Most events of the page.
    pub limit: Option<i64>,
    /// Whether to begin with the oldest.
    pub start_from_head: Option<bool>,
}

/// Answer of `GetLogEvents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GetLogEventsResponse {
    /// The page, oldest first.
    pub events: Vec<OutputLogEvent>,
    /// Goes on towards newer events; the same again when there are none.
    pub next_forward_token: String,
    /// Goes on towards older events; the same again when there are none.
    pub next_backward_token: String,
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputLogEvent {
    /// When it was written.
    pub timestamp: i64,
    /// The text.
    pub message: String,
    /// When it was stored.
    pub ingestion_time: i64,
}

/// Body of `DescribeLogGroups`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeLogGroupsRequest {
    /// How the names of groups begin.
    pub log_group_name_prefix: Option<String>,
    /// What the names of groups contain.
    pub log_group_name_pattern: Option<String>,
    /// Where to go on.
    pub next_token: Option<String>,
    /// Most groups of the page.
    pub limit: Option<i64>,
}

/// Answer of `DescribeLogGroups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeLogGroupsResponse {
    /// The page, by name.
    pub log_groups: Vec<LogGroup>,
    /// Where the next page begins, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// `LogGroup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogGroup {
    /// Its name.
    pub log_group_name: String,
    /// When it was made.
    pub creation_time: i64,
    /// Metric filters on it: none here.
    pub metric_filter_count: u32,
    /// Its ARN, with `:*`.
    pub arn: String,
    /// Its ARN, without.
    pub log_group_arn: String,
    /// Bytes that it takes.
    pub stored_bytes: u64,
    /// `STANDARD`.
    pub log_group_class: String,
}

/// Body of `DescribeLogStreams`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DescribeLogStreamsRequest {
    /// The group's name.
    pub log_group_name: Option<String>,
    /// The group's name or ARN, in place of the name.
    pub log_group_identifier: Option<String>,
    /// How the names of streams begin.
    pub log_stream_name_prefix: Option<String>,
    /// `LogStreamName` or `LastEventTime`.
    pub order_by: Option<String>,
    /// Whether the greatest comes first.
    pub descending: Option<bool>,
    /// Where to go on.
    pub next_token: Option<String>,
    /// Most streams of the page.
    pub limit: Option<i64>,
}

/// Answer of `DescribeLogStreams`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeLogStreamsResponse {
    /// The page.
    pub log_streams: Vec<LogStreamSummary>,
    /// Where the next page begins, if there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// `LogStream`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogStreamSummary {
    /// Its name.
    pub log_stream_name: String,
    /// When it was made.
    pub creation_time: i64,
    /// Timestamp of the oldest event.
    pub first_event_timestamp: i64,
    /// Timestamp of the newest event.
    pub last_event_timestamp: i64,
    /// When the last event was stored.
    pub last_ingestion_time: i64,
    /// Its ARN.
    pub arn: String,
    /// Bytes of its messages.
    pub stored_bytes: u64,
}
