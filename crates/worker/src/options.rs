//! How a worker is set up. Everything comes in as a value: nothing here reads the environment or a file (INV-6).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hearth_code::Packages;
use hearth_isolates::{Means, Program};
use hearth_sandbox::{Launcher, LauncherOptions};
use hearth_telemetry::logs::LogStore;
use hearth_telemetry::tails::Tails;
use hearth_types::folder::Folders;
use hearth_types::invoke::BoxFuture;
use hearth_types::limits;
use hearth_types::name::FunctionKey;
use hearth_types::network::Hosts;
use hearth_wasm::KeyValue;
use tokio::net::TcpStream;

use crate::runtimes::RuntimeOptions;

/// Temporary credentials of a function: what its SDK signs requests to Hearth with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: String,
}

impl fmt::Debug for Credentials {
    /// Shows the key's id alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Makes credentials for a function; called once per environment. They must be good for at least
/// [`WorkerOptions::max_lifetime`] and one invocation (15 minutes) more.
pub type Mint = Arc<dyn Fn(&FunctionKey) -> Credentials + Send + Sync>;

/// Serves a connection that a function of `key` made to the platform's door (`127.0.0.1:9002` inside). The future ends
/// with the connection; it is dropped when the environment ends.
pub type Door = Arc<dyn Fn(&FunctionKey, TcpStream) -> BoxFuture<'static, ()> + Send + Sync>;

/// Finds a key-value bucket for components: the one that belongs to the function, or the one of a name that functions
/// of the account share.
pub type Buckets = Arc<dyn Fn(&FunctionKey, Option<&str>) -> Arc<dyn KeyValue> + Send + Sync>;

/// How accounts' processes for components are made.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// A folder of their own, made when the first is started and removed with the worker; absolute.
    pub dir: PathBuf,
    /// Memory of one process, MiB: what its kernel group may have. More than the guests of an account at the same time
    /// need, and 128 for the process itself.
    pub memory_mib: u32,
}

/// How functions that are WebAssembly components are run.
#[derive(Clone)]
pub struct ComponentOptions {
    /// Runs them.
    pub wall: hearth_wasm::Wall,
    /// Hosts that a function may send HTTP requests to if its tags name none.
    pub allowed_hosts: Hosts,
    /// Finds key-value buckets; `None`: functions whose tags ask for one are refused.
    pub buckets: Option<Buckets>,
    /// Runs each account's components in a process of its own, behind the process wall as well; `None`: all run in this
    /// one.
    pub processes: Option<ProcessOptions>,
}

impl fmt::Debug for ComponentOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentOptions")
            .field("wall", &self.wall)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("processes", &self.processes)
            .finish_non_exhaustive()
    }
}

/// How functions of the runtime `worker` are run.
#[derive(Clone, Debug)]
pub struct IsolateOptions {
    /// The engine.
    pub program: Program,
    /// A folder of its own for engines' files; absolute, its contents replaced.
    pub dir: PathBuf,
    /// Memory of one engine, MiB: of all isolates of an account together.
    pub memory_mib: u32,
    /// Hosts that a function may send HTTP requests to if its tags name none.
    pub allowed_hosts: Hosts,
    /// What is behind that, and behind functions' bindings.
    pub means: Means,
}

/// How a worker is set up.
#[derive(Clone)]
pub struct WorkerOptions {
    /// Starts sandboxes.
    pub launcher: Launcher,
    /// How to start another launcher when that one dies; `None`: no environment can be started from then on.
    pub restart_launcher: Option<LauncherOptions>,
    /// Where packages come from.
    pub packages: Packages,
    /// Where functions' logs go.
    pub logs: LogStore,
    /// How WebAssembly components are run; `None`: functions that are components are refused.
    pub components: Option<ComponentOptions>,
    /// How functions of the runtime `worker` are run, or why they are refused: a clause.
    pub isolates: Result<IsolateOptions, String>,
    /// Folders that functions may have.
    pub folders: Arc<Folders>,
    /// Which interpreters there are.
    pub runtimes: RuntimeOptions,
    /// Makes functions' credentials.
    pub mint: Mint,
    /// Serves functions' connections to the platform.
    pub door: Door,
    /// Who watches workers.
    pub tails: Tails,
    /// Bound on the sum of the memory sizes of all environments, bytes.
    pub memory_bytes: u64,
    /// Bound on the number of environments.
    pub max_environments: usize,
    /// Environments that start at the same time; more only slow each other down.
    pub parallel_starts: usize,
    /// How long an idle environment is kept.
    pub keep_warm: Duration,
    /// How old an environment may become; it then ends after its invocation.
    pub max_lifetime: Duration,
    /// How long an invocation waits for an environment before its caller is told to try again.
    pub queue_wait: Duration,
    /// Invocations of one deployment that may wait at the same time.
    pub queue_length: usize,
    /// How long Init may take before it is tried again within the first invocation.
    pub init_timeout: Duration,
}

impl WorkerOptions {
    /// Options with everything that has a default at its default: 4 GiB of environments, at most 1,000 of them, two
    /// starts per processor at once, 10 minutes warm, 6 hours of life, 30 s and 1,000 places in the queue. Without walls for components and isolates.
    pub fn new(
        launcher: Launcher,
        packages: Packages,
        logs: LogStore,
        runtimes: RuntimeOptions,
        mint: Mint,
        door: Door,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            launcher,
            restart_launcher: None,
            packages,
            logs,
            components: None,
            isolates: Err("they are turned off".to_owned()),
            folders: Arc::default(),
            runtimes,
            mint,
            door,
            tails: Tails::default(),
            memory_bytes: 4 << 30,
            max_environments: 1_000,
            parallel_starts: 2 * processors,
            keep_warm: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(6 * 3600),
            queue_wait: Duration::from_secs(30),
            queue_length: usize::try_from(limits::ACCOUNT_CONCURRENCY).unwrap_or(usize::MAX),
            init_timeout: limits::INIT_TIMEOUT,
        }
    }
}

impl fmt::Debug for WorkerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerOptions")
            .field("components", &self.components)
            .field("isolates", &self.isolates)
            .field("folders", &self.folders)
            .field("runtimes", &self.runtimes)
            .field("memory_bytes", &self.memory_bytes)
            .field("max_environments", &self.max_environments)
            .field("parallel_starts", &self.parallel_starts)
            .field("keep_warm", &self.keep_warm)
            .field("max_lifetime", &self.max_lifetime)
            .field("queue_wait", &self.queue_wait)
            .field("queue_length", &self.queue_length)
            .field("init_timeout", &self.init_timeout)
            .finish_non_exhaustive()
    }
}
