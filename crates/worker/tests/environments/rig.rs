//! A worker with everything that it needs, in a temporary folder.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hearth_code::{Options, PackageStore, Packages};
use hearth_sandbox::{Launcher, LauncherOptions};
use hearth_telemetry::logs::{LogOptions, LogStore, Query};
use hearth_types::ApiError;
use hearth_types::function::{
    Architecture, Configuration, Deployment, DeploymentId, Logging, Package,
};
use hearth_types::invoke::{FunctionError, Invocation, Invoker, Outcome, RequestId};
use hearth_types::limits;
use hearth_types::name::{FunctionKey, Version};
use hearth_types::time::Timestamp;
use hearth_types::walls::{NetworkAccess, Walls};
use hearth_worker::{Credentials, Door, RuntimeOptions, Stats, Worker, WorkerOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use zip::write::SimpleFileOptions;

/// A test's future.
pub(crate) type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long a condition may take to become true before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test on an event loop of its own.
pub(crate) fn run(body: Body) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(body);
}

/// Makes a [`crate::Test`] of an async function.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        vec![$((
            concat!(module_path!(), "::", stringify!($name)),
            || -> $crate::rig::Body { Box::pin($name()) },
        )),*]
    };
}
pub(crate) use tests;

/// Numbers for deployments and requests: unique in this process.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn next() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) struct Rig {
    pub(crate) worker: Worker,
    pub(crate) launcher: Launcher,
    pub(crate) packages: Packages,
    logs: LogStore,
    _dir: tempfile::TempDir,
}

/// A file of a function: name and contents. Names ending in `*` are executable, without the star.
pub(crate) type File<'a> = (&'a str, &'a str);

impl Rig {
    /// A worker whose options `change` has changed.
    pub(crate) async fn new(change: impl FnOnce(&mut WorkerOptions)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let walls = LauncherOptions {
            run_dir: dir.path().join("run"),
            allow_weak_walls: true,
            network: Default::default(),
        };
        let launcher = Launcher::start(walls.clone()).await.unwrap();
        let packages = Packages::open(Options {
            packages: PackageStore::Local(dir.path().join("packages")),
            cache_dir: dir.path().join("cache"),
            cache_bytes: 1 << 30,
            source: None,
        })
        .await
        .unwrap();
        let logs = LogStore::open(LogOptions::new(dir.path().join("logs"))).unwrap();
        let runtimes = RuntimeOptions {
            runtime_dir: dir.path().join("runtimes"),
            ..RuntimeOptions::default()
        };
        let mut options = WorkerOptions::new(
            launcher.clone(),
            packages.clone(),
            logs.clone(),
            runtimes,
            Arc::new(|key: &FunctionKey| Credentials {
                access_key_id: format!("ASIA{}", key.name),
                secret_access_key: "secret".to_owned(),
                session_token: "token".to_owned(),
            }),
            Arc::new(|_, stream| Box::pin(async move { drop(stream) })),
        );
        options.restart_launcher = Some(walls);
        change(&mut options);
        let worker = Worker::start(options).await.unwrap();
        Self {
            worker,
            launcher,
            packages,
            logs,
            _dir: dir,
        }
    }

    /// A new deployment of function `hello`.
    pub(crate) async fn deploy(
        &self,
        runtime: &str,
        files: &[File<'_>],
        change: impl FnOnce(&mut Configuration),
    ) -> Arc<Deployment> {
        let walls = Walls {
            network: NetworkAccess::None,
            ..Walls::default()
        };
        self.deploy_package(runtime, self.pack(files).await, walls, change)
    }

    /// A new deployment of function `hello` from a stored package.
    pub(crate) fn deploy_package(
        &self,
        runtime: &str,
        code: Package,
        walls: Walls,
        change: impl FnOnce(&mut Configuration),
    ) -> Arc<Deployment> {
        let mut configuration = Configuration {
            description: String::new(),
            runtime: runtime.parse().unwrap(),
            handler: "app.handler".to_owned(),
            role: "arn:aws:iam::000000000000:role/any".to_owned(),
            timeout_s: 30,
            memory_mib: 256,
            tmp_mib: limits::DEFAULT_TMP_MIB,
            environment: BTreeMap::new(),
            layers: Vec::new(),
            architecture: Architecture::X86_64,
            code,
            tracing_active: false,
            logging: Logging::default(),
            capacity_provider: None,
            dead_letter: None,
            folders: Vec::new(),
        };
        change(&mut configuration);
        Arc::new(Deployment {
            id: DeploymentId::from_random(next().into()),
            key: key(),
            version: Version::Latest,
            created: Timestamp::default(),
            configuration,
            walls,
        })
    }

    /// Stores files as a package.
    pub(crate) async fn pack(&self, files: &[File<'_>]) -> Package {
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| (*name, text.as_bytes()))
            .collect();
        self.pack_bytes(&files).await
    }

    /// Stores files as a package.
    pub(crate) async fn pack_bytes(&self, files: &[(&str, &[u8])]) -> Package {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, contents) in files {
            let (name, mode) = match name.strip_suffix('*') {
                Some(name) => (name, 0o755),
                None => (*name, 0o644),
            };
            zip.start_file(name, SimpleFileOptions::default().unix_permissions(mode))
                .unwrap();
            zip.write_all(contents).unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        self.packages.put(bytes.into()).await.unwrap()
    }

    /// A Python function with this source.
    pub(crate) async fn python(&self, source: &str) -> Arc<Deployment> {
        self.deploy(PYTHON, &[("app.py", source)], |_| {}).await
    }

    /// A function with its own bootstrap, a program in Python: it speaks the Runtime API itself, and as badly as a test
    /// wants. [`CLIENT`] is in front of it.
    pub(crate) async fn own_bootstrap(
        &self,
        source: &str,
        change: impl FnOnce(&mut Configuration),
    ) -> Arc<Deployment> {
        let bootstrap = format!("#!/usr/bin/python3 -u\n{CLIENT}\n{source}");
        self.deploy("provided.al2023", &[("bootstrap*", &bootstrap)], change)
            .await
    }

    /// Invokes with an event.
    pub(crate) async fn invoke(
        &self,
        deployment: &Arc<Deployment>,
        event: Value,
    ) -> Result<Ended, ApiError> {
        invoke(&self.worker, deployment, event).await
    }

    /// Invokes a function that works, and gives its result.
    pub(crate) async fn result(&self, deployment: &Arc<Deployment>, event: Value) -> Value {
        self.invoke(deployment, event).await.unwrap().result()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.worker.stats()
    }

    /// Waits until `condition` holds.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(Stats) -> bool) {
        let holds = async {
            while !condition(self.stats()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, holds).await.is_err() {
            panic!("never: {what}; {:?}", self.stats());
        }
    }

    /// All lines of the function's log.
    pub(crate) async fn log(&self) -> Vec<String> {
        self.logs.flush().await;
        let page = self.logs.read(&key(), Query::default()).await.unwrap();
        page.events
            .into_iter()
            .map(|event| event.message.trim_end_matches('\n').to_owned())
            .collect()
    }

    /// Ends everything, and checks that nothing is left.
    pub(crate) async fn end(self) {
        self.worker.shutdown(Duration::from_secs(10)).await;
        let stats = self.stats();
        assert_eq!((stats.environments, stats.memory_mib), (0, 0), "{stats:?}");
        self.launcher.shutdown().await;
    }
}

/// How an invocation ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) request_id: String,
    pub(crate) outcome: Outcome,
}

impl Ended {
    /// The payload as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.outcome.payload)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.outcome.payload))
    }

    /// What a function that worked returned.
    pub(crate) fn result(&self) -> Value {
        assert_eq!(self.outcome.error, None, "{:?}", self.outcome.payload);
        self.json()
    }

    /// The type and message of an error; `<id>` stands for the request's id in the message.
    pub(crate) fn error(&self) -> (String, String) {
        assert_eq!(self.outcome.error, Some(FunctionError::Unhandled));
        let object = self.json();
        let text = |member: &str| object[member].as_str().unwrap_or_default().to_owned();
        (
            text("errorType"),
            text("errorMessage").replace(&self.request_id, "<id>"),
        )
    }

    /// The log's tail; `<id>` stands for the request's id.
    pub(crate) fn tail(&self) -> String {
        let tail = self
            .outcome
            .log_tail
            .as_ref()
            .expect("a tail was asked for");
        String::from_utf8_lossy(tail).replace(&self.request_id, "<id>")
    }
}

/// Invokes with an event, and asks for the log's tail.
pub(crate) async fn invoke(
    worker: &Worker,
    deployment: &Arc<Deployment>,
    event: Value,
) -> Result<Ended, ApiError> {
    let invocation = invocation(deployment, event);
    let request_id = invocation.request_id.to_string();
    let outcome = worker.invoke(invocation).await?;
    Ok(Ended {
        request_id,
        outcome,
    })
}

/// An invocation with an event.
pub(crate) fn invocation(deployment: &Arc<Deployment>, event: Value) -> Invocation {
    Invocation {
        request_id: RequestId::from_random(u128::from(next()).to_le_bytes()),
        deployment: Arc::clone(deployment),
        invoked_arn: "arn:aws:lambda:us-east-1:000000000000:function:hello".to_owned(),
        payload: event.to_string().into(),
        client_context: None,
        trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0".to_owned(),
        log_tail: true,
    }
}

/// Asks the test, through the door, and waits for its answer if the event is `"meet"`; gives the environment's name.
pub(crate) const MEET: &str = "import socket, os\nME = os.urandom(8).hex()\n\
                               def handler(event, context):\n    if event != 'meet': return ME\n    \
                               s = socket.create_connection(('127.0.0.1', 9002))\n    s.sendall(b'!')\n    \
                               assert s.recv(1) == b'!'\n    return ME";

/// What a function that meets waits for: it tells when the function asks, and answers when it is opened.
pub(crate) struct Gate {
    pub(crate) asked: Notify,
    pub(crate) open: Notify,
}

/// A gate, and the options with a door that leads to it.
pub(crate) fn gate() -> (Arc<Gate>, impl FnOnce(&mut WorkerOptions)) {
    let gate = Arc::new(Gate {
        asked: Notify::new(),
        open: Notify::new(),
    });
    let at = Arc::clone(&gate);
    let change = move |options: &mut WorkerOptions| {
        let door: Door = Arc::new(move |_, mut stream| {
            let at = Arc::clone(&at);
            Box::pin(async move {
                let mut asked = [0];
                if stream.read_exact(&mut asked).await.is_ok() {
                    at.asked.notify_one();
                    at.open.notified().await;
                    let _ = stream.write_all(b"!").await;
                }
            })
        });
        options.door = door;
    };
    (gate, change)
}

/// The function of all tests.
pub(crate) fn key() -> FunctionKey {
    FunctionKey {
        account: "000000000000".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        name: "hello".parse().unwrap(),
    }
}

/// Whether a process with `marker` in its command line runs on this host.
pub(crate) fn runs(marker: &str) -> bool {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(marker))
}

/// The runtime that the tests' Python functions ask for; any version will do.
pub(crate) const PYTHON: &str = "python3.11";

/// A client of the Runtime API on bare sockets, for bootstraps that misbehave.
pub(crate) const CLIENT: &str = r#"
import json, os, socket, sys, time
def connect():
    return socket.create_connection(("127.0.0.1", 9001))
class Peer:
    def __init__(self):
        self.socket = connect()
        self.file = self.socket.makefile("rb")
    def send(self, data):
        self.socket.sendall(data)
    def answer(self):
        status = self.file.readline()
        if not status:
            return 0, {}, b""
        headers = {}
        while True:
            line = self.file.readline().strip()
            if not line:
                break
            name, _, value = line.partition(b":")
            headers[name.decode()] = value.strip().decode()
        body = self.file.read(int(headers.get("Content-Length", "0")))
        return int(status.split()[1]), headers, body
    def ask(self, method, path, body=b"", headers=""):
        self.send(("%s /2018-06-01/runtime/%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n"
            % (method, path, headers, len(body))).encode() + body)
        return self.answer()
    def next(self):
        status, headers, body = self.ask("GET", "invocation/next")
        assert status == 200, (status, body)
        return headers["Lambda-Runtime-Aws-Request-Id"], json.loads(body)
    def respond(self, id, value):
        return self.ask("POST", "invocation/%s/response" % id, json.dumps(value).encode())
"#;
