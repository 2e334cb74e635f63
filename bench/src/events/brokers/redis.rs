//! Redis Streams that are synced to the disk with each batch of commands (`appendfsync always`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::load::{self, Sample};
use crate::process;

/// How its lines are named.
pub(super) const NAME: &str = "Redis Streams, appendfsync always";

/// A server that runs, until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    /// One XADD.
    command: Arc<[u8]>,
    _process: Child,
    _data: tempfile::TempDir,
}

/// Starts a server; `None` if there is no program.
pub(super) async fn start(payload: &str) -> anyhow::Result<Option<Server>> {
    let Some(program) = process::find("redis-server") else {
        return Ok(None);
    };
    let data = tempfile::tempdir().context("make a data folder")?;
    let address = process::free_address()?;
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        // No snapshots beside the log, and no rewriting of it in the middle of a measurement.
        .args(["--save", "", "--auto-aof-rewrite-percentage", "0"])
        .arg("--dir")
        .arg(data.path());
    let process = process::serve(&mut command, address).await?;
    Ok(Some(Server {
        address,
        command: array(&["XADD", "events", "*", "body", payload]).into(),
        _process: process,
        _data: data,
    }))
}

impl Server {
    /// Has `callers` send, each on a connection of its own.
    pub(super) async fn send(&self, callers: usize, duration: Duration) -> anyhow::Result<Sample> {
        let mut senders = Vec::with_capacity(callers);
        for _ in 0..callers {
            let stream = TcpStream::connect(self.address)
                .await
                .context("connect to Redis")?;
            stream.set_nodelay(true)?;
            senders.push(Sender {
                stream: BufReader::new(stream),
                command: self.command.clone(),
                line: String::new(),
            });
        }
        load::run_senders(senders, duration).await
    }
}

/// A command as the protocol has it: an array of bulk strings.
fn array(words: &[&str]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    text.into_bytes()
}

struct Sender {
    stream: BufReader<TcpStream>,
    command: Arc<[u8]>,
    line: String,
}

impl load::Sender for Sender {
    async fn send(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.command).await?;
        // The identifier of the new entry: its length on a line, then itself on another.
        self.line.clear();
        self.stream.read_line(&mut self.line).await?;
        anyhow::ensure!(self.line.starts_with('$'), "Redis answers {:?}", self.line);
        self.stream.read_line(&mut self.line).await?;
        Ok(())
    }
}
