//! The shape of an event, which patterns see and targets are given (EventBridge user guide, "Event structure").

use hearth_types::name::{AccountId, Region};
use hearth_types::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Most bytes of an event (EventBridge user guide, "Quotas": of a PutEvents entry), the event around its detail included.
pub const EVENT_BYTES: usize = 256 << 10;

/// How the sources of events begin that nobody may send.
pub const RESERVED_SOURCE: &str = "aws.";

/// An event.
#[derive(Clone, Debug, Serialize)]
pub struct Event<'a> {
    /// Always `0`.
    pub version: &'static str,
    /// What tells it from others.
    pub id: &'a str,
    /// Of what kind it is.
    #[serde(rename = "detail-type")]
    pub detail_type: &'a str,
    /// Where it came from.
    pub source: &'a str,
    /// Whose it is.
    pub account: &'a AccountId,
    /// When it happened, to the second.
    pub time: String,
    /// Where.
    pub region: &'a Region,
    /// What it is about.
    pub resources: &'a [String],
    /// What else is known of it, as it was sent.
    pub detail: &'a RawValue,
    /// The attributes of a CloudEvent, as they were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloudevent: Option<&'a Map<String, Value>>,
}

/// An event as it goes to targets, and as patterns read it.
#[derive(Clone, Debug)]
pub struct Written {
    /// As it goes to targets.
    pub text: String,
    /// As patterns read it.
    pub value: Value,
}

impl Event<'_> {
    /// Writes it.
    ///
    /// # Errors
    /// Why it is none that can be read again: the detail is nested too deeply, mostly.
    pub fn write(&self) -> Result<Written, serde_json::Error> {
        // They may stand in JSON, and not in messages (service model of SQS, `SendMessage`).
        let text = serde_json::to_string(self)?
            .replace('\u{FFFE}', "\\ufffe")
            .replace('\u{FFFF}', "\\uffff");
        let value = serde_json::from_str(&text)?;
        Ok(Written { text, value })
    }
}

/// A time as events have it: seconds of UTC.
pub fn time(at: Timestamp) -> String {
    let text = at.to_iso_string();
    // From `2026-01-02T03:04:05.678Z`.
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}
