//! Tools of other people: finding one, running it, and saying what it said.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// Lines of a failed tool's output that are shown: the cause is at the end, below whatever came before.
const SHOWN_LINES: usize = 40;

/// Finds a program: in one of `beside` (folders relative to the project's folder and to each folder above it), then
/// on PATH.
pub(super) fn find(name: &str, project: &Path, beside: &[&str]) -> Option<PathBuf> {
    let near = project
        .ancestors()
        .flat_map(|folder| beside.iter().map(|sub| folder.join(sub)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    near.chain(std::env::split_paths(&path).filter(|folder| folder.is_absolute()))
        .map(|folder| folder.join(name))
        .find(|program| {
            program.metadata().is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        })
}

/// Runs a tool to its end.
///
/// # Errors
/// If it can't be started, or if it fails: with the end of what it said.
pub(super) fn run(name: &str, command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(std::process::Stdio::null())
        // A backtrace of the tool itself says nothing about the sources.
        .env("RUST_BACKTRACE", "0")
        .output()
        .with_context(|| format!("start {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let end = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    bail!("{name} failed ({}):\n{}", output.status, end.join("\n"))
}
