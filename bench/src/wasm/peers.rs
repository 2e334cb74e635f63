//! Peers: what else serves a component, or the same JavaScript, over HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::process::{Child, Command};

use super::get;
use crate::load::{self, Target};
use crate::process;

/// A peer that runs.
pub(crate) struct Peer {
    pub(crate) target: Target,
    process: Child,
}

impl Peer {
    /// Its process.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.process.id().context("the peer runs")
    }

    /// Waits until it is gone.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("stop a peer")
    }
}

/// How `wasmtime serve` is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    /// As it comes: the pooling allocator with its default sizes, a fresh instance for each request.
    Default,
    /// With [`TUNED`], and a fresh instance for each request.
    Tuned,
    /// The same, with an instance serving up to 128 requests, one at a time.
    Reused,
}

/// The settings that took the least processor time, of those that were tried with both components: up to 512 KiB of what
/// an instance touched stay resident and are written over, as far as the kernel says that they were touched; the rest
/// is given back eight at a time. Without `pagemap-scan` the whole kept part is written over, 10 MiB of it keep nothing
/// more, and resident asynchronous stacks gain nothing.
const TUNED: [&str; 10] = [
    "-O",
    "pooling-allocator=y",
    "-O",
    "pooling-memory-keep-resident=524288",
    "-O",
    "pooling-table-keep-resident=524288",
    "-O",
    "pooling-pagemap-scan=auto",
    "-O",
    "pooling-decommit-batch-size=8",
];

/// `wasmtime serve`.
pub(crate) struct Wasmtime {
    pub(crate) program: PathBuf,
}

impl Wasmtime {
    /// Serves `component`, or a component that it compiled before, if the file's name ends in `.cwasm`.
    pub(crate) async fn serve(&self, component: &Path, setting: Setting) -> anyhow::Result<Peer> {
        let address = process::free_address()?;
        let mut command = Command::new(&self.program);
        // Components of languages with a runtime import more than the proxy world: Rust's standard library does.
        command.args(["serve", "-S", "cli", "--addr", &address.to_string()]);
        if setting != Setting::Default {
            command.args(TUNED);
        }
        if setting == Setting::Reused {
            command.args(["--max-instance-reuse-count", "128"]);
        }
        if component.extension().is_some_and(|end| end == "cwasm") {
            command.arg("--allow-precompiled");
        }
        start(command.arg(component), address).await
    }

    /// Compiles `component` to `output`.
    pub(crate) async fn compile(&self, component: &Path, output: &Path) -> anyhow::Result<()> {
        let status = Command::new(&self.program)
            .arg("compile")
            .args(TUNED)
            .arg("-o")
            .args([output, component])
            .status()
            .await
            .context("run wasmtime compile")?;
        anyhow::ensure!(status.success(), "wasmtime compile: {status}");
        Ok(())
    }

    /// From nothing to the first answer, with the component compiled before.
    pub(crate) async fn cold(&self, compiled: &Path) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let peer = self.serve(compiled, Setting::Tuned).await?;
        load::once(&peer.target).await?;
        let elapsed = begin.elapsed();
        peer.stop().await?;
        Ok(elapsed)
    }
}

/// `workerd` with one worker, of the same source as the JavaScript component.
pub(crate) async fn workerd(npm: &Path, source: &Path, folder: &Path) -> anyhow::Result<Peer> {
    let address = process::free_address()?;
    let script = folder.join("hello.js");
    std::fs::copy(source, &script).context("copy the worker")?;
    let configuration = folder.join("config.capnp");
    let text = format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .hello)],
  sockets = [(name = "http", address = "{address}", http = (), service = "main")],
);
const hello :Workerd.Worker = (
  serviceWorkerScript = embed "hello.js",
  compatibilityDate = "2025-01-01",
);
"#
    );
    std::fs::write(&configuration, text).context("write workerd's configuration")?;
    let mut command = Command::new(npm.join("node_modules/.bin/workerd"));
    start(command.arg("serve").arg(configuration), address).await
}

async fn start(command: &mut Command, address: SocketAddr) -> anyhow::Result<Peer> {
    Ok(Peer {
        process: process::serve(command, address).await?,
        target: get(address, "/"),
    })
}
