//! Logs of functions: one log per function, made of streams (one per execution environment), in bounded files.
//!
//! A line goes [`LogStream::write`] → `queue` (the function's bounded buffer) → `writer` (one thread) → `files` (the
//! function's newest segment), framed by `record`. It comes back through [`LogStore::read`] → `reader`.
//!
//! Nobody here knows how CloudWatch Logs spells this on the wire.

mod files;
mod filter;
mod query;
mod queue;
mod reader;
mod record;
mod store;
mod writer;

pub use filter::{Filter, FilterError};
pub use query::{
    FunctionLogSummary, LogEvent, Order, Page, ParsePositionError, Position, Query, StreamSummary,
};
pub use queue::LogStream;
pub use store::{LogError, LogOptions, LogStore};
