//! What a package's content tells of a web server: how it is started.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::detect::{Found, Language, language};
use super::nextjs;
use super::{DEFAULT_NODE, DEFAULT_PROVIDED, DEFAULT_PYTHON, Entry, Source};

/// The start script, the Web Adapter's usual name for it: one that is there is used, and else one is written.
const SCRIPT: &str = "run.sh";

/// Files that servers are started from, best first.
const ENTRIES: [&str; 10] = [
    "server.js",
    "server.mjs",
    "server.cjs",
    "app.js",
    "app.mjs",
    "index.js",
    "index.mjs",
    "app.py",
    "server.py",
    "main.py",
];

/// What is given for a web server: its runtime, the file that starts it, and that file itself if it was not there.
///
/// # Errors
/// If the content does not tell how it starts.
pub(super) fn detect(entries: &[Entry]) -> anyhow::Result<(Found, Option<Entry>)> {
    let file = |name: &str| entries.iter().find(|entry| entry.name == name);
    let found = |runtime: &str, handler: &str| Found {
        runtime: Some(runtime.to_owned()),
        handler: Some(handler.to_owned()),
    };
    if let Some(bootstrap) = file("bootstrap") {
        if !bootstrap.executable {
            bail!("the file 'bootstrap' is not executable: chmod +x it");
        }
        return Ok((found(DEFAULT_PROVIDED, "bootstrap"), None));
    }
    let manifest = file("package.json");
    let is_node = manifest.is_some()
        || !entries
            .iter()
            .any(|entry| language(&entry.name) == Some(Language::Python));
    let runtime = if is_node {
        DEFAULT_NODE
    } else {
        DEFAULT_PYTHON
    };
    if file(SCRIPT).is_some() {
        return Ok((found(runtime, SCRIPT), None));
    }
    if let Some(command) = manifest.map(start_command).transpose()?.flatten() {
        if command.split_whitespace().next() == Some(nextjs::COMMAND) {
            return Ok((found(DEFAULT_NODE, nextjs::handler(entries)?), None));
        }
        let own = command
            .strip_prefix("node ")
            .map(|name| name.trim_start_matches("./"));
        if let Some(name) = own.filter(|name| file(name).is_some()) {
            return Ok((found(DEFAULT_NODE, name), None));
        }
        return Ok((found(DEFAULT_NODE, SCRIPT), Some(script(&command))));
    }
    let known = ENTRIES.into_iter().find(|name| file(name).is_some());
    let only = || {
        let mut sources = entries
            .iter()
            .filter(|entry| !entry.name.contains('/') && language(&entry.name).is_some());
        sources
            .next()
            .filter(|_| sources.next().is_none())
            .map(|entry| entry.name.as_str())
    };
    let Some(name) = known.or_else(only) else {
        bail!(
            "can't tell how the web server is started: add a start script named {SCRIPT}, or name the file with \
             --handler"
        );
    };
    let runtime = match language(name) {
        Some(Language::Python) => DEFAULT_PYTHON,
        Some(Language::JavaScript) | None => DEFAULT_NODE,
    };
    Ok((found(runtime, name), None))
}

/// `scripts.start` of a `package.json`.
fn start_command(manifest: &Entry) -> anyhow::Result<Option<String>> {
    let manifest: Value =
        serde_json::from_slice(&manifest.content()?).context("read package.json")?;
    let command = manifest["scripts"]["start"].as_str().map(str::trim);
    Ok(command
        .filter(|command| !command.is_empty())
        .map(str::to_owned))
}

/// A start script for a command line.
fn script(command: &str) -> Entry {
    // What the shell is needed for can't take its place.
    let simple = !command.contains(['&', '|', ';', '(', '\n']);
    let exec = if simple && !starts_with_assignment(command) {
        "exec "
    } else {
        ""
    };
    Entry {
        name: SCRIPT.to_owned(),
        source: Source::Memory(format!("#!/bin/sh\n{exec}{command}\n").into_bytes()),
        executable: true,
    }
}

/// Whether a command line sets variables first, as in `NODE_ENV=production node app.js`.
fn starts_with_assignment(command: &str) -> bool {
    let word = command.split_whitespace().next().unwrap_or_default();
    word.split_once('=')
        .is_some_and(|(name, _)| Path::new(name).components().count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Vec<Entry> {
        files
            .iter()
            .map(|(name, content)| Entry {
                name: (*name).to_owned(),
                source: Source::Memory(content.as_bytes().to_vec()),
                executable: *name == "bootstrap",
            })
            .collect()
    }

    fn detected(given: &[(&str, &str)]) -> (String, String, Option<String>) {
        let (found, written) = detect(&files(given)).unwrap();
        let written = written.map(|entry| String::from_utf8(entry.content().unwrap()).unwrap());
        (found.runtime.unwrap(), found.handler.unwrap(), written)
    }

    #[test]
    fn the_start_is_found() {
        let told = |given: &[(&str, &str)]| {
            let (runtime, handler, _) = detected(given);
            (runtime, handler)
        };
        let is = |runtime: &str, handler: &str| (runtime.to_owned(), handler.to_owned());
        assert_eq!(
            told(&[("app.py", ""), ("other.py", "")]),
            is(DEFAULT_PYTHON, "app.py")
        );
        assert_eq!(told(&[("shop.py", "")]), is(DEFAULT_PYTHON, "shop.py"));
        assert_eq!(
            told(&[("run.sh", ""), ("app.py", "")]),
            is(DEFAULT_PYTHON, "run.sh")
        );
        assert_eq!(
            told(&[("run.sh", ""), ("package.json", "{}")]),
            is(DEFAULT_NODE, "run.sh")
        );
        assert_eq!(
            told(&[("server.js", ""), ("app.js", "")]),
            is(DEFAULT_NODE, "server.js")
        );
        assert_eq!(
            told(&[("bootstrap", "")]),
            is(DEFAULT_PROVIDED, "bootstrap")
        );
        let start = r#"{"scripts": {"start": "node ./src/main.js"}}"#;
        assert_eq!(
            told(&[("package.json", start), ("src/main.js", "")]),
            is(DEFAULT_NODE, "src/main.js")
        );
        let next = r#"{"scripts": {"start": "next start"}}"#;
        assert_eq!(
            told(&[("package.json", next), ("server.js", "")]),
            is(DEFAULT_NODE, "server.js")
        );
        let whole = [("package.json", next), ("node_modules/.bin/next", "")];
        let error = detect(&files(&whole)).err().unwrap().to_string();
        assert!(error.contains("standalone"), "{error}");
        assert!(detect(&files(&[("a.py", ""), ("b.py", "")])).is_err());
        assert!(detect(&files(&[("package.json", "[")])).is_err());
    }

    #[test]
    fn a_start_command_becomes_a_script() {
        for (command, script) in [
            ("vite preview", "#!/bin/sh\nexec vite preview\n"),
            (
                "node a.js && node b.js",
                "#!/bin/sh\nnode a.js && node b.js\n",
            ),
            (
                "NODE_ENV=x vite preview",
                "#!/bin/sh\nNODE_ENV=x vite preview\n",
            ),
        ] {
            let manifest = serde_json::json!({ "scripts": { "start": command } }).to_string();
            let (_, handler, written) = detected(&[("package.json", &manifest)]);
            assert_eq!(
                (handler.as_str(), written.as_deref()),
                ("run.sh", Some(script))
            );
        }
    }
}
