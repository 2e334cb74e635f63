//! Peers that several suites know: other ways to put a function behind HTTP, each at its published way of working.

use std::net::SocketAddr;
use std::path::Path;

use tokio::process::{Child, Command};

use crate::process;

/// A peer that runs, until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Running {
    pub(crate) async fn start(command: &mut Command, address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            address,
            process: process::serve(command, address).await?,
        })
    }
}

impl Drop for Running {
    /// Ends what it has started as well: of-watchdog, killed, leaves its server running.
    fn drop(&mut self) {
        let id = self.process.id();
        let children = id.and_then(|id| process::children(id).ok());
        for child in children.unwrap_or_default() {
            // It may have ended by itself meanwhile.
            let _ = std::process::Command::new("kill")
                .args(["-KILL", &child.to_string()])
                .status();
        }
    }
}

/// How the lines of functions-framework are named.
pub(crate) const FUNCTIONS_FRAMEWORK: &str = "functions-framework";

/// functions-framework of PyPI, with a function of a source file.
pub(crate) async fn functions_framework_python(
    python: &Path,
    source: &Path,
    function: &str,
) -> anyhow::Result<Running> {
    let address = process::free_address()?;
    let mut command = Command::new(python);
    command
        .args(["-m", "functions_framework", "--target", function])
        .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
        .arg("--source")
        .arg(source);
    Running::start(&mut command, address).await
}

/// functions-framework of npm, with an exported function of a folder.
pub(crate) async fn functions_framework_node(
    npm: &Path,
    source: &Path,
    function: &str,
) -> anyhow::Result<Running> {
    let address = process::free_address()?;
    let mut command = Command::new(npm.join("node_modules/.bin/functions-framework"));
    command
        .args(["--target", function, "--signature-type", "http"])
        .args(["--port", &address.port().to_string()])
        .arg("--source")
        .arg(source)
        // It listens on all interfaces and has no option against it: at least it must not be a production mode
        // that differs from what people run.
        .env("NODE_ENV", "production");
    Running::start(&mut command, address).await
}

/// of-watchdog in HTTP mode: one proxy in front of the server that `process` starts in `folder`, which listens on `$PORT`.
pub(crate) async fn of_watchdog(
    program: &Path,
    process: &str,
    folder: &Path,
) -> anyhow::Result<Running> {
    let (address, upstream) = (process::free_address()?, process::free_address()?);
    let mut command = Command::new(program);
    command
        .env("mode", "http")
        .env("port", address.port().to_string())
        .env("upstream_url", format!("http://{upstream}"))
        .env("fprocess", process)
        .env("PORT", upstream.port().to_string())
        .current_dir(folder);
    let running = Running::start(&mut command, address).await?;
    process::listening(upstream).await?;
    Ok(running)
}
