//! `cargo xtask bench`: builds the release binary, installs the peers and measures.

use clap::Args;

use crate::command::{self, cargo, command, root};
use crate::tools;

/// Passed on to the benchmark.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Options of the benchmark, such as --rounds 3 --seconds 1 --cold 10
    #[arg(last = true)]
    options: Vec<String>,
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let tools = tools::for_bench()?;
    command::run(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "hearth",
        "--package",
        "hearth-bench",
    ]))?;
    let release = root().join("target/release");
    let mut bench = command(release.join("hearth-bench"), &[]);
    bench
        .arg("--hearth")
        .arg(release.join("hearth"))
        .arg("--python")
        .arg(&tools.python);
    if let Some(npm) = &tools.npm {
        bench.arg("--npm").arg(npm);
    }
    bench
        .arg("--root")
        .arg(root())
        .arg("--output")
        .arg(root().join("target/bench"))
        .args(&args.options);
    command::run(&mut bench)?;
    for line in &tools.skipped {
        println!("not measured: {line}");
    }
    Ok(())
}
