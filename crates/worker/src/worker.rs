//! The worker's handle: the in-process [`Invoker`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hearth_types::ApiError;
use hearth_types::function::{Deployment, DeploymentId, Reason};
use hearth_types::invoke::{
    Body, BoxFuture, HttpInvocation, Invocation, Invoker, Outcome, RequestId, Served, Streamed,
};
use hearth_types::name::{FunctionKey, Version};
use hearth_types::walls::Isolation;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use crate::event;
use crate::isolate::{self, Guest as WorkerGuest};
use crate::options::WorkerOptions;
use crate::pool::{Job, Placed, Pool};
use crate::reaper;
use crate::reply::Reply;
use crate::runtimes::Runtimes;
use crate::shared::{Shared, no_room, shutting_down};
use crate::wasm::{self, Guest};
use crate::web::{self, Unserved, Visit};

/// Runs functions on this host. Cheap to clone; all clones are one worker.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<Shared>,
    servants: Arc<[AbortOnDropHandle<()>; 2]>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("stats", &self.stats())
            .finish()
    }
}

/// What a worker holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Deployments that have environments or waiting invocations, or had some until a moment ago.
    pub deployments: usize,
    /// Environments on their way to their first invocation.
    pub starting: usize,
    /// Environments that wait for an invocation.
    pub idle: usize,
    /// Environments that run an invocation.
    pub busy: usize,
    /// Invocations that wait for an environment.
    pub waiting: usize,
    /// Environments that hold room; those that are being destroyed still do.
    pub environments: usize,
    /// Sum of the memory sizes of these, MiB.
    pub memory_mib: u64,
    /// Environments that were begun since the worker started.
    pub started: u64,
    /// Deployments of WebAssembly components that are loaded.
    pub components: usize,
    /// Lanes of components that wait for a call: what environments are on that wall, without room of their own.
    pub idle_lanes: usize,
    /// Lanes of components that serve a call.
    pub busy_lanes: usize,
}

impl Worker {
    /// Finds the host's interpreters and begins. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If [`crate::RuntimeOptions::runtime_dir`] can't be written.
    pub async fn start(options: WorkerOptions) -> io::Result<Self> {
        let runtimes = Runtimes::find(options.runtimes.clone()).await?;
        let shared = Shared::new(options, runtimes);
        let reaper = tokio::spawn(reaper::reap(Arc::clone(&shared)));
        let watch = tokio::spawn(Arc::clone(&shared.walls).watch());
        Ok(Self {
            shared,
            servants: Arc::new([reaper, watch].map(AbortOnDropHandle::new)),
        })
    }

    /// The interpreters of this host.
    pub fn runtimes(&self) -> &Runtimes {
        &self.shared.runtimes
    }

    /// What there is at this moment. Walks over all deployments that are in memory: for people and metrics, not for
    /// the way of a request.
    pub fn stats(&self) -> Stats {
        let pools = self.shared.pools();
        let (environments, memory_mib) = self.shared.capacity.used();
        let [components, idle_lanes, busy_lanes] = self.shared.components.loaded.counts();
        let mut stats = Stats {
            deployments: pools.len(),
            environments,
            memory_mib,
            started: self.shared.started.load(Ordering::Relaxed),
            components,
            idle_lanes,
            busy_lanes,
            ..Stats::default()
        };
        for pool in pools.values() {
            let [starting, idle, busy, waiting] = pool.counts();
            stats.starting += starting;
            stats.idle += idle;
            stats.busy += busy;
            stats.waiting += waiting;
        }
        stats
    }

    /// Ends: invocations that wait are refused, those that run may finish within `bound`; then all environments are
    /// destroyed. When it returns, nothing of them is left, except for responses of components that somebody still
    /// reads: these end with the connections that carry them. Further invocations are refused.
    pub async fn shutdown(&self, bound: Duration) {
        self.shared.close();
        let ended = async {
            tokio::join!(
                self.shared.lives.wait(),
                self.shared.components.calls.finished(),
                self.shared.workers.calls.finished()
            );
        };
        if tokio::time::timeout(bound, ended).await.is_err() {
            self.shared.kill.cancel();
            self.shared.lives.wait().await;
        }
        self.shared.components.end().await;
        self.shared.workers.end().await;
        for servant in self.servants.iter() {
            servant.abort();
        }
        self.shared.walls.end().await;
    }

    /// Which wall a deployment is behind. Does not wait, unless the deployment must be loaded or looked into first.
    async fn wall(&self, deployment: &Arc<Deployment>) -> Result<Wall, ApiError> {
        let runtime = deployment.configuration.runtime.isolation();
        if runtime == Some(Isolation::Process) {
            return Ok(Wall::Process);
        }
        if runtime == Some(Isolation::Isolate) {
            let guest = self.shared.workers.guest(deployment).await;
            let (guest, waited) = guest.map_err(|unready| unready.error(deployment))?;
            return Ok(Wall::Isolate(guest, waited));
        }
        let components = &self.shared.components;
        if let Some(guest) = components.loaded.get(&deployment.id) {
            return Ok(Wall::Component(guest, None));
        }
        // The package was looked into when its pool was made.
        if runtime.is_none() && self.shared.pools().contains_key(&deployment.id) {
            return Ok(Wall::Process);
        }
        match Box::pin(components.load(deployment)).await {
            Ok(Some(loaded)) => Ok(Wall::Component(loaded.guest, Some(loaded.waited))),
            Ok(None) => Ok(Wall::Process),
            Err(unready) => Err(unready.error(deployment)),
        }
    }

    async fn run(&self, invocation: Invocation) -> Result<Outcome, ApiError> {
        match self.wall(&invocation.deployment).await? {
            Wall::Process if invocation.deployment.is_web() => {
                self.run_as_request(invocation).await
            }
            Wall::Process => {
                let (caller, answer) = oneshot::channel();
                self.queue(invocation, Reply::Whole(caller), answer).await
            }
            Wall::Component(guest, loading) => {
                wasm::invoke(&self.shared.components, guest, loading, invocation).await
            }
            Wall::Isolate(guest, loading) => {
                isolate::invoke(&self.shared.workers, guest, loading, invocation).await
            }
        }
    }

    async fn run_streaming(&self, invocation: Invocation) -> Result<Streamed, ApiError> {
        match self.wall(&invocation.deployment).await? {
            // A web server, a component and a worker stream to those who speak HTTP with them; here the response is
            // translated as a whole.
            Wall::Process if invocation.deployment.is_web() => {
                self.run_as_request(invocation).await.map(Streamed::Whole)
            }
            Wall::Process => {
                let (caller, answer) = oneshot::channel();
                self.queue(invocation, Reply::Stream(caller), answer).await
            }
            Wall::Component(guest, loading) => {
                wasm::invoke(&self.shared.components, guest, loading, invocation)
                    .await
                    .map(Streamed::Whole)
            }
            Wall::Isolate(guest, loading) => {
                isolate::invoke(&self.shared.workers, guest, loading, invocation)
                    .await
                    .map(Streamed::Whole)
            }
        }
    }

    async fn hand_over(
        &self,
        invocation: HttpInvocation,
        request: http::Request<Body>,
    ) -> Result<Served, ApiError> {
        match self.wall(&invocation.deployment).await? {
            // In a box: the state of this way would else be moved about with every call of a component.
            Wall::Process if invocation.deployment.is_web() => {
                let served = Box::pin(async move {
                    let visit = self.visit(visitor(&invocation)).await;
                    web::serve(visit, invocation, request).await
                });
                served.await
            }
            Wall::Process => Ok(Served::TakesEvents(request)),
            Wall::Component(guest, loading) => {
                wasm::serve(&self.shared.components, guest, loading, invocation, request).await
            }
            Wall::Isolate(guest, loading) => {
                isolate::serve(&self.shared.workers, guest, loading, invocation, request).await
            }
        }
    }

    /// An event for a web server: a request is made of it.
    async fn run_as_request(&self, invocation: Invocation) -> Result<Outcome, ApiError> {
        let path = match invocation.deployment.web_server() {
            Some(Ok(server)) => server.pass_through_path,
            // Why it can't be started is said where it is.
            Some(Err(_)) | None => "/".to_owned(),
        };
        let (request, form) = event::request(invocation.payload.clone(), &path)?;
        let (request_id, trace_id) = (invocation.request_id, invocation.trace_id.clone());
        let visit = self.visit(invocation).await;
        web::invoke(visit, request_id, trace_id, request, form).await
    }

    /// A place in an environment for a request to its web server.
    async fn visit(&self, invocation: Invocation) -> Result<Visit, Unserved> {
        let (reply, answer) = oneshot::channel();
        self.queue(invocation, Reply::Visit(reply), answer).await
    }

    /// Waits for a place in an environment, and for what comes of it.
    async fn queue<T, E: From<ApiError>>(
        &self,
        invocation: Invocation,
        reply: Reply,
        mut answer: oneshot::Receiver<Result<T, E>>,
    ) -> Result<T, E> {
        let lost = || Err(shutting_down().into());
        let since = Instant::now();
        let request_id = invocation.request_id;
        let deployment = Arc::clone(&invocation.deployment);
        let mut job = Job {
            invocation,
            reply,
            since,
        };
        let pool = loop {
            let pool = self.shared.pool(&deployment)?;
            match pool.place(job) {
                Placed::Running => return answer.await.unwrap_or_else(|_| lost()),
                Placed::Queued => break pool,
                Placed::Full => {
                    let error = ApiError::throttled(
                        hearth_types::error::ThrottleReason::ConcurrentInvocationLimitExceeded,
                    );
                    return Err(error.into());
                }
                // The reaper closed it a moment ago and forgets it now.
                Placed::Closed(back) => {
                    self.shared.forget_closed(&pool);
                    job = back;
                }
            }
        };
        let place = Place {
            pool: &pool,
            since,
            request_id,
        };
        let give_up = since + self.shared.options.queue_wait;
        loop {
            let again = Instant::now() + self.shared.scale(&pool);
            tokio::select! {
                biased;
                answer = &mut answer => {
                    return answer.unwrap_or_else(|_| lost());
                }
                () = tokio::time::sleep_until(again.min(give_up).into()) => {}
            }
            if Instant::now() >= give_up {
                if place.leave() {
                    let error = no_room();
                    return Err(error.into());
                }
                // An environment has it: its own deadline holds.
                return answer.await.unwrap_or_else(|_| lost());
            }
        }
    }
}

/// Which wall a deployment is behind.
enum Wall {
    Process,
    /// A component, and how long it was waited for if it had to be loaded.
    Component(Arc<Guest>, Option<Duration>),
    /// A JavaScript worker, likewise.
    Isolate(Arc<WorkerGuest>, Option<Duration>),
}

/// A request as what waits in a queue.
fn visitor(invocation: &HttpInvocation) -> Invocation {
    Invocation {
        request_id: invocation.request_id,
        deployment: Arc::clone(&invocation.deployment),
        invoked_arn: String::new(),
        payload: bytes::Bytes::new(),
        client_context: None,
        trace_id: String::new(),
        log_tail: false,
    }
}

/// An invocation's place in the queue: left when the caller gives up.
struct Place<'a> {
    pool: &'a Pool,
    since: Instant,
    request_id: RequestId,
}

impl Place<'_> {
    /// Leaves the queue; `false` if an environment has the invocation already.
    fn leave(&self) -> bool {
        self.pool.withdraw(self.since, &self.request_id)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Invoker for Worker {
    fn invoke(&self, invocation: Invocation) -> BoxFuture<'_, Result<Outcome, ApiError>> {
        Box::pin(self.run(invocation))
    }

    fn stream(&self, invocation: Invocation) -> BoxFuture<'_, Result<Streamed, ApiError>> {
        Box::pin(self.run_streaming(invocation))
    }

    fn serve(
        &self,
        invocation: HttpInvocation,
        request: http::Request<Body>,
    ) -> BoxFuture<'_, Result<Served, ApiError>> {
        Box::pin(self.hand_over(invocation, request))
    }

    fn prepare(&self, deployment: Arc<Deployment>) -> BoxFuture<'_, Result<(), Reason>> {
        Box::pin(async move {
            let configuration = &deployment.configuration;
            if configuration.runtime.isolation() == Some(Isolation::Isolate) {
                let loaded = self.shared.workers.load(&deployment).await;
                return loaded
                    .map(drop)
                    .map_err(|unready| unready.reason(&deployment));
            }
            if configuration.runtime.isolation() != Some(Isolation::Process) {
                match self.shared.components.load(&deployment).await {
                    Ok(Some(_)) => return Ok(()),
                    Ok(None) => {}
                    Err(unready) => return Err(unready.reason(&deployment)),
                }
            }
            self.shared.runtimes.prepare(&configuration.runtime).await?;
            let packages = &self.shared.options.packages;
            let layers: Vec<_> = configuration
                .layers
                .iter()
                .map(|layer| layer.package)
                .collect();
            tokio::try_join!(
                packages.unpacked(&configuration.code),
                packages.layered(&layers)
            )
            .map_err(|error| Reason {
                code: "InternalError".to_owned(),
                message: error.to_string(),
            })?;
            if let Some(pool) = self.shared.pools().get(&deployment.id) {
                pool.retire(false);
            }
            Ok(())
        })
    }

    fn retire(&self, key: &FunctionKey, version: Version, keep: Option<DeploymentId>) {
        self.shared.components.loaded.retire(key, version, keep);
        self.shared.workers.loaded.retire(key, version, keep);
        for (id, pool) in self.shared.pools().iter() {
            if Some(*id) != keep
                && pool.deployment.key == *key
                && pool.deployment.version == version
            {
                pool.retire(true);
            }
        }
    }
}
