//! What the tests need beside Rust: installed by package name, into `target/` wherever that is possible.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context as _;

use crate::command::{command, root, run};

/// Where things are once installed, and what could not be had.
pub(crate) struct Tools {
    /// Python of the virtual environment with the packages of `tests/requirements.txt`.
    pub(crate) python: PathBuf,
    /// Folder with `node_modules`, of `tests/package.json`; `None` if npm is missing or failed.
    pub(crate) npm: Option<PathBuf>,
    /// What is not tested here, and why.
    pub(crate) skipped: Vec<String>,
}

/// Debian packages with the program that tells whether each is there.
///
/// nftables, passt and iproute2 give functions their network and the tests theirs; cmake, make, g++, autoconf and
/// libtool build the native part of the npm package `aws-lambda-ric`; strace shows the fsync before the answer.
const DEBIAN: [(&str, &str); 9] = [
    ("nftables", "nft"),
    ("passt", "pasta"),
    ("iproute2", "ip"),
    ("strace", "strace"),
    ("cmake", "cmake"),
    ("make", "make"),
    ("g++", "g++"),
    ("autoconf", "autoconf"),
    ("libtool", "libtoolize"),
];

/// Brokers whose messages call functions, and what acceptance is held against: 40 MB to download with Erlang. Package and
/// program have one name. Tests and benchmarks start their own.
const SERVERS: [&str; 4] = [
    "rabbitmq-server",
    "redis-server",
    "nats-server",
    "mosquitto",
];

/// Programs that show pages to the tests, any of them. The first is also the name of the Debian package that is installed
/// where there is none: 100 MB to download, 310 MB on the disk.
const BROWSERS: [&str; 4] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
];

/// Installs what is missing. Python is required; npm, a browser and Debian packages are not, but what they are for is
/// then skipped with a message.
pub(crate) fn for_tests() -> anyhow::Result<Tools> {
    let mut skipped = Vec::new();
    let missing: Vec<&str> = DEBIAN
        .iter()
        .filter(|(_, program)| !on_path(program))
        .map(|(package, _)| *package)
        .collect();
    debian(&missing, &mut skipped)?;
    servers(&mut skipped)?;
    if !BROWSERS.iter().any(|program| on_path(program)) {
        // Debian's relatives have no package of that name.
        let installed = debian(&BROWSERS[..1], &mut skipped);
        skipped.extend(
            installed
                .err()
                .map(|why| format!("pages in a browser: {why:#}")),
        );
    }
    packages("tests", skipped)
}

/// Installs what the benchmarks compare with.
pub(crate) fn for_bench() -> anyhow::Result<Tools> {
    let mut skipped = Vec::new();
    servers(&mut skipped)?;
    packages("bench", skipped)
}

/// Installs `requirements.txt` and `package.json` of a folder of the checkout, below `target/`.
fn packages(name: &str, mut skipped: Vec<String>) -> anyhow::Result<Tools> {
    let (lists, folder) = (root().join(name), root().join("target/tools").join(name));
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let python = python(&folder, &lists.join("requirements.txt"))?;
    let npm = npm(&folder, &lists.join("package.json"), &mut skipped)?;
    Ok(Tools {
        python,
        npm,
        skipped,
    })
}

fn debian(missing: &[&str], skipped: &mut Vec<String>) -> anyhow::Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let is_root =
        std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)?;
    if !is_root || !on_path("apt-get") {
        let why = if is_root {
            "this is not Debian"
        } else {
            "not root"
        };
        skipped.push(format!(
            "what needs {}: not installed, and {why}",
            missing.join(", ")
        ));
        return Ok(());
    }
    let apt = |arguments: &[&str]| {
        let mut apt = command("apt-get", arguments);
        run(apt
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null()))
    };
    apt(&["update", "-qq"])?;
    apt(&[
        &["install", "-y", "-qq", "--no-install-recommends"],
        missing,
    ]
    .concat())
}

/// Installs the servers that are missing, and stops what their packages started.
fn servers(skipped: &mut Vec<String>) -> anyhow::Result<()> {
    let missing: Vec<&str> = SERVERS.into_iter().filter(|one| !on_path(one)).collect();
    debian(&missing, skipped)?;
    if Path::new("/run/systemd/system").exists() {
        for server in missing {
            // One that has no service, or none that runs, is as it should be.
            let _ = command("systemctl", &["disable", "--now", server]).status();
        }
    }
    Ok(())
}

fn on_path(program: &str) -> bool {
    // Debian keeps administrators' programs out of the path of other users.
    let also = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(also)
        .any(|folder| folder.join(program).is_file())
}

/// A virtual environment, made anew when the requirements change.
fn python(folder: &Path, requirements: &Path) -> anyhow::Result<PathBuf> {
    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    if is_current(&venv, requirements)? {
        return Ok(python);
    }
    remove(&venv)?;
    run(command("python3", &["-m", "venv"]).arg(&venv))?;
    run(command(
        &python,
        &[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
        ],
    )
    .arg(requirements))?;
    mark_current(&venv, requirements)?;
    Ok(python)
}

fn npm(
    folder: &Path,
    manifest: &Path,
    skipped: &mut Vec<String>,
) -> anyhow::Result<Option<PathBuf>> {
    if !on_path("npm") {
        skipped.push("tests of npm packages: npm is not installed".to_owned());
        return Ok(None);
    }
    let folder = folder.join("npm");
    if is_current(&folder, manifest)? {
        return Ok(Some(folder));
    }
    remove(&folder)?;
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(manifest, folder.join("package.json"))?;
    let mut install = command(
        "npm",
        &["install", "--no-audit", "--no-fund", "--loglevel=error"],
    );
    if let Err(error) = run(install.current_dir(&folder)) {
        skipped.push(format!("tests of npm packages: {error:#}"));
        return Ok(None);
    }
    mark_current(&folder, manifest)?;
    Ok(Some(folder))
}

const MARK: &str = "installed-from";

fn is_current(folder: &Path, list: &Path) -> anyhow::Result<bool> {
    let wanted = std::fs::read(list).with_context(|| format!("read {}", list.display()))?;
    Ok(std::fs::read(folder.join(MARK)).is_ok_and(|installed| installed == wanted))
}

fn mark_current(folder: &Path, list: &Path) -> anyhow::Result<()> {
    std::fs::copy(list, folder.join(MARK)).with_context(|| format!("mark {}", folder.display()))?;
    Ok(())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
