//! `cargo xtask`: the project's own tasks.
//!
//! - [`test`]: the one test command
//! - [`fault`]: its fault tests, at length
//! - [`bench`]: the benchmarks, side by side
//! - [`peers`]: what the benchmarks of WebAssembly need besides
//! - [`tools`]: what the tests need beside Rust, installed by package name
//! - [`architecture`]: which crate may depend on which
//! - [`command`]: running programs

mod architecture;
mod bench;
mod command;
mod fault;
mod peers;
mod test;
mod tools;

use clap::Parser;

/// Tasks of the project.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Install what the tests need and run all of them
    Test(test::TestArgs),
    /// Kill a node over and over while it runs events, and see that none is lost
    Fault(fault::FaultArgs),
    /// Measure Hearth beside its floors and peers; results in target/bench
    Bench(bench::BenchArgs),
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Test(args) => test::run(&args),
        Task::Fault(args) => fault::run(&args),
        Task::Bench(args) => bench::run(&args),
    }
}
