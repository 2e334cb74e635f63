//! Rust: a crate of one component, by `cargo`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::super::detect::check_component;
use super::tool;
use crate::cli::output;

/// The target whose output is a component.
const TARGET: &str = "wasm32-wasip2";

/// A component of the crate in `folder`. Cargo's own messages go to stderr as they come.
///
/// # Errors
/// If cargo or the target is not installed (a sentence that says how to install it), if the build fails, or if it
/// makes more or less than one component.
pub(in super::super) fn of_crate(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let Some(cargo) = tool::find("cargo", folder, &[]) else {
        bail!(
            "cargo is not installed, which makes components of Rust: install Rust (https://rustup.rs), then run \
             `rustup target add {TARGET}`"
        );
    };
    output::note(&format!("building {} with cargo", folder.display()));
    let built = Command::new(cargo)
        .args(["build", "--release", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    if !built.status.success() {
        if target_is_missing(folder) {
            bail!("Rust's target {TARGET} is not installed: run `rustup target add {TARGET}`");
        }
        bail!("cargo failed ({}): see its messages above", built.status);
    }
    let components = components(&String::from_utf8_lossy(&built.stdout));
    let [component] = components.as_slice() else {
        bail!(
            "{} builds {} components, and a function is one: deploy the .wasm file itself{}",
            folder.display(),
            components.len(),
            if components.is_empty() {
                ", or set crate-type = [\"cdylib\"] in Cargo.toml"
            } else {
                ""
            }
        );
    };
    let content =
        std::fs::read(component).with_context(|| format!("read {}", component.display()))?;
    check_component(&component.display().to_string(), &content)?;
    Ok(content)
}

fn target_is_missing(folder: &Path) -> bool {
    let Some(rustc) = tool::find("rustc", folder, &[]) else {
        return false;
    };
    let answer = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .output();
    answer.is_ok_and(|answer| {
        answer.status.success()
            && !Path::new(String::from_utf8_lossy(&answer.stdout).trim()).is_dir()
    })
}

/// The components that a build has made, by what cargo said on its standard output: one JSON object a line.
fn components(messages: &str) -> Vec<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter_map(|message| {
            let files = message["filenames"].as_array()?;
            let mut files = files.iter().filter_map(Value::as_str);
            files
                .find(|file| file.ends_with(".wasm"))
                .map(PathBuf::from)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_components_are_taken_from_what_cargo_says() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","filenames":["/t/libserde.rlib"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","filenames":["/t/app.wasm"]}"#,
            "\nnot json\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(components(messages), [PathBuf::from("/t/app.wasm")]);
    }
}
