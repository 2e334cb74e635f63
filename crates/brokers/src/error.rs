//! Why messages can't be taken.

use hearth_types::name::BrokerName;

/// Why messages can't be taken or settled. What was taken stays the broker's; all of it may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The configuration has no such broker, or one of another kind.
    #[error(
        "The node's configuration has no broker '{0}' of that kind. Name it there, as [brokers.{0}] with a url, and start the \
         node again"
    )]
    Unknown(BrokerName),
    /// The configuration is no good.
    #[error("The configuration of the broker '{broker}' is no good: {why}")]
    Configuration {
        /// Which broker.
        broker: BrokerName,
        /// What is wrong.
        why: String,
    },
    /// The broker can't be reached, has gone away, or refuses.
    #[error("Cannot {what} the broker '{broker}': {why}")]
    Broker {
        /// Which broker.
        broker: BrokerName,
        /// What was to be done, as `connect to`.
        what: &'static str,
        /// What it said.
        why: String,
    },
}
