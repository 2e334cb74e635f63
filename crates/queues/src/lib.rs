//! Message queues that applications reach by the SQS API.
//!
//! [`Queues`] does the API's operations on the store: it knows what values are allowed ([`attributes`], [`message`]),
//! what is refused and in which words ([`error`]), and how a receive waits. [`wire`] has the API's shapes. It knows
//! neither HTTP nor signatures, which are the gateway's, and no function.

mod address;
mod attributes;
mod batch;
mod deliver;
pub mod error;
mod message;
mod queues;
mod receive;
mod send;
pub mod wire;

pub use address::Caller;
pub use deliver::Letter;
pub use error::QueueError;
pub use queues::Queues;
