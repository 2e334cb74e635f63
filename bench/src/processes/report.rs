//! The suite's tables, as Markdown.

use super::cold::Cold;
use crate::report::{Lines, micros, millis};

/// How the floor's lines are named.
pub(crate) const FLOOR: &str = "floor: the language alone";
/// How Hearth's lines are named.
pub(crate) const HEARTH: &str = "Hearth";

/// The tables, as Markdown.
pub(crate) fn markdown(warm: &Lines, cold: &[Cold]) -> String {
    let mut text = String::from(
        "| language | what | callers | p50 µs | p99 µs | per second | Hearth's rate over it |\n|---|---|---:|---:|---:|---:|---:|\n",
    );
    for line in &warm.0 {
        let sample = line.median();
        let hearth = warm.median(line.group, HEARTH, line.callers);
        let ratio = hearth.map_or_else(
            || "-".to_owned(),
            |h| format!("{:.2}", h.per_second / sample.per_second),
        );
        text += &format!(
            "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {ratio} |\n",
            line.group,
            line.name,
            line.callers,
            micros(sample.p50),
            micros(sample.p99),
            sample.per_second,
        );
    }
    text += "\n| language | what the platform adds to a warm invocation at one caller, p50 µs |\n|---|---:|\n";
    for line in warm
        .0
        .iter()
        .filter(|line| line.name == HEARTH && line.callers == 1)
    {
        if let Some(floor) = warm.median(line.group, FLOOR, 1) {
            let added = micros(line.median().p50) - micros(floor.p50);
            text += &format!("| {} | {added:.0} |\n", line.group);
        }
    }
    text += "\n| cold start | Hearth p50 ms | p99 ms | bare p50 ms | p99 ms | ratio of p50 |\n|---|---:|---:|---:|---:|---:|\n";
    for line in cold {
        text += &format!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |\n",
            line.name,
            millis(line.hearth.p50),
            millis(line.hearth.p99),
            millis(line.bare.p50),
            millis(line.bare.p99),
            line.hearth.p50.as_secs_f64() / line.bare.p50.as_secs_f64(),
        );
    }
    text
}
