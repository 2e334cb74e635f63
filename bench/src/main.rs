//! Benchmarks: Hearth beside its floors and its peers, in one run on one machine.
//!
//! `cargo xtask bench` builds the release binaries, installs the peers and runs this. Rounds go through all targets in
//! turn and the median round counts, so that what else the machine does meets all of them alike. Ratios are what to
//! read.
//!
//! - [`processes`]: Python, Node.js and programs behind the process wall
//! - [`wasm`]: components behind the WebAssembly wall
//! - [`workers`]: JavaScript workers in V8 isolates
//! - [`front_door`]: web servers, streams and routes behind the HTTP front door
//! - [`events`]: asynchronous invocations, accepted and run
//! - [`load`]: callers and their latencies
//! - [`hearth`]: a node under test; [`api`]: its control operations, [`function_url`] and [`route`]: two of them
//! - [`process`]: processes that are measured; [`floor`] and [`peers`]: those that several suites know
//! - [`report`]: lines of a table, rounds and medians, a plot

mod api;
mod events;
mod floor;
mod front_door;
mod function_url;
mod hearth;
mod load;
mod peers;
mod process;
mod processes;
mod report;
mod route;
mod wasm;
mod workers;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

/// Measures Hearth beside its floors and peers.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// Functions behind the process wall
    Processes(processes::Options),
    /// Components behind the WebAssembly wall
    Wasm(wasm::Options),
    /// Web servers, streams and routes behind the front door
    FrontDoor(front_door::Options),
    /// Asynchronous invocations, accepted and run
    Events(events::Options),
    /// JavaScript workers in V8 isolates
    Workers(workers::Options),
    /// A floor: a server that says hello, with no platform at all
    #[command(hide = true)]
    HelloServer { address: SocketAddr },
}

/// What every suite is told.
#[derive(Args)]
struct Places {
    /// The release binary
    #[arg(long)]
    hearth: PathBuf,
    /// The checkout
    #[arg(long)]
    root: PathBuf,
    /// Folder with the peers' node_modules
    #[arg(long)]
    npm: Option<PathBuf>,
    /// Folder for the results
    #[arg(long)]
    output: PathBuf,
}

impl Places {
    /// Prints a suite's tables, and keeps them, with a plot of `lines` in which names that begin with `ours` stand out.
    fn publish(
        &self,
        suite: &str,
        tables: &str,
        plot: Option<(&report::Lines, &str)>,
    ) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.output).context("create the output folder")?;
        println!("{tables}");
        let file = self.output.join(format!("{suite}.md"));
        std::fs::write(file, tables).context("write the results")?;
        if let Some((lines, ours)) = plot {
            let file = self.output.join(format!("{suite}.svg"));
            report::plot(&file, lines, ours)?;
            println!("plot: {}", file.display());
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().suite {
        Suite::Processes(options) => processes::run(&options).await,
        Suite::Wasm(options) => wasm::run(&options).await,
        Suite::FrontDoor(options) => front_door::run(&options).await,
        Suite::Events(options) => events::run(&options).await,
        Suite::Workers(options) => workers::run(&options).await,
        Suite::HelloServer { address } => floor::serve(address).await,
    }
}
