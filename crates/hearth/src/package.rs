//! What `hearth deploy` makes of a file or a folder: a zip, a runtime and a handler.
//!
//! - [`detect`]: what the content tells
//! - [`component`]: from source files to a WebAssembly component
//! - [`web`]: how a web server is started
//! - [`nextjs`]: what the build of a Next.js project left

mod component;
mod detect;
mod nextjs;
mod web;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use zip::write::SimpleFileOptions;

use detect::{check_component, detect, is_wasm, language};

/// The runtime of Python code when none is named: the newest that Lambda has.
pub(crate) const DEFAULT_PYTHON: &str = "python3.14";
/// The runtime of JavaScript when none is named: the newest that Lambda has.
pub(crate) const DEFAULT_NODE: &str = "nodejs24.x";
/// The runtime of an executable.
pub(crate) const DEFAULT_PROVIDED: &str = "provided.al2023";

/// The runtime of a WebAssembly component.
pub(crate) const WASM: &str = "wasm";

/// The runtime of JavaScript workers.
pub(crate) const WORKER: &str = "worker";

/// Names that are never part of a package: version control, caches of tools, litter of desktops.
const LEFT_OUT: [&str; 6] = [
    ".git",
    "__pycache__",
    ".DS_Store",
    ".pytest_cache",
    ".mypy_cache",
    ".hearthignore",
];

/// Names that are tools of a component's build, and no part of what it is built from.
const TOOLS_LEFT_OUT: [&str; 3] = ["node_modules", ".venv", "venv"];

/// A package with what was found out about it.
pub(crate) struct Package {
    pub(crate) zip: Vec<u8>,
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    /// A name from the path, when the user gives none.
    pub(crate) name: String,
}

/// What the user says of the package.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wanted<'a> {
    /// [`WASM`] makes a component of source files.
    pub(crate) runtime: Option<&'a str>,
    pub(crate) handler: Option<&'a str>,
    /// It is a web server, and the handler is the file that starts it.
    pub(crate) web: bool,
}

/// Makes a package of `path`. Runtime and handler are `None` where the content does not tell: the caller then needs
/// them from the user.
pub(crate) fn build(path: &Path, wanted: Wanted<'_>) -> anyhow::Result<Package> {
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
        if wanted.runtime == Some(WASM) && path.join("Cargo.toml").is_file() {
            return component_package(name, &component::of_crate(&path)?);
        }
        let also_left_out: &[&str] = if wanted.runtime == Some(WASM) {
            &TOOLS_LEFT_OUT
        } else {
            &[]
        };
        if wanted.web
            && let Some((entries, found)) = nextjs::standalone(&path)?
        {
            return Ok(Package {
                zip: zip_entries(&entries)?,
                runtime: found.runtime,
                handler: found.handler,
                name,
            });
        }
        let mut entries = list(&path, also_left_out)?;
        if entries.is_empty() {
            bail!("{} has no files", path.display());
        }
        if wanted.web {
            let (found, written) = tell_web(&entries, wanted)?;
            entries.extend(written);
            return Ok(Package {
                zip: zip_entries(&entries)?,
                runtime: found.runtime,
                handler: found.handler,
                name,
            });
        }
        if wanted.runtime == Some(WASM) && detect::component(&entries)?.is_none() {
            let content = component::of_sources(&path, &entries, wanted.handler)?;
            return component_package(name, &content);
        }
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
        let found = if wanted.web {
            let (found, written) = tell_web(&entries, wanted)?;
            if written.is_some() {
                bail!("the zip has no start script: add a run.sh to it, or deploy the folder");
            }
            found
        } else {
            detect(&entries)?
        };
        return Ok(Package {
            zip: content,
            runtime: found.runtime,
            handler: found.handler,
            name,
        });
    }
    if is_wasm(&content) {
        check_component(&path.display().to_string(), &content)?;
        return component_package(name, &content);
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
    if wanted.runtime == Some(WASM) {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let content = component::of_sources(folder, &entries, wanted.handler)?;
        return component_package(name, &content);
    }
    let found = if wanted.web {
        tell_web(&entries, wanted)?.0
    } else {
        detect(&entries)?
    };
    if found.runtime.is_none() {
        bail!(
            "can't tell the runtime of {}: expected a .py, .js, .mjs or .cjs file, an executable, a .wasm component, a .zip or a folder",
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

/// How a web server is started, as far as the user does not say.
fn tell_web(
    entries: &[Entry],
    wanted: Wanted<'_>,
) -> anyhow::Result<(detect::Found, Option<Entry>)> {
    match web::detect(entries) {
        // Whatever the content tells or does not.
        Err(_) if wanted.runtime.is_some() && wanted.handler.is_some() => {
            Ok((detect::Found::default(), None))
        }
        Ok((found, _)) if wanted.handler.is_some() => Ok((found, None)),
        other => other,
    }
}

/// A package of one component.
fn component_package(name: String, content: &[u8]) -> anyhow::Result<Package> {
    let mut zip = Zip::new();
    zip.file(&format!("{name}.wasm"), content, false)?;
    Ok(Package {
        zip: zip.finish()?,
        runtime: Some(WASM.to_owned()),
        handler: None,
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
fn list(root: &Path, also_left_out: &[&str]) -> anyhow::Result<Vec<Entry>> {
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
                .is_some_and(|name| LEFT_OUT.contains(&name) || also_left_out.contains(&name))
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
        // Enough of WebAssembly to tell a component from a module.
        const PREAMBLE: u64 = 8;
        let mut bytes = Vec::new();
        if language(&name).is_some() && !name.contains('/') && file.size() <= LOOKED_AT {
            std::io::copy(&mut std::io::Read::take(&mut file, LOOKED_AT), &mut bytes)?;
        } else if name.ends_with(".wasm") {
            std::io::copy(&mut std::io::Read::take(&mut file, PREAMBLE), &mut bytes)?;
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
        build(dir.path(), Wanted::default())
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
    fn a_worker_is_known_by_its_default_export_or_its_wrangler_toml() {
        for text in [
            "export default { fetch(request) { return new Response() } }",
            "export default {\n  async fetch(request, env) {},\n};",
            "const x = {\n  fetch: serve,\n};\nexport { x as default };",
        ] {
            let (runtime, handler) = found(&[("any.js", text, 0o644)]);
            assert_eq!(
                (runtime.as_deref(), handler),
                (Some(WORKER), None),
                "{text}"
            );
        }
        for file in ["wrangler.toml", "wrangler.jsonc"] {
            let (runtime, _) = found(&[(file, "", 0o644), ("src/a.js", "", 0o644)]);
            assert_eq!(runtime.as_deref(), Some(WORKER));
        }
        let asks = "export default x;\nconst page = await fetch(url);";
        let (runtime, _) = found(&[("any.js", asks, 0o644)]);
        assert_eq!(runtime.as_deref(), Some(DEFAULT_NODE));
    }

    #[test]
    fn a_component_is_known_by_its_first_bytes() {
        let component = "\0asm\u{d}\0\u{1}\0";
        let (runtime, handler) = found(&[("a.wasm", component, 0o644), ("notes.md", "", 0o644)]);
        assert_eq!((runtime.as_deref(), handler), (Some(WASM), None));
        // Code beside it is what is run: a component may be what that code reads.
        let (runtime, _) = found(&[("a.wasm", component, 0o644), ("app.py", "", 0o644)]);
        assert_eq!(runtime.as_deref(), Some(DEFAULT_PYTHON));
        let module = "\0asm\u{1}\0\0\0";
        assert!(build_with(&[("a.wasm", module, 0o644)]).is_err());
        assert!(build_with(&[("a.wasm", component, 0o644), ("b.wasm", component, 0o644)]).is_err());
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
        assert!(build(dir.path(), Wanted::default()).is_err());
        assert!(build_with(&[("bootstrap", "#!/bin/sh\n", 0o644)]).is_err());
        assert!(build_with(&[]).is_err());
    }

    #[test]
    fn names_are_made_of_allowed_characters() {
        assert_eq!(function_name("my app.v2"), "my-app-v2");
        assert_eq!(function_name("...."), "function");
    }
}
