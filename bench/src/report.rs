//! What tables and plots are made of: lines of rounds, of which the median counts.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use plotters::prelude::*;

use crate::load::Sample;

/// One line of a table: what was called, with how many callers, and each round's figures.
pub(crate) struct Line {
    /// What is compared with each other: a language, a component.
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) callers: usize,
    pub(crate) rounds: Vec<Sample>,
}

/// Lines by group, name and callers.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Vec<Line>);

impl Lines {
    /// Adds a round to its line.
    pub(crate) fn add(&mut self, group: &'static str, name: &str, callers: usize, round: Sample) {
        let same =
            |line: &&mut Line| line.group == group && line.name == name && line.callers == callers;
        match self.0.iter_mut().find(same) {
            Some(line) => line.rounds.push(round),
            None => self.0.push(Line {
                group,
                name: name.to_owned(),
                callers,
                rounds: vec![round],
            }),
        }
    }

    /// The median round of a line.
    pub(crate) fn median(&self, group: &str, name: &str, callers: usize) -> Option<Sample> {
        let line = self
            .0
            .iter()
            .find(|line| line.group == group && line.name == name && line.callers == callers);
        line.map(Line::median)
    }
}

impl Line {
    /// The median round of each figure.
    pub(crate) fn median(&self) -> Sample {
        Sample {
            p50: middle(self.rounds.iter().map(|round| round.p50)),
            p99: middle(self.rounds.iter().map(|round| round.p99)),
            processor: {
                let rounds = self.rounds.iter().filter_map(|round| round.processor);
                self.rounds
                    .first()
                    .and_then(|round| round.processor)
                    .map(|_| middle(rounds))
            },
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

/// Microseconds, for a table.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Milliseconds, for a table.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Requests per second, one bar a line of the table; lines whose names begin with `ours` stand out.
pub(crate) fn plot(path: &Path, lines: &Lines, ours: &str) -> anyhow::Result<()> {
    let height = 60 + 22 * u32::try_from(lines.0.len()).unwrap_or(u32::MAX / 64);
    let area = SVGBackend::new(path, (1_000, height)).into_drawing_area();
    area.fill(&WHITE).context("draw the plot")?;
    let most = lines
        .0
        .iter()
        .map(|line| line.median().per_second)
        .fold(1.0, f64::max);
    let label = ("sans-serif", 13).into_font();
    let title = "warm requests per second (median of the rounds)";
    area.draw(&Text::new(title, (10, 10), ("sans-serif", 18).into_font()))
        .context("draw the plot")?;
    for (index, line) in (0_i32..).zip(&lines.0) {
        let rate = line.median().per_second;
        let (top, width) = (44 + 22 * index, (rate / most * 560.0) as i32);
        let colour = if line.name.starts_with(ours) {
            RGBColor(214, 93, 14)
        } else {
            RGBColor(131, 148, 150)
        };
        let bar = Rectangle::new([(350, top), (350 + width, top + 16)], colour.filled());
        area.draw(&bar).context("draw the plot")?;
        let name = format!("{} · {} · {} callers", line.group, line.name, line.callers);
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
