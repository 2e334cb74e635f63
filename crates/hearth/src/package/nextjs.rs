//! A Next.js project that was built with `output: "standalone"`: the build leaves the server, and only those modules that
//! it uses, in a folder of its own. Next.js leaves it to others to put beside it what browsers load by themselves.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::detect::Found;
use super::{DEFAULT_NODE, Entry, list};

/// The command that starts a project. It is not among what the build leaves to be deployed.
pub(super) const COMMAND: &str = "next";

/// What starts the build's result instead.
const SERVER: &str = "server.js";

/// Where the build leaves its results.
const BUILT: &str = ".next";

/// Folders of the project that the server serves as they are.
const SERVED: [&str; 2] = ["public", ".next/static"];

/// The files of a package for the project, and how it is started; `None` if the folder is no such project, or was not
/// built for a server of its own.
///
/// # Errors
/// If what the build left can't be read.
pub(super) fn standalone(project: &Path) -> anyhow::Result<Option<(Vec<Entry>, Found)>> {
    let root = project.join(BUILT).join("standalone");
    let Ok(root) = root.canonicalize() else {
        return Ok(None);
    };
    let app = place(project)?;
    let within = |name: &str| Path::new(&app).join(name).to_str().map(str::to_owned);
    let Some(server) = within(SERVER).filter(|server| root.join(server).is_file()) else {
        return Ok(None);
    };
    let by_name = |entry: Entry| (entry.name.clone(), entry);
    let mut files: BTreeMap<String, Entry> = list(&root, &[])?.into_iter().map(by_name).collect();
    for served in SERVED {
        let (Ok(folder), Some(target)) = (project.join(served).canonicalize(), within(served))
        else {
            continue;
        };
        for mut entry in list(&folder, &[])? {
            entry.name = format!("{target}/{}", entry.name);
            files.extend([by_name(entry)]);
        }
    }
    let found = Found {
        runtime: Some(DEFAULT_NODE.to_owned()),
        handler: Some(server),
    };
    Ok(Some((files.into_values().collect(), found)))
}

/// What starts a folder whose manifest says [`COMMAND`].
///
/// # Errors
/// If it is not what the build left: a whole project, with what it is built with, is larger than a package may be.
pub(super) fn handler(entries: &[Entry]) -> anyhow::Result<&'static str> {
    if !entries.iter().any(|entry| entry.name == SERVER) {
        bail!(
            "this Next.js project has no standalone build: set output: 'standalone' in next.config and run 'next build' \
             first, or say by a start script named run.sh how it starts"
        );
    }
    Ok(SERVER)
}

/// Where the project's own files are within what the build left: at its root, or as deep as the project is in a
/// repository of several.
fn place(project: &Path) -> anyhow::Result<String> {
    let path = project.join(BUILT).join("required-server-files.json");
    let Ok(content) = std::fs::read(&path) else {
        return Ok(String::new());
    };
    let told: Value =
        serde_json::from_slice(&content).with_context(|| format!("read {}", path.display()))?;
    Ok(told["relativeAppDir"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        folder
    }

    fn packed(folder: &tempfile::TempDir) -> Option<(Vec<(String, String)>, String)> {
        let project = folder.path().canonicalize().unwrap();
        let (entries, found) = standalone(&project).unwrap()?;
        let text = |entry: &Entry| String::from_utf8(entry.content().unwrap()).unwrap();
        let files = entries
            .iter()
            .map(|entry| (entry.name.clone(), text(entry)));
        Some((files.collect(), found.handler.unwrap()))
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn the_server_gets_what_browsers_load() {
        let folder = project(&[
            ("app/page.js", "source"),
            ("node_modules/next/large.js", "unused"),
            ("public/robots.txt", "current"),
            (".next/static/chunks/a.js", "chunk"),
            (".next/standalone/server.js", "server"),
            // Copied by hand, for another build.
            (".next/standalone/public/robots.txt", "old"),
            (
                ".next/required-server-files.json",
                r#"{"relativeAppDir": ""}"#,
            ),
        ]);
        let (files, handler) = packed(&folder).unwrap();
        assert_eq!(handler, "server.js");
        let expected = [
            (".next/static/chunks/a.js", "chunk"),
            ("public/robots.txt", "current"),
            ("server.js", "server"),
        ];
        assert_eq!(files, pairs(&expected));
    }

    #[test]
    fn a_project_of_a_larger_repository_keeps_its_place() {
        let folder = project(&[
            (".next/static/a.js", "chunk"),
            (".next/standalone/node_modules/next/index.js", "next"),
            (".next/standalone/apps/shop/server.js", "server"),
            (
                ".next/required-server-files.json",
                r#"{"relativeAppDir": "apps/shop"}"#,
            ),
        ]);
        let (files, handler) = packed(&folder).unwrap();
        assert_eq!(handler, "apps/shop/server.js");
        let expected = [
            ("apps/shop/.next/static/a.js", "chunk"),
            ("apps/shop/server.js", "server"),
            ("node_modules/next/index.js", "next"),
        ];
        assert_eq!(files, pairs(&expected));
    }

    #[test]
    fn other_folders_are_left_alone() {
        assert!(packed(&project(&[("server.js", "")])).is_none());
        assert!(packed(&project(&[(".next/BUILD_ID", "x"), ("package.json", "{}")])).is_none());
        let broken = project(&[
            (".next/standalone/server.js", ""),
            (".next/required-server-files.json", "["),
        ]);
        assert!(standalone(broken.path()).is_err());
    }
}
