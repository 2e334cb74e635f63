//! What tables and plots are made of: lines of rounds, of which the median counts, and what is aimed at.

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

    /// A line's figure in relation to another's, if both were measured.
    pub(crate) fn compare(
        &self,
        group: &str,
        ours: &str,
        other: &str,
        callers: usize,
        relation: Relation,
    ) -> Option<f64> {
        let ours = self.median(group, ours, callers)?;
        relation(&ours, &self.median(group, other, callers)?)
    }

    /// All lines as a table in Markdown. `head` says what groups are.
    pub(crate) fn table(&self, head: &str) -> String {
        let mut text = format!(
            "| {head} | what | callers | p50 µs | p99 µs | per second | processor µs |\n|---|---|---:|---:|---:|---:|---:|\n"
        );
        for line in &self.0 {
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
}

/// How one sample relates to another; `None` where it lacks the figure.
pub(crate) type Relation = fn(&Sample, &Sample) -> Option<f64>;

/// Requests per second, ours over another's.
pub(crate) fn rates(ours: &Sample, other: &Sample) -> Option<f64> {
    Some(ours.per_second / other.per_second)
}

/// Processor time for a request, ours over another's.
pub(crate) fn processor_times(ours: &Sample, other: &Sample) -> Option<f64> {
    Some(ours.processor?.div_duration_f64(other.processor?))
}

/// Median latencies, ours over another's.
pub(crate) fn medians(ours: &Sample, other: &Sample) -> Option<f64> {
    Some(ours.p50.div_duration_f64(other.p50))
}

/// Latencies at the 99th percentile, ours over another's.
pub(crate) fn tails(ours: &Sample, other: &Sample) -> Option<f64> {
    Some(ours.p99.div_duration_f64(other.p99))
}

/// A row of a table in Markdown: a line's relation to another's for each number of callers, for each kind of relation.
/// `None` if nothing was measured.
pub(crate) fn row(
    lines: &Lines,
    (group, ours, other): (&str, &str, &str),
    callers: &[usize],
    relations: &[Relation],
) -> Option<String> {
    let cells: Vec<String> = relations
        .iter()
        .flat_map(|relation| {
            let compare = |callers: &usize| lines.compare(group, ours, other, *callers, *relation);
            callers.iter().filter_map(compare)
        })
        .map(|figure| format!("{figure:.2}"))
        .collect();
    (!cells.is_empty()).then(|| format!("| {group} | {ours} / {other} | {} |\n", cells.join(" | ")))
}

/// What is aimed at, what was measured, and whether it holds.
#[derive(Default)]
pub(crate) struct Aims(Vec<(String, String, bool)>);

impl Aims {
    pub(crate) fn add(&mut self, aim: String, measured: String, holds: bool) {
        self.0.push((aim, measured, holds));
    }

    /// A relation that should be at least so much, if it was measured.
    pub(crate) fn at_least(&mut self, aim: String, least: f64, measured: Option<f64>) {
        if let Some(measured) = measured {
            self.add(
                format!("{aim}: {least} or more"),
                format!("{measured:.2}"),
                measured >= least,
            );
        }
    }

    /// A relation that should be at most so much, if it was measured.
    pub(crate) fn at_most(&mut self, aim: String, most: f64, measured: Option<f64>) {
        if let Some(measured) = measured {
            self.add(
                format!("{aim}: {most} or less"),
                format!("{measured:.2}"),
                measured <= most,
            );
        }
    }

    /// The table, as Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("| aim | measured | holds |\n|---|---:|---|\n");
        for (aim, measured, holds) in &self.0 {
            let holds = if *holds { "yes" } else { "**no**" };
            text += &format!("| {aim} | {measured} | {holds} |\n");
        }
        text
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
