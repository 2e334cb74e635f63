//! What the node and the process tell each other beside heads and bodies: JSON, known to these two alone, which are one
//! program.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wasmtime_wasi_http::Error;

use crate::call::{Ending, Failure, Usage};
use crate::engines::Model;
use crate::grants::Grants;

/// A function, as the process is told of it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct FunctionOrder {
    /// Name of its compiled component in the folder of the account's artefacts.
    pub(crate) artefact: String,
    pub(crate) model: Model,
    pub(crate) memory_bytes: u64,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) reuse: u32,
    pub(crate) output_bytes: u64,
    /// Names of its buckets.
    pub(crate) buckets: Vec<String>,
}

impl FunctionOrder {
    pub(crate) fn new(artefact: String, model: Model, grants: &Grants) -> Self {
        Self {
            artefact,
            model,
            memory_bytes: grants.memory_bytes,
            environment: grants.environment.clone(),
            reuse: grants.reuse,
            output_bytes: grants.output_bytes,
            buckets: grants
                .keyvalue
                .iter()
                .flat_map(|grant| grant.buckets.keys().cloned())
                .collect(),
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

/// What a process asks of a bucket.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct BucketOrder {
    /// By the name by which it was granted.
    pub(crate) bucket: String,
    pub(crate) operation: Operation,
}

/// As the functions of [`crate::KeyValue`].
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Operation {
    Get(Vec<String>),
    Exists(String),
    Set(Vec<(String, Value)>),
    Delete(Vec<String>),
    List(Option<u64>),
    Increment(String, i64),
    Swap(String, Option<Value>, Value),
}

/// What the node says to an [`Operation`].
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Outcome {
    Values(Vec<Option<Value>>),
    Truth(bool),
    Done,
    Page(Vec<String>, Option<u64>),
    Number(i64),
    Refused(String),
    Unavailable,
}

/// Bytes, in JSON as base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value(pub(crate) Bytes);

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        Ok(Self(bytes.into()))
    }
}

/// Why a request to the outside was not answered, and what the function's log is told.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct NoAnswer {
    pub(crate) error: OutsideError,
    pub(crate) log: String,
}

/// What the way out says of its own, in the words of `wasi:http`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum OutsideError {
    ConfigurationError,
    ConnectionLimitReached,
    ConnectionReadTimeout,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    DestinationIpProhibited,
    DestinationIpUnroutable,
    DestinationUnavailable,
    DnsError,
    DnsTimeout,
    HttpProtocolError,
    HttpRequestDenied,
    HttpRequestMethodInvalid,
    HttpRequestUriInvalid,
    HttpResponseHeaderSectionSize,
    HttpResponseIncomplete,
    HttpResponseTimeout,
    InternalError,
    TlsCertificateError,
    TlsProtocolError,
}

impl From<Error> for OutsideError {
    fn from(error: Error) -> Self {
        match error {
            Error::ConfigurationError => Self::ConfigurationError,
            Error::ConnectionLimitReached => Self::ConnectionLimitReached,
            Error::ConnectionReadTimeout => Self::ConnectionReadTimeout,
            Error::ConnectionRefused => Self::ConnectionRefused,
            Error::ConnectionTerminated => Self::ConnectionTerminated,
            Error::ConnectionTimeout => Self::ConnectionTimeout,
            Error::DestinationIpProhibited => Self::DestinationIpProhibited,
            Error::DestinationIpUnroutable => Self::DestinationIpUnroutable,
            Error::DestinationUnavailable | Error::DestinationNotFound | Error::Connect(_) => {
                Self::DestinationUnavailable
            }
            Error::DnsError { .. } => Self::DnsError,
            Error::DnsTimeout => Self::DnsTimeout,
            Error::HttpProtocolError => Self::HttpProtocolError,
            Error::HttpRequestDenied => Self::HttpRequestDenied,
            Error::HttpRequestMethodInvalid => Self::HttpRequestMethodInvalid,
            Error::HttpRequestUriInvalid => Self::HttpRequestUriInvalid,
            Error::HttpResponseHeaderSectionSize(_) => Self::HttpResponseHeaderSectionSize,
            Error::HttpResponseIncomplete => Self::HttpResponseIncomplete,
            Error::HttpResponseTimeout => Self::HttpResponseTimeout,
            Error::TlsCertificateError => Self::TlsCertificateError,
            Error::TlsProtocolError | Error::Tls(_) | Error::TlsAlertReceived { .. } => {
                Self::TlsProtocolError
            }
            _ => Self::InternalError,
        }
    }
}

impl From<OutsideError> for Error {
    fn from(error: OutsideError) -> Self {
        match error {
            OutsideError::ConfigurationError => Self::ConfigurationError,
            OutsideError::ConnectionLimitReached => Self::ConnectionLimitReached,
            OutsideError::ConnectionReadTimeout => Self::ConnectionReadTimeout,
            OutsideError::ConnectionRefused => Self::ConnectionRefused,
            OutsideError::ConnectionTerminated => Self::ConnectionTerminated,
            OutsideError::ConnectionTimeout => Self::ConnectionTimeout,
            OutsideError::DestinationIpProhibited => Self::DestinationIpProhibited,
            OutsideError::DestinationIpUnroutable => Self::DestinationIpUnroutable,
            OutsideError::DestinationUnavailable => Self::DestinationUnavailable,
            OutsideError::DnsError => Self::DnsError {
                rcode: None,
                info_code: None,
            },
            OutsideError::DnsTimeout => Self::DnsTimeout,
            OutsideError::HttpProtocolError => Self::HttpProtocolError,
            OutsideError::HttpRequestDenied => Self::HttpRequestDenied,
            OutsideError::HttpRequestMethodInvalid => Self::HttpRequestMethodInvalid,
            OutsideError::HttpRequestUriInvalid => Self::HttpRequestUriInvalid,
            OutsideError::HttpResponseHeaderSectionSize => {
                Self::HttpResponseHeaderSectionSize(None)
            }
            OutsideError::HttpResponseIncomplete => Self::HttpResponseIncomplete,
            OutsideError::HttpResponseTimeout => Self::HttpResponseTimeout,
            OutsideError::InternalError => Self::InternalError(None),
            OutsideError::TlsCertificateError => Self::TlsCertificateError,
            OutsideError::TlsProtocolError => Self::TlsProtocolError,
        }
    }
}
