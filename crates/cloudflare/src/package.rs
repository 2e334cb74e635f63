//! From an upload to a package, and back to what is known of it.

use std::io::{self, Cursor, Write as _};
use std::path::Path;

use bytes::Bytes;
use hearth_types::function::Package;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{DateTime, ZipWriter};

use crate::answer::{Failure, quoted};
use crate::api::Cloudflare;
use crate::bindings::Binding;
use crate::form::Part;

/// The file of a package that says what the upload said.
const NOTE: &str = "hearth-upload.json";
/// The file with the configuration.
const CONFIGURATION: &str = "wrangler.json";
/// The folder of a package with the files that are answers.
pub(crate) const ASSETS: &str = "hearth-assets";
/// The main module of an upload that has assets and no code.
const NO_CODE: &str = "hearth-no-code.js";
/// Its text: what no file is, is not there.
const NO_CODE_TEXT: &str =
    "export default { fetch() { return new Response(\"Not found\", { status: 404 }) } };\n";

/// The part of an upload with what it says of itself.
const METADATA: &str = "metadata";

/// What an upload says of itself. Members that Wrangler writes and that have no meaning here are not read.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) main_module: Option<String>,
    pub(crate) body_part: Option<String>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) keep_bindings: Vec<String>,
    pub(crate) compatibility_date: Option<String>,
    pub(crate) compatibility_flags: Vec<String>,
    pub(crate) annotations: Map<String, Value>,
    pub(crate) keep_assets: bool,
    pub(crate) assets: Option<AssetsMetadata>,
    migrations: Option<Value>,
    containers: Option<Value>,
    tail_consumers: Option<Vec<Value>>,
}

/// What an upload says of its assets.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AssetsMetadata {
    pub(crate) jwt: String,
    pub(crate) config: Map<String, Value>,
}

/// An upload: what it says of itself, and its modules.
#[derive(Clone)]
pub(crate) struct Upload {
    pub(crate) metadata: Metadata,
    modules: Vec<Part>,
}

/// A file of a package.
pub(crate) type File = (String, Bytes);

/// The code of a package.
struct Code {
    files: Vec<File>,
    /// The name of the main module.
    main: String,
    /// What each module is, by its name.
    kinds: Map<String, Value>,
}

/// What is known of a package: the file [`NOTE`] of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Note {
    /// All bindings but secrets.
    pub(crate) bindings: Vec<Binding>,
    pub(crate) compatibility_date: Option<String>,
    pub(crate) compatibility_flags: Vec<String>,
    /// Message and tag.
    pub(crate) annotations: Map<String, Value>,
    /// How assets are answered with, if there are some.
    pub(crate) assets: Option<Map<String, Value>>,
    /// Whether the upload was one of this API.
    pub(crate) is_upload: bool,
}

impl Note {
    /// The message of whoever made the upload.
    pub(crate) fn message(&self) -> String {
        let message = self.annotations.get("workers/message");
        let message = message.and_then(Value::as_str).unwrap_or_default();
        crate::worker::description(message)
    }
}

impl Upload {
    /// Reads the parts of an upload.
    ///
    /// # Errors
    /// If they are none.
    pub(crate) fn read(parts: Vec<Part>) -> Result<Self, Failure> {
        let mut metadata = None;
        let mut modules: Vec<Part> = Vec::new();
        for mut part in parts {
            if part.name == METADATA && metadata.is_none() {
                let read: Metadata = serde_json::from_slice(&part.bytes).map_err(|error| {
                    Failure::invalid(format!("The upload's metadata can't be read: {error}."))
                })?;
                metadata = Some(read);
                continue;
            }
            if part.kind == "application/source-map" {
                continue;
            }
            part.name = module_name(&part.name)?;
            if modules.iter().any(|known| known.name == part.name) {
                return Err(Failure::invalid(format!(
                    "The upload has two parts '{}'.",
                    part.name
                )));
            }
            modules.push(part);
        }
        let metadata =
            metadata.ok_or_else(|| Failure::invalid("The upload has no part 'metadata'."))?;
        metadata.check()?;
        Ok(Self { metadata, modules })
    }

    /// The code of the package.
    ///
    /// # Errors
    /// If a module is of a type that can't be had.
    fn code(&self) -> Result<Code, Failure> {
        let metadata = &self.metadata;
        let named = metadata
            .main_module
            .as_ref()
            .or(metadata.body_part.as_ref());
        let Some(named) = named else {
            if metadata.assets.is_none() {
                return Err(Failure::invalid(
                    "The metadata names no main_module and no body_part.",
                ));
            }
            let code = (
                NO_CODE.to_owned(),
                Bytes::from_static(NO_CODE_TEXT.as_bytes()),
            );
            let kinds = Map::from_iter([(NO_CODE.to_owned(), json!("js"))]);
            return Ok(Code {
                files: vec![code],
                main: NO_CODE.to_owned(),
                kinds,
            });
        };
        let main = module_name(named)?;
        if !self.modules.iter().any(|module| module.name == main) {
            return Err(Failure::invalid(format!(
                "The upload has no part '{main}', which its metadata names as the main module."
            )));
        }
        let mut files = Vec::new();
        let mut kinds = Map::new();
        for module in &self.modules {
            let kind = kind(module, metadata.body_part.is_some() && module.name == main)?;
            kinds.insert(module.name.clone(), json!(kind));
            files.push((module.name.clone(), module.bytes.clone()));
        }
        Ok(Code { files, main, kinds })
    }

    /// The package: the upload's modules and `assets`, with a configuration of `bindings`. Takes its time: packing is work
    /// for a processor.
    ///
    /// # Errors
    /// If a module is of a type that can't be had.
    pub(crate) fn package(
        &self,
        mut bindings: Map<String, Value>,
        note: &Note,
        assets: Vec<File>,
    ) -> Result<Bytes, Failure> {
        let Code {
            mut files,
            main,
            kinds,
        } = self.code()?;
        bindings.insert("main".to_owned(), json!(main));
        bindings.insert("module_kinds".to_owned(), Value::Object(kinds));
        if let Some(date) = &note.compatibility_date {
            bindings.insert("compatibility_date".to_owned(), json!(date));
        }
        let flags = json!(note.compatibility_flags);
        bindings.insert("compatibility_flags".to_owned(), flags);
        if let Some(config) = &note.assets {
            let mut table = config.clone();
            table.insert("directory".to_owned(), json!(ASSETS));
            let bound = note
                .bindings
                .iter()
                .find(|binding| binding.kind == "assets");
            if let Some(bound) = bound {
                table.insert("binding".to_owned(), json!(bound.name));
            }
            bindings.insert("assets".to_owned(), Value::Object(table));
        }
        let text = |value: &Value| Bytes::from(format!("{value:#}\n"));
        files.push((CONFIGURATION.to_owned(), text(&Value::Object(bindings))));
        files.push((NOTE.to_owned(), text(&json!(note))));
        files.extend(assets);
        zipped(files)
    }
}

impl Metadata {
    fn check(&self) -> Result<(), Failure> {
        let is_something = |value: &Option<Value>| value.as_ref().is_some_and(|v| !v.is_null());
        let what = if is_something(&self.migrations) {
            "Durable Objects (migrations)"
        } else if is_something(&self.containers) {
            "containers"
        } else if self
            .tail_consumers
            .as_ref()
            .is_some_and(|list| !list.is_empty())
        {
            "tail_consumers"
        } else {
            return Ok(());
        };
        Err(Failure::invalid(format!(
            "Hearth does not have {what}. Take them out of Wrangler's configuration."
        )))
    }
}

/// What a module is, by the media type that Wrangler gives it: the word that the package's configuration has for it.
fn kind(module: &Part, is_script: bool) -> Result<&'static str, Failure> {
    Ok(match module.kind.as_str() {
        "application/javascript" | "text/javascript" if is_script => "script",
        "application/javascript+module" | "text/javascript+module" => "js",
        "application/javascript" | "text/javascript" => "cjs",
        "application/wasm" => "wasm",
        "text/plain" => "text",
        "application/json" => "json",
        "application/octet-stream" => "data",
        other => {
            return Err(Failure::invalid(format!(
                "The module '{}' is of the type {}, which Hearth does not run.",
                module.name,
                quoted(other)
            )));
        }
    })
}

/// A module's name as a package has it.
fn module_name(name: &str) -> Result<String, Failure> {
    let name = name.trim_start_matches("./");
    let is_bad = |segment: &str| matches!(segment, "" | "." | "..");
    if name.len() > 512
        || name.split('/').any(is_bad)
        || name.contains(['\\', '\0'])
        || [NOTE, CONFIGURATION].contains(&name)
        || name.starts_with(ASSETS)
    {
        return Err(Failure::invalid(format!(
            "A module can't be called {}: give it a path within the package.",
            quoted(name)
        )));
    }
    Ok(name.to_owned())
}

/// A zip of files: the same files give the same bytes.
fn zipped(files: Vec<File>) -> Result<Bytes, Failure> {
    let broken = |error: zip::result::ZipError| {
        Failure::invalid(format!("The upload can't be packed: {error}."))
    };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (name, bytes) in files {
        zip.start_file(name, options).map_err(broken)?;
        zip.write_all(&bytes)
            .map_err(|error| Failure::invalid(format!("The upload can't be packed: {error}.")))?;
    }
    Ok(zip.finish().map_err(broken)?.into_inner().into())
}

/// The files below a package's folder of answers, by their paths in the package. A package may have links, also such as
/// lead around in a circle: none is followed.
fn assets_in(package: &Path) -> io::Result<Vec<File>> {
    let first = package.join(ASSETS);
    let mut files = Vec::new();
    let mut folders = vec![first.clone()];
    while let Some(next) = folders.pop() {
        let entries = match std::fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound && next == first => break,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let name = path.strip_prefix(package).unwrap_or(&path);
                let name = name.to_string_lossy().into_owned();
                files.push((name, std::fs::read(&path)?.into()));
            }
        }
    }
    files.sort();
    Ok(files)
}

impl Cloudflare {
    /// What is known of a package. One that was made by other means has an empty note.
    pub(crate) async fn note_of(&self, package: &Package) -> Result<Note, Failure> {
        let read = self
            .in_package(package, |folder| {
                let text = std::fs::read(folder.join(NOTE)).unwrap_or_default();
                serde_json::from_slice(&text).unwrap_or_default()
            })
            .await?;
        Ok(read)
    }

    /// The files of a package that are answers.
    pub(crate) async fn assets_of(&self, package: &Package) -> Result<Vec<File>, Failure> {
        let read = self.in_package(package, assets_in).await?;
        read.map_err(|error| {
            tracing::error!(%error, "read a worker's assets");
            Failure::internal("The worker's assets can't be read. Try again.")
        })
    }

    /// Looks at an unpacked package, off the threads that answer.
    async fn in_package<T: Send + 'static>(
        &self,
        package: &Package,
        look: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let unpacked = self.packages.unpacked(package).await.map_err(|error| {
            tracing::error!(%error, "unpack a worker's code");
            Failure::internal("The worker's code can't be read. Try again.")
        })?;
        tokio::task::spawn_blocking(move || look(unpacked.path()))
            .await
            .map_err(|_| Failure::internal("The worker's code can't be read. Try again."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, kind: &str, text: &'static str) -> Part {
        Part {
            name: name.to_owned(),
            kind: kind.to_owned(),
            bytes: Bytes::from_static(text.as_bytes()),
        }
    }

    const MODULE: &str = "application/javascript+module";

    fn upload(metadata: &'static str, modules: Vec<Part>) -> Result<Upload, Failure> {
        let mut parts = vec![part(METADATA, "", metadata)];
        parts.extend(modules);
        Upload::read(parts)
    }

    #[test]
    fn the_same_upload_gives_the_same_package() {
        let modules = vec![
            part("./index.js", MODULE, "x"),
            part("a.txt", "text/plain", "t"),
        ];
        let upload = upload(r#"{"main_module": "index.js"}"#, modules).unwrap();
        let package = || {
            upload
                .package(Map::new(), &Note::default(), Vec::new())
                .unwrap()
        };
        assert_eq!(package(), package());
        let code = upload.code().unwrap();
        assert_eq!((code.files.len(), code.main.as_str()), (2, "index.js"));
        assert_eq!(code.kinds["a.txt"], "text");
    }

    #[test]
    fn hostile_uploads_are_refused() {
        let one = || vec![part("index.js", MODULE, "x")];
        for (metadata, modules) in [
            ("{", one()),
            ("[]", one()),
            (r#"{"main_module": "../x.js"}"#, one()),
            (r#"{"main_module": "other.js"}"#, one()),
            ("{}", one()),
            (
                r#"{"main_module": "index.js"}"#,
                vec![part("../../etc/x", MODULE, "")],
            ),
            (
                r#"{"main_module": "index.js"}"#,
                vec![part("index.js", MODULE, ""), part("./index.js", MODULE, "")],
            ),
            (
                r#"{"main_module": "index.js"}"#,
                vec![part("index.js", "text/x-python", "")],
            ),
            (
                r#"{"main_module": "index.js"}"#,
                vec![part("wrangler.json", MODULE, "")],
            ),
            (
                r#"{"main_module": "index.js", "migrations": {"tag": "v1"}}"#,
                one(),
            ),
        ] {
            let refused = upload(metadata, modules)
                .and_then(|upload| upload.package(Map::new(), &Note::default(), Vec::new()));
            assert!(refused.is_err(), "{metadata}");
        }
        assert!(Upload::read(Vec::new()).is_err());
    }

    #[test]
    fn no_link_of_a_package_is_followed() {
        let package = tempfile::tempdir().unwrap();
        let root = package.path();
        assert!(assets_in(root).unwrap().is_empty());
        std::fs::create_dir_all(root.join(ASSETS).join("sub")).unwrap();
        std::fs::write(root.join("code.js"), "x").unwrap();
        std::fs::write(root.join(ASSETS).join("sub/a.txt"), "a").unwrap();
        for (to, at) in [(".", "self"), ("../code.js", "code.js")] {
            std::os::unix::fs::symlink(to, root.join(ASSETS).join(at)).unwrap();
        }
        let file = (format!("{ASSETS}/sub/a.txt"), Bytes::from_static(b"a"));
        assert_eq!(assets_in(root).unwrap(), [file]);
        // What can't be read is not taken for nothing.
        std::fs::remove_dir_all(root.join(ASSETS)).unwrap();
        std::fs::write(root.join(ASSETS), "").unwrap();
        assert!(assets_in(root).is_err());
    }

    #[test]
    fn assets_alone_have_code_that_finds_nothing() {
        let metadata = r#"{"assets": {"jwt": "x"}}"#;
        let code = upload(metadata, Vec::new()).unwrap().code().unwrap();
        assert_eq!((code.files.len(), code.main.as_str()), (1, NO_CODE));
    }
}
