//! Memory: what deployed functions take, and what running ones do.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::functions::{self, Package, Settings};
use super::peers::Setting;
use super::{EXPECTED, Suite, get};
use crate::function_url::{self, Mode};
use crate::hearth::Hearth;
use crate::load::{self, Target};
use crate::process;

/// Functions that are deployed, and requests that are in flight.
pub(crate) const DEPLOYED: u32 = 1_000;
pub(crate) const RUNNING: u32 = 100;

/// Processes of `wasmtime serve` whose mean stands for those of all functions: each serves one component.
const SERVERS: u32 = 10;

/// How long a request stays in flight: its memory is read in the middle.
const IN_FLIGHT: Duration = Duration::from_secs(3);

/// Proportional set sizes, bytes.
pub(crate) struct Memory {
    /// A node with nothing deployed.
    pub(crate) empty: u64,
    /// What [`DEPLOYED`] functions of one component add, before anybody asks.
    pub(crate) deployed: u64,
    /// What [`RUNNING`] requests in flight add.
    pub(crate) running: u64,
    /// One idle process of `wasmtime serve`, among others.
    pub(crate) serve: u64,
    /// What [`RUNNING`] requests in flight add to one such process.
    pub(crate) serve_running: u64,
}

pub(crate) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Memory> {
    eprintln!("memory: deploy {DEPLOYED} functions");
    let node = Hearth::start(&suite.options.places.hearth).await?;
    let id = node.id()?;
    let empty = process::memory(id)?;
    let hello = Package::read(&suite.component("hello.wasm"))?;
    functions::deploy_many(&node, "idle", 0..DEPLOYED, &hello, false).await?;
    let with_functions = process::memory(id)?;

    let sleeper = suite.component("abuse.wasm");
    let settings = Settings {
        timeout_s: Some(30),
        ..Settings::default()
    };
    functions::deploy(&node, "sleeper", &Package::read(&sleeper)?, &settings).await?;
    let url = function_url::make(&node.access, "sleeper", Mode::Buffered).await?;
    let running = in_flight(id, |path| url.target(&node, path, EXPECTED)).await?;
    node.stop().await?;

    let (serve, serve_running) = servers(suite, &sleeper).await?;
    Ok(Memory {
        empty,
        deployed: with_functions.saturating_sub(empty),
        running,
        serve,
        serve_running,
    })
}

async fn servers(suite: &Suite<'_>, component: &Path) -> anyhow::Result<(u64, u64)> {
    let mut servers = Vec::new();
    for _ in 0..SERVERS {
        servers.push(suite.wasmtime.serve(component, Setting::Tuned).await?);
    }
    let mut total = 0;
    for server in &servers {
        total += process::memory(server.id()?)?;
    }
    let one = servers.first().context("start a server")?;
    let address = one.target.address;
    let running = in_flight(one.id()?, |path| get(address, path)).await?;
    for server in servers {
        server.stop().await?;
    }
    Ok((total / u64::from(SERVERS), running))
}

/// What requests in flight add to the memory of process `id`.
async fn in_flight(id: u32, target: impl Fn(&str) -> Target) -> anyhow::Result<u64> {
    let asleep = |duration: Duration| {
        let mut target = target(&format!("/sleep?ms={}", duration.as_millis()));
        target.expected = b"slept".as_slice().into();
        target
    };
    // The component is loaded before: that is paid once, not for each request.
    load::once(&asleep(Duration::from_millis(1))).await?;
    let before = process::memory(id)?;
    let requests: Vec<_> = (0..RUNNING)
        .map(|_| {
            let target = asleep(IN_FLIGHT);
            tokio::spawn(async move { load::once(&target).await })
        })
        .collect();
    tokio::time::sleep(IN_FLIGHT / 2).await;
    let during = process::memory(id)?;
    for request in requests {
        request.await.context("wait for a request")??;
    }
    Ok(during.saturating_sub(before))
}
