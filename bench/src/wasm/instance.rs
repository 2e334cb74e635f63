//! One instance: what the wall adds to Wasmtime itself. Measured by a program of its own, `hearth-bench-instance`.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::Suite;
use crate::load::Sample;

/// What was measured, ours and bare.
pub(crate) struct Instance {
    /// Making the instance.
    pub(crate) start: Sample,
    pub(crate) start_bare: Sample,
    /// From the request to the whole answer.
    pub(crate) request: Sample,
    pub(crate) request_bare: Sample,
}

pub(crate) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Instance> {
    eprintln!("instance");
    let output = Command::new(&suite.options.instance)
        .arg(suite.component("hello.wasm"))
        .output()
        .await
        .context("run hearth-bench-instance")?;
    ensure!(
        output.status.success(),
        "hearth-bench-instance: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let figures: Value =
        serde_json::from_slice(&output.stdout).context("read hearth-bench-instance's figures")?;
    let sample = |name: &str| {
        let nanoseconds = |at: usize| {
            let figure = figures[name][at].as_u64();
            figure
                .map(Duration::from_nanos)
                .with_context(|| format!("find {name}"))
        };
        anyhow::Ok(Sample {
            p50: nanoseconds(0)?,
            p99: nanoseconds(1)?,
            ..Sample::default()
        })
    };
    Ok(Instance {
        start: sample("start")?,
        start_bare: sample("start_bare")?,
        request: sample("request")?,
        request_bare: sample("request_bare")?,
    })
}
