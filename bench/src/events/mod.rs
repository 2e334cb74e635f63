//! Asynchronous invocations: how many events a node takes and runs, beside brokers that keep what they take as surely.
//!
//! Reading order: [`queue`] (a node's queues of events), [`brokers`] (what acceptance is held against), then the
//! measurements: [`accept`], [`run`](mod@run), [`backlog`]; [`report`] has the tables and what is aimed at.

mod accept;
mod backlog;
mod brokers;
mod queue;
mod report;
mod run;

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::Places;

/// How long and how often, and with what.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    places: Places,
    /// Length of one measurement, seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds of measurements
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Events that wait meanwhile, where a full queue is measured; a function's queue takes 1,000,000
    #[arg(long, default_value_t = 1_000_000)]
    waiting: usize,
    /// Measure these only
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Accept,
    Run,
    Backlog,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut results = report::Results::default();
    if options.wants(Part::Accept) {
        results.accept = Some(accept::measure(options).await?);
    }
    if options.wants(Part::Run) {
        results.run = Some(run::measure(options).await?);
    }
    if options.wants(Part::Backlog) {
        results.backlog = Some(backlog::measure(options).await?);
    }
    let plot = results
        .accept
        .as_ref()
        .map(|accept| (&accept.lines, accept::HEARTH));
    options
        .places
        .publish("events", &report::markdown(&results), plot)
}
