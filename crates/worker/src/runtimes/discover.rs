//! Finding the interpreters of this host, once, at start.
//!
//! What lies on a search path may be a version manager's shim that costs tens of milliseconds a start, or an
//! environment on top of another interpreter: each candidate is run once and asked what it really is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::{Interpreter, Language, RuntimeOptions};

/// The longest that a candidate may take to say what it is; a shim on a cold disk takes about a second.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// Candidates asked at the same time.
const PARALLEL: usize = 4;

/// Below the home folder, where version managers keep what they installed: each holds one folder a version.
const MANAGED: [&str; 7] = [
    ".pyenv/versions",
    ".nvm/versions/node",
    ".asdf/installs/python",
    ".asdf/installs/nodejs",
    ".local/share/mise/installs/python",
    ".local/share/mise/installs/node",
    ".local/share/fnm/node-versions",
];

/// Folders that are looked into whatever the search path says.
const USUAL: [&str; 2] = ["/usr/local/bin", "/usr/bin"];

/// The least releases that the bootstraps run on.
const LEAST_PYTHON: [u16; 3] = [3, 8, 0];
const LEAST_NODEJS: [u16; 3] = [16, 0, 0];

/// Prints what a Python really is: of a virtual environment, its base.
const ASK_PYTHON: &str = r#"
import json, os, sys
base = getattr(sys, "_base_executable", None) or sys.executable
print(json.dumps({
    "version": ".".join(map(str, sys.version_info[:3])),
    "executable": os.path.realpath(base),
    "prefix": os.path.realpath(sys.base_prefix),
}))
"#;

const ASK_NODEJS: &str = r#"
console.log(JSON.stringify({ version: process.versions.node, executable: process.execPath, prefix: "" }));
"#;

#[derive(Debug, Deserialize)]
struct Said {
    version: String,
    executable: PathBuf,
    prefix: PathBuf,
}

/// Everything that can run functions, each once, in a fixed order.
pub(super) async fn discover(options: &RuntimeOptions) -> Vec<Interpreter> {
    let candidates = candidates(options);
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(PARALLEL));
    let mut probes = tokio::task::JoinSet::new();
    for (language, path) in candidates {
        let slots = std::sync::Arc::clone(&slots);
        let options = options.clone();
        probes.spawn(async move {
            let _slot = slots.acquire_owned().await.ok()?;
            probe(language, &path, &options).await
        });
    }
    let mut found = BTreeSet::new();
    while let Some(probe) = probes.join_next().await {
        if let Ok(Some(interpreter)) = probe {
            found.insert(interpreter);
        }
    }
    found.into_iter().collect()
}

/// Files whose names are those of interpreters, each real file once.
fn candidates(options: &RuntimeOptions) -> BTreeSet<(Language, PathBuf)> {
    let mut folders: Vec<PathBuf> = options.search_path.clone();
    folders.extend(USUAL.map(PathBuf::from));
    if let Some(home) = &options.home {
        for managed in MANAGED {
            for version in entries(&home.join(managed)) {
                folders.push(version.join("bin"));
                folders.push(version.join("installation/bin"));
            }
        }
    }
    let mut candidates = BTreeSet::new();
    for folder in folders.iter().filter(|folder| folder.is_absolute()) {
        for path in entries(folder) {
            let language = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(language_of);
            if let (Some(language), Ok(real)) = (language, path.canonicalize()) {
                // A shim is one script for all names, and acts by the name it is called with.
                let shim = real.file_name() != path.file_name() || is_script(&real);
                candidates.insert((language, if shim && is_script(&real) { path } else { real }));
            }
        }
    }
    candidates
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect()
        })
        .unwrap_or_default()
}

fn language_of(name: &str) -> Option<Language> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match name {
        "python" | "python3" => Some(Language::Python),
        "node" | "nodejs" => Some(Language::NodeJs),
        _ if name.strip_prefix("python3.").is_some_and(digits) => Some(Language::Python),
        _ => None,
    }
}

fn is_script(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0; 2];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut head))
        .is_ok_and(|()| head == *b"#!")
}

async fn probe(language: Language, path: &Path, options: &RuntimeOptions) -> Option<Interpreter> {
    let mut command = Command::new(path);
    match language {
        Language::Python => command.args(["-I", "-S", "-c", ASK_PYTHON]),
        Language::NodeJs => command.args(["-e", ASK_NODEJS]),
    };
    command
        .env_clear()
        .envs(options.home.as_ref().map(|home| ("HOME", home)))
        .env(
            "PATH",
            std::env::join_paths(&options.search_path).unwrap_or_default(),
        )
        .current_dir("/")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(PROBE_TIMEOUT, command.output()).await {
        Ok(Ok(output)) if output.status.success() => output,
        _ => {
            tracing::debug!(path = %path.display(), "not an interpreter that runs");
            return None;
        }
    };
    let said: Said = serde_json::from_slice(&output.stdout).ok()?;
    let version = parse_version(&said.version)?;
    let least = match language {
        Language::Python => LEAST_PYTHON,
        Language::NodeJs => LEAST_NODEJS,
    };
    if version < least {
        return None;
    }
    let executable = said.executable.canonicalize().ok()?;
    let prefix = match language {
        Language::Python => said.prefix,
        Language::NodeJs => executable.parent()?.parent()?.to_path_buf(),
    };
    own_folder(language, version, &executable, &prefix).then_some(Interpreter {
        language,
        version,
        executable,
        prefix,
    })
}

/// Whether `prefix` is an installation and nothing but one. It will be visible inside: somebody's home folder with a
/// `bin/node` in it must not be.
fn own_folder(language: Language, version: [u16; 3], executable: &Path, prefix: &Path) -> bool {
    let proof = match language {
        Language::Python => format!("lib/python{}.{}/os.py", version[0], version[1]),
        Language::NodeJs => "lib/node_modules".to_owned(),
    };
    let system = prefix.starts_with("/usr");
    executable.starts_with(prefix)
        && prefix.components().count() > 1
        && (system || prefix.join(proof).exists())
}

/// `3.11.7` as numbers; anything after a third number is left out.
fn parse_version(text: &str) -> Option<[u16; 3]> {
    let mut parts = text.splitn(3, '.');
    let first = parts.next()?.parse().ok()?;
    let second = parts.next()?.parse().ok()?;
    let third: String = parts
        .next()?
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    Some([first, second, third.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interpreters() {
        for name in ["python", "python3", "python3.12"] {
            assert_eq!(language_of(name), Some(Language::Python), "{name}");
        }
        assert_eq!(language_of("node"), Some(Language::NodeJs));
        for name in [
            "python2",
            "python3.12-config",
            "python3-config",
            "pip",
            "node-gyp",
            "python3.",
        ] {
            assert_eq!(language_of(name), None, "{name}");
        }
    }

    #[test]
    fn versions_are_numbers() {
        assert_eq!(parse_version("3.11.7"), Some([3, 11, 7]));
        assert_eq!(parse_version("22.1.0-nightly"), Some([22, 1, 0]));
        assert_eq!(parse_version("3.11"), None);
        assert_eq!(parse_version("x.1.2"), None);
    }

    #[tokio::test]
    async fn this_host_has_a_python_that_is_not_a_shim() {
        let options = RuntimeOptions {
            search_path: std::env::var_os("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            home: std::env::var_os("HOME").map(PathBuf::from),
            ..RuntimeOptions::default()
        };
        let found = discover(&options).await;
        let pythons: Vec<_> = found
            .iter()
            .filter(|one| one.language == Language::Python)
            .collect();
        assert!(!pythons.is_empty());
        assert!(
            pythons.iter().all(|one| !is_script(&one.executable)),
            "{found:?}"
        );
    }
}
