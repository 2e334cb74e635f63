//! What acceptance is held against: brokers of this machine that confirm what is on the disk, on the same disk.

mod rabbitmq;
mod redis;

use std::time::Duration;

use crate::load::Sample;

/// Something that takes messages, as published for those that must not be lost.
pub(super) enum Broker {
    /// A stream, with `appendfsync always`.
    Redis(Box<redis::Server>),
    /// A quorum queue, with publisher confirms.
    RabbitMq(Box<rabbitmq::Server>),
}

/// Starts those that are installed, to be sent `payload`; and says which are not.
pub(super) async fn start(payload: &str) -> anyhow::Result<(Vec<Broker>, Vec<String>)> {
    let (mut brokers, mut missing) = (Vec::new(), Vec::new());
    match redis::start(payload).await? {
        Some(server) => brokers.push(Broker::Redis(server.into())),
        None => missing.push(format!("{}: redis-server is not on the PATH", redis::NAME)),
    }
    match rabbitmq::start(payload).await? {
        Some(server) => brokers.push(Broker::RabbitMq(server.into())),
        None => missing.push(format!(
            "{}: rabbitmq-server is not installed",
            rabbitmq::NAME
        )),
    }
    Ok((brokers, missing))
}

impl Broker {
    /// How its lines are named.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Redis(_) => redis::NAME,
            Self::RabbitMq(_) => rabbitmq::NAME,
        }
    }

    /// Has `callers` send, each once its last message is confirmed.
    pub(super) async fn send(&self, callers: usize, duration: Duration) -> anyhow::Result<Sample> {
        match self {
            Self::Redis(server) => server.send(callers, duration).await,
            Self::RabbitMq(server) => server.send(callers, duration).await,
        }
    }
}
