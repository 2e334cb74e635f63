//! Logs of functions: one log per function, made of streams (one per execution environment), in bounded files.
//!
//! A line goes [`LogStream::write`] → the function's bounded buffer → the writer thread → the function's newest segment
//! file. It comes back through [`LogStore::read`]. Nobody here knows how CloudWatch Logs spells this on the wire.

mod filter;
mod query;
mod store;

pub use filter::{Filter, FilterError};
pub use query::{FunctionLogSummary, LogEvent, Order, Page, Position, Query, StreamSummary};
pub use store::{LogError, LogOptions, LogStore, LogStream};
