//! Cloudflare's envelope, and what goes wrong in its words.

use bytes::Bytes;
use hearth_types::{ApiError, ErrorKind};
use serde_json::{Value, json};

/// Codes that Wrangler acts on (its source), or that the API's reference gives for what happened.
pub(crate) mod code {
    /// The token is none, or not for this account.
    pub(crate) const AUTHENTICATION: u32 = 10_000;
    /// There is no such call.
    pub(crate) const NO_ROUTE: u32 = 7_003;
    /// There is no such worker.
    pub(crate) const NO_SCRIPT: u32 = 10_007;
    /// There is no such key in a namespace.
    pub(crate) const NO_KEY: u32 = 10_009;
    /// There is no such namespace.
    pub(crate) const NO_NAMESPACE: u32 = 10_013;
    /// A namespace has that title.
    pub(crate) const TITLE_TAKEN: u32 = 10_014;
    /// What was sent can't be had.
    pub(crate) const INVALID: u32 = 10_021;
    /// The upload is too large.
    pub(crate) const TOO_LARGE: u32 = 10_027;
    /// There is no such binding.
    pub(crate) const NO_BINDING: u32 = 10_056;
    /// A service is bound that is not there.
    pub(crate) const NO_SERVICE: u32 = 10_143;
    /// The latest version is not the one that is deployed.
    pub(crate) const NOT_DEPLOYED: u32 = 10_215;
    /// There is no such version.
    pub(crate) const NO_VERSION: u32 = 10_222;
    /// There is no such queue.
    pub(crate) const NO_QUEUE: u32 = 11_000;
    /// The node can't.
    pub(crate) const INTERNAL: u32 = 10_001;
}

/// What a caller sent, as a refusal repeats it: its beginning, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    format!("'{short}'")
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// Cloudflare's code.
    pub code: u32,
    /// A sentence that says what to do.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The caller must send something else.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, code::INVALID, message)
    }

    /// The platform can't; the node's log says why.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, code::INTERNAL, message)
    }

    /// Who asks is not known, or asks for what is another's.
    pub fn authentication(message: impl Into<String>) -> Self {
        Self::new(403, code::AUTHENTICATION, message)
    }

    /// The request did not come as it must, or can't be taken now.
    pub fn request(status: u16, message: impl Into<String>) -> Self {
        let code = match status {
            413 => code::TOO_LARGE,
            500.. => code::INTERNAL,
            _ => code::INVALID,
        };
        Self::new(status, code, message)
    }

    pub(crate) fn no_script(name: &str) -> Self {
        Self::new(
            404,
            code::NO_SCRIPT,
            format!("There is no worker {} in your account.", quoted(name)),
        )
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let status = error.kind.status();
        let code = match error.kind {
            ErrorKind::ResourceNotFound => code::NO_SCRIPT,
            ErrorKind::RequestTooLarge => code::TOO_LARGE,
            _ if status >= 500 => code::INTERNAL,
            _ => code::INVALID,
        };
        Self::new(status, code, error.message)
    }
}

/// What a call is answered with.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The envelope.
    Json(u16, Value),
    /// A value as it is.
    Bytes(Bytes),
}

impl Reply {
    /// A result.
    pub(crate) fn of(result: impl Into<Value>) -> Self {
        Self::with_info(result, Value::Null)
    }

    /// A result, and which part of all it is.
    pub(crate) fn with_info(result: impl Into<Value>, info: Value) -> Self {
        let mut envelope =
            json!({ "success": true, "errors": [], "messages": [], "result": result.into() });
        if !info.is_null() {
            envelope["result_info"] = info;
        }
        Self::Json(200, envelope)
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        let Failure {
            status,
            code,
            message,
        } = failure;
        let error = json!({ "code": code, "message": message });
        let envelope =
            json!({ "success": false, "errors": [error], "messages": [], "result": null });
        Self::Json(status, envelope)
    }
}
