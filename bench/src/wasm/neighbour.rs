//! The noisy neighbour: a hello, alone and beside a function that never stops computing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use super::functions::{self, Package, Settings};
use super::{EXPECTED, Suite};
use crate::function_url::{self, Mode};
use crate::load::{self, Connection, Target};
use crate::report::Lines;

/// How many callers ask at the same time.
pub(crate) const CALLERS: [usize; 2] = [1, 16];
/// How the lines are named.
pub(crate) const GROUP: &str = "neighbour";
pub(crate) const ALONE: &str = "hello alone";
pub(crate) const BESIDE: &str = "hello beside a loop";

pub(crate) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Lines> {
    let node = &suite.node;
    let hello = Package::read(&suite.component("hello.wasm"))?;
    functions::deploy(node, "quiet", &hello, &Settings::default()).await?;
    let looping = Settings {
        timeout_s: Some(1),
        ..Settings::default()
    };
    let abuse = Package::read(&suite.component("abuse.wasm"))?;
    functions::deploy(node, "noisy", &abuse, &looping).await?;
    let quiet = function_url::make(&node.access, "quiet", Mode::Buffered)
        .await?
        .target(node, "/", EXPECTED);
    let noisy = function_url::make(&node.access, "noisy", Mode::Buffered)
        .await?
        .target(node, "/loop", EXPECTED);
    let duration = Duration::from_secs_f64(suite.options.seconds);
    let mut lines = Lines::default();
    for round in 0..suite.options.rounds {
        eprintln!("neighbour: round {} of {}", round + 1, suite.options.rounds);
        for callers in CALLERS {
            load::run(&quiet, callers, duration / 4).await?;
            lines.add(
                GROUP,
                ALONE,
                callers,
                load::run(&quiet, callers, duration).await?,
            );
            let over = Arc::new(AtomicBool::new(false));
            let noise = tokio::spawn(make_noise(noisy.clone(), over.clone()));
            load::run(&quiet, callers, duration / 4).await?;
            lines.add(
                GROUP,
                BESIDE,
                callers,
                load::run(&quiet, callers, duration).await?,
            );
            over.store(true, Ordering::Relaxed);
            noise.await.context("make noise")??;
        }
    }
    Ok(lines)
}

/// Keeps one request in flight that computes until its function's time is over.
async fn make_noise(target: Target, over: Arc<AtomicBool>) -> anyhow::Result<()> {
    while !over.load(Ordering::Relaxed) {
        let mut connection = Connection::open(target.address).await?;
        let answer = connection.exchange(&target.request).await?;
        anyhow::ensure!(
            answer.status >= 500,
            "a loop was answered {}",
            answer.status
        );
    }
    Ok(())
}
