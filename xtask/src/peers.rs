//! What the WebAssembly suite of the benchmarks is held against, and the component that it has no prebuilt guest for.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::command::{cargo, command, root, run};

/// The folder of the benchmarks' tools.
fn folder() -> PathBuf {
    root().join("target/tools/bench")
}

/// The program `wasmtime`, of the version that Hearth embeds. Building it takes minutes, once for each version.
pub(crate) fn wasmtime() -> anyhow::Result<PathBuf> {
    let version = embedded("wasmtime")?;
    let installed = folder().join("cargo");
    let program = installed.join("bin/wasmtime");
    let is_there = command(&program, &["--version"])
        .output()
        .is_ok_and(|output| {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            said.split_whitespace().nth(1) == Some(version.as_str())
        });
    if !is_there {
        let mut install = cargo(&["install", "--locked", "--force", "wasmtime-cli"]);
        run(install
            .args(["--version", &version, "--root"])
            .arg(installed))?;
    }
    Ok(program)
}

/// The version of a package that the lock file names.
fn embedded(package: &str) -> anyhow::Result<String> {
    let path = root().join("Cargo.lock");
    let lock =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    version_in(&lock, package).with_context(|| format!("find {package} in {}", path.display()))
}

fn version_in(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    Some(version.strip_suffix('"')?.to_owned())
}

/// The JavaScript hello as a component, made anew when its source, its build or the packages change.
pub(crate) fn javascript(npm: &Path) -> anyhow::Result<PathBuf> {
    let sources = root().join("bench/functions/javascript");
    let component = folder().join("hello-js.wasm");
    let mark = folder().join("hello-js.from");
    let mut wanted = Vec::new();
    for source in [
        sources.join("hello.js"),
        sources.join("build.mjs"),
        npm.join("package.json"),
    ] {
        let read = std::fs::read(&source);
        wanted.extend(read.with_context(|| format!("read {}", source.display()))?);
    }
    let is_current =
        component.is_file() && std::fs::read(&mark).is_ok_and(|installed| installed == wanted);
    if !is_current {
        run(command("node", &[])
            .arg(sources.join("build.mjs"))
            .arg(npm.join("node_modules"))
            .arg(&component))?;
        std::fs::write(&mark, wanted).with_context(|| format!("mark {}", component.display()))?;
    }
    Ok(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_names_versions() {
        let lock = "[[package]]\nname = \"wasmtime-cli\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"wasmtime\"\nversion = \"48.0.8\"\n";
        assert_eq!(version_in(lock, "wasmtime").as_deref(), Some("48.0.8"));
        assert_eq!(version_in(lock, "other"), None);
    }
}
