//! Storage events: an object appears in a bucket, changes or vanishes, and functions and queues are told, in S3's words.
//!
//! ```text
//! Folder:  hints of the kernel, looks at the disk ─┐
//! Listing: a listing of an object store, at times ─┼─▶ Storage: what is new, whom it concerns ─▶ store, one transaction
//! inbox:   notifications that others send ─────────┘
//! Dispatcher: what is on its way ─▶ a function's events, or a queue, once ─▶ store: done with, or due again
//! ```
//!
//! - [`Storage`]: the operations on notifications, and the way in for changes.
//! - [`rule`]: which changes a notification is about.
//! - [`record`]: how S3 writes a change.
//! - [`difference`]: what has changed between what is known and what is there.
//! - [`Folder`] (by hints, and a look at the tree), [`Listing`]: who finds changes; [`inbox`]: who is told of them.
//! - [`Dispatcher`]: the loop that delivers.
//!
//! A bucket is a name in the node's configuration. What is in its objects, nobody here reads.

pub mod difference;
mod dispatcher;
mod folder;
mod hints;
pub mod inbox;
mod listing;
mod look;
mod operations;
pub mod record;
pub mod rule;
mod storage;
mod tree;

pub use dispatcher::Dispatcher;
pub use folder::Folder;
pub use listing::Listing;
pub use storage::{Options, Storage};

/// Tells the time.
pub type Clock = std::sync::Arc<dyn Fn() -> hearth_types::time::Timestamp + Send + Sync>;
