//! The suite's tables, as Markdown, and what is aimed at.

use super::cold::Cold;
use super::instance::Instance;
use super::memory::{DEPLOYED, Memory, RUNNING};
use super::warm::{self, AGAINST};
use super::{lookup, neighbour};
use crate::report::{self, Aims, Lines, medians, micros, millis, processor_times, rates, tails};

/// What was measured.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) warm: Option<Lines>,
    pub(crate) neighbour: Option<Lines>,
    pub(crate) cold: Option<Cold>,
    pub(crate) memory: Option<Memory>,
    pub(crate) lookup: Option<Lines>,
    pub(crate) instance: Option<Instance>,
}

/// The tables, as Markdown.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    if let Some(lines) = &results.warm {
        text += &lines.table("component");
        text += &ratios(lines);
    }
    if let Some(instance) = &results.instance {
        text += &instances(instance);
    }
    if let Some(cold) = &results.cold {
        text += &first_requests(cold);
    }
    for lines in [&results.lookup, &results.neighbour].into_iter().flatten() {
        text += &lines.table("");
    }
    if let Some(memory) = &results.memory {
        text += &memories(memory);
    }
    text + &aims(results).table()
}

fn ratios(lines: &Lines) -> String {
    let mut text = String::from(
        "| component | Hearth over a peer | rate, 1 caller | 16 | 64 | processor time, 1 caller | 16 | 64 |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for pair in AGAINST {
        let row = report::row(lines, pair, &warm::CALLERS, &[rates, processor_times]);
        text += &row.unwrap_or_default();
    }
    text + "\n"
}

fn instances(instance: &Instance) -> String {
    let mut text = String::from(
        "| in one process | the wall p50 µs | p99 µs | Wasmtime alone p50 µs | p99 µs | ratio of p50 |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let lines = [
        ("instance start", &instance.start, &instance.start_bare),
        ("whole request", &instance.request, &instance.request_bare),
    ];
    for (name, ours, bare) in lines {
        text += &format!(
            "| {name} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |\n",
            micros(ours.p50),
            micros(ours.p99),
            micros(bare.p50),
            micros(bare.p99),
            ours.p50.div_duration_f64(bare.p50),
        );
    }
    text + "\n"
}

fn first_requests(cold: &Cold) -> String {
    let mut text = String::from("| first request | p50 ms | p99 ms |\n|---|---:|---:|\n");
    let lines = [
        ("Hearth, deployed and never asked", &cold.deployed),
        ("Hearth, after the node was started again", &cold.restarted),
        (
            "wasmtime serve, from no process, compiled before",
            &cold.serve,
        ),
    ];
    for (name, sample) in lines {
        text += &format!(
            "| {name} | {:.2} | {:.2} |\n",
            millis(sample.p50),
            millis(sample.p99)
        );
    }
    text + "\n"
}

fn memories(memory: &Memory) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    format!(
        "| memory, MiB | Hearth | wasmtime serve |\n|---|---:|---:|\n\
         | started, nothing deployed or asked | {:.1} | {:.1} |\n\
         | {DEPLOYED} deployed functions, besides | {:.1} | {:.0} (a process for each) |\n\
         | {RUNNING} requests in flight, besides | {:.1} | {:.1} |\n\n",
        mib(memory.empty),
        mib(memory.serve),
        mib(memory.deployed),
        mib(memory.serve) * f64::from(DEPLOYED),
        mib(memory.running),
        mib(memory.serve_running),
    )
}

/// What is aimed at, and whether it holds.
fn aims(results: &Results) -> Aims {
    let mut aims = Aims::default();
    if let Some(lines) = &results.warm {
        let pairs = [
            ("fresh", warm::URL_FRESH, warm::SERVE_TUNED),
            ("reused", warm::URL_REUSED, warm::SERVE_REUSED),
        ];
        for (mode, ours, peer) in pairs {
            for callers in warm::CALLERS {
                aims.at_least(
                    format!("rate over `wasmtime serve`, {mode}, {callers} callers"),
                    1.0,
                    lines.compare(warm::RUST, ours, peer, callers, rates),
                );
            }
        }
    }
    if let Some(instance) = &results.instance {
        aims.at_most(
            "instance start over Wasmtime's own".to_owned(),
            1.3,
            medians(&instance.start, &instance.start_bare),
        );
    }
    if let Some(cold) = &results.cold {
        for (when, sample) in [
            ("deployed", &cold.deployed),
            ("node restarted", &cold.restarted),
        ] {
            let p99 = millis(sample.p99);
            aims.add(
                format!("first request, {when}, p99: below 5 ms"),
                format!("{p99:.2} ms"),
                p99 < 5.0,
            );
        }
    }
    if let Some(lines) = &results.lookup {
        for callers in lookup::CALLERS {
            aims.at_most(
                format!("p50 with many functions over few, {callers} callers"),
                1.1,
                lines.compare(
                    lookup::GROUP,
                    lookup::LARGE,
                    lookup::SMALL,
                    callers,
                    medians,
                ),
            );
        }
    }
    if let Some(lines) = &results.neighbour {
        let (group, beside, alone) = (neighbour::GROUP, neighbour::BESIDE, neighbour::ALONE);
        for callers in neighbour::CALLERS {
            aims.at_most(
                format!("p99 beside a loop over alone, {callers} callers"),
                2.0,
                lines.compare(group, beside, alone, callers, tails),
            );
        }
    }
    aims
}
