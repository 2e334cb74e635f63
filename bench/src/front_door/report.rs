//! The suite's tables, as Markdown, and what is aimed at.

use super::web::{self, Web};
use super::{fixed, lookup, stream};
use crate::floor::FLOOR;
use crate::peers::FUNCTIONS_FRAMEWORK;
use crate::report::{self, Aims, Lines, medians, millis, rates};

/// What was measured.
#[derive(Default)]
pub(super) struct Results {
    pub(super) fixed: Option<Lines>,
    pub(super) web: Option<Web>,
    pub(super) stream: Option<Lines>,
    pub(super) lookup: Option<Lines>,
}

/// The tables, as Markdown.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    if let Some(web) = &results.web {
        text += &web.lines.table("server");
        text += &ratios(&web.lines);
    }
    for lines in [&results.stream, &results.lookup, &results.fixed] {
        text += &lines
            .as_ref()
            .map_or_else(String::new, |lines| lines.table(""));
    }
    text += &aims(results).table();
    for line in results.web.iter().flat_map(|web| &web.missing) {
        text += &format!("\nnot measured: {line}\n");
    }
    text
}

fn ratios(lines: &Lines) -> String {
    let mut text = String::from(
        "| server | Hearth over another | rate, 1 caller | 16 | 64 |\n|---|---|---:|---:|---:|\n",
    );
    for group in [web::FASTAPI, web::EXPRESS] {
        for (ours, other) in web::AGAINST {
            let row = report::row(lines, (group, ours, other), &web::CALLERS, &[rates]);
            text += &row.unwrap_or_default();
        }
    }
    text + "\n"
}

/// What is aimed at, and whether it holds.
fn aims(results: &Results) -> Aims {
    let mut aims = Aims::default();
    if let Some(Web { lines, .. }) = &results.web {
        for group in [web::FASTAPI, web::EXPRESS] {
            for (other, least) in [(web::BARE, 0.9), (FUNCTIONS_FRAMEWORK, 2.0)] {
                for callers in web::CALLERS {
                    aims.at_least(
                        format!("{group}: rate over {other}, {callers} callers"),
                        least,
                        lines.compare(group, web::URL, other, callers, rates),
                    );
                }
            }
        }
    }
    if let Some(lines) = &results.stream {
        for name in [stream::SERVER, stream::FUNCTION] {
            for callers in stream::CALLERS {
                let first = |name| lines.median(stream::FIRST_BYTE, name, callers);
                if let (Some(ours), Some(bare)) = (first(name), first(stream::BARE)) {
                    let added = millis(ours.p50) - millis(bare.p50);
                    aims.add(
                        format!(
                            "{name}: added to the first byte, p50, {callers} callers: below 1 ms"
                        ),
                        format!("{added:.2} ms"),
                        added < 1.0,
                    );
                }
            }
        }
    }
    if let Some(lines) = &results.lookup {
        for callers in lookup::CALLERS {
            aims.at_most(
                format!("p50 with many routes over few, {callers} callers"),
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
    if let Some(lines) = &results.fixed {
        for callers in fixed::CALLERS {
            aims.at_least(
                format!("fixed answer: rate over a bare hyper server, {callers} callers"),
                0.8,
                lines.compare(fixed::GROUP, fixed::ROUTE, FLOOR, callers, rates),
            );
        }
    }
    aims
}
