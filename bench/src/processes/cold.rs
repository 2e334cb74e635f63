//! Cold start: the first invocation of code that no environment has, beside the bare interpreter's own start.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::process::Command;

use crate::hearth::Hearth;
use crate::load::{self, Sample};

/// A runtime whose start is measured.
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    pub(crate) folder: &'a Path,
    pub(crate) options: Vec<&'a str>,
    /// The bare way to start the same code: interpreter and import, or the program itself.
    pub(crate) bare: Vec<&'a str>,
}

/// Both sides of a cold start.
pub(crate) struct Cold {
    pub(crate) name: String,
    pub(crate) hearth: Sample,
    pub(crate) bare: Sample,
}

/// Measures both sides in turn: the machine's moods meet both.
pub(crate) async fn measure(
    node: &Hearth,
    start: &Start<'_>,
    rounds: usize,
) -> anyhow::Result<Cold> {
    let (mut hearth, mut bare) = (Vec::new(), Vec::new());
    let name = format!("cold-{}", start.name);
    for round in 0..rounds {
        // A changed environment is a new deployment: no environment that runs can serve it.
        let variable = format!("ROUND={round}");
        let options = [start.options.as_slice(), &["--env", &variable]].concat();
        node.deploy(&name, start.folder, &options).await?;
        let target = node.invocation(&name, super::EVENT, super::EXPECTED)?;
        hearth.push(load::once(&target).await?);
        bare.push(bare_start(start).await?);
    }
    let sample = |latencies| Sample::of(latencies, Duration::from_secs(1));
    Ok(Cold {
        name: start.name.to_owned(),
        hearth: sample(hearth),
        bare: sample(bare),
    })
}

async fn bare_start(start: &Start<'_>) -> anyhow::Result<Duration> {
    let (program, arguments) = start.bare.split_first().context("name a program")?;
    let begin = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .current_dir(start.folder)
        .status()
        .await;
    let status = status.with_context(|| format!("start {program}"))?;
    anyhow::ensure!(status.success(), "{program}: {status}");
    Ok(begin.elapsed())
}
