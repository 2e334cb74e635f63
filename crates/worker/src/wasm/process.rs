//! One account's process: how it is started behind the process wall, and how it ends.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hearth_sandbox::{
    DOOR_PORT, Exit, Mount, Network, OwnFolder, Sandbox, Spec, StartCpu, make_folder,
    program_folder, remove_folder,
};
use hearth_types::name::AccountId;
use hearth_wasm::process::{ARTEFACTS, Process, Settings};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::net::unix::pipe::Receiver;

use super::processes::{Account, Inner};

/// How long a process may take until it dials: to set its pool up, on a busy machine. Usually 30 ms.
const DIAL: Duration = Duration::from_secs(20);

/// Where a process sees its program.
const PROGRAM_FOLDER: &str = "/var/runtime";
const PROGRAM: &str = "hearth";

/// Memory of a process that is not its guests', MiB: the program, its threads, stacks and buffers.
const OWN_MEMORY_MIB: u32 = 128;

/// Size of its `/tmp`, MiB. Nothing is written there.
const TMP_MIB: u32 = 1;

/// Instances of a process. Each takes 4 GiB of addresses, of which there are 128 TiB, and the kernel's page tables for
/// what it touched of them.
const INSTANCES: u32 = 100;

/// Longest that a call waits for an instance, as in the node.
const WAIT: Duration = Duration::from_secs(30);

/// How long after a process hung up the news of its end may take to come.
const LAST_BREATH: Duration = Duration::from_millis(200);

/// What is logged of what a process prints: it should print nothing, and may be hostile.
const WORDS: usize = 16 << 10;

/// How often it is asked whether a process is still needed: a fraction of the time that idle ones are kept, within
/// these bounds.
const FRACTION: u32 = 4;
const LEAST_INTERVAL: Duration = Duration::from_millis(20);
const GREATEST_INTERVAL: Duration = Duration::from_secs(5);

/// A process that runs.
pub(super) struct Running {
    process: Process,
    sandbox: Sandbox,
    folder: OwnFolder,
    memory_mib: u32,
}

/// How a process ended.
pub(super) struct End {
    pub(super) process: Process,
    /// `None`: it was not needed any more.
    pub(super) why: Option<String>,
}

/// Starts a process, and waits until it can work.
///
/// # Errors
/// A sentence for the operator.
pub(super) async fn start(inner: &Inner, account: &AccountId) -> Result<Running, String> {
    let options = &inner.options;
    let program = inner
        .program
        .get_or_try_init(|| {
            blocking({
                let dir = options.dir.clone();
                move || provide_program(&dir)
            })
        })
        .await
        .map_err(|error| format!("provide the program: {error}"))?;
    let folder = OwnFolder::at(options.dir.join(format!("{account}-{}", inner.number())));
    make_folder(folder.path(), 0o755).map_err(|error| format!("make a folder: {error}"))?;
    let settings = Settings {
        node: ([127, 0, 0, 1], DOOR_PORT).into(),
        instances: INSTANCES,
        memory_bytes: u64::from(options.memory_mib.saturating_sub(OWN_MEMORY_MIB).max(1)) << 20,
        wait_ms: u64::try_from(WAIT.as_millis()).unwrap_or(u64::MAX),
    };
    let spec = Spec {
        name: format!("components of {account}"),
        // Mounted at `ARTEFACTS`.
        code: folder.path().to_owned(),
        layers: None,
        mounts: vec![Mount {
            source: program.clone(),
            target: PathBuf::from(PROGRAM_FOLDER),
        }],
        folders: Vec::new(),
        argv: settings.command_line(&format!("{PROGRAM_FOLDER}/{PROGRAM}")),
        env: Vec::new(),
        memory_mib: options.memory_mib,
        tmp_mib: TMP_MIB,
        network: Network::None,
        start_cpu: StartCpu::Boost,
    };
    debug_assert_eq!(ARTEFACTS, "/var/task");
    let mut sandbox = inner
        .walls
        .launcher()
        .launch(spec)
        .await
        .map_err(|error| error.to_string())?;
    for output in [sandbox.take_stdout(), sandbox.take_stderr()] {
        tokio::spawn(listen(output, account.clone()));
    }
    let broken = |error: io::Error| format!("speak with it: {error}");
    let door = sandbox.take_door().ok_or("it has no door")?;
    let door = TcpListener::from_std(door).map_err(broken)?;
    let dialled = async { io::Result::Ok((door.accept().await?.0, door.accept().await?.0)) };
    let (line, way_out) = tokio::select! {
        dialled = tokio::time::timeout(DIAL, dialled) => match dialled {
            Ok(lines) => lines.map_err(broken)?,
            Err(_) => return Err("it did not dial in time".to_owned()),
        },
        exit = sandbox.wait() => return Err(sentence(exit, options.memory_mib)),
    };
    // Nobody else is let in.
    drop(door);
    for line in [&line, &way_out] {
        line.set_nodelay(true).map_err(broken)?;
    }
    let process = Process::connect(line, way_out, folder.path().to_owned())
        .await
        .map_err(broken)?;
    Ok(Running {
        process,
        sandbox,
        folder,
        memory_mib: options.memory_mib,
    })
}

impl Running {
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// Waits for its end, or ends it when it is not needed or must not go on. Nothing of it is left then.
    pub(super) async fn live(self, inner: &Inner, account: &Account) -> End {
        let why = tokio::select! {
            exit = self.sandbox.wait() => Some(sentence(exit, self.memory_mib)),
            reason = self.process.condemned() => Some(self.end_condemned(&reason).await),
            () = self.unneeded(inner, account) => None,
            () = inner.end.cancelled() => None,
        };
        if let Some(why) = &why {
            tracing::warn!(account = %account.id, why, "an account's process ended");
        }
        account.forget(&self.process);
        self.process.ended(why.clone().unwrap_or_else(|| {
            "the process that runs the account's components was ended with the node".to_owned()
        }));
        self.sandbox.destroy().await;
        let folder = self.folder;
        let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
        End {
            process: self.process,
            why,
        }
    }

    /// Ends it, and says why it ended.
    async fn end_condemned(&self, reason: &str) -> String {
        // A process that dies hangs up, too: how it died says more.
        if let Ok(exit) = tokio::time::timeout(LAST_BREATH, self.sandbox.wait()).await {
            return sentence(exit, self.memory_mib);
        }
        self.sandbox.kill();
        self.sandbox.wait().await;
        format!("the process that runs the account's components was ended: {reason}")
    }

    /// Waits until it has had no call for long enough, and nobody will send another.
    async fn unneeded(&self, inner: &Inner, account: &Account) {
        let interval = (inner.keep_warm / FRACTION).clamp(LEAST_INTERVAL, GREATEST_INTERVAL);
        let idle_for = |least| self.process.idle().is_some_and(|idle| idle >= least);
        while !idle_for(inner.keep_warm) {
            tokio::time::sleep(interval).await;
        }
        // The next call starts another. Who has got hold of this one before has an interval's time to begin.
        account.forget(&self.process);
        loop {
            tokio::time::sleep(interval).await;
            if idle_for(interval) {
                return;
            }
        }
    }
}

/// How a process ended, for those whose calls it took with it.
fn sentence(exit: Exit, memory_mib: u32) -> String {
    let how = match exit {
        Exit::OutOfMemory => format!("was killed at its memory limit of {memory_mib} MiB"),
        Exit::Signal(signal) => format!("was ended by signal {signal}"),
        Exit::Code(code) => format!("ended with status {code}"),
    };
    format!("the process that runs the account's components {how}")
}

/// Logs the beginning of what a process prints, and throws the rest away.
async fn listen(output: Option<OwnedFd>, account: AccountId) {
    let Some(Ok(mut output)) = output.map(Receiver::from_owned_fd) else {
        return;
    };
    let (mut words, mut buffer) = (Vec::new(), vec![0; 4 << 10]);
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        let room = WORDS.saturating_sub(words.len());
        words.extend_from_slice(&buffer[..read.min(room)]);
    }
    if !words.is_empty() {
        let words = String::from_utf8_lossy(&words);
        tracing::warn!(%account, words = words.trim_end().escape_debug().to_string(), "an account's process said");
    }
}

/// Copies the running program, whatever became of its file, to where processes can be given it; removes what an earlier
/// node left.
fn provide_program(dir: &Path) -> io::Result<PathBuf> {
    program_folder(dir, PROGRAM, |program| {
        fs::copy("/proc/self/exe", program)?;
        fs::set_permissions(program, fs::Permissions::from_mode(0o755))
    })
}

/// Removes all folders.
pub(super) async fn clear(dir: &Path) {
    let dir = dir.to_owned();
    if let Err(error) = blocking(move || remove_folder(&dir)).await {
        tracing::warn!(%error, "remove the folder of accounts' processes");
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
        .flatten()
}
