//! What acceptance is held against: brokers of this machine that confirm what is on the disk, on the same disk.

mod redis;

use std::time::Duration;

use crate::load::Sample;

/// Something that takes messages, as published for those that must not be lost.
pub(super) enum Broker {
    /// A stream, with `appendfsync always`.
    Redis(redis::Server),
}

/// Starts those that are installed, to be sent `payload`; and says which are not.
pub(super) async fn start(payload: &str) -> anyhow::Result<(Vec<Broker>, Vec<String>)> {
    let (mut brokers, mut missing) = (Vec::new(), Vec::new());
    match redis::start(payload).await? {
        Some(server) => brokers.push(Broker::Redis(server)),
        None => missing.push(format!("{}: redis-server is not on the PATH", redis::NAME)),
    }
    Ok((brokers, missing))
}

impl Broker {
    /// How its lines are named.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Redis(_) => redis::NAME,
        }
    }

    /// Has `callers` send, each once its last message is confirmed.
    pub(super) async fn send(&self, callers: usize, duration: Duration) -> anyhow::Result<Sample> {
        match self {
            Self::Redis(server) => server.send(callers, duration).await,
        }
    }
}
