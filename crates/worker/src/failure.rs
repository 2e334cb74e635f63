//! What a function does wrong, in Lambda's words: the type and message of the error object that its caller gets.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use hearth_sandbox::Exit;
use hearth_types::invoke::RequestId;
use hearth_types::limits;
use serde::Serialize;

/// A bad end of an invocation that the platform found (what the runtime itself reports is passed on as it is).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It took longer than the function's timeout.
    Timeout(Duration),
    /// The runtime's process ended.
    Exit(Exit),
    /// The response is larger than [`limits::RESPONSE_PAYLOAD_BYTES`].
    ResponseTooLarge,
    /// The streamed response is larger than [`limits::STREAMED_RESPONSE_BYTES`].
    StreamTooLarge,
    /// The runtime broke its response off.
    Truncated,
    /// A component trapped; the text says how and where.
    Trap(Cow<'static, str>),
    /// A component needed more memory than it has.
    Memory,
    /// A component ended without a response.
    NoResponse,
    /// A response of a component or a web server is none that HTTP can carry, or an error instead of one; the text says which.
    BadResponse(Cow<'static, str>),
    /// A command ended with this exit code; the text is the last line of its standard error.
    ExitCode(u8, String),
    /// Its caller went away, which ended it.
    Abandoned,
    /// A web server was not ready in time; the text says after what time and what it did.
    NotReady(Cow<'static, str>),
    /// There is no program to start, or it can't be executed; the text is the reason.
    Entrypoint(Cow<'static, str>),
}

/// The object that a caller gets; member order as the service writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorObject<'a> {
    error_type: &'a str,
    error_message: &'a str,
}

impl Failure {
    /// `errorType`.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "Sandbox.Timedout",
            Self::Exit(Exit::OutOfMemory) | Self::Memory => "Runtime.OutOfMemory",
            Self::Exit(_) | Self::Trap(_) | Self::NoResponse | Self::ExitCode(..) => {
                "Runtime.ExitError"
            }
            Self::BadResponse(_) => "Runtime.InvalidResponse",
            Self::Abandoned => "Runtime.Abandoned",
            Self::ResponseTooLarge | Self::StreamTooLarge => "Function.ResponseSizeTooLarge",
            Self::Truncated => "Runtime.TruncatedResponse",
            Self::NotReady(_) => "Runtime.ServerNotReady",
            Self::Entrypoint(_) => "Runtime.InvalidEntrypoint",
        }
    }

    /// `errorMessage` without the request id in front of it; also a line of the log.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Timeout(after) => {
                format!("Task timed out after {:.2} seconds", after.as_secs_f64())
            }
            Self::Exit(Exit::Code(0)) | Self::NoResponse => {
                "Runtime exited without providing a reason".to_owned()
            }
            Self::Exit(Exit::Code(code)) => {
                format!("Runtime exited with error: exit status {code}")
            }
            Self::Exit(Exit::Signal(signal)) => {
                format!(
                    "Runtime exited with error: signal: {}",
                    signal_name(*signal)
                )
            }
            Self::Exit(Exit::OutOfMemory) => "Runtime exited with error: signal: killed".to_owned(),
            Self::ResponseTooLarge => format!(
                "Response payload size exceeded maximum allowed payload size ({} bytes).",
                limits::RESPONSE_PAYLOAD_BYTES
            ),
            Self::StreamTooLarge => format!(
                "Response payload size exceeded maximum allowed payload size ({} bytes).",
                limits::STREAMED_RESPONSE_BYTES
            ),
            Self::Truncated => "The runtime broke its response off".to_owned(),
            Self::Trap(how) => format!("Runtime exited with error: {how}"),
            Self::Memory => "Runtime exited with error: out of memory".to_owned(),
            Self::BadResponse(why) | Self::NotReady(why) => why.clone().into_owned(),
            Self::ExitCode(code, last_line) if last_line.is_empty() => {
                format!("Runtime exited with error: exit status {code}")
            }
            Self::ExitCode(code, last_line) => {
                format!("Runtime exited with error: exit status {code}: {last_line}")
            }
            Self::Abandoned => "The caller went away".to_owned(),
            Self::Entrypoint(reason) => reason.clone().into_owned(),
        }
    }

    /// The error object.
    pub(crate) fn body(&self, request_id: &RequestId) -> Bytes {
        let reason = self.reason();
        let message = match self {
            Self::ResponseTooLarge | Self::StreamTooLarge => reason,
            _ => format!("RequestId: {request_id} Error: {reason}"),
        };
        error_object(self.kind(), &message)
    }
}

/// An error object of Lambda's usual shape.
pub(crate) fn error_object(kind: &str, message: &str) -> Bytes {
    let object = ErrorObject {
        error_type: kind,
        error_message: message,
    };
    // Two strings always have a JSON form.
    serde_json::to_vec(&object)
        .map(Bytes::from)
        .unwrap_or_default()
}

/// A signal as Lambda names it: the texts of signal(7) in the wording of Go's standard library, in which Lambda's own
/// supervisor is written.
fn signal_name(signal: i32) -> Cow<'static, str> {
    Cow::Borrowed(match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trace/breakpoint trap",
        6 => "aborted",
        7 => "bus error",
        8 => "floating point exception",
        9 => "killed",
        10 => "user defined signal 1",
        11 => "segmentation fault",
        12 => "user defined signal 2",
        13 => "broken pipe",
        14 => "alarm clock",
        15 => "terminated",
        31 => "bad system call",
        other => return Cow::Owned(format!("signal {other}")),
    })
}

/// Why the kernel refused to execute a program, in the words that Lambda uses for it.
pub(crate) fn exec_reason(program: &str, errno: i32, otherwise: &str) -> String {
    // errno(3): the numbers are the same on every Linux architecture.
    let reason = match errno {
        2 => "no such file or directory",
        8 => "exec format error",
        13 => "permission denied",
        _ => otherwise,
    };
    format!("fork/exec {program}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(failure: &Failure) -> String {
        let id = RequestId::from_random([0; 16]);
        String::from_utf8(failure.body(&id).to_vec()).unwrap()
    }

    #[test]
    fn error_objects_read_as_on_lambda() {
        let id = "RequestId: 00000000-0000-4000-8000-000000000000 Error: ";
        for (failure, kind, message) in [
            (
                Failure::Timeout(Duration::from_secs(3)),
                "Sandbox.Timedout",
                format!("{id}Task timed out after 3.00 seconds"),
            ),
            (
                Failure::Exit(Exit::Code(0)),
                "Runtime.ExitError",
                format!("{id}Runtime exited without providing a reason"),
            ),
            (
                Failure::Exit(Exit::Code(1)),
                "Runtime.ExitError",
                format!("{id}Runtime exited with error: exit status 1"),
            ),
            (
                Failure::Exit(Exit::Signal(11)),
                "Runtime.ExitError",
                format!("{id}Runtime exited with error: signal: segmentation fault"),
            ),
            (
                Failure::Exit(Exit::OutOfMemory),
                "Runtime.OutOfMemory",
                format!("{id}Runtime exited with error: signal: killed"),
            ),
            (
                Failure::ResponseTooLarge,
                "Function.ResponseSizeTooLarge",
                "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
                    .to_owned(),
            ),
        ] {
            assert_eq!(
                text(&failure),
                format!(r#"{{"errorType":"{kind}","errorMessage":"{message}"}}"#)
            );
        }
    }

    #[test]
    fn a_real_time_signal_has_a_number() {
        assert_eq!(signal_name(34), "signal 34");
    }
}
