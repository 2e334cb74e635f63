//! What goes wrong in a call, as the caller and the log hear it.

use std::borrow::Cow;

use hearth_types::{ApiError, ErrorKind};
use hearth_wasm as wall;

use super::guest::Guest;
use crate::failure::Failure;

/// The most of a guest's own words that an error has, characters: they go into one line of the log.
const WORDS: usize = 1_000;

/// Whose fault a bad end is.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The function's.
    Function(Failure),
    /// The platform's.
    Platform(ApiError),
}

impl Fault {
    /// The wall's word for how a call of `guest` ended, in Lambda's; `None` if it ended well.
    pub(super) fn of(ending: &wall::Ending, guest: &Guest) -> Option<Self> {
        let fault = match ending.failure.as_ref()? {
            wall::Failure::Trap(how) => Failure::Trap(words(how)),
            wall::Failure::OutOfMemory => Failure::Memory,
            wall::Failure::Timeout => Failure::Timeout(guest.timeout),
            wall::Failure::OutputTooLarge => Failure::ResponseTooLarge,
            wall::Failure::NoResponse => Failure::NoResponse,
            wall::Failure::BadResponse(why) => Failure::BadResponse(words(why)),
            wall::Failure::Abandoned => Failure::Abandoned,
            wall::Failure::NoRoom => {
                return Some(Self::Platform(ApiError::new(
                    ErrorKind::ServiceUnavailable,
                    "The node has no room for another instance at the moment. Try again later.",
                )));
            }
            wall::Failure::Crashed(why) => {
                // Which call of the account's is to blame is not known: most are not.
                tracing::warn!(function = %guest.deployment.key, why, "a component's process ended");
                return Some(Self::Platform(ApiError::new(
                    ErrorKind::ServiceUnavailable,
                    "The process that runs the account's components ended during the call. Try again.",
                )));
            }
            wall::Failure::Internal(why) => {
                tracing::error!(function = %guest.deployment.key, why, "run a component");
                return Some(Self::Platform(ApiError::service(
                    "The component could not be run. Try again; the node's log says why.",
                )));
            }
        };
        Some(Self::Function(fault))
    }
}

/// A guest's words, bounded and in one line.
fn words(text: &str) -> Cow<'static, str> {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS)
        .collect();
    line.into()
}
