//! Components behind the WebAssembly wall, beside `wasmtime serve` and `workerd`.
//!
//! Reading order: [`functions`] (components as functions of a node), [`peers`] (what they are held against, beside
//! [`floor`](crate::floor)), then the measurements: [`warm`], [`cold`], [`memory`], [`lookup`], [`neighbour`], [`instance`]; [`report`]
//! has the tables and what is aimed at.

mod cold;
pub(crate) mod functions;
mod instance;
mod lookup;
mod memory;
mod neighbour;
mod peers;
mod report;
mod warm;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use self::peers::Wasmtime;
use crate::Places;
use crate::floor::HELLO as EXPECTED;
use crate::hearth::Hearth;
use crate::load::Target;

/// How long and how often, and with what.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    places: Places,
    /// The program `wasmtime`, of the version that Hearth embeds
    #[arg(long)]
    wasmtime: PathBuf,
    /// The program `hearth-bench-instance`
    #[arg(long)]
    instance: PathBuf,
    /// The JavaScript hello as a component
    #[arg(long)]
    javascript: Option<PathBuf>,
    /// Length of one measurement, seconds
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Rounds of measurements under load
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Functions whose first request is measured
    #[arg(long, default_value_t = 100)]
    cold: u32,
    /// Functions of the larger node of the look-up
    #[arg(long, default_value_t = 10_000)]
    functions: u32,
    /// Measure these only
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Warm,
    Cold,
    Memory,
    Lookup,
    Neighbour,
    Instance,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// What all measurements share.
struct Suite<'a> {
    options: &'a Options,
    node: Hearth,
    wasmtime: Wasmtime,
}

impl Suite<'_> {
    fn root(&self) -> &Path {
        &self.options.places.root
    }

    /// A prebuilt guest of the tests.
    fn component(&self, name: &str) -> PathBuf {
        self.root().join("tests/fixtures/wasm").join(name)
    }
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut results = report::Results::default();
    let mut suite = Suite {
        options,
        node: Hearth::start(&options.places.hearth).await?,
        wasmtime: Wasmtime {
            program: options.wasmtime.clone(),
        },
    };
    if options.wants(Part::Instance) {
        results.instance = Some(instance::measure(&suite).await?);
    }
    if options.wants(Part::Warm) {
        results.warm = Some(warm::measure(&suite).await?);
    }
    if options.wants(Part::Neighbour) {
        results.neighbour = Some(neighbour::measure(&suite).await?);
    }
    if options.wants(Part::Cold) {
        results.cold = Some(cold::measure(&mut suite).await?);
    }
    if options.wants(Part::Memory) {
        results.memory = Some(memory::measure(&suite).await?);
    }
    if options.wants(Part::Lookup) {
        results.lookup = Some(lookup::measure(&suite).await?);
    }
    suite.node.stop().await?;

    let plot = results.warm.as_ref().map(|warm| (warm, warm::HEARTH));
    options
        .places
        .publish("wasm", &report::markdown(&results), plot)
}

/// A plain request for a hello.
fn get(address: SocketAddr, path: &str) -> Target {
    Target::get(address, path, EXPECTED)
}
