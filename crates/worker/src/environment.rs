//! One execution environment: a sandbox with the function's runtime in it, its Runtime API, its log and its door.
//!
//! This file starts an environment, brings it through Init and runs one invocation in it. When that happens is
//! [`crate::life`]'s business.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hearth_code::Unpacked;
use hearth_sandbox::{Exit, LaunchError, Launcher, Network, Sandbox, Spec, StartCpu};
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
use crate::logs::{self, Conclusion, EnvironmentLog, Status};
use crate::meter::Meter;
use crate::pool::Job;
use crate::runtime_api::{self, Answer, Event, Session, Ticket};
use crate::shared::{Shared, shutting_down};
use crate::variables::{Surroundings, variables};
use crate::walls;
use crate::web::{self, Server};

/// Where a function's own bootstrap is looked for, in this order.
const OWN_BOOTSTRAPS: [&str; 2] = ["/var/task/bootstrap", "/opt/bootstrap"];

/// How long a start may hold back other starts: one that takes longer waits for something, or is hostile.
const START_TURN: Duration = Duration::from_secs(1);

/// When a runtime has ended, its last answer may still be in the socket: how long it is waited for.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// When a runtime's response breaks off, its process may have ended, which says more and is known a little later, on a
/// busy host too: how long it is waited for. The environment is lost either way.
const BREAK: Duration = Duration::from_millis(500);

/// When nobody reads a response any more, how long the function may go on making it. Lambda does not stop a function
/// whose caller went away; here that cancels, or a stream of events would hold its environment, and count against
/// concurrency, until its timeout. A response that is almost made keeps its environment warm.
const UNREAD: Duration = Duration::from_secs(1);

/// A running environment.
#[derive(Debug)]
pub(crate) struct Environment {
    sandbox: Arc<Sandbox>,
    /// Where the sandbox comes from.
    launcher: Arc<Launcher>,
    session: Session,
    /// Nobody waits for it: the Runtime API hands out one invocation at a time.
    events: tokio::sync::Mutex<mpsc::Receiver<Event>>,
    /// The web server in it, if the function is one: nobody asks its Runtime API then.
    server: Option<Arc<Server>>,
    pub(crate) log: Arc<EnvironmentLog>,
    meter: Mutex<Meter>,
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
        log.begin(&invocation.request_id, invocation.log_tail);
        log.platform(&logs::Event::Start {
            request_id: &invocation.request_id,
            version: invocation.deployment.version,
        });
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
        log.conclude(request_id, &report, conclusion);
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
                log.end(request_id);
                self.job.refuse(error);
                return;
            }
        };
        let outcome = Outcome {
            payload,
            error,
            log_tail: log.end(request_id),
            report,
        };
        self.job.reply.send(Ok(outcome));
    }
}

const fn unhandled() -> Option<FunctionError> {
    Some(FunctionError::Unhandled)
}

/// Invocations that one environment of a deployment runs at the same time. A function that takes events runs one: the
/// Runtime API hands out one at a time.
pub(crate) fn places(deployment: &Deployment) -> usize {
    if !deployment.is_web() {
        return 1;
    }
    let places = deployment.concurrency().unwrap_or(DEFAULT_CONCURRENCY);
    usize::try_from(places).unwrap_or(1)
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
    ) -> Result<Self, StartError> {
        let environment = Self::launch(shared, deployment, log, log_stream).await?;
        let init = environment.init(deadline, turn);
        let failed = match kill.run_until_cancelled(init).await {
            Some(Ok(())) => {
                environment.sandbox.limit_cpu();
                return Ok(environment);
            }
            Some(Err(End::Platform(error))) => StartError::Platform(error),
            Some(Err(end)) => StartError::Init(end, environment.peak_mib(true)),
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
    ) -> Result<Self, StartError> {
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
        let (session, events) = Session::new();
        let mut servants = JoinSet::new();
        // A web server has nobody to ask there.
        if let Some(listener) = sandbox.take_runtime_api().filter(|_| settings.is_none()) {
            let listener = TcpListener::from_std(listener).map_err(broken)?;
            servants.spawn(runtime_api::serve(listener, session.clone()));
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
                places(deployment),
                shared.upgraded.clone(),
            )
        });
        Ok(Self {
            meter: Mutex::new(Meter::new(configuration.memory_mib)),
            sandbox,
            launcher,
            server,
            session,
            events: tokio::sync::Mutex::new(events),
            log: Arc::clone(log),
            _servants: servants,
            _folders: (code, layers),
        })
    }

    /// Waits until the runtime asks for its first invocation.
    async fn init(&self, deadline: Instant, turn: Option<OwnedSemaphorePermit>) -> Result<(), End> {
        let began = Instant::now();
        let mut turn = turn;
        if let Some(server) = &self.server {
            return self.init_server(server, deadline, turn).await;
        }
        let mut events = self.events.lock().await;
        loop {
            let turn_ends = began + START_TURN;
            tokio::select! {
                biased;
                event = events.recv() => return match event {
                    Some(Event::InitFailed(answer)) => Err(End::Answer(answer)),
                    // No answer can come before an invocation was offered.
                    Some(Event::Next | Event::Begun(_) | Event::Answered(_)) | None => {
                        // What Init printed belongs before the first invocation's START.
                        self.log.drain();
                        Ok(())
                    }
                },
                exit = self.sandbox.wait() => {
                    return Err(match last_words(&mut events).await {
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

    /// Runs one invocation; `answered` is told how long it took, before the caller is. Gives whether the environment
    /// can be used again.
    pub(crate) async fn run(&self, mut turn: Turn, answered: impl FnOnce(Duration)) -> bool {
        if let Some(server) = &self.server {
            return web::attend(self, server, turn, answered).await;
        }
        let mut events = self.events.lock().await;
        let deadline = turn.deadline;
        let left = deadline.saturating_duration_since(Instant::now());
        let invocation = &turn.job.invocation;
        self.session.offer(
            Ticket {
                request_id: invocation.request_id,
                streams: turn.job.reply.streams(),
            },
            runtime_api::handout(invocation, SystemTime::now() + left),
        );
        let end = self.end_of(&mut events, &mut turn).await;
        let took = turn.began.elapsed();
        let reusable = matches!(end, End::Answer(_));
        let max_memory_mib = self.peak_mib(!reusable);
        answered(took);
        turn.end(end, took, max_memory_mib, &self.log);
        reusable && self.asks_again(&mut events, deadline).await
    }

    /// Waits for the end of an invocation that was offered; a response that the caller takes as it is made is handed
    /// over when it begins.
    async fn end_of(&self, events: &mut mpsc::Receiver<Event>, turn: &mut Turn) -> End {
        let deadline = turn.deadline;
        let mut response: Option<Response> = None;
        let mut exited = None;
        loop {
            let unread = response.as_ref().map(|response| response.gone.clone());
            let given_up = response.as_ref().and_then(|response| response.given_up);
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(Event::Begun(beginning)) => {
                        let gone = turn.job.reply.begin(beginning);
                        response = Some(Response { gone, given_up: None });
                    }
                    // A process that ends breaks its connection off: the end says more.
                    Some(Event::Answered(Answer::Truncated)) => {
                        if exited.is_none() {
                            exited = tokio::time::timeout(BREAK, self.sandbox.wait()).await.ok();
                        }
                        return match exited {
                            Some(exit) => self.exited(exit).await,
                            None => End::Failure(Failure::Truncated),
                        };
                    }
                    Some(Event::Answered(answer)) => return End::Answer(answer),
                    // The session lets nothing else happen between an offer and its answer.
                    Some(Event::Next | Event::InitFailed(_)) | None => {
                        return End::Failure(Failure::Exit(Exit::Signal(9)));
                    }
                },
                exit = self.sandbox.wait(), if exited.is_none() => exited = Some(exit),
                // The last answer may still be in the socket, as may be a whole response that is read slowly.
                () = tokio::time::sleep(LAST_WORDS), if exited.is_some() && response.is_none() => {
                    if let Some(exit) = exited {
                        return self.exited(exit).await;
                    }
                }
                () = cancelled(unread), if given_up.is_none() => {
                    if let Some(response) = &mut response {
                        response.given_up = Some(Instant::now() + UNREAD);
                    }
                }
                () = tokio::time::sleep_until(given_up.unwrap_or(deadline).min(deadline).into()) => {
                    self.sandbox.kill();
                    return if Instant::now() >= deadline {
                        End::Failure(Failure::Timeout(timeout(&turn.job.invocation.deployment)))
                    } else {
                        End::Failure(Failure::Abandoned)
                    };
                }
            }
        }
    }

    /// Waits until the runtime asks for the next invocation, which belongs to the time of the one that it answered.
    async fn asks_again(&self, events: &mut mpsc::Receiver<Event>, deadline: Instant) -> bool {
        tokio::select! {
            biased;
            event = events.recv() => matches!(event, Some(Event::Next)),
            _ = self.sandbox.wait() => false,
            () = tokio::time::sleep_until(deadline.into()) => false,
        }
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

    /// The most memory used so far, MiB: measured now if `now` says so, or a moment ago.
    pub(crate) fn peak_mib(&self, now: bool) -> u32 {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.peak_mib(&self.sandbox, now)
    }
}

/// What a runtime that has ended said last.
async fn last_words(events: &mut mpsc::Receiver<Event>) -> Option<Event> {
    tokio::time::timeout(LAST_WORDS, events.recv()).await.ok()?
}

/// A response on its way to the caller.
struct Response {
    /// Cancelled when nobody reads it any more.
    gone: CancellationToken,
    /// When it is given up, once nobody does.
    given_up: Option<Instant>,
}

/// Waits until a token is cancelled; for ever if there is none.
async fn cancelled(token: Option<CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
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
