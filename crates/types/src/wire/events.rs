//! Events of asynchronous invocations, as Hearth's own API shows them.

use serde::{Deserialize, Serialize};

/// `ListEventQueues`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListEventQueuesResponse {
    /// Functions that have events, by name.
    pub queues: Vec<EventQueue>,
}

/// How many events a function has, by state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EventQueue {
    /// The function.
    pub function_name: String,
    /// Waiting for their first attempt.
    pub queued: u64,
    /// Waiting for another.
    pub retrying: u64,
    /// Being tried.
    pub running: u64,
    /// Given up, and kept.
    pub dead: u64,
    /// What all but the dead ones take, bytes.
    pub bytes: u64,
    /// What the dead ones take, bytes.
    pub dead_bytes: u64,
}

/// `ListEvents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListEventsResponse {
    /// Events of one state.
    pub events: Vec<ListedEvent>,
    /// `Marker` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// One event of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListedEvent {
    /// The request that was answered with 202.
    pub request_id: String,
    /// The version or alias that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    /// When it was accepted: `2026-01-02T03:04:05.678Z`, as all times.
    pub accepted: String,
    /// Size of its payload, bytes.
    pub payload_bytes: u64,
    /// When it is due, if it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// Attempts that have begun.
    pub attempts: u32,
    /// Those that the function failed.
    pub failed: u32,
    /// Those of which nobody knows what became, for the node ended.
    pub lost: u32,
    /// Why the last attempt came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// When it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// In what way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// `GetDeadEvent`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeadEvent {
    /// The request that was answered with 202.
    pub request_id: String,
    /// The function.
    pub function_name: String,
    /// The version or alias that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    /// When it was accepted.
    pub accepted: String,
    /// When it was given up.
    pub ended: String,
    /// In what way.
    pub condition: String,
    /// Attempts that had begun.
    pub attempts: u32,
    /// The version that ran last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executed_version: Option<String>,
    /// `Unhandled` or `Handled`, if the function failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_error: Option<String>,
    /// What the last attempt came to.
    pub message: String,
    /// The event, byte for byte.
    pub payload: String,
    /// The client context: JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_context: Option<String>,
    /// What the function answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
}

/// `RedriveDeadEvents` and `PurgeDeadEvents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MovedEvents {
    /// How many were queued again, or removed.
    pub events: usize,
}
