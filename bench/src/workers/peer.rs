//! The peer: `workerd serve` alone, on the same worker.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::{Child, Command};

use crate::load::Target;
use crate::process;

/// The compatibility date of all workers here.
pub(super) const DATE: &str = "2026-11-01";

/// A `workerd serve` that runs.
pub(super) struct Workerd {
    pub(super) address: std::net::SocketAddr,
    process: Child,
    _folder: tempfile::TempDir,
}

/// Where npm has put it.
pub(super) fn program(npm: &Path) -> PathBuf {
    npm.join("node_modules/.bin/workerd")
}

impl Workerd {
    /// Serves `source` as the one worker that there is.
    pub(super) async fn alone(npm: &Path, source: &str) -> anyhow::Result<Self> {
        Self::start(npm, &[("main.js", source)], "").await
    }

    /// Serves a worker that makes an isolate of `source` for each path, by the engine's own loader.
    pub(super) async fn loader(npm: &Path, source: &str) -> anyhow::Result<Self> {
        let quoted = serde_json::to_string(source).context("quote a worker")?;
        let loader = format!(
            r#"const source = {quoted};
export default {{
  fetch(request, env) {{
    const code = {{ compatibilityDate: "{DATE}", mainModule: "worker.js", modules: {{ "worker.js": source }}, globalOutbound: null }};
    return env.LOADER.get(new URL(request.url).pathname, () => code).getEntrypoint().fetch(request);
  }},
}};
"#
        );
        let binding = r#"bindings = [(name = "LOADER", workerLoader = ())],"#;
        Self::start(npm, &[("main.js", &loader)], binding).await
    }

    async fn start(npm: &Path, files: &[(&str, &str)], more: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let address = process::free_address()?;
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).context("write a worker")?;
        }
        let configuration = folder.path().join("config.capnp");
        let text = format!(
            r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "main.js", esModule = embed "main.js")],
    compatibilityDate = "{DATE}",
    {more}
  ))],
  sockets = [(name = "http", address = "{address}", http = (), service = "main")],
);
"#
        );
        std::fs::write(&configuration, text).context("write workerd's configuration")?;
        let mut command = Command::new(program(npm));
        command.args(["serve", "--experimental"]).arg(configuration);
        Ok(Self {
            process: process::serve(&mut command, address).await?,
            address,
            _folder: folder,
        })
    }

    pub(super) fn target(&self, path: &str) -> Target {
        Target::get(self.address, path, super::EXPECTED)
    }

    pub(super) fn id(&self) -> anyhow::Result<u32> {
        self.process.id().context("workerd runs")
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("stop workerd")
    }
}
