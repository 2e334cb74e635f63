//! An engine for each account, and for each worker that is kept apart: started when it is first needed, kept while it is,
//! replaced when it ends or does not answer.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hearth_sandbox::{
    Exit, Launcher, Mount, Network, OwnFolder, Sandbox, Spec, StartCpu, make_folder, program_folder,
};
use hearth_types::invoke::{Body, RequestId};
use hearth_types::name::AccountId;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Collected, Limited};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::{Account, lock};
use crate::config::{self, FILE, PORT, linked_ports};
use crate::door::Room;
use crate::engine::{Engine, Response, To, Unsent, empty};
use crate::equipment::equip;
use crate::failure::Failure;
use crate::grants::{Grants, Known, Means};
use crate::handlers::{Entry, HANDLERS_BYTES, Handlers};
use crate::linked::Linked;
use crate::program::Program;
use crate::source::Source;
use crate::trace::Expected;

/// How long an engine may take until it listens, on a busy machine. Usually 100 ms.
const START: Duration = Duration::from_secs(20);

/// The pause between two tries to connect to an engine that starts.
const TRY: Duration = Duration::from_millis(5);

/// How long a worker's modules may take to be evaluated, as Init elsewhere.
const LOAD: Duration = hearth_types::limits::INIT_TIMEOUT;

/// How often an engine is looked after.
const TICK: Duration = Duration::from_secs(1);

/// How long an engine may not answer because one worker computes. Longer than a request may by default, so that the
/// deadline of the one that is to blame comes first.
const STUCK: Duration = Duration::from_secs(5);

/// How long it may not answer once a request has passed its deadline.
const DOUBT: Duration = Duration::from_millis(500);

/// Memory for one isolate when it is counted how many an engine may have, MiB: the smallest take 1.6.
const ISOLATE_MIB: u32 = 4;

/// Engines of one account that live at the same time, those among them that have been replaced and end with their last
/// request. Past them none is replaced before it ends: each has the memory of the account.
const ENGINES: usize = 4;

/// Size of an engine's `/tmp`, MiB. Nothing is written there.
const TMP_MIB: u32 = 1;

/// What is logged of what an engine prints, bytes: among it are its workers' own words.
const WORDS: usize = 4 << 10;

/// Where the engine's program is seen inside.
const PROGRAM_FOLDER: &str = "/var/runtime";
const PROGRAM: &str = "workerd";

/// How engines are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engine.
    pub program: Program,
    /// A folder of their own; absolute. Its contents are replaced.
    pub dir: PathBuf,
    /// Memory of one engine, MiB: of all isolates of an account together.
    pub memory_mib: u32,
    /// How long an engine without requests is kept.
    pub keep: Duration,
    /// What workers' grants lead to.
    pub means: Means,
}

/// The launcher to use for the next sandbox.
pub type LauncherNow = Arc<dyn Fn() -> Arc<Launcher> + Send + Sync>;

/// The engines of a node. Cheap to clone.
#[derive(Clone)]
pub struct Engines(Arc<Inner>);

struct Inner {
    options: Options,
    launcher: LauncherNow,
    /// The folder of the program, once it is there.
    program: OnceCell<PathBuf>,
    accounts: Mutex<HashMap<AccountId, Arc<Account>>>,
    next: AtomicU64,
    end: CancellationToken,
    lives: TaskTracker,
}

/// A worker that requests can be sent to.
#[derive(Debug)]
pub struct Code {
    account: Arc<Account>,
    id: Arc<str>,
    known: Arc<Known>,
    serve: HeaderValue,
    event: HeaderValue,
    load: HeaderValue,
    /// The engine that has it.
    known_to: AtomicU64,
}

impl Code {
    /// Keeps what is written about a request from now on; before it is sent.
    pub fn expect(&self, request: RequestId) -> Expected {
        self.account.traces.expect(request, &self.id)
    }

    fn to<'a>(&'a self, order: &'a HeaderValue) -> To<'a> {
        To {
            id: &self.id,
            worker: &self.known,
            order,
            plain: std::ptr::eq(order, &self.serve),
        }
    }
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engines").field(&self.0.options).finish()
    }
}

impl Engines {
    /// None is started yet. What an earlier node has left in the folder goes: variables of workers are in it if that was
    /// killed while an engine started.
    pub fn new(options: Options, launcher: LauncherNow) -> Self {
        if let Err(error) = hearth_sandbox::remove_folder(&options.dir) {
            tracing::warn!(%error, folder = %options.dir.display(), "remove what engines left");
        }
        Self(Arc::new(Inner {
            options,
            launcher,
            program: OnceCell::new(),
            accounts: Mutex::default(),
            next: AtomicU64::new(1),
            end: CancellationToken::new(),
            lives: TaskTracker::new(),
        }))
    }

    /// The newest compatibility date that the engine is sure to take.
    pub fn newest_date(&self) -> &str {
        &self.0.options.program.version
    }

    /// A worker of an account, which may have what is granted and nothing else. `id` names its code for good; letters,
    /// digits and `-` alone.
    pub fn code(&self, account: &AccountId, id: String, source: &Source, grants: Grants) -> Code {
        let mut accounts = lock(&self.0.accounts);
        let account = accounts
            .entry(account.clone())
            .or_insert_with(|| Arc::new(Account::new(account.clone())));
        Code {
            account: Arc::clone(account),
            serve: order(&id, ""),
            event: order(&id, r#","event":1"#),
            load: order(&id, r#","load":1"#),
            known: Known::new(equip(source, &id), grants),
            id: id.into(),
            known_to: AtomicU64::new(0),
        }
    }

    /// Makes a worker's isolate, and waits until its modules have been evaluated. Gives the handlers that it has.
    ///
    /// # Errors
    /// Why that can't be.
    pub async fn load(&self, code: &Code) -> Result<Handlers, Failure> {
        let engine = self.engine(code).await?;
        let loaded = async {
            let load = Request::new(empty());
            let response = engine.send(code.to(&code.load), load).await?;
            let names = Limited::new(response.into_body(), HANDLERS_BYTES).collect();
            let names = names.await.map(Collected::to_bytes).unwrap_or_default();
            Ok(Handlers::of(&names))
        };
        match tokio::time::timeout(LOAD, loaded).await {
            Ok(Ok(handlers)) => Ok(handlers),
            Ok(Err(Unsent::Failed(failure))) => Err(failure),
            Ok(Err(Unsent::Whole(_))) => Err(Failure::Crashed {
                why: "it was ended".to_owned(),
                alone: false,
            }),
            Err(_) => {
                self.doubt(code);
                Err(Failure::NotStarted(format!(
                    "its modules were not evaluated within {} s",
                    LOAD.as_secs()
                )))
            }
        }
    }

    /// Sends a request to a worker. If the engine ends meanwhile through another's fault, the request is sent once more
    /// if that does no harm. When the future is dropped, the request is cancelled.
    ///
    /// # Errors
    /// Why there is no response.
    pub async fn send(
        &self,
        code: &Code,
        entry: Entry,
        mut request: Request<Body>,
    ) -> Result<Response, Failure> {
        let order = match entry {
            Entry::Fetch => &code.serve,
            Entry::Event => &code.event,
        };
        let mut tries = 2;
        loop {
            tries -= 1;
            let again = (tries > 0).then(|| copy(&request)).flatten();
            let engine = self.engine(code).await?;
            request = match engine.send(code.to(order), request).await {
                Ok(response) => return Ok(response),
                Err(Unsent::Whole(unsent)) if tries > 0 => *unsent,
                Err(Unsent::Whole(_)) => {
                    return Err(Failure::Crashed {
                        why: "it does not take requests".to_owned(),
                        alone: false,
                    });
                }
                Err(Unsent::Failed(failure @ Failure::Crashed { alone: false, .. })) => {
                    again.ok_or(failure)?
                }
                Err(Unsent::Failed(failure)) => return Err(failure),
            };
        }
    }

    /// A request of this worker has passed its deadline: has the engine replaced if its thread is not free.
    pub fn doubt(&self, code: &Code) {
        let Some(engine) = code.account.place(&code.id).current.load_full() else {
            return;
        };
        let (account, id) = (code.account.id.clone(), Arc::clone(&code.id));
        self.0.lives.spawn(async move {
            if tokio::time::timeout(DOUBT, engine.ping()).await.is_err() {
                tracing::info!(%account, "an engine's thread is held past a request's deadline");
                engine.condemn_for(&id, "a worker computed past its deadline".to_owned());
            }
        });
    }

    /// Ends all engines.
    pub async fn end(&self) {
        self.0.end.cancel();
        self.0.lives.close();
        self.0.lives.wait().await;
        let dir = self.0.options.dir.clone();
        let _ = tokio::task::spawn_blocking(move || fs::remove_dir_all(dir)).await;
    }

    /// The account's engine, which has the code.
    async fn engine(&self, code: &Code) -> Result<Arc<Engine>, Failure> {
        let account = code.account.place(&code.id);
        let engine = match account.usable() {
            Some(engine) => engine,
            None => self.start(&account).await?,
        };
        if code.known_to.load(Ordering::Acquire) != engine.number {
            let there = engine.room.put(&code.id, &code.known);
            code.known_to.store(engine.number, Ordering::Release);
            let most = self.0.options.memory_mib / ISOLATE_MIB;
            let may_be_replaced = account.lives.load(Ordering::SeqCst) < ENGINES;
            if may_be_replaced && there > usize::try_from(most).unwrap_or(usize::MAX) {
                // It never lets go of an isolate: the next one begins with those that are asked for.
                engine.retired.store(true, Ordering::Release);
            }
        }
        code.known.asked.fetch_add(1, Ordering::Relaxed);
        Ok(engine)
    }

    /// Starts an engine for the account, unless another caller has. Goes on when its caller leaves.
    async fn start(&self, account: &Arc<Account>) -> Result<Arc<Engine>, Failure> {
        let (inner, account) = (Arc::clone(&self.0), Arc::clone(account));
        let lives = inner.lives.clone();
        let started = lives.spawn(async move {
            let _turn = account.start.lock().await;
            if let Some(engine) = account.usable() {
                return Ok(engine);
            }
            tokio::time::sleep(account.pause()?).await;
            if inner.end.is_cancelled() {
                return Err(Failure::NoEngine("the node is shutting down".to_owned()));
            }
            inner.begin(&account, &[]).await.map_err(|why| {
                tracing::error!(account = %account.id, why, "start an engine");
                account.ended(Duration::ZERO);
                Failure::NoEngine("the account's engine can't be started".to_owned())
            })
        });
        started
            .await
            .unwrap_or_else(|error| Err(Failure::NoEngine(error.to_string())))
    }
}

impl Inner {
    /// Starts the account's next engine.
    async fn begin(
        self: &Arc<Self>,
        account: &Arc<Account>,
        linked: &[Linked],
    ) -> Result<Arc<Engine>, String> {
        let began = Instant::now();
        let (engine, folder) = self.launch(account, linked).await?;
        let (account, took) = (Arc::clone(account), began.elapsed());
        tracing::debug!(account = %account.id, ?took, linked = linked.len(), "an engine started");
        account.current.store(Some(Arc::clone(&engine)));
        account.lives.fetch_add(1, Ordering::SeqCst);
        let live = live(Arc::clone(self), account, Arc::clone(&engine), folder);
        self.lives.spawn(live);
        Ok(engine)
    }

    /// Starts an engine that has these workers linked, and has it take the place of `old`, which ends when its requests
    /// have. In a box, as engines that are looked after start others.
    fn link(
        self: Arc<Self>,
        account: Arc<Account>,
        old: Arc<Engine>,
        linked: Vec<Linked>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let _turn = account.start.lock().await;
            let current = account.usable();
            if self.end.is_cancelled() || current.is_none_or(|now| now.number != old.number) {
                return;
            }
            match self.begin(&account, &linked).await {
                Ok(_) => {
                    old.retired.store(true, Ordering::Release);
                    tracing::info!(account = %account.id, workers = linked.len(), "linked workers");
                }
                // The old one does it as well.
                Err(why) => tracing::warn!(account = %account.id, why, "link workers"),
            }
        })
    }

    /// Starts an engine and waits until it listens.
    async fn launch(
        &self,
        account: &Account,
        linked: &[Linked],
    ) -> Result<(Arc<Engine>, OwnFolder), String> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let program = self
            .program
            .get_or_try_init(|| blocking(provide(&self.options)))
            .await
            .map_err(|error| format!("provide the program: {error}"))?;
        let folder = OwnFolder::at(self.options.dir.join(number.to_string()));
        blocking({
            let (path, linked) = (folder.path().to_owned(), linked.to_vec());
            move || {
                make_folder(&path, 0o755)?;
                config::write(&path, &linked)
            }
        })
        .await
        .map_err(|error| format!("write its folder: {error}"))?;
        let spec = Spec {
            name: format!("engine of {}", account.id),
            code: folder.path().to_owned(),
            layers: None,
            mounts: vec![Mount {
                source: program.clone(),
                target: PathBuf::from(PROGRAM_FOLDER),
            }],
            folders: Vec::new(),
            argv: vec![
                format!("{PROGRAM_FOLDER}/{PROGRAM}"),
                "serve".to_owned(),
                // The loader of isolates is behind it.
                "--experimental".to_owned(),
                format!("/var/task/{FILE}"),
            ],
            env: Vec::new(),
            memory_mib: self.options.memory_mib,
            tmp_mib: TMP_MIB,
            network: Network::None,
            start_cpu: StartCpu::Boost,
        };
        let launched = (self.launcher)().launch(spec).await;
        let mut sandbox = launched.map_err(|error| error.to_string())?;
        let output = sandbox.take_stdout().ok_or("it has no output")?;
        let listening = account.traces.listen(output, number);
        listening.map_err(|error| format!("listen to it: {error}"))?;
        tokio::spawn(listen(sandbox.take_stderr(), account.id.clone()));
        drop(sandbox.take_runtime_api());
        let door = sandbox.take_door().ok_or("it has no door")?;
        self.listens(&sandbox).await?;
        let path = folder.path().to_owned();
        blocking(move || config::withdraw(&path))
            .await
            .map_err(|error| format!("empty its folder: {error}"))?;
        let room = Room::new(self.options.means.clone());
        let ports = linked
            .iter()
            .map(|linked| linked.id.clone())
            .zip(linked_ports());
        let engine = Engine::new(number, sandbox, Arc::clone(&room), ports.collect());
        room.open(door, engine.gone.clone())
            .map_err(|error| format!("open its door: {error}"))?;
        Ok((engine, folder))
    }

    /// Waits until an engine listens.
    async fn listens(&self, sandbox: &Sandbox) -> Result<(), String> {
        let listens = async {
            while sandbox.connect(PORT).await.is_err() {
                tokio::time::sleep(TRY).await;
            }
        };
        tokio::select! {
            listens = tokio::time::timeout(START, listens) => {
                listens.map_err(|_| "it did not listen in time".to_owned())
            }
            exit = sandbox.wait() => Err(sentence(exit, self.options.memory_mib)),
        }
    }
}

/// Looks after an engine until its end. Nothing of it is left then.
async fn live(inner: Arc<Inner>, account: Arc<Account>, engine: Arc<Engine>, folder: OwnFolder) {
    let began = Instant::now();
    let needless = tokio::select! {
        exit = engine.sandbox.wait() => {
            engine.ends(sentence(exit, inner.options.memory_mib));
            false
        }
        () = engine.condemned.cancelled() => false,
        () = unneeded(&inner, &account, &engine) => !engine.condemned.is_cancelled(),
        () = inner.end.cancelled() => true,
    };
    account.forget(&engine);
    if needless {
        engine.ends("the node ended it".to_owned());
    } else {
        let why = engine.why().unwrap_or_default();
        tracing::warn!(account = %account.id, why, "an account's engine ended");
        account.suspect(engine.suspects());
        account.ended(began.elapsed());
    }
    engine.gone.cancel();
    engine.sandbox.kill();
    engine.sandbox.wait().await;
    let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
    account.lives.fetch_sub(1, Ordering::SeqCst);
}

/// Waits until an engine has had no request for long enough, or none after it was retired, and none has left anything to
/// run; condemns one that does not answer.
async fn unneeded(inner: &Arc<Inner>, account: &Arc<Account>, engine: &Arc<Engine>) {
    loop {
        tokio::time::sleep(TICK).await;
        let retired = engine.retired.load(Ordering::Acquire);
        if retired {
            account.forget(engine);
        } else if let Some(linked) = account.to_link(engine) {
            let link = Arc::clone(inner).link(Arc::clone(account), Arc::clone(engine), linked);
            inner.lives.spawn(link);
        }
        match engine.idle_for() {
            // Who got hold of it before it was forgotten has a tick's time to begin.
            Some(idle) if retired && idle > TICK && !account.traces.is_open(engine.number) => {
                return;
            }
            Some(idle) if idle > inner.options.keep && !account.traces.is_open(engine.number) => {
                engine.retired.store(true, Ordering::Release);
            }
            Some(_) => {}
            None => {
                if tokio::time::timeout(STUCK, engine.ping()).await.is_err() {
                    engine.condemn(format!(
                        "it did not answer for {} s: a worker computed without an end",
                        STUCK.as_secs()
                    ));
                    return;
                }
            }
        }
    }
}

/// An order for the dispatcher.
fn order(id: &str, more: &str) -> HeaderValue {
    HeaderValue::try_from(format!(r#"{{"id":"{id}"{more}}}"#))
        .unwrap_or(HeaderValue::from_static("{}"))
}

/// A copy of a request that may reach a worker twice (RFC 9110, section 9.2.2).
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let idempotent = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    if !idempotent || !hyper::body::Body::is_end_stream(request.body()) {
        return None;
    }
    let mut copy = Request::new(empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// How an engine ended.
fn sentence(exit: Exit, memory_mib: u32) -> String {
    match exit {
        Exit::OutOfMemory => format!("it was killed at its memory limit of {memory_mib} MiB"),
        Exit::Signal(signal) => format!("it was ended by signal {signal}"),
        Exit::Code(code) => format!("it ended with status {code}"),
    }
}

/// Empties an output of an engine; the beginning is logged.
async fn listen(output: Option<OwnedFd>, account: AccountId) {
    let Some(Ok(mut output)) = output.map(Receiver::from_owned_fd) else {
        return;
    };
    let (mut words, mut buffer) = (Vec::new(), vec![0; 16 << 10]);
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        let room = WORDS.saturating_sub(words.len());
        words.extend_from_slice(&buffer[..read.min(room)]);
    }
    if !words.is_empty() {
        let words = String::from_utf8_lossy(&words);
        tracing::debug!(%account, words = words.trim_end().escape_debug().to_string(), "an engine said");
    }
}

/// Puts the program into a folder that holds nothing else, and removes what an earlier node left.
fn provide(options: &Options) -> impl FnOnce() -> io::Result<PathBuf> + Send + 'static {
    let (dir, executable) = (options.dir.clone(), options.program.executable.clone());
    move || {
        program_folder(&dir, PROGRAM, |program| {
            // 160 MB; the same file where that can be, as others than root read it.
            let open = fs::metadata(&executable)?.permissions().mode() & 0o005 == 0o005;
            if open && fs::hard_link(&executable, program).is_ok() {
                return Ok(());
            }
            fs::copy(&executable, program)?;
            fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn only_what_does_no_harm_twice_is_sent_again() {
        let request = |method: Method| {
            let mut request = Request::new(empty());
            *request.method_mut() = method;
            request
        };
        assert!(copy(&request(Method::GET)).is_some());
        assert!(copy(&request(Method::POST)).is_none());
        let full = http_body_util::Full::new(Bytes::from_static(b"x"));
        let body = full.map_err(|never| match never {}).boxed_unsync();
        let mut with_body = request(Method::PUT);
        *with_body.body_mut() = body;
        assert!(copy(&with_body).is_none());
    }
}
