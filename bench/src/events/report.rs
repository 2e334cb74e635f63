//! The suite's tables, as Markdown, and what is aimed at.

use super::accept::{self, Accept};
use super::backlog::{self, Backlog};
use crate::report::{self, Aims, Lines, rates};

/// What was measured.
#[derive(Default)]
pub(super) struct Results {
    pub(super) accept: Option<Accept>,
    pub(super) run: Option<Lines>,
    pub(super) backlog: Option<Backlog>,
}

/// The tables, as Markdown.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    let accept = results.accept.as_ref().map(|accept| &accept.lines);
    let backlog = results.backlog.as_ref().map(|backlog| &backlog.lines);
    for lines in [accept, results.run.as_ref(), backlog]
        .into_iter()
        .flatten()
    {
        text += &lines.table("");
    }
    if let Some(Accept { lines, others, .. }) = &results.accept {
        text +=
            "|  | Hearth over another | rate, 1 caller | 16 | 256 |\n|---|---|---:|---:|---:|\n";
        for other in others {
            let compared = (accept::GROUP, accept::HEARTH, *other);
            text += &report::row(lines, compared, &accept::CALLERS, &[rates]).unwrap_or_default();
        }
        text += "\n";
    }
    if let Some(Backlog { filling, .. }) = &results.backlog {
        text +=
            "| events that wait | taken per second meanwhile | memory, MiB |\n|---:|---:|---:|\n";
        for (waiting, rate, memory) in filling {
            text += &format!("| {waiting} | {rate:.0} | {:.0} |\n", mib(*memory));
        }
        text += "\n";
    }
    text += &aims(results).table();
    for line in results.accept.iter().flat_map(|accept| &accept.missing) {
        text += &format!("\nnot measured: {line}\n");
    }
    text
}

/// What is aimed at, and whether it holds.
fn aims(results: &Results) -> Aims {
    let mut aims = Aims::default();
    if let Some(Accept { lines, others, .. }) = &results.accept {
        let callers = accept::CALLERS[accept::CALLERS.len() - 1];
        for other in others {
            aims.at_least(
                format!("accepted: rate over {other}, {callers} callers"),
                1.0,
                lines.compare(accept::GROUP, accept::HEARTH, other, callers, rates),
            );
        }
    }
    if let Some(Backlog { lines, filling }) = &results.backlog {
        for group in [backlog::TAKEN, backlog::RUN] {
            let (ours, other) = (backlog::FULL, backlog::EMPTY);
            aims.at_least(
                format!("{group}: rate with a full queue over without"),
                0.8,
                lines.compare(group, ours, other, backlog::CALLERS, rates),
            );
        }
        if let (Some((_, _, first)), Some((_, _, last))) = (filling.first(), filling.last()) {
            aims.at_most(
                "memory with a full queue over one of a tenth".to_owned(),
                1.2,
                Some(*last as f64 / *first as f64),
            );
        }
    }
    aims
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
