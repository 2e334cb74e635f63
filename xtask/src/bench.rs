//! `cargo xtask bench`: builds the binaries as they are handed out (profile `dist`), installs the peers and measures.

use clap::{Args, ValueEnum};

use crate::command::{self, cargo, command, root};
use crate::{peers, tools};

/// What to measure, and what is passed on to the benchmark.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// One suite [default: all]
    suite: Option<Suite>,
    /// Options of the benchmark, such as --rounds 3 --seconds 1 --cold 10
    #[arg(last = true)]
    options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Functions behind the process wall
    Processes,
    /// Components behind the WebAssembly wall
    Wasm,
    /// Web servers, streams and routes behind the front door
    FrontDoor,
    /// Asynchronous invocations, accepted and run
    Events,
    /// JavaScript workers in V8 isolates
    Workers,
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let suites = match args.suite {
        Some(suite) => vec![suite],
        None => Suite::value_variants().to_vec(),
    };
    let tools = tools::for_bench()?;
    command::run(&mut cargo(&[
        "build",
        "--profile",
        "dist",
        "--locked",
        "--package",
        "hearth",
        "--package",
        "hearth-bench",
        "--package",
        "hearth-bench-instance",
    ]))?;
    let built = root().join("target/dist");
    let mut skipped = tools.skipped;
    for suite in suites {
        if suite == Suite::Workers && tools.npm.is_none() {
            skipped.push("workers: npm failed".to_owned());
            continue;
        }
        let name = match suite {
            Suite::Processes => "processes",
            Suite::Wasm => "wasm",
            Suite::FrontDoor => "front-door",
            Suite::Events => "events",
            Suite::Workers => "workers",
        };
        let mut bench = command(built.join("hearth-bench"), &[name]);
        bench
            .arg("--hearth")
            .arg(built.join("hearth"))
            .arg("--root")
            .arg(root())
            .arg("--output")
            .arg(root().join("target/bench"));
        if let Some(npm) = &tools.npm {
            bench.arg("--npm").arg(npm);
        }
        match suite {
            Suite::Processes | Suite::FrontDoor => {
                bench.arg("--python").arg(&tools.python);
            }
            Suite::Events | Suite::Workers => {}
            Suite::Wasm => {
                bench
                    .arg("--wasmtime")
                    .arg(peers::wasmtime()?)
                    .arg("--instance")
                    .arg(built.join("hearth-bench-instance"));
                match &tools.npm {
                    Some(npm) => {
                        bench.arg("--javascript").arg(peers::javascript(npm)?);
                    }
                    None => skipped.push("JavaScript and workerd: npm failed".to_owned()),
                }
            }
        }
        command::run(bench.args(&args.options))?;
    }
    for line in &skipped {
        println!("not measured: {line}");
    }
    Ok(())
}
