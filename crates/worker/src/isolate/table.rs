//! Which deployments are loaded: a table that is read without a lock (INV-9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hearth_code::Packages;
use hearth_isolates::{Engines, Failure, Source, SourceError};
use hearth_telemetry::logs::LogStore;
use hearth_types::ApiError;
use hearth_types::function::{Deployment, DeploymentId};
use hearth_types::name::{FunctionKey, Version};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::guest::Guest;
use crate::environment;
use crate::lanes::Lanes;
use crate::shared::shutting_down;
use crate::variables::component_variables;
use crate::wasm::Unready;

/// An immutable table that is replaced as a whole.
type Table = imbl::HashMap<DeploymentId, Arc<Guest>>;

/// The workers of this node, in the sense of the runtime's name.
pub(crate) struct Workers {
    /// Or why there are none.
    engines: Result<Engines, String>,
    packages: Packages,
    logs: LogStore,
    table: ArcSwap<Table>,
    /// Counts calls, so that shutdown can wait for their end.
    calls: TaskTracker,
    closing: AtomicBool,
}

impl Workers {
    pub(crate) fn new(
        engines: Result<Engines, String>,
        packages: Packages,
        logs: LogStore,
    ) -> Self {
        Self {
            engines,
            packages,
            logs,
            table: ArcSwap::default(),
            calls: TaskTracker::new(),
            closing: AtomicBool::new(false),
        }
    }

    /// The guest of a deployment, and how long it was waited for if it was not loaded.
    ///
    /// # Errors
    /// Why it can't be called.
    pub(crate) async fn guest(
        &self,
        deployment: &Arc<Deployment>,
    ) -> Result<(Arc<Guest>, Option<Duration>), Unready> {
        if let Some(guest) = self.table.load().get(&deployment.id) {
            return Ok((Arc::clone(guest), None));
        }
        let began = Instant::now();
        let guest = self.load(deployment).await?;
        Ok((guest, Some(began.elapsed())))
    }

    /// Makes a deployment ready: its isolate is there, its modules have been evaluated.
    ///
    /// # Errors
    /// Why it can't be called.
    pub(crate) async fn load(&self, deployment: &Arc<Deployment>) -> Result<Arc<Guest>, Unready> {
        let engines = self
            .engines
            .as_ref()
            .map_err(|why| Unready::NoWall(format!("This node can't run workers: {why}.")))?;
        let source = self.source(engines, deployment).await?;
        let key = &deployment.key;
        let code = engines.code(&key.account, deployment.id.to_string(), source.to_json());
        engines.load(&code).await.map_err(|failure| match failure {
            Failure::Thrown(thrown) => Unready::Refused(format!(
                "The worker could not be started: {}.",
                thrown.message
            )),
            Failure::NotStarted(why) => {
                Unready::Refused(format!("The worker could not be started: {why}"))
            }
            Failure::Crashed { why, alone: true } => Unready::Refused(format!(
                "The worker ended its engine while it was started: {why}."
            )),
            other => Unready::Internal(other.to_string()),
        })?;
        let guest = Arc::new(Guest {
            timeout: environment::timeout(deployment),
            lanes: Lanes::new(
                Arc::clone(deployment),
                format!("worker:workerd-{}", engines.newest_date()),
                self.logs.clone(),
            ),
            deployment: Arc::clone(deployment),
            code,
            engines: engines.clone(),
        });
        let mut there = Arc::clone(&guest);
        self.table.rcu(|table| {
            if let Some(other) = table.get(&deployment.id) {
                there = Arc::clone(other);
                return Arc::clone(table);
            }
            there = Arc::clone(&guest);
            Arc::new(table.update(deployment.id, Arc::clone(&guest)))
        });
        Ok(there)
    }

    /// What a deployment's package has to say to the engine.
    async fn source(
        &self,
        engines: &Engines,
        deployment: &Arc<Deployment>,
    ) -> Result<Source, Unready> {
        let package = &deployment.configuration.code;
        let code = self.packages.unpacked(package).await.map_err(|error| {
            tracing::error!(function = %deployment.key, %error, "unpack a function's code");
            Unready::Code(error.into())
        })?;
        let (deployment, newest) = (Arc::clone(deployment), engines.newest_date().to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let variables = component_variables(&deployment);
            let handler = &deployment.configuration.handler;
            Source::read(code.path(), handler, variables, &newest)
        });
        match read.await {
            Ok(Ok(source)) => Ok(source),
            Ok(Err(SourceError::Refused(why))) => Err(Unready::Refused(why)),
            Ok(Err(SourceError::Io(error))) => {
                Err(Unready::Internal(format!("read a package: {error}")))
            }
            Err(error) => Err(Unready::Internal(format!("read a package: {error}"))),
        }
    }

    /// Forgets the deployments of `version` other than `keep`. Calls that run keep theirs until they end.
    pub(crate) fn retire(&self, key: &FunctionKey, version: Version, keep: Option<DeploymentId>) {
        self.forget(|guest| {
            let deployment = &guest.deployment;
            Some(deployment.id) != keep && deployment.key == *key && deployment.version == version
        });
    }

    /// Lets go of lanes, and of deployments, that have been idle since before `idle_since`.
    pub(crate) fn expire(&self, idle_since: Instant) {
        self.forget(|guest| {
            let in_use = guest.lanes.expire(idle_since);
            let young = || {
                let idle = guest.lanes.idle_since();
                idle.is_none_or(|since| since > idle_since)
            };
            !in_use && !young()
        });
    }

    fn forget(&self, needless: impl Fn(&Guest) -> bool) {
        for (id, guest) in self.table.load_full().iter() {
            if needless(guest) {
                self.table.rcu(|table| Arc::new(table.without(id)));
            }
        }
    }

    /// Counts a call.
    ///
    /// # Errors
    /// If the worker is shutting down.
    pub(super) fn count(&self) -> Result<TaskTrackerToken, ApiError> {
        let token = self.calls.token();
        // Looked at after the call is counted: shutdown either waits for it or is seen here.
        if self.closing.load(Ordering::SeqCst) {
            return Err(shutting_down());
        }
        Ok(token)
    }

    /// Nothing new begins from here on.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.calls.close();
    }

    /// Waits until no call runs, once it is closed.
    pub(crate) async fn finished(&self) {
        self.calls.wait().await;
    }

    /// Forgets everything, and ends the engines.
    pub(crate) async fn end(&self) {
        self.table.store(Arc::default());
        if let Ok(engines) = &self.engines {
            engines.end().await;
        }
    }
}
