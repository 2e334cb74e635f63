//! Acceptance: events that are on the disk when they are answered, beside brokers that promise the same.
//!
//! What is accepted is left alone: the function sleeps, and nobody reads from the brokers.

use anyhow::Context as _;

use super::{Options, brokers, queue};
use crate::load;
use crate::report::Lines;

/// How many callers send at the same time.
pub(super) const CALLERS: [usize; 3] = [1, 16, 256];
/// How the lines are named.
pub(super) const GROUP: &str = "accepted";
pub(super) const HEARTH: &str = "Hearth";

/// What was measured.
pub(super) struct Accept {
    pub(super) lines: Lines,
    /// The brokers' lines.
    pub(super) others: Vec<&'static str>,
    /// What was not measured, and why.
    pub(super) missing: Vec<String>,
}

pub(super) async fn measure(options: &Options) -> anyhow::Result<Accept> {
    let node = queue::node(options).await?;
    let target = queue::target(&node, queue::ASLEEP)?;
    let payload = queue::event(queue::ASLEEP);
    let (brokers, missing) = brokers::start(&payload).await?;
    let mut lines = Lines::default();
    for round in 0..options.rounds {
        eprintln!("{GROUP}: round {} of {}", round + 1, options.rounds);
        for callers in CALLERS {
            load::run(&target, callers, options.duration() / 4).await?;
            let sample = load::run_on(
                node.id()?,
                load::Until::Whole,
                std::slice::from_ref(&target),
                callers,
                options.duration(),
            );
            lines.add(GROUP, HEARTH, callers, sample.await.context("Hearth")?);
            for broker in &brokers {
                broker.send(callers, options.duration() / 4).await?;
                let sample = broker.send(callers, options.duration()).await;
                let sample = sample.with_context(|| broker.name())?;
                lines.add(GROUP, broker.name(), callers, sample);
            }
        }
    }
    let others = brokers.iter().map(brokers::Broker::name).collect();
    Ok(Accept {
        lines,
        others,
        missing,
    })
}
