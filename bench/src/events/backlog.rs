//! A backlog: what a node with a full queue of one function takes and runs for another, beside a node without.

use std::time::Instant;

use super::{Options, queue, run};
use crate::load;
use crate::process;
use crate::report::Lines;

/// How many callers send at the same time.
pub(super) const CALLERS: usize = 256;
/// How the lines are named.
pub(super) const TAKEN: &str = "accepted, backlog";
pub(super) const RUN: &str = "run to the end, backlog";
pub(super) const EMPTY: &str = "Hearth, nothing waits";
pub(super) const FULL: &str = "Hearth, a full queue";

/// The queue is filled in so many parts.
const PARTS: usize = 10;

/// What was measured.
pub(super) struct Backlog {
    pub(super) lines: Lines,
    /// Of each part of the filling: events that wait after it, how many a second were taken, and the node's memory, bytes.
    pub(super) filling: Vec<(usize, f64, u64)>,
}

pub(super) async fn measure(options: &Options) -> anyhow::Result<Backlog> {
    let full = queue::node(options).await?;
    let mut filling = Vec::new();
    for part in 1..=PARTS {
        eprintln!("backlog: part {part} of {PARTS}");
        let events = options.waiting / PARTS;
        // Signed anew: a signature holds for five minutes.
        let target = queue::target(&full, queue::ASLEEP)?;
        let start = Instant::now();
        queue::fill(&target, events, CALLERS).await?;
        let rate = events as f64 / start.elapsed().as_secs_f64();
        filling.push((events * part, rate, process::memory(full.id()?)?));
    }

    let mut nodes = [(EMPTY, queue::node(options).await?), (FULL, full)];
    let mut lines = Lines::default();
    for round in 0..options.rounds {
        eprintln!("backlog: round {} of {}", round + 1, options.rounds);
        for (name, node) in &nodes {
            let target = queue::target(node, queue::QUICK)?;
            let accepted = load::run(&target, CALLERS, options.duration()).await?;
            queue::emptied(node, queue::QUICK).await?;
            lines.add(TAKEN, name, CALLERS, accepted);
            let run = run::through(options, node, &target, CALLERS).await?;
            lines.add(RUN, name, CALLERS, run);
        }
        // What the disk still has to do of one meets the other.
        nodes.reverse();
    }
    lines.0.sort_by_key(|line| line.group);
    Ok(Backlog { lines, filling })
}
