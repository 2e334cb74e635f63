//! Functions behind the process wall: warm invocations beside the language alone and beside other platforms, and cold
//! starts beside the bare interpreter.

mod cold;
mod floor;
mod peers;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use self::floor::{Floor, Language};
use self::report::{FLOOR, HEARTH};
use crate::Places;
use crate::hearth::Hearth;
use crate::load;
use crate::report::Lines;

/// What every function is asked, and a part of its right answer.
const EVENT: &str = r#"{"name":"Ada"}"#;
const EXPECTED: &str = "Ada";

/// How long and how often, and with what.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    places: Places,
    /// Python with the peers installed
    #[arg(long)]
    python: PathBuf,
    /// Length of one measurement, seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds of warm measurements
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Cold starts of each runtime
    #[arg(long, default_value_t = 30)]
    cold: usize,
}

const CALLERS: [usize; 3] = [1, 16, 64];

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let places = &options.places;
    let functions = options.places.root.join("bench/functions");
    let node = Hearth::start(&places.hearth).await?;
    let (python, node_folder) = (functions.join("python"), functions.join("node"));
    let memory = ["--memory", "1769"];
    let handler = |handler| [["--handler", handler].as_slice(), &memory].concat();
    node.deploy(
        "python",
        &python,
        &handler("lambda_function.lambda_handler"),
    )
    .await?;
    node.deploy("node", &node_folder, &handler("index.handler"))
        .await?;

    let warm = warm(options, &node, &python, &node_folder).await?;
    let rust = compile_rust(options).await?;
    let interpreter = real_python().await?;
    let starts = [
        cold::Start {
            name: "python",
            folder: &python,
            options: handler("lambda_function.lambda_handler"),
            bare: vec![&interpreter, "-c", "import json, lambda_function"],
        },
        cold::Start {
            name: "node",
            folder: &node_folder,
            options: handler("index.handler"),
            bare: vec!["node", "-e", "require('./index.js')"],
        },
        // There is no interpreter: the floor is a process that ends at once.
        cold::Start {
            name: "provided",
            folder: rust.path(),
            options: memory.to_vec(),
            bare: vec!["/bin/true"],
        },
    ];
    let mut cold = Vec::new();
    for start in &starts {
        cold.push(cold::measure(&node, start, options.cold).await?);
    }
    node.stop().await?;

    let tables = report::markdown(&warm.0, &cold);
    places.publish("processes", &tables, Some((&warm.0, HEARTH)))?;
    for line in &warm.1 {
        println!("not measured: {line}");
    }
    Ok(())
}

async fn warm(
    options: &Options,
    node: &Hearth,
    python: &std::path::Path,
    node_folder: &std::path::Path,
) -> anyhow::Result<(Lines, Vec<String>)> {
    let installed = peers::Installed {
        python: options.python.clone(),
        npm: options.places.npm.clone(),
        functions: options.places.root.join("bench/functions"),
    };
    let (peers, missing) = peers::start(&installed).await?;
    let bootstrap = |path: &str| options.places.root.join("runtimes").join(path);
    let languages = [
        (
            "python",
            Language {
                argv: vec![
                    real_python().await?.into(),
                    bootstrap("python/bootstrap.py"),
                ],
                handler: "lambda_function.lambda_handler",
                folder: python.to_owned(),
            },
        ),
        (
            "node",
            Language {
                argv: vec!["node".into(), bootstrap("node/bootstrap.cjs")],
                handler: "index.handler",
                folder: node_folder.to_owned(),
            },
        ),
    ];
    let duration = Duration::from_secs_f64(options.seconds);
    let mut lines = Lines::default();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for (language, bare) in &languages {
            for callers in CALLERS {
                // One process a core serves as many callers as there are.
                let floor = Floor::start(bare, callers.min(2), EVENT).await?;
                floor.warm().await?;
                lines.add(
                    language,
                    FLOOR,
                    callers,
                    floor.run(callers, duration).await?,
                );
                drop(floor);
                // Signed anew each time: a signature is good for five minutes.
                let target = node.invocation(language, EVENT, EXPECTED)?;
                load::run(&target, callers, duration / 4).await?;
                lines.add(
                    language,
                    HEARTH,
                    callers,
                    load::run(&target, callers, duration).await?,
                );
                for peer in peers
                    .iter()
                    .filter(|peer| peer.language == *language && callers <= peer.callers_most)
                {
                    load::run(&peer.target, callers, duration / 4).await?;
                    lines.add(
                        language,
                        peer.name,
                        callers,
                        load::run(&peer.target, callers, duration).await?,
                    );
                }
            }
        }
    }
    lines.0.sort_by_key(|line| (line.group, line.callers));
    Ok((lines, missing))
}

/// The interpreter itself: what is on the PATH may be a version manager's shim.
async fn real_python() -> anyhow::Result<String> {
    let output = tokio::process::Command::new("python3")
        .args([
            "-c",
            "import os, sys; print(os.path.realpath(sys.executable))",
        ])
        .output()
        .await
        .context("run python3")?;
    Ok(String::from_utf8(output.stdout)
        .context("read the interpreter's path")?
        .trim()
        .to_owned())
}

/// The sample in Rust, compiled: a function that starts in no time, so that what is left is the platform.
async fn compile_rust(options: &Options) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let status = tokio::process::Command::new("rustc")
        .args([
            "--edition",
            "2024",
            "--crate-name",
            "bootstrap",
            "-O",
            "-C",
            "strip=symbols",
            "-o",
        ])
        .arg(folder.path().join("bootstrap"))
        .arg(options.places.root.join("examples/rust-hello/main.rs"))
        .status()
        .await
        .context("run rustc")?;
    anyhow::ensure!(status.success(), "compile examples/rust-hello: {status}");
    Ok(folder)
}
