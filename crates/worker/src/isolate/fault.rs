//! What goes wrong in a call, as the caller and the log hear it.

use bytes::Bytes;
use hearth_isolates::{Failure as Wall, Thrown};
use hearth_types::invoke::RequestId;
use hearth_types::{ApiError, ErrorKind};
use serde::Serialize;

use super::guest::Guest;
use crate::failure::Failure;

/// The most of a worker's own words that an error has, bytes of each part.
const WORDS: usize = 16 << 10;

/// Whose fault a bad end is.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The worker's code threw.
    Thrown(Thrown),
    /// The function's, as the platform found.
    Function(Failure),
    /// The platform's.
    Platform(ApiError),
}

/// The object that a caller gets of what was thrown, as from Lambda's JavaScript runtime.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorObject<'a> {
    error_type: &'a str,
    error_message: &'a str,
    trace: Vec<&'a str>,
}

impl Fault {
    /// The wall's word for why there is no response.
    pub(super) fn of(failure: Wall, guest: &Guest) -> Self {
        let function = &guest.deployment.key;
        match failure {
            Wall::Thrown(thrown) => Self::Thrown(thrown),
            Wall::NotStarted(why) | Wall::Crashed { why, alone: true } => {
                Self::Function(Failure::Trap(bounded(&why).to_owned().into()))
            }
            Wall::Crashed { why, alone: false } => {
                // Which of the account's requests is to blame is not known: most are not.
                tracing::warn!(%function, why, "a worker's engine ended");
                Self::Platform(ApiError::new(
                    ErrorKind::ServiceUnavailable,
                    "The engine that runs the account's workers ended during the call. Try again.",
                ))
            }
            Wall::NoEngine(why) => {
                tracing::error!(%function, why, "run a worker");
                Self::Platform(ApiError::service(
                    "The worker could not be run. Try again; the node's log says why.",
                ))
            }
            Wall::Cancelled => Self::Function(Failure::Abandoned),
        }
    }

    /// The error object.
    pub(super) fn body(&self, request_id: &RequestId) -> Bytes {
        match self {
            Self::Function(failure) => failure.body(request_id),
            Self::Thrown(thrown) => {
                let message = bounded(&thrown.message);
                let first = format!("{}: {message}", name(thrown));
                let stack = bounded(thrown.stack.as_deref().unwrap_or_default());
                let object = ErrorObject {
                    error_type: name(thrown),
                    error_message: message,
                    trace: std::iter::once(first.as_str())
                        .chain(stack.lines())
                        .collect(),
                };
                // Strings always have a JSON form.
                serde_json::to_vec(&object)
                    .map(Bytes::from)
                    .unwrap_or_default()
            }
            Self::Platform(_) => Bytes::new(),
        }
    }
}

/// An error's type.
pub(super) fn name(thrown: &Thrown) -> &str {
    match bounded(&thrown.name) {
        "" => "Error",
        name => name,
    }
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(WORDS)]
}
