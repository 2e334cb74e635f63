//! What is read of a package's configuration: `wrangler.toml`, `wrangler.json` or `wrangler.jsonc`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use hearth_types::arn::FunctionRef;
use hearth_types::walls::is_store_name;
use jsonc_parser::ParseOptions;
use serde::Deserialize;
use serde_json::Value;

use crate::assets::{Assets, HtmlHandling, NotFound};
use crate::source::{SourceError, refused};

/// What is read of it; the rest is for other tools.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Wrangler {
    name: Option<String>,
    #[serde(default)]
    triggers: Triggers,
    pub(crate) main: Option<String>,
    pub(crate) compatibility_date: Option<String>,
    #[serde(default)]
    pub(crate) compatibility_flags: Vec<String>,
    #[serde(default)]
    pub(crate) vars: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) kv_namespaces: Vec<KvNamespace>,
    #[serde(default)]
    pub(crate) services: Vec<ServiceBinding>,
    #[serde(default)]
    pub(crate) queues: Queues,
    pub(crate) assets: Option<AssetsTable>,
    /// What modules are, by their names: of packages that `wrangler deploy` has made. A module that is not in it is what
    /// the end of its name says.
    #[serde(default)]
    pub(crate) module_kinds: BTreeMap<String, ModuleKind>,
}

/// What calls a worker.
#[derive(Debug, Default, Deserialize)]
struct Triggers {
    #[serde(default)]
    crons: Vec<String>,
}

/// What of a configuration is for who deploys its worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployed {
    /// The worker's name.
    pub name: Option<String>,
    /// When its handler `scheduled` is called: crons of five fields.
    pub crons: Vec<String>,
}

impl Deployed {
    /// Reads the configuration in a folder.
    ///
    /// # Errors
    /// A sentence, if it can't be read.
    pub fn read(folder: &Path) -> Result<Self, String> {
        match read(folder) {
            Ok(found) => Ok(Self {
                name: found.name,
                crons: found.triggers.crons,
            }),
            Err(SourceError::Refused(why)) => Err(why),
            Err(SourceError::Io(error)) => Err(format!("Wrangler's configuration: {error}")),
        }
    }
}

/// What a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModuleKind {
    /// An ES module.
    Js,
    /// A module of the older kind.
    Cjs,
    /// A worker in the syntax of service workers.
    Script,
    Text,
    Json,
    Wasm,
    Data,
}

/// Queues. Who takes messages from them is no business of the worker's code.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Queues {
    #[serde(default)]
    pub(crate) producers: Vec<Producer>,
}

/// A binding to a queue that the worker sends to.
#[derive(Debug, Deserialize)]
pub(crate) struct Producer {
    pub(crate) binding: String,
    pub(crate) queue: String,
}

/// A binding to a key-value store.
#[derive(Debug, Deserialize)]
pub(crate) struct KvNamespace {
    binding: String,
    id: Option<String>,
}

/// A binding to another function.
#[derive(Debug, Deserialize)]
pub(crate) struct ServiceBinding {
    binding: String,
    service: String,
    entrypoint: Option<String>,
}

/// Files that are answers.
#[derive(Debug, Deserialize)]
pub(crate) struct AssetsTable {
    directory: String,
    binding: Option<String>,
    #[serde(default)]
    html_handling: HtmlHandling,
    #[serde(default)]
    not_found_handling: NotFound,
    #[serde(default)]
    run_worker_first: bool,
}

impl AssetsTable {
    /// Their folder, within the package.
    pub(crate) fn folder(&self, package: &Path) -> Result<PathBuf, SourceError> {
        let inside = Path::new(&self.directory)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let folder = package.join(&self.directory);
        if inside && folder != package && folder.is_dir() {
            return Ok(folder.components().collect());
        }
        Err(refused(format!(
            "The folder of [assets] in wrangler.toml, '{}', is none within the package.",
            self.directory.chars().take(200).collect::<String>()
        )))
    }

    pub(crate) fn read(
        self,
        folder: PathBuf,
    ) -> Result<(Arc<Assets>, Option<String>), SourceError> {
        let (html, missing) = (self.html_handling, self.not_found_handling);
        let assets = Assets::read(folder, html, missing, self.run_worker_first);
        let assets = assets.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => refused(error.to_string()),
            _ => SourceError::Io(error),
        })?;
        Ok((Arc::new(assets), self.binding))
    }
}

fn text_of(folder: &Path, name: &str) -> Result<Option<String>, SourceError> {
    match fs::read_to_string(folder.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the file of a package; nothing if it has none.
///
/// # Errors
/// If it can't be read.
pub(crate) fn read(folder: &Path) -> Result<Wrangler, SourceError> {
    // In Wrangler's own order.
    for name in ["wrangler.json", "wrangler.jsonc"] {
        if let Some(text) = text_of(folder, name)? {
            let options = ParseOptions::default();
            let read = jsonc_parser::parse_to_serde_value(&text, &options);
            return read.map_err(|error| refused(format!("{name} can't be read: {error}.")));
        }
    }
    let Some(text) = text_of(folder, "wrangler.toml")? else {
        return Ok(Wrangler::default());
    };
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| {
            text.as_bytes()[..span.start.min(text.len())]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1
        });
        refused(format!(
            "wrangler.toml can't be read: line {line}: {}.",
            error.message()
        ))
    })
}

/// A key-value store: what the worker calls it, and what the account does.
///
/// # Errors
/// If it has no name.
pub(crate) fn namespace(found: KvNamespace) -> Result<(String, String), SourceError> {
    let shown: String = found.binding.chars().take(64).collect();
    match found.id {
        Some(id) if is_store_name(&id) => Ok((found.binding, id)),
        _ => Err(refused(format!(
            "The key-value store '{shown}' in wrangler.toml needs an id: the name that the account's functions have for \
             it, up to 64 letters, digits, '-', '_' and '.'."
        ))),
    }
}

/// A queue: what the worker calls it, and what the account does.
///
/// # Errors
/// If none can be called so.
pub(crate) fn producer(found: Producer) -> Result<(String, String), SourceError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=80).contains(&found.queue.len()) && found.queue.bytes().all(good) {
        return Ok((found.binding, found.queue));
    }
    let shown: String = found.binding.chars().take(64).collect();
    Err(refused(format!(
        "The queue '{shown}' in wrangler.toml needs the name of a queue."
    )))
}

/// Another function: what the worker calls it, and which it is.
///
/// # Errors
/// If it is none that can be bound.
pub(crate) fn service(found: ServiceBinding) -> Result<(String, FunctionRef), SourceError> {
    let shown: String = found.binding.chars().take(64).collect();
    if found.entrypoint.is_some() {
        return Err(refused(format!(
            "The service '{shown}' in wrangler.toml names an entrypoint: only default exports can be bound."
        )));
    }
    let service = found.service.parse().map_err(|error| {
        refused(format!(
            "The service '{shown}' in wrangler.toml is no function: {error}."
        ))
    })?;
    Ok((found.binding, service))
}
