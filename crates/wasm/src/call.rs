//! One call of a guest: what it is given besides the request, and how it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Which of a guest's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output: a log line for an HTTP component, the result of a command.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where a guest's log goes. Must not block.
pub trait Output: Send + Sync {
    /// Takes bytes as the guest wrote them, not cut at lines.
    fn write(&self, stream: OutputStream, bytes: &[u8]);
}

/// What one call is given besides its request.
pub struct Call {
    /// Where the guest's log goes. A command's standard output is its result and does not go there.
    pub output: Arc<dyn Output>,
    /// When the guest is ended.
    pub deadline: Instant,
    /// Told once, whatever happens, when the guest is done with this call: before the error of a failed call is
    /// returned, and after the last frame of a body was taken or the body was dropped.
    pub ended: Box<dyn FnOnce(Ending) + Send>,
}

/// How a call ended.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// What it used.
    pub usage: Usage,
    /// How it failed, if it did; a response may have begun before.
    pub failure: Option<Failure>,
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Making the instance, when the call did not find one: its Init.
    pub init: Option<Duration>,
    /// From handing the request over to the guest's end.
    pub duration: Duration,
    /// Most linear memory and tables that the instance had so far, bytes.
    pub peak_memory_bytes: u64,
}

/// How a guest failed, or the wall for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It trapped: the trap's name and where, a sentence.
    #[error("{0}")]
    Trap(String),
    /// Its memory was refused to grow, and it did not survive that.
    #[error("the function needed more memory than it has")]
    OutOfMemory,
    /// The deadline came.
    #[error("the function did not end in time")]
    Timeout,
    /// More output than [`crate::Grants::output_bytes`].
    #[error("the function's output is too large")]
    OutputTooLarge,
    /// It returned without a response.
    #[error("the function ended without a response")]
    NoResponse,
    /// It answered with a `wasi:http` error code, or with a response that HTTP can't carry. A sentence.
    #[error("{0}")]
    BadResponse(String),
    /// The caller went away.
    #[error("the caller went away")]
    Abandoned,
    /// No instance was free in time: not the guest's fault, safe to try again.
    #[error("no instance was free")]
    NoRoom,
    /// The process that runs the account's components ended under the call, and every other call of the account with
    /// it: killed for its memory, or by a fault of the runtime that a guest may have found. A sentence.
    #[error("{0}")]
    Crashed(String),
    /// The wall failed. A sentence for the operator.
    #[error("{0}")]
    Internal(String),
}

/// How a command ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandEnd {
    /// What it wrote to its standard output.
    pub stdout: Bytes,
    /// Its exit code; 0 is success.
    pub exit_code: u8,
}
