//! The suite's tables, as Markdown, and what is aimed at.

use super::cold::Cold;
use super::instance::Instance;
use super::memory::{DEPLOYED, Memory, RUNNING};
use super::warm::{self, AGAINST};
use super::{lookup, neighbour};
use crate::load::Sample;
use crate::report::{Lines, micros, millis};

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
        text += &under_load("component", lines);
        text += &ratios(lines);
    }
    if let Some(instance) = &results.instance {
        text += &instances(instance);
    }
    if let Some(cold) = &results.cold {
        text += &first_requests(cold);
    }
    for lines in [&results.lookup, &results.neighbour].into_iter().flatten() {
        text += &under_load("", lines);
    }
    if let Some(memory) = &results.memory {
        text += &memories(memory);
    }
    text + &aims(results)
}

fn under_load(head: &str, lines: &Lines) -> String {
    let mut text = format!(
        "| {head} | what | callers | p50 µs | p99 µs | per second | processor µs |\n|---|---|---:|---:|---:|---:|---:|\n"
    );
    for line in &lines.0 {
        let sample = line.median();
        text += &format!(
            "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {} |\n",
            line.group,
            line.name,
            line.callers,
            micros(sample.p50),
            micros(sample.p99),
            sample.per_second,
            sample
                .processor
                .map_or_else(String::new, |taken| format!("{:.0}", micros(taken))),
        );
    }
    text + "\n"
}

fn ratios(lines: &Lines) -> String {
    let mut text = String::from(
        "| component | Hearth over a peer | rate, 1 caller | 16 | 64 | processor time, 1 caller | 16 | 64 |\n|---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for (group, ours, peer) in AGAINST {
        let cells = |ratio: Ratio| -> Vec<String> {
            let ratios = warm::CALLERS
                .iter()
                .filter_map(|callers| compare(lines, group, ours, peer, *callers, ratio));
            ratios.map(|ratio| format!("{ratio:.2}")).collect()
        };
        let cells = [cells(rates), cells(processor_times)].concat();
        if !cells.is_empty() {
            text += &format!("| {group} | {ours} / {peer} | {} |\n", cells.join(" | "));
        }
    }
    text + "\n"
}

/// A ratio of ours to a peer's.
type Ratio = fn(&Sample, &Sample) -> Option<f64>;

fn rates(ours: &Sample, peer: &Sample) -> Option<f64> {
    Some(ours.per_second / peer.per_second)
}

fn processor_times(ours: &Sample, peer: &Sample) -> Option<f64> {
    Some(ours.processor?.div_duration_f64(peer.processor?))
}

fn compare(
    lines: &Lines,
    group: &str,
    ours: &str,
    peer: &str,
    callers: usize,
    ratio: Ratio,
) -> Option<f64> {
    let ours = lines.median(group, ours, callers)?;
    ratio(&ours, &lines.median(group, peer, callers)?)
}

fn over(ours: &Sample, other: &Sample) -> f64 {
    ours.p50.as_secs_f64() / other.p50.as_secs_f64()
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
            over(ours, bare),
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

/// One aim: what it is, what was measured, whether it holds.
fn aims(results: &Results) -> String {
    let mut aims: Vec<(String, String, bool)> = Vec::new();
    if let Some(lines) = &results.warm {
        let pairs = [
            ("fresh", warm::URL_FRESH, warm::SERVE_TUNED),
            ("reused", warm::URL_REUSED, warm::SERVE_REUSED),
        ];
        for (mode, ours, peer) in pairs {
            for callers in warm::CALLERS {
                if let Some(ratio) = compare(lines, warm::RUST, ours, peer, callers, rates) {
                    aims.push((
                        format!(
                            "rate over `wasmtime serve`, {mode}, {callers} callers: 1.0 or more"
                        ),
                        format!("{ratio:.2}"),
                        ratio >= 1.0,
                    ));
                }
            }
        }
    }
    if let Some(instance) = &results.instance {
        let ratio = over(&instance.start, &instance.start_bare);
        aims.push((
            "instance start over Wasmtime's own: 1.3 or less".to_owned(),
            format!("{ratio:.2}"),
            ratio <= 1.3,
        ));
    }
    if let Some(cold) = &results.cold {
        for (when, sample) in [
            ("deployed", &cold.deployed),
            ("node restarted", &cold.restarted),
        ] {
            let p99 = millis(sample.p99);
            aims.push((
                format!("first request, {when}, p99: below 5 ms"),
                format!("{p99:.2} ms"),
                p99 < 5.0,
            ));
        }
    }
    if let Some(lines) = &results.lookup {
        for callers in lookup::CALLERS {
            let small = lines.median(lookup::GROUP, lookup::SMALL, callers);
            let large = lines.median(lookup::GROUP, lookup::LARGE, callers);
            if let (Some(small), Some(large)) = (small, large) {
                let ratio = over(&large, &small);
                aims.push((
                    format!("p50 with many functions over few, {callers} callers: 1.1 or less"),
                    format!("{ratio:.2}"),
                    ratio <= 1.1,
                ));
            }
        }
    }
    if let Some(lines) = &results.neighbour {
        for callers in neighbour::CALLERS {
            let alone = lines.median(neighbour::GROUP, neighbour::ALONE, callers);
            let beside = lines.median(neighbour::GROUP, neighbour::BESIDE, callers);
            if let (Some(alone), Some(beside)) = (alone, beside) {
                let ratio = beside.p99.as_secs_f64() / alone.p99.as_secs_f64();
                aims.push((
                    format!("p99 beside a loop over alone, {callers} callers: 2 or less"),
                    format!("{ratio:.2}"),
                    ratio <= 2.0,
                ));
            }
        }
    }
    let mut text = String::from("| aim | measured | holds |\n|---|---:|---|\n");
    for (aim, measured, holds) in aims {
        let holds = if holds { "yes" } else { "**no**" };
        text += &format!("| {aim} | {measured} | {holds} |\n");
    }
    text
}
