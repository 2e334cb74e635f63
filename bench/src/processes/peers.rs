//! Peers: other ways to put a function behind HTTP, each at its published way of working. A peer that is not
//! installed is left out and named.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::load::Target;
use crate::peers::{self, FUNCTIONS_FRAMEWORK, Running};
use crate::process;

/// A peer that runs.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) language: &'static str,
    pub(crate) target: Target,
    /// AWS's emulator serves one caller: it ends under more.
    pub(crate) callers_most: usize,
    _runs: Running,
}

impl Peer {
    fn of(name: &'static str, language: &'static str, runs: Running) -> Self {
        Self {
            name,
            language,
            target: post(runs.address, "/"),
            callers_most: usize::MAX,
            _runs: runs,
        }
    }
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
    let (mut started, mut missing) = (Vec::new(), Vec::new());
    let source = installed.functions.join("python/lambda_function.py");
    let peer = peers::functions_framework_python(&installed.python, &source, "http").await?;
    started.push(Peer::of(FUNCTIONS_FRAMEWORK, "python", peer));
    match &installed.npm {
        Some(npm) => {
            let source = installed.functions.join("node");
            let peer = peers::functions_framework_node(npm, &source, "http").await?;
            started.push(Peer::of(FUNCTIONS_FRAMEWORK, "node", peer));
        }
        None => missing.push("functions-framework for Node.js: npm is not installed".to_owned()),
    }
    match process::find("of-watchdog") {
        Some(program) => {
            let peer = peers::of_watchdog(
                &program,
                "node server.js",
                &installed.functions.join("node"),
            )
            .await?;
            started.push(Peer::of("of-watchdog + node http", "node", peer));
        }
        None => missing.push("of-watchdog: not on the PATH".to_owned()),
    }
    match process::find("aws-lambda-rie") {
        Some(program) => started.push(emulator(installed, &program).await?),
        None => missing
            .push("AWS's runtime interface emulator (aws-lambda-rie): not on the PATH".to_owned()),
    }
    Ok((started, missing))
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
    Ok(Peer {
        name: "runtime interface emulator",
        language: "python",
        target: post(address, "/2015-03-31/functions/function/invocations"),
        callers_most: 1,
        _runs: Running::start(&mut command, address).await?,
    })
}
