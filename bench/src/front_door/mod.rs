//! The HTTP front door: web servers behind it and beside it, streams, and routes.
//!
//! Reading order: [`servers`] (web servers as functions, and on a port of their own), then the measurements: [`web`],
//! [`stream`], [`lookup`], [`fixed`]; [`report`] has the tables and what is aimed at. Components behind the front door
//! are measured beside `wasmtime serve` in [`wasm`](crate::wasm).

mod fixed;
mod lookup;
mod report;
mod servers;
mod stream;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::Places;
use crate::hearth::Hearth;
use crate::load::{self, Target, Until};
use crate::report::Lines;

/// How long and how often, and with what.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    places: Places,
    /// Python with the web servers and peers installed
    #[arg(long)]
    python: PathBuf,
    /// Length of one measurement, seconds
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Rounds of measurements
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Routes of the larger node of the look-up
    #[arg(long, default_value_t = 10_000)]
    routes: u32,
    /// Measure these only
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Web,
    Stream,
    Lookup,
    Fixed,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// What all measurements share.
struct Suite<'a> {
    options: &'a Options,
    node: Hearth,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let suite = Suite {
        options,
        node: Hearth::start(&options.places.hearth).await?,
    };
    let mut results = report::Results::default();
    if options.wants(Part::Fixed) {
        results.fixed = Some(fixed::measure(&suite).await?);
    }
    if options.wants(Part::Web) {
        results.web = Some(web::measure(&suite).await?);
    }
    if options.wants(Part::Stream) {
        results.stream = Some(stream::measure(&suite).await?);
    }
    if options.wants(Part::Lookup) {
        results.lookup = Some(lookup::measure(&suite).await?);
    }
    suite.node.stop().await?;

    let plot = results.web.as_ref().map(|web| (&web.lines, web::HEARTH));
    options
        .places
        .publish("front-door", &report::markdown(&results), plot)
}

/// What is asked, and under which name its line goes.
struct Asked {
    name: &'static str,
    /// Of one server, each asked in turn.
    targets: Vec<Target>,
    /// The process whose time is measured.
    server: Option<u32>,
}

impl Asked {
    fn new(name: &'static str, target: Target) -> Self {
        Self {
            name,
            targets: vec![target],
            server: None,
        }
    }

    fn of_process(self, server: u32) -> Self {
        Self {
            server: Some(server),
            ..self
        }
    }
}

/// How often and how long all of a group are asked.
struct Plan<'a> {
    group: &'static str,
    callers: &'a [usize],
    rounds: usize,
    duration: Duration,
    until: Until,
}

/// Asks all of them in turn, every other round from the last to the first: what the machine does meanwhile meets them alike.
async fn rounds(plan: &Plan<'_>, mut asked: Vec<Asked>, lines: &mut Lines) -> anyhow::Result<()> {
    let Plan {
        group,
        duration,
        until,
        ..
    } = *plan;
    for round in 0..plan.rounds {
        eprintln!("{group}: round {} of {}", round + 1, plan.rounds);
        for callers in plan.callers.iter().copied() {
            for Asked {
                name,
                targets,
                server,
            } in &asked
            {
                let measured = async {
                    load::run_until(until, targets, callers, duration / 4).await?;
                    match server {
                        Some(server) => {
                            load::run_on(*server, until, targets, callers, duration).await
                        }
                        None => load::run_until(until, targets, callers, duration).await,
                    }
                };
                let sample = measured
                    .await
                    .with_context(|| format!("{group}, {name}, {callers} callers"))?;
                lines.add(group, name, callers, sample);
            }
        }
        asked.reverse();
    }
    Ok(())
}
