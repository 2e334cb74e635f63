//! Message queues that applications reach by the SQS API.
//!
//! [`Queues`] does the API's operations on the store: it knows what values are allowed ([`attributes`], [`message`]),
//! what is refused and in which words ([`error`]), and how a receive waits; the platform itself takes messages by
//! [`Queues::outlook`] and [`Queues::take`]. [`wire`] has the API's shapes. It knows
//! neither HTTP nor signatures, which are the gateway's, and no function.

mod address;
mod attributes;
mod batch;
mod consume;
pub mod error;
mod message;
mod moves;
mod queues;
mod receive;
mod send;
pub mod wire;

pub use address::Caller;
pub use consume::Outlook;
pub use error::QueueError;
pub use queues::Queues;
