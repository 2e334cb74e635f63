//! `cargo xtask test`: formatting, lints, unit and crate tests, runtimes, then the whole system with real clients.

use std::process::Command;
use std::time::Instant;

use clap::Args;

use crate::command::{self, cargo, command, root};
use crate::tools;

/// Processes of the whole-system tests: each has nodes and brokers running.
const MOST_PROCESSES: usize = 8;

/// What to leave out while working on one part. Without options, everything runs.
#[derive(Args)]
pub(crate) struct TestArgs {
    /// Only the whole-system tests
    #[arg(long)]
    system: bool,
    /// Arguments for pytest, such as -k name
    #[arg(last = true)]
    pytest: Vec<String>,
}

pub(crate) fn run_python(tools: &tools::Tools, arguments: &[&str]) -> Command {
    let mut python = command(&tools.python, arguments);
    python
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HEARTH_BINARY", root().join("target/debug/hearth"))
        .env("HEARTH_TEST_PYTHON", &tools.python);
    if let Some(npm) = &tools.npm {
        python.env("HEARTH_TEST_NPM", npm);
    }
    python
}

pub(crate) fn run(args: &TestArgs) -> anyhow::Result<()> {
    let tools = tools::for_tests()?;
    let mut steps: Vec<(&str, Command)> = Vec::new();
    if !args.system {
        steps.push(("formatting", cargo(&["fmt", "--all", "--check"])));
        steps.push((
            "lints",
            cargo(&[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
        ));
        let mut tests = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
        tests.env("HEARTH_TEST_PYTHON", &tools.python);
        steps.push(("crates", tests));
        steps.push((
            "runtimes",
            run_python(
                &tools,
                &[
                    "-m",
                    "unittest",
                    "discover",
                    "--start-directory",
                    "runtimes/tests",
                ],
            ),
        ));
    }
    // With the tests, as above: without them the programs' dependencies would have other features, and be built anew.
    steps.push((
        "build",
        cargo(&[
            "build",
            "--locked",
            "--workspace",
            "--tests",
            "--bin",
            "hearth",
            "--bin",
            "hearth-bench",
        ]),
    ));
    // Tests mostly wait, for nodes, brokers and functions: with one file at a time for each processor, half of the processors'
    // time is left.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let processes = (processors + 1).min(MOST_PROCESSES).to_string();
    let mut system = run_python(
        &tools,
        &[
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--numprocesses",
            &processes,
            "--dist",
            "loadfile",
            "tests",
        ],
    );
    system.args(&args.pytest);
    steps.push(("whole system", system));

    // A failing step does not hide what the later ones would say; a failing build would only repeat itself.
    let mut failed = Vec::new();
    let count = steps.len();
    for (name, mut step) in steps {
        let started = Instant::now();
        if let Err(error) = command::run(&mut step) {
            eprintln!("FAILED {name}: {error:#}");
            failed.push(name);
            if name == "build" {
                break;
            }
        }
        // CI's time is bounded: what takes it should not have to be guessed.
        println!("{name}: {} s", started.elapsed().as_secs());
    }
    for line in &tools.skipped {
        println!("skipped {line}");
    }
    println!("{} passed, {} failed", count - failed.len(), failed.len());
    anyhow::ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}
