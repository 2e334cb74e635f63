//! A node under test: the release binary, on a data folder of its own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio::process::{Child, Command};

use crate::api::Access;
use crate::load::Target;
use crate::process;

/// A running node.
pub(crate) struct Hearth {
    binary: PathBuf,
    data: tempfile::TempDir,
    node: Child,
    pub(crate) access: Access,
}

impl Hearth {
    /// Starts a node on an empty data folder.
    pub(crate) async fn start(binary: &Path) -> anyhow::Result<Self> {
        Self::configured(binary, "").await
    }

    /// The same, with a configuration file.
    pub(crate) async fn configured(binary: &Path, configuration: &str) -> anyhow::Result<Self> {
        let data = tempfile::tempdir().context("make a data folder")?;
        std::fs::write(data.path().join("hearth.toml"), configuration)
            .context("write the configuration")?;
        let (node, access) = spawn(binary, data.path()).await?;
        Ok(Self {
            binary: binary.to_owned(),
            data,
            node,
            access,
        })
    }

    /// Stops the node, and starts it again on what it has kept.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.end().await?;
        (self.node, self.access) = spawn(&self.binary, self.data.path()).await?;
        Ok(())
    }

    /// The node's process.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.node.id().context("the node runs")
    }

    /// Deploys `source` under `name`, and gives what invokes it.
    pub(crate) async fn deploy(
        &self,
        name: &str,
        source: &Path,
        options: &[&str],
    ) -> anyhow::Result<()> {
        let output = Command::new(&self.binary)
            .arg("deploy")
            .arg(source)
            .args(["--name", name, "--json", "--data-folder"])
            .arg(self.data.path())
            .args(options)
            .output()
            .await
            .context("run hearth deploy")?;
        anyhow::ensure!(
            output.status.success(),
            "deploy {name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// A signed invocation. The signature holds for five minutes: longer than a measurement.
    pub(crate) fn invocation(
        &self,
        name: &str,
        event: &str,
        expected: &str,
    ) -> anyhow::Result<Target> {
        let path = format!("/2015-03-31/functions/{name}/invocations");
        let request = self.access.signed("POST", &path, event.as_bytes())?;
        Ok(Target {
            address: self.access.address,
            request: request.into(),
            expected: expected.as_bytes().into(),
        })
    }

    /// Stops the node as Ctrl-C would, and waits until it is gone.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.end().await
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        process::interrupt(&self.node).await?;
        self.node.wait().await.context("wait for the node")?;
        Ok(())
    }
}

async fn spawn(binary: &Path, data: &Path) -> anyhow::Result<(Child, Access)> {
    let endpoint = data.join("endpoint");
    // Of a node that ran before.
    match std::fs::remove_file(&endpoint) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("remove the old address");
        }
        _ => {}
    }
    let node = Command::new(binary)
        .args(["up", "--no-samples", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .kill_on_drop(true)
        .stdout(std::process::Stdio::null())
        .spawn()
        .with_context(|| format!("start {}", binary.display()))?;
    let endpoint = process::wait_for("the node's address", || {
        std::fs::read_to_string(&endpoint)
            .ok()
            .filter(|text| !text.is_empty())
    })
    .await?;
    let address = endpoint
        .trim()
        .trim_start_matches("http://")
        .parse()
        .context("read the node's address")?;
    let credentials =
        std::fs::read_to_string(data.join("credentials")).context("read the credentials")?;
    let value = |name: &str| {
        let line = credentials
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
        line.map(|value| value.trim().to_owned())
            .with_context(|| format!("find {name} in the credentials"))
    };
    let access = Access {
        address,
        key_id: value("aws_access_key_id")?,
        secret: value("aws_secret_access_key")?,
    };
    Ok((node, access))
}
