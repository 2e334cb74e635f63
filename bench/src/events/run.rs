//! From acceptance to the end: events that callers queue as fast as they can, until the last of them has run.

use std::time::Instant;

use super::{Options, accept, queue};
use crate::hearth::Hearth;
use crate::load::{self, Sample, Target};
use crate::report::Lines;

/// How the lines are named.
pub(super) const GROUP: &str = "run to the end";

pub(super) async fn measure(options: &Options) -> anyhow::Result<Lines> {
    let node = queue::node(options).await?;
    let target = queue::target(&node, queue::QUICK)?;
    let mut lines = Lines::default();
    for round in 0..options.rounds {
        eprintln!("{GROUP}: round {} of {}", round + 1, options.rounds);
        for callers in accept::CALLERS {
            let sample = through(options, &node, &target, callers).await?;
            lines.add(GROUP, accept::HEARTH, callers, sample);
        }
    }
    node.stop().await?;
    Ok(lines)
}

/// One round: latencies are those of the answers, the rate counts events that have run.
pub(super) async fn through(
    options: &Options,
    node: &Hearth,
    target: &Target,
    callers: usize,
) -> anyhow::Result<Sample> {
    let start = Instant::now();
    let accepted = load::run(target, callers, options.duration()).await?;
    let taking = start.elapsed();
    queue::emptied(node, queue::QUICK).await?;
    Ok(Sample {
        per_second: accepted.per_second * taking.div_duration_f64(start.elapsed()),
        ..accepted
    })
}
