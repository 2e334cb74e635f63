//! The end of an invocation: the last event of a streamed response, and the error object.

use serde::{Deserialize, Serialize};

/// The last event of `InvokeWithResponseStream`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InvokeComplete {
    /// Set if the function failed: the type of an error of the platform, `Unhandled` for one of the function's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// The error object, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_details: Option<String>,
    /// The last 4 KB of the log, base64, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_result: Option<String>,
}

/// What a function that failed gives, as far as the platform looks into it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorObject {
    /// The error's type.
    pub error_type: String,
    /// What it says.
    pub error_message: String,
}
