//! What `hearth deploy` makes of a file or a folder: a zip, a runtime and a handler.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zip::write::SimpleFileOptions;

/// The runtime of Python code when none is named: the newest that Lambda has.
pub(crate) const DEFAULT_PYTHON: &str = "python3.14";
/// The runtime of JavaScript when none is named: the newest that Lambda has.
pub(crate) const DEFAULT_NODE: &str = "nodejs24.x";
/// The runtime of an executable.
pub(crate) const DEFAULT_PROVIDED: &str = "provided.al2023";

/// Names that are never part of a package: version control, caches of tools, litter of desktops.
const LEFT_OUT: [&str; 6] = [
    ".git",
    "__pycache__",
    ".DS_Store",
    ".pytest_cache",
    ".mypy_cache",
    ".hearthignore",
];

/// A package with what was found out about it.
pub(crate) struct Package {
    pub(crate) zip: Vec<u8>,
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    /// A name from the path, when the user gives none.
    pub(crate) name: String,
}

/// Makes a package of `path`. Runtime and handler are `None` where the content does not tell: the caller then needs
/// them from the user.
pub(crate) fn build(path: &Path) -> anyhow::Result<Package> {
    let path = path
        .canonicalize()
        .with_context(|| format!("open {}", path.display()))?;
    let metadata = path
        .metadata()
        .with_context(|| format!("open {}", path.display()))?;
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or("function");
    let name = function_name(if metadata.is_dir() {
        path.file_name()
            .and_then(|name| name.to_str())
            .unwrap_or(stem)
    } else {
        stem
    });
    if metadata.is_dir() {
        let entries = list(&path)?;
        let found = detect(&entries)?;
        return Ok(Package {
            zip: zip_entries(&entries)?,
            runtime: found.runtime,
            handler: found.handler,
            name,
        });
    }
    let content = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    if content.starts_with(b"PK\x03\x04") {
        let entries = zip_listing(&content).with_context(|| format!("read {}", path.display()))?;
        let found = detect(&entries)?;
        return Ok(Package {
            zip: content,
            runtime: found.runtime,
            handler: found.handler,
            name,
        });
    }
    let file_name = path
        .file_name()
        .and_then(|name| name.to_str())
        .context("read a file name that is not UTF-8")?;
    let is_program = content.starts_with(b"\x7fELF") || content.starts_with(b"#!");
    let packed_as = if is_program && language(file_name).is_none() {
        "bootstrap"
    } else {
        file_name
    };
    let entry = Entry {
        name: packed_as.to_owned(),
        source: Source::Memory(content),
        executable: is_program,
    };
    let entries = [entry];
    let found = detect(&entries)?;
    if found.runtime.is_none() {
        bail!(
            "can't tell the runtime of {}: expected a .py, .js, .mjs or .cjs file, an executable, a .zip or a folder",
            path.display()
        );
    }
    Ok(Package {
        zip: zip_entries(&entries)?,
        runtime: found.runtime,
        handler: found.handler,
        name,
    })
}

/// Letters, digits, hyphens and underscores, as a function's name must be.
fn function_name(text: &str) -> String {
    let allowed = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '-'
        }
    };
    let name: String = text.chars().map(allowed).take(64).collect();
    let name = name.trim_matches('-');
    if name.is_empty() {
        "function".to_owned()
    } else {
        name.to_owned()
    }
}

struct Entry {
    /// Path within the package, with slashes.
    name: String,
    source: Source,
    executable: bool,
}

enum Source {
    File(PathBuf),
    Link(String),
    Memory(Vec<u8>),
}

impl Entry {
    fn content(&self) -> anyhow::Result<Vec<u8>> {
        match &self.source {
            Source::File(path) => {
                std::fs::read(path).with_context(|| format!("read {}", path.display()))
            }
            Source::Memory(content) => Ok(content.clone()),
            Source::Link(_) => Ok(Vec::new()),
        }
    }
}

/// Every file below `root`, in order of name: the same content gives the same package, bit for bit.
fn list(root: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in
            std::fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?
        {
            let item = item.with_context(|| format!("read {}", folder.display()))?;
            let path = item.path();
            if item
                .file_name()
                .to_str()
                .is_some_and(|name| LEFT_OUT.contains(&name))
            {
                continue;
            }
            let kind = item
                .file_type()
                .with_context(|| format!("read {}", path.display()))?;
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_str()
                .map(str::to_owned);
            let name =
                name.with_context(|| format!("{} is not UTF-8; rename it", path.display()))?;
            let (source, executable) = if kind.is_symlink() {
                let target = std::fs::read_link(&path)
                    .with_context(|| format!("read {}", path.display()))?;
                let inside = path.canonicalize().is_ok_and(|end| end.starts_with(root))
                    && target.is_relative();
                let Some(target) = target.to_str().filter(|_| inside) else {
                    bail!(
                        "{} links out of the folder: copy what it points to, or remove it",
                        path.display()
                    );
                };
                (Source::Link(target.to_owned()), false)
            } else if kind.is_file() {
                let mode = item
                    .metadata()
                    .with_context(|| format!("read {}", path.display()))?
                    .permissions()
                    .mode();
                (Source::File(path), mode & 0o111 != 0)
            } else {
                bail!(
                    "{} is neither a file nor a folder: remove it",
                    path.display()
                );
            };
            entries.push(Entry {
                name,
                source,
                executable,
            });
        }
    }
    if entries.is_empty() {
        bail!("{} has no files", root.display());
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn zip_listing(content: &[u8]) -> anyhow::Result<Vec<Entry>> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(content))?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index)?;
        let name = file.name()?.into_owned();
        // Only entry points are looked into, and only at the root; a bound keeps a zip bomb from being opened here.
        const LOOKED_AT: u64 = 4 * 1024 * 1024;
        let mut bytes = Vec::new();
        if language(&name).is_some() && !name.contains('/') && file.size() <= LOOKED_AT {
            std::io::copy(&mut std::io::Read::take(&mut file, LOOKED_AT), &mut bytes)?;
        }
        let executable = file.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        entries.push(Entry {
            name,
            source: Source::Memory(bytes),
            executable,
        });
    }
    Ok(entries)
}

/// Writes packages: entries in the order given, one fixed time, so that equal content has an equal digest.
pub(crate) struct Zip(zip::ZipWriter<std::io::Cursor<Vec<u8>>>);

impl Zip {
    pub(crate) fn new() -> Self {
        Self(zip::ZipWriter::new(std::io::Cursor::new(Vec::new())))
    }

    pub(crate) fn file(
        &mut self,
        name: &str,
        content: &[u8],
        executable: bool,
    ) -> anyhow::Result<()> {
        let mode = if executable { 0o755 } else { 0o644 };
        let mut write = || -> anyhow::Result<()> {
            self.0
                .start_file(name, SimpleFileOptions::default().unix_permissions(mode))?;
            Ok(self.0.write_all(content)?)
        };
        write().with_context(|| format!("pack {name}"))
    }

    fn link(&mut self, name: &str, target: &str) -> anyhow::Result<()> {
        self.0
            .add_symlink(name, target, SimpleFileOptions::default())
            .with_context(|| format!("pack {name}"))
    }

    pub(crate) fn finish(self) -> anyhow::Result<Vec<u8>> {
        Ok(self.0.finish().context("finish the package")?.into_inner())
    }
}

fn zip_entries(entries: &[Entry]) -> anyhow::Result<Vec<u8>> {
    let mut zip = Zip::new();
    for entry in entries {
        match &entry.source {
            Source::Link(target) => zip.link(&entry.name, target)?,
            _ => zip.file(&entry.name, &entry.content()?, entry.executable)?,
        }
    }
    zip.finish()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Python,
    JavaScript,
}

fn language(name: &str) -> Option<Language> {
    match Path::new(name).extension()?.to_str()? {
        "py" => Some(Language::Python),
        "js" | "mjs" | "cjs" => Some(Language::JavaScript),
        _ => None,
    }
}

#[derive(Default)]
struct Found {
    runtime: Option<String>,
    handler: Option<String>,
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

fn detect(entries: &[Entry]) -> anyhow::Result<Found> {
    if let Some(bootstrap) = entries.iter().find(|entry| entry.name == "bootstrap") {
        if !bootstrap.executable {
            bail!("the file 'bootstrap' is not executable: chmod +x it");
        }
        return Ok(Found {
            runtime: Some(DEFAULT_PROVIDED.to_owned()),
            handler: Some("bootstrap".to_owned()),
        });
    }
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

/// The function in a source text that looks like a handler.
fn handler_in(language: Language, text: &str) -> Option<&'static str> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn build_with(files: &[(&str, &str, u32)]) -> anyhow::Result<Package> {
        let dir = tempfile::tempdir().unwrap();
        for (name, content, mode) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
        build(dir.path())
    }

    fn found(files: &[(&str, &str, u32)]) -> (Option<String>, Option<String>) {
        let package = build_with(files).unwrap();
        (package.runtime, package.handler)
    }

    #[test]
    fn runtime_and_handler_are_read_from_the_content() {
        let (runtime, handler) = found(&[
            ("helper.py", "x = 1", 0o644),
            (
                "lambda_function.py",
                "import helper\ndef lambda_handler(event, context):\n    return 1\n",
                0o644,
            ),
        ]);
        assert_eq!(runtime.as_deref(), Some(DEFAULT_PYTHON));
        assert_eq!(handler.as_deref(), Some("lambda_function.lambda_handler"));
        let (runtime, handler) =
            found(&[("index.mjs", "export const handler = async (e) => e;", 0o644)]);
        assert_eq!(
            (runtime.as_deref(), handler.as_deref()),
            (Some(DEFAULT_NODE), Some("index.handler"))
        );
        let (runtime, handler) = found(&[("bootstrap", "#!/bin/sh\n", 0o755), ("x.py", "", 0o644)]);
        assert_eq!(
            (runtime.as_deref(), handler.as_deref()),
            (Some(DEFAULT_PROVIDED), Some("bootstrap"))
        );
        let (runtime, handler) = found(&[("job.py", "def work(): pass", 0o644)]);
        assert_eq!(
            (runtime.as_deref(), handler.as_deref()),
            (Some(DEFAULT_PYTHON), None)
        );
    }

    #[test]
    fn the_same_content_gives_the_same_package() {
        let files = [
            ("b.py", "def handler(e, c): pass", 0o644),
            ("a/x.txt", "x", 0o600),
        ];
        assert_eq!(
            build_with(&files).unwrap().zip,
            build_with(&files).unwrap().zip
        );
    }

    #[test]
    fn a_link_out_of_the_folder_and_a_dead_bootstrap_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("x")).unwrap();
        assert!(build(dir.path()).is_err());
        assert!(build_with(&[("bootstrap", "#!/bin/sh\n", 0o644)]).is_err());
        assert!(build_with(&[]).is_err());
    }

    #[test]
    fn names_are_made_of_allowed_characters() {
        assert_eq!(function_name("my app.v2"), "my-app-v2");
        assert_eq!(function_name("...."), "function");
    }
}
