//! Web servers: with all that they need in one folder, on a port of their own and as functions.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::function_url::{self, Mode, Url};
use crate::hearth::Hearth;
use crate::load::Target;
use crate::peers::Running;
use crate::process;

/// A web server that runs on a port, with nothing in front of it.
pub(super) struct Bare {
    address: SocketAddr,
    _running: Running,
}

impl Bare {
    /// Starts `program`, words that are divided by spaces, in a folder; it listens on `$PORT`.
    pub(super) async fn start(program: &str, folder: &Path) -> anyhow::Result<Self> {
        let address = process::free_address()?;
        let mut words = program.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .current_dir(folder)
            .env("PORT", address.port().to_string())
            .env("NODE_ENV", "production");
        Ok(Self {
            address,
            _running: Running::start(&mut command, address).await?,
        })
    }

    pub(super) fn target(&self, expected: &str) -> Target {
        Target::get(self.address, "/", expected)
    }
}

/// Deploys a folder as a function of two processors, as many as the bare server has on the machine that the published
/// figures are of, with a place for each caller; gives its URL.
pub(super) async fn deploy(
    node: &Hearth,
    name: &str,
    folder: &Path,
    options: &[&str],
    mode: Mode,
) -> anyhow::Result<Url> {
    let common = ["--memory", "3538", "--timeout", "60"];
    let more = [
        "--env",
        "NODE_ENV=production",
        "--tag",
        "hearth:concurrency=64",
    ];
    node.deploy(name, folder, &[&common, &more, options].concat())
        .await?;
    function_url::make(&node.access, name, mode).await
}

/// A folder of the checkout with Python distributions beside it, those that `python` has installed.
pub(super) async fn with_distributions(
    root: &Path,
    source: &str,
    python: &Path,
    names: &[&str],
) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir().context("make a folder")?;
    copy(&root.join("bench/functions").join(source), folder.path()).await?;
    let output = Command::new(python)
        .arg(root.join("tests/distributions.py"))
        .arg(folder.path())
        .args(names)
        .output()
        .await
        .context("run tests/distributions.py")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(folder)
}

/// The runtime of functions that an interpreter is.
pub(super) async fn runtime(python: &Path) -> anyhow::Result<String> {
    let print = "import sys; print(f'python3.{sys.version_info.minor}')";
    let output = Command::new(python).args(["-c", print]).output().await;
    let output = output.context("run Python")?;
    let name = String::from_utf8(output.stdout).context("read Python's version")?;
    Ok(name.trim().to_owned())
}

/// A folder of the checkout with a package of npm beside it and those that it needs, out of a folder that has them
/// installed.
pub(super) async fn with_modules(
    root: &Path,
    source: &str,
    npm: &Path,
    name: &str,
) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir().context("make a folder")?;
    copy(&root.join("bench/functions").join(source), folder.path()).await?;
    let (from, to) = (npm.join("node_modules"), folder.path().join("node_modules"));
    anyhow::ensure!(from.join(name).is_dir(), "{name} is not installed");
    let mut waiting = vec![name.to_owned()];
    while let Some(name) = waiting.pop() {
        let (installed, package) = (from.join(&name), to.join(&name));
        // A package of which another needs a version of its own lies within that.
        if package.exists() || !installed.is_dir() {
            continue;
        }
        std::fs::create_dir_all(&package).context("make a folder")?;
        copy(&installed, &package).await?;
        let manifest = std::fs::read(package.join("package.json")).context("read a manifest")?;
        let manifest: Value = serde_json::from_slice(&manifest).context("read a manifest")?;
        let needed = manifest["dependencies"].as_object();
        waiting.extend(needed.into_iter().flat_map(|needed| needed.keys().cloned()));
    }
    Ok(folder)
}

/// Copies what is in a folder.
async fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp")
        .arg("-R")
        .arg(from.join("."))
        .arg(to)
        .status()
        .await
        .context("run cp")?;
    anyhow::ensure!(status.success(), "copy {}: {status}", from.display());
    Ok(())
}
