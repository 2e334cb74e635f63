//! One invocation, its outcome, and the seam through which it is run.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::function::{Deployment, DeploymentId, Reason};
use crate::name::{FunctionKey, Version};

/// The identifier of one request, a UUID as text: `X-Amzn-RequestId`, `aws_request_id`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 36]);

impl RequestId {
    /// A version-4 UUID from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = bytes;
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let mut text = [b'-'; 36];
        let mut at = 0;
        for byte in bytes {
            if matches!(at, 8 | 13 | 18 | 23) {
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 0x0f)];
            at += 2;
        }
        Self(text)
    }

    /// Reads the text of a UUID, as [`RequestId::as_str`] gives it.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 36] = text.as_bytes().try_into().ok()?;
        let is_uuid = bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
        is_uuid.then_some(Self(bytes))
    }

    /// The text, 36 ASCII characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request to run a function once.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Its identifier.
    pub request_id: RequestId,
    /// What to run.
    pub deployment: Arc<Deployment>,
    /// The ARN that the caller used, as the function sees it (`invoked_function_arn`).
    pub invoked_arn: String,
    /// The event.
    pub payload: bytes::Bytes,
    /// Decoded `X-Amz-Client-Context`: JSON text.
    pub client_context: Option<String>,
    /// `X-Amzn-Trace-Id`: the caller's, or a new one.
    pub trace_id: String,
    /// Whether the last 4 KB of the log go with the outcome (`LogType=Tail`).
    pub log_tail: bool,
}

/// A body on its way: of a request to a function, or of its response. It streams, and it says when the other side is
/// slow by not being polled.
pub type Body = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BodyError>;

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// An HTTP request for a function that takes HTTP itself: what is known besides the request.
#[derive(Clone, Debug)]
pub struct HttpInvocation {
    /// Its identifier.
    pub request_id: RequestId,
    /// What to run.
    pub deployment: Arc<Deployment>,
    /// `X-Amzn-Trace-Id`: the caller's, or a new one.
    pub trace_id: String,
}

/// What became of an HTTP request to a function.
pub enum Served {
    /// The function's response; its body streams while the function goes on. Dropping the body ends the function. The
    /// head is hostile: fields that only a connection may set are still in it.
    Response(http::Response<Body>),
    /// The function failed before its response began.
    Failed(Outcome),
    /// The function takes events, not HTTP: the request comes back untouched, to be made an event and invoked.
    TakesEvents(http::Request<Body>),
}

/// The end of an invocation that reached the function's environment.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the function returned, or the error object; nothing if its response was streamed.
    pub payload: bytes::Bytes,
    /// Set when the function failed.
    pub error: Option<FunctionError>,
    /// The last [`crate::limits::LOG_TAIL_BYTES`] of the invocation's log, when it was asked for.
    pub log_tail: Option<bytes::Bytes>,
    /// What was measured.
    pub report: Report,
}

/// What became of an invocation whose caller takes the response as it is made.
#[derive(Debug)]
pub enum Streamed {
    /// The function answered, or failed, in one piece.
    Whole(Outcome),
    /// The response has begun.
    Begun(ResponseStream),
}

/// A response that a function is still making.
pub struct ResponseStream {
    /// The media type that the runtime names. Hostile.
    pub content_type: Option<http::HeaderValue>,
    /// Its bytes, as they come. Not polling it stops the function at its next write; dropping it cancels the
    /// invocation. It ends without an error however the invocation ends: `ended` says how.
    pub body: Body,
    /// How the invocation ended, once it has, with an empty payload if it ended well. The last pieces of the body may
    /// be unread then.
    ///
    /// # Errors
    /// A failure of the platform.
    pub ended: BoxFuture<'static, Result<Outcome, ApiError>>,
}

impl fmt::Debug for ResponseStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseStream")
            .field("content_type", &self.content_type)
            .finish_non_exhaustive()
    }
}

/// `X-Amz-Function-Error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FunctionError {
    /// The function reported it.
    Handled,
    /// The function ended badly, or its handler threw.
    Unhandled,
}

impl FunctionError {
    /// The header's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "Handled",
            Self::Unhandled => "Unhandled",
        }
    }
}

/// What one invocation used: the figures of the REPORT line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Time from handing the event over to the function's answer.
    pub duration: Duration,
    /// Time of the Init phase, if this invocation waited for one.
    pub init: Option<Duration>,
    /// Most memory of the environment so far, MiB.
    pub max_memory_mib: u32,
}

impl Report {
    /// Billed time: duration and Init, rounded up to a millisecond.
    pub fn billed_ms(&self) -> u64 {
        let billed = self.duration + self.init.unwrap_or_default();
        u64::try_from(billed.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// A future without a fixed type, so that [`Invoker`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs functions. In one node it is the worker itself; in a cluster, workers behind HTTP/2.
pub trait Invoker: Send + Sync + 'static {
    /// Runs one invocation to its end. The deadline is the function's timeout and starts when an environment takes
    /// the event. Dropping the future gives up waiting; the environment finishes or is ended by its deadline.
    ///
    /// # Errors
    /// A failure of the platform, as the caller will see it: throttled, out of room, shutting down, runtime not to
    /// be had. What the function does wrong is an [`Outcome`].
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'_, Result<Outcome, ApiError>>;

    /// Runs one invocation whose caller takes the response as the function makes it. Time runs, and the invocation
    /// counts, until the response has ended. Dropping the future before the response has begun gives up waiting, as
    /// for [`Invoker::invoke`].
    ///
    /// # Errors
    /// A failure of the platform, as for [`Invoker::invoke`].
    fn stream(&self, invocation: Invocation) -> BoxFuture<'_, Result<Streamed, ApiError>>;

    /// Hands an HTTP request over to a function that takes HTTP itself, body and response streaming. Dropping the
    /// future gives up and ends the function's work on it.
    ///
    /// # Errors
    /// A failure of the platform, as for [`Invoker::invoke`].
    fn serve(
        &self,
        invocation: HttpInvocation,
        request: http::Request<Body>,
    ) -> BoxFuture<'_, Result<Served, ApiError>>;

    /// Makes a deployment ready: its package unpacked and checked, its runtime found.
    ///
    /// # Errors
    /// Why it can't be made ready; it becomes the function's `StateReason`.
    fn prepare(&self, deployment: Arc<Deployment>) -> BoxFuture<'_, Result<(), Reason>>;

    /// Lets environments of `version` go, each after its invocation, except those of deployment `keep`.
    fn retire(&self, key: &FunctionKey, version: Version, keep: Option<DeploymentId>);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_version_4_uuid() {
        let id = RequestId::from_random([0xff; 16]);
        assert_eq!(id.as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(
            RequestId::from_random([0; 16]).as_str(),
            "00000000-0000-4000-8000-000000000000"
        );
        assert_eq!(RequestId::parse(id.as_str()), Some(id));
        for bad in [
            "",
            "ffffffff-ffff-4fff-bfff-fffffffffffF",
            "ffffffff-ffff-4fff-bfffffffffffffff1",
            "ffffffff-ffff-4fff-bfff-ffffffffffffa",
        ] {
            assert_eq!(RequestId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_started_millisecond_is_billed() {
        let report = Report {
            duration: Duration::from_micros(3_010),
            init: Some(Duration::from_millis(1)),
            max_memory_mib: 1,
        };
        assert_eq!(report.billed_ms(), 5);
    }
}
