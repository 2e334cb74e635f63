//! Cold start: the first request of functions that nobody has asked yet. Each has a component of its own, so that
//! nothing is shared but the engine.

use std::time::Duration;

use super::Suite;
use super::functions::{self, Package, Settings};
use crate::load::{self, Sample};

/// What was measured.
pub(crate) struct Cold {
    /// The node that deployed them is still the one that is asked.
    pub(crate) deployed: Sample,
    /// The node was started again: compiled components are on its disk, and nothing of them in its memory.
    pub(crate) restarted: Sample,
    /// `wasmtime serve`: from no process to the first answer, with the component compiled before.
    pub(crate) serve: Sample,
}

const PREFIX: &str = "cold";

pub(crate) async fn measure(suite: &mut Suite<'_>) -> anyhow::Result<Cold> {
    let count = suite.options.cold;
    let component = suite.component("hello.wasm");
    let package = Package::read(&component)?;
    eprintln!("cold: deploy {count} functions, each of its own component");
    functions::deploy_many(&suite.node, PREFIX, 0..2 * count, &package, true).await?;
    let deployed = first_requests(suite, 0..count).await?;
    suite.node.restart().await?;
    // What a node loads for its very first request is not what a function costs.
    functions::deploy(&suite.node, "first", &package, &Settings::default()).await?;
    load::once(&suite.node.invocation("first", "{}", super::EXPECTED)?).await?;
    let restarted = first_requests(suite, count..2 * count).await?;

    let folder = tempfile::tempdir()?;
    let compiled = folder.path().join("hello.cwasm");
    suite.wasmtime.compile(&component, &compiled).await?;
    let mut serve = Vec::new();
    for _ in 0..count.div_ceil(4) {
        serve.push(suite.wasmtime.cold(&compiled).await?);
    }
    Ok(Cold {
        deployed,
        restarted,
        serve: sample(serve),
    })
}

async fn first_requests(
    suite: &Suite<'_>,
    numbers: std::ops::Range<u32>,
) -> anyhow::Result<Sample> {
    let mut latencies = Vec::new();
    for number in numbers {
        let name = format!("{PREFIX}-{number}");
        let target = suite.node.invocation(&name, "{}", super::EXPECTED)?;
        latencies.push(load::once(&target).await?);
    }
    Ok(sample(latencies))
}

fn sample(latencies: Vec<Duration>) -> Sample {
    Sample::of(latencies, Duration::from_secs(1))
}
