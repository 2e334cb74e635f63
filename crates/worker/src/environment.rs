//! One execution environment: a sandbox with the function's runtime in it, its Runtime API, its log and its door.
//!
//! This file starts an environment, brings it through Init and ends it. How an invocation fares in it is the business
//! of [`crate::attend`] and [`crate::web`]; when one is begun is [`crate::life`]'s.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_code::Unpacked;
use hearth_sandbox::{Exit, LaunchError, Launcher, Network, Sandbox, SharedFolder, Spec, StartCpu};
use hearth_types::folder::{FolderUse, Folders};
use hearth_types::function::{Deployment, Runtime};
use hearth_types::invoke::{FunctionError, Outcome, Report};
use hearth_types::walls::NetworkAccess;
use hearth_types::web::DEFAULT_CONCURRENCY;
use hearth_types::{ApiError, ErrorKind};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::door;
use crate::failure::{Failure, error_object, exec_reason};
use crate::logs::{Conclusion, EnvironmentLog, Status};
use crate::meter::Meter;
use crate::pool::Job;
use crate::runtime_api::{self, Answer, Event, Place, Session};
use crate::shared::{Shared, shutting_down};
use crate::variables::{Surroundings, variables};
use crate::walls;
use crate::web::{self, Server};

/// Where a function's own bootstrap is looked for, in this order.
const OWN_BOOTSTRAPS: [&str; 2] = ["/var/task/bootstrap", "/opt/bootstrap"];

/// How long a start may hold back other starts: one that takes longer waits for something, or is hostile.
const START_TURN: Duration = Duration::from_secs(1);

/// When a runtime has ended, its last answer may still be in the socket: how long it is waited for.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(20);

/// A running environment.
#[derive(Debug)]
pub(crate) struct Environment {
    sandbox: Arc<Sandbox>,
    /// Where the sandbox comes from.
    launcher: Arc<Launcher>,
    /// Whether it may run several invocations at the same time.
    shared: bool,
    /// The web server in it, if the function is one: nobody asks its Runtime API then.
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) log: Arc<EnvironmentLog>,
    pub(crate) meter: Arc<Meter>,
    /// Serves the Runtime API and the door, and follows the output; ends with the environment.
    _servants: JoinSet<()>,
    /// Keep the folders that are mounted inside.
    _folders: (Unpacked, Option<Unpacked>),
}

/// Why an environment did not become ready.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The platform's fault, or a matter of configuration: no use in trying again at once.
    Platform(ApiError),
    /// The function's fault; the same again on every try.
    Hopeless(Failure),
    /// Init went wrong, after this much memory (MiB); it is tried once more within the first invocation.
    Init(End, u32),
}

/// The places that a runtime has asked for, or will.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) first: Place,
    pub(crate) further: mpsc::UnboundedReceiver<Place>,
}

/// What becomes of a place when an invocation has ended in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It can take another one.
    Ready,
    /// The runtime is still busy there, or has not asked for another one; others run on.
    Late,
    /// It is gone, and its environment takes nothing more.
    Gone,
}

/// How an invocation or an Init ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// The runtime said so.
    Answer(Answer),
    /// The platform found out.
    Failure(Failure),
    /// The platform is to blame.
    Platform(ApiError),
}

/// An invocation that has begun.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) job: Job,
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
    /// Shown as Init Duration.
    pub(crate) init: Option<Duration>,
}

impl Turn {
    /// Begins: writes START; time runs.
    pub(crate) fn begin(job: Job, log: &EnvironmentLog, init: Option<Duration>) -> Self {
        let invocation = &job.invocation;
        let version = invocation.deployment.version;
        log.begin(&invocation.request_id, version, invocation.log_tail);
        let began = Instant::now();
        let deadline = began + timeout(&invocation.deployment);
        Self {
            job,
            began,
            deadline,
            init,
        }
    }

    /// Ends: writes END and REPORT, and tells the caller.
    pub(crate) fn end(self, end: End, took: Duration, max_memory_mib: u32, log: &EnvironmentLog) {
        let invocation = &self.job.invocation;
        let request_id = &invocation.request_id;
        let report = Report {
            duration: took,
            init: self.init,
            max_memory_mib,
        };
        let conclusion = match &end {
            End::Answer(Answer::TooLarge | Answer::StreamTooLarge) => {
                Conclusion::Error(Failure::ResponseTooLarge.kind())
            }
            End::Answer(_) => Conclusion::Success,
            End::Platform(_) => Conclusion::Error("Runtime.Unknown"),
            End::Failure(failure) => Conclusion::Failure(failure),
        };
        let log_tail = log.end(request_id, &report, conclusion);
        let (payload, error) = match end {
            End::Answer(Answer::Response(body)) => (body, None),
            End::Answer(Answer::Streamed) => (Bytes::new(), None),
            // Lambda makes an object of the type when the runtime sent none.
            End::Answer(Answer::Error { kind, body }) if body.is_empty() => {
                (error_object(&kind, ""), unhandled())
            }
            End::Answer(Answer::Error { body, .. }) => (body, unhandled()),
            End::Answer(Answer::TooLarge) => {
                (Failure::ResponseTooLarge.body(request_id), unhandled())
            }
            End::Answer(Answer::StreamTooLarge) => {
                (Failure::StreamTooLarge.body(request_id), unhandled())
            }
            End::Answer(Answer::Truncated) => (Failure::Truncated.body(request_id), unhandled()),
            End::Failure(failure) => (failure.body(request_id), unhandled()),
            End::Platform(error) => {
                self.job.refuse(error);
                return;
            }
        };
        let outcome = Outcome {
            payload,
            error,
            log_tail,
            report,
        };
        self.job.reply.send(Ok(outcome));
    }
}

const fn unhandled() -> Option<FunctionError> {
    Some(FunctionError::Unhandled)
}

/// Invocations that one environment of a deployment may run at the same time, unless the function says otherwise: one
/// that takes events expects to be alone.
pub(crate) fn places(deployment: &Deployment) -> usize {
    let usual = if deployment.is_web() {
        DEFAULT_CONCURRENCY
    } else {
        1
    };
    let places = deployment.concurrency().unwrap_or(usual);
    usize::try_from(places).unwrap_or(1).max(1)
}

/// The function's timeout.
pub(crate) fn timeout(deployment: &Deployment) -> Duration {
    Duration::from_secs(deployment.configuration.timeout_s.into())
}

impl Environment {
    /// Starts an environment and waits until its runtime asks for an invocation, at most until `deadline`.
    pub(crate) async fn start(
        shared: &Shared,
        deployment: &Arc<Deployment>,
        log: &Arc<EnvironmentLog>,
        log_stream: &str,
        deadline: Instant,
        turn: Option<OwnedSemaphorePermit>,
        kill: &CancellationToken,
    ) -> Result<(Self, Places), StartError> {
        let (environment, mut places) = Self::launch(shared, deployment, log, log_stream).await?;
        let init = environment.init(&mut places.first, deadline, turn);
        let failed = match kill.run_until_cancelled(init).await {
            Some(Ok(())) => {
                environment.sandbox.limit_cpu();
                return Ok((environment, places));
            }
            Some(Err(End::Platform(error))) => StartError::Platform(error),
            Some(Err(end)) => StartError::Init(end, environment.meter.peak_mib(true)),
            None => StartError::Platform(shutting_down()),
        };
        environment.destroy().await;
        Err(failed)
    }

    async fn launch(
        shared: &Shared,
        deployment: &Arc<Deployment>,
        log: &Arc<EnvironmentLog>,
        log_stream: &str,
    ) -> Result<(Self, Places), StartError> {
        let configuration = &deployment.configuration;
        let program = shared
            .runtimes
            .program(&configuration.runtime)
            .map_err(|reason| {
                StartError::Platform(ApiError::new(ErrorKind::InvalidRuntime, reason.message))
            })?;
        let layers: Vec<_> = configuration
            .layers
            .iter()
            .map(|layer| layer.package)
            .collect();
        let (code, layers) = tokio::try_join!(
            shared.options.packages.unpacked(&configuration.code),
            shared.options.packages.layered(&layers)
        )
        .map_err(|error| {
            tracing::error!(function = %deployment.key, %error, "unpack a function's code");
            StartError::Platform(ApiError::from(error))
        })?;
        let hopeless = |why: String| StartError::Hopeless(Failure::Entrypoint(why.into()));
        let settings = deployment.web_server().transpose().map_err(hopeless)?;
        let program = if settings.is_some() {
            let program = shared.runtimes.for_web(&configuration.runtime, program);
            let language = shared.runtimes.language(&configuration.runtime);
            web::program(deployment, program, language, code.path()).map_err(hopeless)?
        } else {
            program
        };
        let mut argv = program.argv;
        let wrapper = configuration
            .environment
            .get("AWS_LAMBDA_EXEC_WRAPPER")
            .filter(|path| !deployment.is_web_wrapper(path));
        if argv.is_empty() {
            argv.push(own_bootstrap(&code, layers.as_ref())?);
        } else if let Some(wrapper) = wrapper {
            // The developer guide's "wrapper scripts": started in the runtime's place, with its command line.
            argv.insert(0, wrapper.clone());
        }
        let folders = folders(&shared.options.folders, deployment)?;
        let credentials = (shared.options.mint)(&deployment.key);
        let around = Surroundings {
            log_stream,
            credentials: &credentials,
            locale: shared.locale,
        };
        let spec = Spec {
            name: format!("{}:{}", deployment.key, deployment.version),
            code: code.path().to_path_buf(),
            layers: layers.as_ref().map(|layers| layers.path().to_path_buf()),
            mounts: program.mounts,
            folders,
            env: variables(deployment, settings.as_ref(), around),
            argv,
            memory_mib: configuration.memory_mib,
            tmp_mib: configuration.tmp_mib,
            network: match deployment.walls.network {
                NetworkAccess::None => Network::None,
                NetworkAccess::Public => Network::Egress,
            },
            start_cpu: StartCpu::Boost,
        };
        let launcher = shared.walls.launcher();
        let mut sandbox = launcher
            .launch(spec)
            .await
            .map_err(|error| launch_error(deployment, error))?;
        let broken = |error: io::Error| {
            tracing::error!(function = %deployment.key, %error, "connect to a new sandbox");
            StartError::Platform(ApiError::service(
                "The execution environment could not be started.",
            ))
        };
        let most = places(deployment);
        let (session, first, further) = Session::new(most);
        let mut servants = JoinSet::new();
        // A web server has nobody to ask there.
        if let Some(listener) = sandbox.take_runtime_api().filter(|_| settings.is_none()) {
            let listener = TcpListener::from_std(listener).map_err(broken)?;
            servants.spawn(runtime_api::serve(listener, session));
        }
        if let Some(listener) = sandbox.take_door() {
            let listener = TcpListener::from_std(listener).map_err(broken)?;
            let door = Arc::clone(&shared.options.door);
            servants.spawn(door::serve(listener, deployment.key.clone(), door));
        }
        log.attach([sandbox.take_stdout(), sandbox.take_stderr()])
            .map_err(broken)?;
        let follower = Arc::clone(log);
        servants.spawn(async move { follower.follow().await });
        let sandbox = Arc::new(sandbox);
        let server = settings.map(|settings| {
            Server::new(
                Arc::clone(&sandbox),
                settings,
                most,
                shared.upgraded.clone(),
            )
        });
        let environment = Self {
            meter: Arc::new(Meter::new(Arc::clone(&sandbox), configuration.memory_mib)),
            sandbox,
            launcher,
            server,
            shared: most > 1,
            log: Arc::clone(log),
            _servants: servants,
            _folders: (code, layers),
        };
        Ok((environment, Places { first, further }))
    }

    /// Waits until the environment can take its first invocation.
    async fn init(
        &self,
        first: &mut Place,
        deadline: Instant,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<(), End> {
        match &self.server {
            Some(server) => self.init_server(server, deadline, turn).await,
            None => self.init_runtime(first, deadline, turn).await,
        }
    }

    /// Waits until the runtime asks for its first invocation.
    async fn init_runtime(
        &self,
        first: &mut Place,
        deadline: Instant,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<(), End> {
        let began = Instant::now();
        let mut turn = turn;
        loop {
            let turn_ends = began + START_TURN;
            tokio::select! {
                biased;
                event = first.event() => return match event {
                    Some(Event::InitFailed(answer)) => Err(End::Answer(answer)),
                    // No answer can come before an invocation was offered.
                    Some(Event::Next | Event::Begun(_) | Event::Answered(_)) | None => {
                        // What Init printed belongs before the first invocation's START.
                        self.log.drain();
                        Ok(())
                    }
                },
                exit = self.sandbox.wait() => {
                    return Err(match last_words(first).await {
                        Some(Event::InitFailed(answer)) => End::Answer(answer),
                        _ => self.exited(exit).await,
                    });
                }
                () = tokio::time::sleep_until(deadline.into()) => {
                    self.sandbox.kill();
                    return Err(End::Failure(Failure::Timeout(deadline.saturating_duration_since(began))));
                }
                () = tokio::time::sleep_until(turn_ends.into()), if turn.is_some() => turn = None,
            }
        }
    }

    /// Waits until the web server is ready.
    async fn init_server(
        &self,
        server: &Server,
        deadline: Instant,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<(), End> {
        let began = Instant::now();
        let mut turn = turn;
        let impression = web::Impression::default();
        let mut ready = pin!(web::wait_until_ready(server, &impression));
        loop {
            let turn_ends = began + START_TURN;
            tokio::select! {
                biased;
                () = &mut ready => {
                    self.log.drain();
                    return Ok(());
                }
                exit = self.sandbox.wait() => return Err(self.exited(exit).await),
                () = tokio::time::sleep_until(deadline.into()) => {
                    self.sandbox.kill();
                    let waited = deadline.saturating_duration_since(began).as_secs_f64();
                    let seen = impression.text();
                    let why = format!("The web server was not ready after {waited:.2} seconds: {seen}");
                    return Err(End::Failure(Failure::NotReady(why.into())));
                }
                () = tokio::time::sleep_until(turn_ends.into()), if turn.is_some() => turn = None,
            }
        }
    }

    /// Whether what ends one invocation may end others.
    pub(crate) const fn shared(&self) -> bool {
        self.shared
    }

    /// Ends the runtime's process, and all that runs in it.
    pub(crate) fn kill(&self) {
        self.sandbox.kill();
    }

    /// Waits until the runtime's process ends. Cancel safe.
    pub(crate) async fn exit(&self) -> Exit {
        self.sandbox.wait().await
    }

    /// Ends everything inside, and waits until nothing of it is left.
    pub(crate) async fn destroy(self) {
        self.log.drain();
        if let Some(server) = &self.server {
            server.end();
        }
        self.sandbox.kill();
        self.sandbox.wait().await;
        // What it said while it was told to go, or why it went.
        self.log.drain();
    }

    /// What the end of the sandbox means for what ran in it.
    pub(crate) async fn exited(&self, exit: Exit) -> End {
        if walls::fell(&self.launcher, exit).await {
            End::Platform(walls::gone())
        } else {
            End::Failure(Failure::Exit(exit))
        }
    }
}

/// What a runtime that has ended said last.
async fn last_words(place: &mut Place) -> Option<Event> {
    tokio::time::timeout(LAST_WORDS, place.event()).await.ok()?
}

/// The function's own bootstrap, as a path inside.
fn own_bootstrap(code: &Unpacked, layers: Option<&Unpacked>) -> Result<String, StartError> {
    let folders = [Some(code.path()), layers.map(Unpacked::path)];
    for (inside, folder) in OWN_BOOTSTRAPS.iter().zip(folders) {
        // A link may lead to a place that exists only inside; the sandbox will tell.
        let found =
            folder.and_then(|folder| std::fs::symlink_metadata(folder.join("bootstrap")).ok());
        if found.is_some_and(|found| !found.is_dir()) {
            return Ok((*inside).to_owned());
        }
    }
    Err(StartError::Hopeless(Failure::Entrypoint(
        format!(
            "Couldn't find valid bootstrap(s): [{}]",
            OWN_BOOTSTRAPS.join(" ")
        )
        .into(),
    )))
}

/// The folders of a function, as the node has them now: its configuration may have changed since the function was made.
fn folders(of_node: &Folders, deployment: &Deployment) -> Result<Vec<SharedFolder>, StartError> {
    let configured = deployment.configuration.folders.iter();
    let shared = configured.map(|FolderUse { arn, path }| {
        let Some(folder) = of_node.find(arn) else {
            tracing::warn!(function = %deployment.key, %arn, "the node's configuration names no such folder");
            return Err(StartError::Platform(not_mounted(path)));
        };
        Ok(SharedFolder {
            source: folder.path.clone(),
            target: path.as_str().into(),
            access: folder.access,
        })
    });
    shared.collect()
}

fn not_mounted(path: impl std::fmt::Display) -> ApiError {
    ApiError::new(
        ErrorKind::FolderMount,
        format!("The folder for {path} could not be mounted. The node's log says why."),
    )
}

fn launch_error(deployment: &Deployment, error: LaunchError) -> StartError {
    match error {
        LaunchError::Exec {
            program,
            errno,
            reason,
        } => {
            let reason = exec_reason(&program, errno, &reason);
            // An interpreter of the host that can't be executed is no fault of the function.
            if matches!(deployment.configuration.runtime, Runtime::Provided(_)) {
                StartError::Hopeless(Failure::Entrypoint(reason.into()))
            } else {
                tracing::error!(function = %deployment.key, %reason, "start an interpreter");
                StartError::Hopeless(Failure::Entrypoint(reason.into()))
            }
        }
        LaunchError::Folder { target, reason } => {
            let folder = target.display();
            tracing::warn!(function = %deployment.key, %folder, reason, "mount a folder");
            StartError::Platform(not_mounted(folder))
        }
        LaunchError::Gone => {
            tracing::warn!("the launcher is gone: no environment can be started at the moment");
            StartError::Platform(walls::gone())
        }
        error => {
            tracing::error!(function = %deployment.key, %error, "launch a sandbox");
            StartError::Platform(ApiError::service(
                "The execution environment could not be started. Try again; the node's log says why.",
            ))
        }
    }
}

/// What the log says about a failed Init.
pub(crate) fn init_status(end: &End) -> Status<'_> {
    match end {
        End::Answer(Answer::Error { kind, .. }) if !kind.is_empty() => Status::Error(kind),
        End::Answer(Answer::TooLarge | Answer::StreamTooLarge) => {
            Status::Error("Function.ResponseSizeTooLarge")
        }
        End::Answer(_) => Status::Error("Runtime.Unknown"),
        End::Failure(Failure::Timeout(_)) => Status::Timeout,
        End::Failure(failure) => Status::Error(failure.kind()),
        End::Platform(_) => Status::Error("Runtime.Unknown"),
    }
}

/// An Init's end as the end of the invocation within which it was tried again.
pub(crate) fn as_invocation(end: End, deployment: &Deployment) -> End {
    match end {
        End::Failure(Failure::Timeout(_)) => End::Failure(Failure::Timeout(timeout(deployment))),
        End::Answer(Answer::Response(_)) => End::Answer(Answer::Response(Bytes::new())),
        other => other,
    }
}
