//! What a package's content tells: its language, its runtime, its handler.

use std::path::Path;

use anyhow::bail;

use super::{DEFAULT_NODE, DEFAULT_PROVIDED, DEFAULT_PYTHON, Entry, WASM, WORKER};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    JavaScript,
}

/// The language of a source file, by its name.
pub(super) fn language(name: &str) -> Option<Language> {
    match Path::new(name).extension()?.to_str()? {
        "py" => Some(Language::Python),
        "js" | "mjs" | "cjs" => Some(Language::JavaScript),
        _ => None,
    }
}

/// What was found out.
#[derive(Default)]
pub(super) struct Found {
    pub(super) runtime: Option<String>,
    pub(super) handler: Option<String>,
}

/// Files that people put their handler in, best first.
const ENTRY_STEMS: [&str; 6] = [
    "lambda_function",
    "index",
    "app",
    "main",
    "handler",
    "function",
];

/// Source files at the root, those first that are likely to hold the handler.
pub(super) fn sources(entries: &[Entry]) -> Vec<&Entry> {
    let rank = |entry: &Entry| {
        let stem = Path::new(&entry.name)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        ENTRY_STEMS
            .iter()
            .position(|known| *known == stem)
            .unwrap_or(ENTRY_STEMS.len())
    };
    let mut sources: Vec<&Entry> = entries
        .iter()
        .filter(|entry| !entry.name.contains('/') && language(&entry.name).is_some())
        .collect();
    sources.sort_by_key(|entry| (rank(entry), entry.name.clone()));
    sources
}

/// The name of the WebAssembly component at the root; `None` if there is no WebAssembly at all.
///
/// # Errors
/// If there is WebAssembly, but not one component.
pub(super) fn component(entries: &[Entry]) -> anyhow::Result<Option<&str>> {
    let mut found = None;
    for entry in entries {
        if entry.name.contains('/') || !entry.name.ends_with(".wasm") {
            continue;
        }
        check_component(&entry.name, &entry.content()?)?;
        if let Some(other) = found.replace(entry.name.as_str()) {
            bail!(
                "there are two components, {other} and {}: keep one at the root of the package",
                entry.name
            );
        }
    }
    Ok(found)
}

/// Whether `content` is WebAssembly at all, of either kind.
pub(super) fn is_wasm(content: &[u8]) -> bool {
    content.starts_with(b"\0asm")
}

/// # Errors
/// If the WebAssembly in `content` is not a component.
pub(super) fn check_component(name: &str, content: &[u8]) -> anyhow::Result<()> {
    // The two bytes after the version say which kind it is (component model, binary format: the preamble's layer).
    match content.get(..8) {
        Some([b'\0', b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([b'\0', b'a', b's', b'm', _, _, 0, 0]) => bail!(
            "{name} is a core module, and not a component: build it for a target that makes components, such as \
             wasm32-wasip2"
        ),
        _ => bail!("{name} is not WebAssembly"),
    }
}

/// Files by which a folder is a worker.
const WRANGLER: [&str; 3] = ["wrangler.toml", "wrangler.json", "wrangler.jsonc"];

/// Runtime and handler of a package.
///
/// # Errors
/// If the package could not run as it is.
pub(super) fn detect(entries: &[Entry]) -> anyhow::Result<Found> {
    if let Some(bootstrap) = entries.iter().find(|entry| entry.name == "bootstrap") {
        if !bootstrap.executable {
            bail!("the file 'bootstrap' is not executable: chmod +x it");
        }
        return Ok(Found {
            runtime: Some(DEFAULT_PROVIDED.to_owned()),
            handler: Some("bootstrap".to_owned()),
        });
    }
    let worker = || Found {
        runtime: Some(WORKER.to_owned()),
        handler: None,
    };
    if entries
        .iter()
        .any(|entry| WRANGLER.contains(&entry.name.as_str()))
    {
        return Ok(worker());
    }
    let sources = sources(entries);
    for entry in &sources {
        let (Some(language), Ok(text)) =
            (language(&entry.name), String::from_utf8(entry.content()?))
        else {
            continue;
        };
        if let Some(function) = handler_in(language, &text) {
            let stem = entry
                .name
                .rsplit_once('.')
                .map_or(entry.name.as_str(), |(stem, _)| stem);
            let runtime = if language == Language::Python {
                DEFAULT_PYTHON
            } else {
                DEFAULT_NODE
            };
            return Ok(Found {
                runtime: Some(runtime.to_owned()),
                handler: Some(format!("{stem}.{function}")),
            });
        }
        if language == Language::JavaScript && is_worker(&text) {
            return Ok(worker());
        }
    }
    // One component by itself, beside whatever is not code.
    if sources.is_empty() && component(entries)?.is_some() {
        return Ok(Found {
            runtime: Some(WASM.to_owned()),
            handler: None,
        });
    }
    // Code, but no function that looks like a handler: the language is still known.
    let runtime = sources.first().and_then(|entry| language(&entry.name));
    Ok(Found {
        runtime: runtime.map(|l| {
            if l == Language::Python {
                DEFAULT_PYTHON
            } else {
                DEFAULT_NODE
            }
            .to_owned()
        }),
        handler: None,
    })
}

/// Whether a source text looks like a worker's: a default export, and a handler of requests.
fn is_worker(text: &str) -> bool {
    let exports = text.contains("export default") || text.contains("as default");
    let handles = text.lines().any(|line| {
        let line = line.trim_start();
        let line = line
            .strip_prefix("export default {")
            .unwrap_or(line)
            .trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        ["fetch(", "fetch:", "fetch,"]
            .iter()
            .any(|form| line.starts_with(form))
    });
    exports && handles
}

/// The function in a source text that looks like a handler.
pub(super) fn handler_in(language: Language, text: &str) -> Option<&'static str> {
    const NAMES: [&str; 4] = ["lambda_handler", "handler", "main", "handle"];
    NAMES.into_iter().find(|name| {
        text.lines().any(|line| match language {
            Language::Python => {
                let line = line.strip_prefix("async ").unwrap_or(line);
                line.strip_prefix("def ")
                    .and_then(|l| l.strip_prefix(name))
                    .is_some_and(|l| l.starts_with('('))
            }
            Language::JavaScript => {
                let compact: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
                [
                    format!("exports.{name} ="),
                    format!("exports.{name}="),
                    format!("export const {name} ="),
                    format!("export const {name}="),
                    format!("export async function {name}("),
                    format!("export function {name}("),
                    format!("export async function {name} ("),
                    format!("export function {name} ("),
                ]
                .iter()
                .any(|form| compact.contains(form.as_str()))
            }
        })
    })
}
