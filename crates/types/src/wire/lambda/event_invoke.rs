//! How events of asynchronous invocations are handled: retries, age, destinations, loops.

use serde::{Deserialize, Serialize};

use super::structure;

/// Body of `PutFunctionEventInvokeConfig` and `UpdateFunctionEventInvokeConfig`. In an update, what is absent stays as it
/// is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FunctionEventInvokeConfigRequest {
    /// Attempts after the first one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_retry_attempts: Option<i64>,
    /// Age at which an event is given up, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_event_age_in_seconds: Option<i64>,
    /// Where records go.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub destination_config: Option<DestinationConfig>,
}

/// `DestinationConfig`: where records of events go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DestinationConfig {
    /// Of those that were handled.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub on_success: Option<OnEnd>,
    /// Of those that were not.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub on_failure: Option<OnEnd>,
}

/// `OnSuccess` and `OnFailure`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct OnEnd {
    /// An ARN; empty, or absent, for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
}

/// `FunctionEventInvokeConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionEventInvokeConfig {
    /// When it was changed, seconds since the UNIX epoch.
    pub last_modified: f64,
    /// The ARN of the function, with its qualifier.
    pub function_arn: String,
    /// Attempts after the first one that failed, if it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_retry_attempts: Option<u32>,
    /// Age at which an event is given up, seconds, if it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_event_age_in_seconds: Option<u32>,
    /// Where records go; both members are there.
    pub destination_config: DestinationConfig,
}

/// Answer of `ListFunctionEventInvokeConfigs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListFunctionEventInvokeConfigsResponse {
    /// The page.
    pub function_event_invoke_configs: Vec<FunctionEventInvokeConfig>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// Body of `PutFunctionRecursionConfig`, and the answers of both operations on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FunctionRecursionConfig {
    /// `Allow` or `Terminate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recursive_loop: Option<String>,
}
