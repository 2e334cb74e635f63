//! What the node and the process tell each other beside heads and bodies: JSON, known to these two alone, which are one
//! program.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::call::{Ending, Failure, Usage};
use crate::grants::Grants;

/// A function, as the process is told of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct FunctionOrder {
    /// Name of its compiled component in the folder of the account's artefacts.
    pub(crate) artefact: String,
    pub(crate) memory_bytes: u64,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) reuse: u32,
    pub(crate) output_bytes: u64,
    pub(crate) tmp_bytes: Option<u64>,
}

impl FunctionOrder {
    pub(crate) fn new(artefact: String, grants: &Grants) -> Self {
        Self {
            artefact,
            memory_bytes: grants.memory_bytes,
            environment: grants.environment.clone(),
            reuse: grants.reuse,
            output_bytes: grants.output_bytes,
            tmp_bytes: grants.tmp_bytes,
        }
    }
}

/// How a call ended, as the process says.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct EndingMessage {
    init_ns: Option<u64>,
    duration_ns: u64,
    peak_memory_bytes: u64,
    failure: Option<FailureMessage>,
    /// Of a command that ended by itself.
    pub(crate) exit_code: Option<u8>,
}

#[derive(Debug, Deserialize, Serialize)]
enum FailureMessage {
    Trap(String),
    OutOfMemory,
    Timeout,
    OutputTooLarge,
    NoResponse,
    BadResponse(String),
    Abandoned,
    NoRoom,
    Crashed(String),
    Internal(String),
}

impl EndingMessage {
    /// In the process: what is told of an ending.
    pub(crate) fn new(ending: Ending, exit_code: Option<u8>) -> Self {
        let nanoseconds =
            |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            init_ns: ending.usage.init.map(nanoseconds),
            duration_ns: nanoseconds(ending.usage.duration),
            peak_memory_bytes: ending.usage.peak_memory_bytes,
            failure: ending.failure.map(FailureMessage::from),
            exit_code,
        }
    }

    /// In the node: the ending, with nothing in it that can't be. No call took longer than `elapsed`, or more memory
    /// than `memory_bytes`.
    pub(crate) fn ending(self, elapsed: Duration, memory_bytes: u64) -> Ending {
        let bounded = |nanoseconds| Duration::from_nanos(nanoseconds).min(elapsed);
        Ending {
            usage: Usage {
                init: self.init_ns.map(bounded),
                duration: bounded(self.duration_ns),
                peak_memory_bytes: self.peak_memory_bytes.min(memory_bytes),
            },
            failure: self.failure.map(Failure::from),
        }
    }
}

impl From<Failure> for FailureMessage {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Trap(text) => Self::Trap(text),
            Failure::OutOfMemory => Self::OutOfMemory,
            Failure::Timeout => Self::Timeout,
            Failure::OutputTooLarge => Self::OutputTooLarge,
            Failure::NoResponse => Self::NoResponse,
            Failure::BadResponse(text) => Self::BadResponse(text),
            Failure::Abandoned => Self::Abandoned,
            Failure::NoRoom => Self::NoRoom,
            Failure::Crashed(text) => Self::Crashed(text),
            Failure::Internal(text) => Self::Internal(text),
        }
    }
}

impl From<FailureMessage> for Failure {
    fn from(message: FailureMessage) -> Self {
        match message {
            FailureMessage::Trap(text) => Self::Trap(text),
            FailureMessage::OutOfMemory => Self::OutOfMemory,
            FailureMessage::Timeout => Self::Timeout,
            FailureMessage::OutputTooLarge => Self::OutputTooLarge,
            FailureMessage::NoResponse => Self::NoResponse,
            FailureMessage::BadResponse(text) => Self::BadResponse(text),
            FailureMessage::Abandoned => Self::Abandoned,
            FailureMessage::NoRoom => Self::NoRoom,
            FailureMessage::Crashed(text) => Self::Crashed(text),
            FailureMessage::Internal(text) => Self::Internal(text),
        }
    }
}
