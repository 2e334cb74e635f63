//! What destinations are told of records that an event source mapping has given up: the record of the developer guide
//! ("Capturing discarded batches for Amazon MSK and self-managed Apache Kafka event sources"), and for streams that AWS does
//! not have one after its pattern.

use std::collections::BTreeMap;

use serde::Serialize;

use super::destination::{RequestContext, ResponseContext};

/// The record of a batch, or of a part of one.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchFailure {
    /// Which invocation, and why there is no other.
    pub request_context: RequestContext,
    /// How the function answered; null if it was not run.
    pub response_context: Option<ResponseContext>,
    /// `1.0`.
    pub version: String,
    /// When it was given up: `2026-01-02T03:04:05.678Z`.
    pub timestamp: String,
    /// Where it is in its source.
    #[serde(flatten)]
    pub info: BatchInfo,
    /// The event, as a text; buckets get it, and nobody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// Where the records are in their source.
#[derive(Clone, Debug, Serialize)]
pub enum BatchInfo {
    /// In a topic of Kafka.
    #[serde(rename = "KafkaBatchInfo")]
    Kafka(KafkaBatchInfo),
    /// In a stream of another broker: Hearth's own.
    #[serde(rename = "StreamBatchInfo")]
    Stream(StreamBatchInfo),
}

/// `KafkaBatchInfo`. It has no ARN: a cluster that AWS does not run is known by its servers.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KafkaBatchInfo {
    /// How many records.
    pub batch_size: usize,
    /// With commas between them.
    pub bootstrap_servers: String,
    /// Bytes of the event.
    pub payload_size: usize,
    /// By `topic-partition`.
    pub records_info: BTreeMap<String, RecordsInfo>,
}

/// The first and the last record of a partition.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the record's own")]
pub struct RecordsInfo {
    pub first_record_offset: String,
    pub last_record_offset: String,
    /// Absent if the record has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_record_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_record_timestamp: Option<String>,
}

/// The first and the last record of a stream.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the record's own")]
pub struct StreamBatchInfo {
    pub batch_size: usize,
    pub event_source_arn: String,
    /// Bytes of the event.
    pub payload_size: usize,
    pub first_record_id: String,
    pub last_record_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_record_timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_record_timestamp: Option<String>,
}
