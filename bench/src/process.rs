//! Processes of a benchmark: waited for, and stopped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::process::{Child, Command};

/// Asks until there is an answer, for as long as the slowest peer takes to start.
pub(crate) async fn wait_for<T>(
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    for _ in 0..12_000 {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("waited 2 minutes for {what}")
}

/// Waits until somebody listens on `address`.
pub(crate) async fn listening(address: SocketAddr) -> anyhow::Result<()> {
    wait_for(&format!("a server on {address}"), || {
        TcpStream::connect(address).ok()
    })
    .await
    .map(drop)
}

/// Starts a server, and waits until it listens on `address`. It is killed when it is dropped.
pub(crate) async fn serve(command: &mut Command, address: SocketAddr) -> anyhow::Result<Child> {
    let shown = format!("{:?}", command.as_std());
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.with_context(|| format!("start {shown}"))?;
    let listens = || match child.try_wait() {
        Ok(None) => TcpStream::connect(address).ok().map(|_| Ok(())),
        Ok(Some(status)) => Some(Err(anyhow!("it has ended: {status}"))),
        Err(error) => Some(Err(error.into())),
    };
    let listening = wait_for(&format!("a server on {address}"), listens).await;
    listening
        .and_then(|listening| listening)
        .with_context(|| format!("start {shown}"))?;
    Ok(child)
}

/// Where a program is, if it is on the PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// An address on which nobody listens now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    listener.local_addr().context("find a free port")
}

/// Sends SIGINT.
pub(crate) async fn interrupt(child: &Child) -> anyhow::Result<()> {
    match child.id() {
        Some(id) => signal(id, "INT").await,
        None => Ok(()),
    }
}

/// Ends what runs under this name below a process, and waits until it is gone.
pub(crate) async fn kill_below(process: u32, name: &str) -> anyhow::Result<()> {
    let below = below(process)?;
    let is_it = |id: &u32| {
        let running = std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        running.trim() == name
    };
    let found: Vec<u32> = below.into_iter().filter(is_it).collect();
    anyhow::ensure!(!found.is_empty(), "process {process} has started no {name}");
    for id in &found {
        signal(*id, "KILL").await?;
    }
    let gone = || (!found.iter().any(is_it)).then_some(());
    wait_for(&format!("the end of {name}"), gone).await
}

async fn signal(process: u32, name: &str) -> anyhow::Result<()> {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &process.to_string()])
        .status()
        .await
        .context("run kill")?;
    anyhow::ensure!(
        status.success(),
        "send SIG{name} to process {process}: {status}"
    );
    Ok(())
}

/// What a process and all that it started take of the machine's memory, bytes: the proportional set size, in which a
/// page that several share counts for each by its share.
pub(crate) fn memory(process: u32) -> anyhow::Result<u64> {
    let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))
        .with_context(|| format!("read the memory of process {process}"))?;
    let kib = rollup
        .lines()
        .find_map(|line| {
            line.strip_prefix("Pss:")?
                .trim()
                .strip_suffix("kB")?
                .trim()
                .parse::<u64>()
                .ok()
        })
        .with_context(|| format!("find Pss of process {process}"))?;
    let mut bytes = kib * 1024;
    for child in children(process)? {
        bytes += memory(child)?;
    }
    Ok(bytes)
}

/// All processes that came of a process, and run.
fn below(process: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = children(process)?;
    for child in found.clone() {
        found.extend(below(child)?);
    }
    Ok(found)
}

/// The processes that a process has started itself, and that run.
pub(crate) fn children(process: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{process}/task")).context("list the threads")? {
        // A thread that ends meanwhile has no children.
        let children = std::fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            found.push(child.parse().context("read a process id")?);
        }
    }
    Ok(found)
}

/// Processor time that a process has taken with all its threads, in user and kernel mode; its children do not count.
pub(crate) fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))
        .with_context(|| format!("read the processor time of process {process}"))?;
    // proc(5): the second field is a name in brackets, which may hold anything; utime and stime are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<Result<u64, _>>()
        .with_context(|| format!("read the processor time of process {process}"))?;
    // USER_HZ is 100 on every architecture that Hearth runs on.
    Ok(Duration::from_millis(ticks * 10))
}
