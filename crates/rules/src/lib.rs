//! Rules, by the API of Amazon EventBridge: an event comes, rules say whom it concerns, and their targets are given it.
//!
//! ```text
//! PutEvents, or a CloudEvent ─▶ event: one shape ─▶ Rules: which rules mean it? ─▶ store, one transaction for all targets
//! Dispatcher: what is on its way ─▶ input: what the target is given ─▶ a function's events, or a queue, once
//!                                      failed ─▶ again later ─▶ given up ─▶ the dead-letter queue
//! ```
//!
//! - [`Rules`]: the handle, with the API's operations; [`wire`] has their shapes, [`error`] what is refused.
//! - [`cloud_event`]: CloudEvents as HTTP carries them; [`event`]: the shape that patterns and targets see.
//! - [`input`] and [`path`]: what of an event a target is given.
//! - [`Dispatcher`]: the loop that delivers.
//!
//! It knows neither HTTP nor signatures, which are the gateway's, and runs no function: what a function is given is an
//! event like any other once it is accepted.

mod buses;
pub mod cloud_event;
mod dispatcher;
pub mod error;
pub mod event;
pub mod input;
mod known;
mod name;
mod operations;
mod page;
pub mod path;
mod put_events;
mod rules;
mod senders;
mod tags;
mod target;
mod targets;
pub mod wire;

pub use dispatcher::Dispatcher;
pub use error::RuleError;
pub use rules::{Caller, Options, Rules};
pub use senders::Sender;

/// Tells the time.
pub type Clock = std::sync::Arc<dyn Fn() -> hearth_types::time::Timestamp + Send + Sync>;
