//! Brokers outside of the node: their messages, taken a batch at a time, and settled.
//!
//! ```text
//! broker ─▶ connection    one of a subscription; made when it is needed, and again when it was lost
//!        ─▶ in hand       the first message that comes, and no other while nobody takes it
//!        ─▶ taken         it and what waits behind it, as many and as large as there is room for
//!        ─▶ settled       done, or given back, or given up
//! ```
//!
//! - [`Brokers`], [`Server`]: which brokers there are and how they are reached, as the node's configuration says.
//! - [`Subscription`]: one mapping's share of a broker.
//! - `connection`: what every kind of broker can do, and one module for each kind.
//!
//! What was taken and not settled is the broker's again when the connection ends: nothing of it is kept here. Nobody here
//! knows functions, or decides when a batch is due.

mod connection;
mod error;
mod kafka;
mod kafka_client;
mod kafka_ledger;
mod kafka_session;
mod mqtt;
mod mqtt_ledger;
mod mqtt_packets;
mod mqtt_session;
mod nats;
mod payload;
mod rabbit;
mod rabbit_nesting;
mod rabbit_properties;
mod rabbit_stream;
mod redis;
mod server;
mod shelf;
mod sqs;
mod sqs_client;
mod subscription;
mod tls;

pub use connection::{Delivery, End, Tag};
pub use error::BrokerError;
pub use kafka_ledger::Hold;
pub use server::{Brokers, Password, Server, Tls};
pub use shelf::Claim;
pub use subscription::{Subscription, Taken};
