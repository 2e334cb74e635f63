//! `hearth runtime install`: engines that Hearth does not bring along, from the registries that they are published in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use hearth_isolates::{Program, Search};
use serde_json::Value;
use sha2::{Digest as _, Sha512};

use super::{Done, output};
use crate::config::{Config, NodeArgs};

#[derive(Subcommand, Debug)]
pub(super) enum RuntimeCommand {
    /// Install an engine for this node, with npm
    Install(InstallArgs),
}

#[derive(Args, Debug)]
pub(super) struct InstallArgs {
    /// What to install
    engine: Engine,
    /// Version of the package, or a range as npm reads it
    #[arg(long, default_value = "latest")]
    version: String,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    /// The engine of JavaScript workers
    Workerd,
}

pub(super) fn run(command: RuntimeCommand) -> anyhow::Result<Done> {
    let RuntimeCommand::Install(args) = command;
    match args.engine {
        Engine::Workerd => workerd(&args),
    }
}

/// The npm package with the engine's program for this processor.
fn package() -> anyhow::Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("@cloudflare/workerd-linux-64"),
        "aarch64" => Ok("@cloudflare/workerd-linux-arm64"),
        other => bail!("workerd is not published for the processor {other}"),
    }
}

fn workerd(args: &InstallArgs) -> anyhow::Result<Done> {
    let config = Config::resolve(&args.node)?;
    let place = installed_workerd(&config.data);
    let folder = place.parent().context("name the folder of engines")?;
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    // Beside its place, so that putting it there is one step.
    let work = tempfile::Builder::new()
        .prefix(".install-")
        .tempdir_in(folder);
    let work = work.with_context(|| format!("make a folder in {}", folder.display()))?;
    let npm = Npm { work: work.path() };

    let (name, version, integrity) = npm.find(package()?, &args.version)?;
    output::note(&format!("fetching {name} {version}"));
    let archive = npm.fetch(&format!("{name}@{version}"))?;
    verify(&archive, &integrity).with_context(|| format!("check {name} {version}"))?;
    let program = npm.unpack(&archive, name)?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&program, mode).context("make the program executable")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let found = runtime.block_on(Program::find(&Search {
        program: Some(program.clone()),
        ..Search::default()
    }));
    let found = found.map_err(anyhow::Error::msg)?;
    fs::rename(&program, &place).with_context(|| format!("write {}", place.display()))?;
    output::print(&format!("workerd {} is {}", found.version, place.display()));
    output::note("a node that runs finds it when it is started again");
    Ok(Done::Ok)
}

/// Where the engine is once it has been installed.
pub(crate) fn installed_workerd(data: &Path) -> PathBuf {
    data.join("installed").join("workerd")
}

/// Checks a file against what a registry says of it (Subresource Integrity: hashes, of which the strongest counts).
fn verify(file: &Path, integrity: &str) -> anyhow::Result<()> {
    let known = integrity
        .split_whitespace()
        .filter_map(|hash| hash.strip_prefix("sha512-"));
    let mut known = known.map(|hash| hash.split('?').next().unwrap_or_default());
    let archive = fs::read(file).context("read the archive")?;
    let digest = STANDARD.encode(Sha512::digest(archive));
    ensure!(
        known.any(|hash| hash == digest),
        "the archive is not the one that the registry tells of: its SHA-512 is {digest}, expected was {integrity}"
    );
    Ok(())
}

/// npm, which knows its registry, its credentials and the way there.
struct Npm<'a> {
    work: &'a Path,
}

impl Npm<'_> {
    /// A package's name, version and integrity.
    fn find<'n>(&self, name: &'n str, version: &str) -> anyhow::Result<(&'n str, String, String)> {
        let spec = format!("{name}@{version}");
        let said = self.run(&["view", &spec, "name", "version", "dist.integrity", "--json"])?;
        let said: Value = serde_json::from_slice(&said).context("read what npm says")?;
        // Of a range it tells of several, the newest last.
        let found = match &said {
            Value::Array(several) => several.last().unwrap_or(&Value::Null),
            one => one,
        };
        let member = |key: &str| found.get(key).and_then(Value::as_str).map(str::to_owned);
        let version = member("version").with_context(|| format!("find {spec}: there is none"))?;
        let integrity = member("dist.integrity").with_context(|| {
            format!("find {spec}: the registry gives no integrity hash, without which nothing is installed")
        })?;
        Ok((name, version, integrity))
    }

    /// Gets a package's archive.
    fn fetch(&self, spec: &str) -> anyhow::Result<PathBuf> {
        self.run(&["pack", spec, "--ignore-scripts"])?;
        let mut archives = fs::read_dir(self.work)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "tgz"));
        archives.next().context("find the archive that npm fetched")
    }

    /// Unpacks an archive: the program in it.
    fn unpack(&self, archive: &Path, name: &str) -> anyhow::Result<PathBuf> {
        let archive = archive.to_str().context("name the archive")?;
        let flags = [
            "--ignore-scripts",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--offline",
        ];
        self.run(&[&["install", archive][..], &flags[..]].concat())?;
        let program = self
            .work
            .join("node_modules")
            .join(name)
            .join("bin/workerd");
        ensure!(program.is_file(), "{name} has no program bin/workerd");
        Ok(program)
    }

    /// Runs it in its folder, so that no project's configuration counts: what it says.
    fn run(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = Command::new("npm")
            .args(arguments)
            .current_dir(self.work)
            .stdin(Stdio::null())
            .output()
            .context(
                "start npm; install Node.js, or install the npm package workerd by other means",
            )?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("npm {} failed:\n{}", arguments[0], said.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_the_one_that_was_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.tgz");
        fs::write(&file, "content").unwrap();
        let hash = format!("sha512-{}", STANDARD.encode(Sha512::digest("content")));
        verify(&file, &hash).unwrap();
        verify(&file, &format!("sha1-x {hash}?option")).unwrap();
        for bad in [
            "",
            "sha1-BA8G/XdAkkeNRQd09bowxdp4rMg=",
            "sha512-",
            &hash[..20],
        ] {
            assert!(verify(&file, bad).is_err(), "{bad}");
        }
    }
}
