//! A node under test: the release binary, on a data folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use tokio::process::{Child, Command};

use crate::load::Target;
use crate::process;

/// A running node.
pub(crate) struct Hearth {
    binary: PathBuf,
    data: tempfile::TempDir,
    node: Child,
    address: SocketAddr,
    key: (String, String),
}

impl Hearth {
    pub(crate) async fn start(binary: &Path) -> anyhow::Result<Self> {
        let data = tempfile::tempdir().context("make a data folder")?;
        let node = Command::new(binary)
            .args(["up", "--no-samples", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .kill_on_drop(true)
            .stdout(std::process::Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let endpoint = process::wait_for("the node's address", || {
            std::fs::read_to_string(data.path().join("endpoint"))
                .ok()
                .filter(|text| !text.is_empty())
        })
        .await?;
        let address = endpoint
            .trim()
            .trim_start_matches("http://")
            .parse()
            .context("read the node's address")?;
        let credentials = std::fs::read_to_string(data.path().join("credentials"))
            .context("read the credentials")?;
        let value = |name: &str| {
            let line = credentials
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
            line.map(|value| value.trim().to_owned())
                .with_context(|| format!("find {name} in the credentials"))
        };
        let key = (value("aws_access_key_id")?, value("aws_secret_access_key")?);
        Ok(Self {
            binary: binary.to_owned(),
            data,
            node,
            address,
            key,
        })
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
        let url = format!("http://{}{path}", self.address);
        let credentials = Credentials::new(&self.key.0, &self.key.1, None, None, "bench");
        let identity = credentials.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("lambda")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let request = SignableRequest::new(
            "POST",
            &url,
            std::iter::empty(),
            SignableBody::Bytes(event.as_bytes()),
        )?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n",
            self.address,
            event.len()
        );
        for (name, value) in instructions.headers() {
            head += &format!("{name}: {value}\r\n");
        }
        Ok(Target {
            address: self.address,
            request: format!("{head}\r\n{event}").into_bytes().into(),
            expected: expected.as_bytes().into(),
        })
    }

    /// Stops the node as Ctrl-C would, and waits until it is gone.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        process::interrupt(&self.node).await?;
        self.node.wait().await.context("wait for the node")?;
        Ok(())
    }
}
