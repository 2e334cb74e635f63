//! Tables for people, and a plot.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use plotters::prelude::*;

use crate::cold::Cold;
use crate::load::Sample;

/// One line of the table of warm invocations: what was called, with how many callers, and each round's figures.
pub(crate) struct Warm {
    pub(crate) language: &'static str,
    pub(crate) name: String,
    pub(crate) callers: usize,
    pub(crate) rounds: Vec<Sample>,
}

/// How the floor's lines are named.
pub(crate) const FLOOR: &str = "floor: the language alone";
/// How Hearth's lines are named.
pub(crate) const HEARTH: &str = "Hearth";

impl Warm {
    /// The median round of each figure.
    pub(crate) fn median(&self) -> Sample {
        Sample {
            p50: middle(self.rounds.iter().map(|round| round.p50)),
            p99: middle(self.rounds.iter().map(|round| round.p99)),
            per_second: {
                let mut rates: Vec<f64> =
                    self.rounds.iter().map(|round| round.per_second).collect();
                rates.sort_by(f64::total_cmp);
                rates.get(rates.len() / 2).copied().unwrap_or_default()
            },
        }
    }
}

fn middle(durations: impl Iterator<Item = Duration>) -> Duration {
    let mut durations: Vec<Duration> = durations.collect();
    durations.sort_unstable();
    durations
        .get(durations.len() / 2)
        .copied()
        .unwrap_or_default()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The tables, as Markdown.
pub(crate) fn markdown(warm: &[Warm], cold: &[Cold]) -> String {
    let mut text = String::from(
        "| language | what | callers | p50 µs | p99 µs | per second | Hearth's rate over it |\n|---|---|---:|---:|---:|---:|---:|\n",
    );
    for line in warm {
        let sample = line.median();
        let hearth = find(warm, line.language, HEARTH, line.callers).map(Warm::median);
        let ratio = hearth.map_or_else(
            || "-".to_owned(),
            |h| format!("{:.2}", h.per_second / sample.per_second),
        );
        text += &format!(
            "| {} | {} | {} | {:.0} | {:.0} | {:.0} | {ratio} |\n",
            line.language,
            line.name,
            line.callers,
            micros(sample.p50),
            micros(sample.p99),
            sample.per_second,
        );
    }
    text += "\n| language | what the platform adds to a warm invocation at one caller, p50 µs |\n|---|---:|\n";
    for line in warm
        .iter()
        .filter(|line| line.name == HEARTH && line.callers == 1)
    {
        if let Some(floor) = find(warm, line.language, FLOOR, 1) {
            let added = micros(line.median().p50) - micros(floor.median().p50);
            text += &format!("| {} | {added:.0} |\n", line.language);
        }
    }
    text += "\n| cold start | Hearth p50 ms | p99 ms | bare p50 ms | p99 ms | ratio of p50 |\n|---|---:|---:|---:|---:|---:|\n";
    for line in cold {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        text += &format!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |\n",
            line.name,
            ms(line.hearth.p50),
            ms(line.hearth.p99),
            ms(line.bare.p50),
            ms(line.bare.p99),
            line.hearth.p50.as_secs_f64() / line.bare.p50.as_secs_f64(),
        );
    }
    text
}

fn find<'a>(warm: &'a [Warm], language: &str, name: &str, callers: usize) -> Option<&'a Warm> {
    warm.iter()
        .find(|line| line.language == language && line.name == name && line.callers == callers)
}

/// Invocations per second, one bar a line of the table.
pub(crate) fn plot(path: &Path, warm: &[Warm]) -> anyhow::Result<()> {
    let height = 60 + 22 * u32::try_from(warm.len()).unwrap_or(u32::MAX / 64);
    let area = SVGBackend::new(path, (1_000, height)).into_drawing_area();
    area.fill(&WHITE).context("draw the plot")?;
    let most = warm
        .iter()
        .map(|line| line.median().per_second)
        .fold(1.0, f64::max);
    let label = ("sans-serif", 13).into_font();
    let title = "warm invocations per second (median of the rounds)";
    area.draw(&Text::new(title, (10, 10), ("sans-serif", 18).into_font()))
        .context("draw the plot")?;
    for (index, line) in (0_i32..).zip(warm) {
        let rate = line.median().per_second;
        let (top, width) = (44 + 22 * index, (rate / most * 560.0) as i32);
        let colour = if line.name == HEARTH {
            RGBColor(214, 93, 14)
        } else {
            RGBColor(131, 148, 150)
        };
        let bar = Rectangle::new([(350, top), (350 + width, top + 16)], colour.filled());
        area.draw(&bar).context("draw the plot")?;
        let name = format!(
            "{} · {} · {} callers",
            line.language, line.name, line.callers
        );
        area.draw(&Text::new(name, (10, top + 2), label.clone()))
            .context("draw the plot")?;
        area.draw(&Text::new(
            format!("{rate:.0}"),
            (356 + width, top + 2),
            label.clone(),
        ))
        .context("draw the plot")?;
    }
    area.present().context("write the plot")?;
    Ok(())
}
