//! JavaScript workers in V8 isolates, beside `workerd serve` on the same worker.

mod peer;

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use self::peer::Workerd;
use crate::Places;
use crate::floor::{FLOOR, Floor, HELLO as EXPECTED};
use crate::function_url::{self, Mode};
use crate::hearth::Hearth;
use crate::load::{self, Sample};
use crate::process;
use crate::report::{self, Aims, Lines, medians, micros, rates};

/// How long and how often.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    places: Places,
    /// Length of one measurement, seconds
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Rounds of measurements under load
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Functions that are deployed, whose first requests and memory are measured
    #[arg(long, default_value_t = 200)]
    isolates: usize,
}

const CALLERS: [usize; 3] = [1, 16, 64];

const HEARTH: &str = "Hearth, URL";
const WORKERD: &str = "workerd serve";

/// Lines are of one group.
const GROUP: &str = "hello";

/// What a request's first answer takes, and what isolates take of the memory.
struct Many {
    /// The first request of a function on a node that was started again: its package is looked into and its isolate made.
    hearth_again: Sample,
    /// The first request of a function whose engine was replaced: its isolate is made.
    hearth_cold: Sample,
    /// The first request of an isolate of workerd's own loader.
    workerd_cold: Sample,
    /// The first request of a function that was deployed: its isolate is there.
    hearth_deployed: Sample,
    /// Bytes for each isolate.
    hearth_bytes: u64,
    workerd_bytes: u64,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let npm = options.places.npm.as_deref();
    let npm = npm.context("workers need the npm package workerd: name its folder with --npm")?;
    let source = options.places.root.join("bench/functions/worker.js");
    let text = std::fs::read_to_string(&source).context("read the worker")?;
    // Two isolates for each function of a measurement: of its deployment, and after the start.
    let configuration = format!(
        "[isolates]\nworkerd = '{}'\nmemory_mib = 2048\n",
        peer::program(npm).display()
    );
    let mut node = Hearth::configured(&options.places.hearth, &configuration).await?;
    let lines = warm(options, &node, &source, &Workerd::alone(npm, &text).await?).await?;
    let loader = Workerd::loader(npm, &text).await?;
    let many = many(options, &mut node, &source, loader).await?;
    node.stop().await?;
    let tables = lines.table("worker") + &ratios(&lines) + &counted(options, &many);
    let tables = tables + &aims(&lines, &many).table();
    options
        .places
        .publish("workers", &tables, Some((&lines, HEARTH)))
}

async fn deploy(node: &Hearth, name: &str, source: &std::path::Path) -> anyhow::Result<()> {
    // The engine's own newest date would be another one, whose isolates and requests cost more.
    let date = format!("hearth:compatibility-date={}", peer::DATE);
    let options = ["--runtime", "worker", "--tag", &date];
    node.deploy(name, source, &options).await
}

async fn warm(
    options: &Options,
    node: &Hearth,
    source: &std::path::Path,
    workerd: &Workerd,
) -> anyhow::Result<Lines> {
    let floor = Floor::start().await?;
    deploy(node, "hello", source).await?;
    let url = function_url::make(&node.access, "hello", Mode::Streamed).await?;
    let asked = [
        (WORKERD, workerd.target("/")),
        (HEARTH, url.target(node, "/", EXPECTED)),
        (FLOOR, floor.target.clone()),
    ];
    let duration = Duration::from_secs_f64(options.seconds);
    let mut lines = Lines::default();
    for round in 0..options.rounds {
        eprintln!("warm: round {} of {}", round + 1, options.rounds);
        for callers in CALLERS {
            for (name, target) in &asked {
                load::run(target, callers, duration / 4).await?;
                let sample = load::run(target, callers, duration).await?;
                lines.add(GROUP, name, callers, sample);
            }
        }
    }
    lines.0.sort_by_key(|line| line.callers);
    Ok(lines)
}

async fn many(
    options: &Options,
    node: &mut Hearth,
    source: &std::path::Path,
    loader: Workerd,
) -> anyhow::Result<Many> {
    eprintln!("isolates: deploy {} functions", options.isolates);
    let names: Vec<_> = (0..options.isolates).map(|n| format!("many-{n}")).collect();
    let before = process::memory(node.id()?)?;
    for name in &names {
        deploy(node, name, source).await?;
    }
    let hearth = process::memory(node.id()?)?.saturating_sub(before);
    let hearth_deployed = first_requests(node, &names).await?;
    node.restart().await?;
    // Starts the engine, which is not what a function costs.
    load::once(&node.invocation("hello", "{}", EXPECTED)?).await?;
    let hearth_again = first_requests(node, &names).await?;
    process::kill_below(node.id()?, "workerd").await?;
    load::once(&node.invocation("hello", "{}", EXPECTED)?).await?;
    let hearth_cold = first_requests(node, &names).await?;

    load::once(&loader.target("/first")).await?;
    let before = process::memory(loader.id()?)?;
    let mut latencies = Vec::new();
    for name in &names {
        latencies.push(load::once(&loader.target(&format!("/{name}"))).await?);
    }
    let workerd = process::memory(loader.id()?)?.saturating_sub(before);
    loader.stop().await?;
    let each = u64::try_from(options.isolates.max(1)).unwrap_or(u64::MAX);
    Ok(Many {
        hearth_again,
        hearth_cold,
        workerd_cold: sample(latencies),
        hearth_deployed,
        hearth_bytes: hearth / each,
        workerd_bytes: workerd / each,
    })
}

async fn first_requests(node: &Hearth, names: &[String]) -> anyhow::Result<Sample> {
    let mut latencies = Vec::new();
    for name in names {
        latencies.push(load::once(&node.invocation(name, "{}", EXPECTED)?).await?);
    }
    Ok(sample(latencies))
}

fn sample(latencies: Vec<Duration>) -> Sample {
    Sample::of(latencies, Duration::from_secs(1))
}

fn ratios(lines: &Lines) -> String {
    let mut text = String::from(
        "| worker | Hearth over workerd | rate, 1 caller | 16 | 64 | p50, 1 caller | 16 | 64 |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    let row = report::row(lines, (GROUP, HEARTH, WORKERD), &CALLERS, &[rates, medians]);
    text += &row.unwrap_or_default();
    text + "\n"
}

fn counted(options: &Options, many: &Many) -> String {
    let line = |what: &str, sample: &Sample| {
        format!(
            "| {what} | {:.0} | {:.0} |\n",
            micros(sample.p50),
            micros(sample.p99)
        )
    };
    let mut text = format!(
        "| first requests of {} isolates | p50 µs | p99 µs |\n|---|---:|---:|\n",
        options.isolates
    );
    text += &line("Hearth, Invoke, deployed", &many.hearth_deployed);
    text += &line("Hearth, Invoke, node started again", &many.hearth_again);
    text += &line("Hearth, Invoke, isolate is made", &many.hearth_cold);
    text += &line("workerd's loader, isolate is made", &many.workerd_cold);
    let kib = |bytes: u64| bytes >> 10;
    text + &format!(
        "\n| memory | KiB for each isolate |\n|---|---:|\n| Hearth, node and engine | {} |\n| workerd's loader | {} |\n\n",
        kib(many.hearth_bytes),
        kib(many.workerd_bytes)
    )
}

fn aims(lines: &Lines, many: &Many) -> Aims {
    let mut aims = Aims::default();
    for callers in CALLERS {
        let rate = lines.compare(GROUP, HEARTH, WORKERD, callers, rates);
        let aim = format!("requests per second over workerd's, {callers} callers");
        aims.at_least(aim, 0.7, rate);
    }
    let p50 = |name| lines.median(GROUP, name, 1).map(|sample| sample.p50);
    let added = p50(HEARTH).zip(p50(WORKERD));
    let added = added.map(|(ours, other)| ours.saturating_sub(other).as_secs_f64() * 1e3);
    aims.at_most("added p50, 1 caller, ms".to_owned(), 0.25, added);
    let cold = medians(&many.hearth_cold, &many.workerd_cold);
    aims.at_most(
        "isolate's first request over workerd's loader".to_owned(),
        1.2,
        cold,
    );
    let memory = many.hearth_bytes as f64 / many.workerd_bytes.max(1) as f64;
    aims.at_most(
        "memory of an isolate over workerd's".to_owned(),
        1.1,
        Some(memory),
    );
    aims
}
