//! Peers: other ways to put a function behind HTTP, each at its published way of working. A peer that is not
//! installed is left out and named.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;
use tokio::process::{Child, Command};

use crate::load::Target;
use crate::process;

/// A peer that runs.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) language: &'static str,
    pub(crate) target: Target,
    /// AWS's emulator serves one caller: it ends under more.
    pub(crate) callers_most: usize,
    _process: Child,
}

/// Where the peers are.
pub(crate) struct Installed {
    /// Python with the packages of `bench/requirements.txt` and of the tests.
    pub(crate) python: PathBuf,
    /// Folder with the packages of `bench/package.json`.
    pub(crate) npm: Option<PathBuf>,
    /// Folder with the benchmark's functions.
    pub(crate) functions: PathBuf,
}

/// Starts every peer that is installed; also gives the names of those that are not.
pub(crate) async fn start(installed: &Installed) -> anyhow::Result<(Vec<Peer>, Vec<String>)> {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    peers.push(functions_framework_python(installed).await?);
    match &installed.npm {
        Some(npm) => peers.push(functions_framework_node(installed, npm).await?),
        None => missing.push("functions-framework for Node.js: npm is not installed".to_owned()),
    }
    match find("of-watchdog") {
        Some(program) => peers.push(of_watchdog(installed, &program).await?),
        None => missing.push("of-watchdog: not on the PATH".to_owned()),
    }
    match find("aws-lambda-rie") {
        Some(program) => peers.push(emulator(installed, &program).await?),
        None => missing
            .push("AWS's runtime interface emulator (aws-lambda-rie): not on the PATH".to_owned()),
    }
    Ok((peers, missing))
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

async fn spawn(command: &mut Command, address: SocketAddr) -> anyhow::Result<Child> {
    let shown = format!("{:?}", command.as_std());
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let child = child.with_context(|| format!("start {shown}"))?;
    process::listening(address)
        .await
        .with_context(|| format!("start {shown}"))?;
    Ok(child)
}

fn post(address: SocketAddr, path: &str) -> Target {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
        super::EVENT.len(),
        super::EVENT
    );
    Target {
        address,
        request: request.into_bytes().into(),
        expected: super::EXPECTED.as_bytes().into(),
    }
}

async fn functions_framework_python(installed: &Installed) -> anyhow::Result<Peer> {
    let address = process::free_address()?;
    let mut command = Command::new(&installed.python);
    command
        .args([
            "-m",
            "functions_framework",
            "--target",
            "http",
            "--host",
            "127.0.0.1",
        ])
        .args(["--port", &address.port().to_string(), "--source"])
        .arg(installed.functions.join("python/lambda_function.py"));
    let process = spawn(&mut command, address).await?;
    let target = post(address, "/");
    Ok(Peer {
        name: "functions-framework",
        language: "python",
        target,
        callers_most: usize::MAX,
        _process: process,
    })
}

async fn functions_framework_node(installed: &Installed, npm: &Path) -> anyhow::Result<Peer> {
    let address = process::free_address()?;
    let mut command = Command::new(npm.join("node_modules/.bin/functions-framework"));
    command
        .args([
            "--target",
            "http",
            "--signature-type",
            "http",
            "--port",
            &address.port().to_string(),
        ])
        .arg("--source")
        .arg(installed.functions.join("node"))
        // It listens on all interfaces and has no option against it: at least it must not be a production mode
        // that differs from what people run.
        .env("NODE_ENV", "production");
    let process = spawn(&mut command, address).await?;
    let target = post(address, "/");
    Ok(Peer {
        name: "functions-framework",
        language: "node",
        target,
        callers_most: usize::MAX,
        _process: process,
    })
}

async fn of_watchdog(installed: &Installed, program: &Path) -> anyhow::Result<Peer> {
    let (address, upstream) = (process::free_address()?, process::free_address()?);
    let server = installed.functions.join("node/server.js");
    let mut command = Command::new(program);
    command
        .env("mode", "http")
        .env("port", address.port().to_string())
        .env("upstream_url", format!("http://{upstream}"))
        .env("UPSTREAM_PORT", upstream.port().to_string())
        .env("fprocess", format!("node {}", server.display()));
    let process = spawn(&mut command, address).await?;
    process::listening(upstream).await?;
    let target = post(address, "/");
    Ok(Peer {
        name: "of-watchdog + node http",
        language: "node",
        target,
        callers_most: usize::MAX,
        _process: process,
    })
}

async fn emulator(installed: &Installed, program: &Path) -> anyhow::Result<Peer> {
    let (address, runtime_api) = (process::free_address()?, process::free_address()?);
    let mut command = Command::new(program);
    command
        .arg("--runtime-interface-emulator-address")
        .arg(address.to_string())
        .arg("--runtime-api-address")
        .arg(runtime_api.to_string())
        .arg(&installed.python)
        .args(["-m", "awslambdaric", "lambda_function.lambda_handler"])
        .current_dir(installed.functions.join("python"))
        .env("AWS_LAMBDA_FUNCTION_TIMEOUT", "60");
    let process = spawn(&mut command, address).await?;
    let target = post(address, "/2015-03-31/functions/function/invocations");
    Ok(Peer {
        name: "runtime interface emulator",
        language: "python",
        target,
        callers_most: 1,
        _process: process,
    })
}
