//! `cargo xtask fault`: what the test suite does to a node in small, at length.

use clap::Args;

use crate::command::{self, cargo};
use crate::{test, tools};

/// How long to go on.
#[derive(Args)]
pub(crate) struct FaultArgs {
    /// Events to send
    #[arg(long, default_value_t = 20_000)]
    events: u32,
    /// Times that the node is killed meanwhile
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// Decides when
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &FaultArgs) -> anyhow::Result<()> {
    let tools = tools::for_tests()?;
    command::run(&mut cargo(&[
        "build",
        "--locked",
        "--workspace",
        "--bin",
        "hearth",
    ]))?;
    let mut pytest = test::run_python(
        &tools,
        &[
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-s",
            "tests/fault",
        ],
    );
    pytest
        .env("HEARTH_FAULT_EVENTS", args.events.to_string())
        .env("HEARTH_FAULT_KILLS", args.kills.to_string())
        .env("HEARTH_FAULT_SEED", args.seed.to_string());
    command::run(&mut pytest)
}
