//! What a test needs: a launcher, a folder of code, and ways to look at a sandbox from outside.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hearth_sandbox::{Exit, Launcher, LauncherOptions, Network, Sandbox, Spec, StartCpu};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Runtime;

/// The longest that anything may take before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) launcher: Launcher,
    /// Mode 0700, as everything of Hearth's own.
    pub(crate) folder: TempDir,
    runtime: Runtime,
}

/// What came of a program.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn options(folder: &Path) -> LauncherOptions {
    LauncherOptions {
        run_dir: folder.join("run"),
        allow_weak_walls: !is_root(),
        network: Default::default(),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        // An unprivileged user has cgroups only where systemd delegates them.
        Self::start(!is_root())
    }

    pub(crate) fn start(allow_weak_walls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("code")).unwrap();
        let runtime = Runtime::new().unwrap();
        let options = LauncherOptions {
            allow_weak_walls,
            ..options(folder.path())
        };
        let launcher = runtime.block_on(Launcher::start(options)).unwrap();
        Self {
            launcher,
            folder,
            runtime,
        }
    }

    /// Waits for a future, but not for ever.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(PATIENCE, future).await })
            .expect("not in time")
    }

    /// Waits until something holds that nobody tells of.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let poll = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let in_time = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, poll).await });
        assert!(in_time.is_ok(), "never: {what}");
    }

    pub(crate) fn spec(&self, argv: &[&str]) -> Spec {
        Spec {
            name: "test".to_owned(),
            code: self.folder.path().join("code"),
            layers: None,
            mounts: Vec::new(),
            folders: Vec::new(),
            argv: argv.iter().map(ToString::to_string).collect(),
            env: Vec::new(),
            memory_mib: 256,
            tmp_mib: 16,
            network: Network::None,
            start_cpu: StartCpu::Boost,
        }
    }

    pub(crate) fn script(&self, script: &str) -> Spec {
        let mut spec = self.spec(&["/bin/sh", "-c", script]);
        spec.env
            .push(("PATH".to_owned(), "/usr/bin:/bin".to_owned()));
        spec
    }

    pub(crate) fn launch(&self, spec: Spec) -> Sandbox {
        self.wait(self.launcher.launch(spec)).unwrap()
    }

    /// Runs to the end.
    pub(crate) fn run(&self, spec: Spec) -> Outcome {
        let sandbox = self.launch(spec);
        self.finish(sandbox)
    }

    /// Runs a shell script to the end.
    pub(crate) fn sh(&self, script: &str) -> Outcome {
        self.run(self.script(script))
    }

    pub(crate) fn finish(&self, mut sandbox: Sandbox) -> Outcome {
        self.wait(async {
            let out = read(sandbox.take_stdout().unwrap());
            let err = read(sandbox.take_stderr().unwrap());
            let (stdout, stderr) = tokio::join!(out, err);
            Outcome {
                exit: sandbox.wait().await,
                stdout,
                stderr,
            }
        })
    }

    /// Writes a file of the function's code.
    pub(crate) fn code(&self, name: &str, text: &str) {
        write(&self.folder.path().join("code").join(name), text);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.runtime.block_on(self.launcher.shutdown());
    }
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(crate) async fn read(pipe: OwnedFd) -> String {
    let mut text = Vec::new();
    Receiver::from_owned_fd(pipe)
        .unwrap()
        .read_to_end(&mut text)
        .await
        .unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads one line.
pub(crate) async fn read_line(pipe: OwnedFd) -> String {
    let mut pipe = Receiver::from_owned_fd(pipe).unwrap();
    let mut line = Vec::new();
    while let Ok(byte) = pipe.read_u8().await
        && byte != b'\n'
    {
        line.push(byte);
    }
    String::from_utf8_lossy(&line).into_owned()
}

/// The processes of the host whose command line holds a marker.
pub(crate) fn processes_with(marker: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(marker)
    })
    .collect()
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie runs nothing and holds nothing.
    stat.rsplit_once(") ")
        .is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

pub(crate) fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// The folders of the cgroups that hold a process and belong to Hearth.
pub(crate) fn groups_of(pid: u32) -> Vec<PathBuf> {
    let list = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let mine = list.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        path.contains("/hearth/").then(|| match controllers {
            "" if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() => {
                PathBuf::from(format!("/sys/fs/cgroup{path}"))
            }
            "" => PathBuf::from(format!("/sys/fs/cgroup/unified{path}")),
            controllers => PathBuf::from(format!("/sys/fs/cgroup/{controllers}{path}")),
        })
    });
    mine.collect()
}

/// A text that no other process has in its command line.
pub(crate) fn marker() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Also a number of seconds that `sleep` takes: about a day.
    format!(
        "86{}.{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
