//! From source files to a WebAssembly component, by the language's own tool, where it is installed.
//!
//! - [`tool`]: finding a tool, running it, and what to say where it is missing or fails
//! - [`javascript`], [`python`], [`crates`]: one language each
//!
//! A tool reads a copy of the files in a folder of its own: nothing is left beside what the user wrote.

mod crates;
mod javascript;
mod python;
mod tool;

use std::path::Path;

use anyhow::{Context as _, bail};

pub(super) use crates::of_crate;

use super::detect::{Language, language, sources};
use super::{Entry, Source};

/// The worlds that components are built for: the examples' own.
const WIT: &str = include_str!("../../../../../examples/wit/function.wit");
/// The world of a component that answers HTTP requests.
const HTTP: &str = "http";
/// The world of a component that takes an event and gives a result.
const COMMAND: &str = "command";

/// What a tool is given.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    /// A folder with the source files and the worlds.
    fn of(entries: &[Entry]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder to build in")?;
        let this = Self { folder };
        for entry in entries {
            let path = this.source(&entry.name);
            let place = || format!("write {}", path.display());
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).with_context(place)?;
            }
            match &entry.source {
                Source::Link(target) => {
                    std::os::unix::fs::symlink(target, &path).with_context(place)?;
                }
                _ => std::fs::write(&path, entry.content()?).with_context(place)?,
            }
        }
        std::fs::write(this.wit(), WIT).context("write the worlds")?;
        Ok(this)
    }

    fn sources(&self) -> std::path::PathBuf {
        self.folder.path().join("sources")
    }

    fn source(&self, name: &str) -> std::path::PathBuf {
        self.sources().join(name)
    }

    fn wit(&self) -> std::path::PathBuf {
        self.folder.path().join("function.wit")
    }

    fn output(&self) -> std::path::PathBuf {
        self.folder.path().join("component.wasm")
    }
}

/// A component of source files. `folder` is where they lie: tools that are installed beside them are found first.
///
/// # Errors
/// If no file can be built, if its tool is not installed (a sentence that says how to install it), or if the tool
/// fails (with what it said).
pub(super) fn of_sources(
    folder: &Path,
    entries: &[Entry],
    handler: Option<&str>,
) -> anyhow::Result<Vec<u8>> {
    let named = handler.and_then(|handler| handler.split_once('.'));
    let candidates = sources(entries);
    let main = match named {
        None => candidates.first(),
        Some((module, _)) => candidates.iter().find(|entry| {
            entry
                .name
                .rsplit_once('.')
                .is_some_and(|(stem, _)| stem == module)
        }),
    };
    let Some(main) = main else {
        bail!(
            "can't build a component of {}: expected a .js, .mjs or .py file{}, a folder with Cargo.toml, or a .wasm \
             file that another tool has built",
            folder.display(),
            named
                .map(|(module, _)| format!(" named {module}"))
                .unwrap_or_default(),
        );
    };
    let text = String::from_utf8(main.content()?)
        .with_context(|| format!("{} is not UTF-8", main.name))?;
    let function = named.map(|(_, function)| function);
    match language(&main.name) {
        Some(Language::JavaScript) => {
            javascript::build(folder, entries, &main.name, &text, function)
        }
        Some(Language::Python) => python::build(folder, entries, &main.name, &text, function),
        None => bail!("{} is in no language that is known here", main.name),
    }
}

/// Whether `text` can stand in a generated source file as a name.
fn is_identifier(text: &str) -> bool {
    let mut characters = text.chars();
    characters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
