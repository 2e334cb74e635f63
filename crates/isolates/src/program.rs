//! Where the engine is on this host.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Its name.
const NAME: &str = "workerd";

/// How long it may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to look for the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The file itself: nothing else is tried then.
    pub program: Option<PathBuf>,
    /// Where it is if it was installed for this node: before `path`.
    pub installed: Option<PathBuf>,
    /// Folders with executables, as in `PATH`.
    pub path: Vec<PathBuf>,
}

/// The engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The executable itself.
    pub executable: PathBuf,
    /// What it says of its version, a date: `2026-11-17`. Also the newest compatibility date that is sure to work.
    pub version: String,
}

impl Program {
    /// Looks for the engine, and runs it once.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub async fn find(search: &Search) -> Result<Self, String> {
        let executable = match &search.program {
            Some(program) => native(program).ok_or_else(|| {
                format!(
                    "{} is not the workerd executable, nor beside it",
                    program.display()
                )
            })?,
            None => search
                .installed
                .iter()
                .cloned()
                .chain(search.path.iter().map(|folder| folder.join(NAME)))
                .find_map(|file| native(&file))
                .ok_or(
                    "workerd is not installed: run hearth runtime install workerd, put the npm package workerd on PATH, or \
                     name the file as isolates.workerd",
                )?,
        };
        let version = version(&executable)
            .await
            .map_err(|error| format!("{} can't be run: {error}", executable.display()))?;
        Ok(Self {
            executable,
            version,
        })
    }
}

/// The executable behind a name: itself, or the one of the package for this processor that npm puts beside the script of
/// that name.
fn native(file: &Path) -> Option<PathBuf> {
    let file = file.canonicalize().ok()?;
    if is_executable(&file) {
        return Some(file);
    }
    // `node_modules/workerd/bin/workerd`
    let modules = file.ancestors().nth(3)?;
    let processor = match std::env::consts::ARCH {
        "x86_64" => "64",
        "aarch64" => "arm64",
        _ => return None,
    };
    let beside = modules.join(format!("@cloudflare/workerd-linux-{processor}/bin/{NAME}"));
    is_executable(&beside).then_some(beside)
}

/// Whether it is a native program of Linux.
fn is_executable(file: &Path) -> bool {
    let magic = || -> io::Result<[u8; 4]> {
        let mut magic = [0; 4];
        File::open(file)?.read_exact(&mut magic)?;
        Ok(magic)
    };
    magic().is_ok_and(|magic| magic == *b"\x7fELF")
}

async fn version(executable: &Path) -> Result<String, String> {
    let asked = Command::new(executable)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, asked)
        .await
        .map_err(|_| "it does not say its version".to_owned())?
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().strip_prefix("workerd ") {
        Some(version) if output.status.success() => Ok(version.chars().take(40).collect()),
        _ => Err("it does not say its version as workerd does".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_npms_script_is_the_package_for_the_processor() {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().canonicalize().unwrap().join("node_modules");
        let script = modules.join("workerd/bin/workerd");
        std::fs::create_dir_all(script.parent().unwrap()).unwrap();
        std::fs::write(&script, "#!/usr/bin/env node").unwrap();
        assert_eq!(native(&script), None);
        for processor in ["64", "arm64"] {
            let bin = modules.join(format!("@cloudflare/workerd-linux-{processor}/bin"));
            std::fs::create_dir_all(&bin).unwrap();
            std::fs::write(bin.join(NAME), b"\x7fELF...").unwrap();
        }
        let found = native(&script).unwrap();
        assert!(found.starts_with(modules.join("@cloudflare")), "{found:?}");
        assert_eq!(native(&found), Some(found.clone()));
    }
}
