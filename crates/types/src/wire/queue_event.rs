//! What a function is given of a queue's messages: the event of the developer guide ("Using Lambda with Amazon SQS").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the event's own")]
pub struct QueueRecord {
    pub message_id: String,
    pub receipt_handle: String,
    pub body: String,
    pub attributes: BTreeMap<String, String>,
    pub message_attributes: BTreeMap<String, QueueRecordAttribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5_of_message_attributes: Option<String>,
    pub md5_of_body: String,
    /// `aws:sqs`.
    pub event_source: String,
    #[serde(rename = "eventSourceARN")]
    pub event_source_arn: String,
    pub aws_region: String,
}

impl QueueRecord {
    /// `eventSource`.
    pub const SOURCE: &str = "aws:sqs";
}

/// An attribute of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are the event's own")]
pub struct QueueRecordAttribute {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// In base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
    /// Always empty, as the service has it.
    pub string_list_values: Vec<String>,
    /// Always empty, as the service has it.
    pub binary_list_values: Vec<String>,
    pub data_type: String,
}
