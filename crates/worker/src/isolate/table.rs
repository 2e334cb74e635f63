//! The workers of a node, in the sense of the runtime's name: what they are loaded with, which are, and how that ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_code::{Packages, Unpacked};
use hearth_isolates::{Engines, Failure, Source, SourceError};
use hearth_telemetry::logs::LogStore;
use hearth_telemetry::tails::Tails;
use hearth_types::function::Deployment;
use hearth_types::network::Hosts;

use super::grants::grants;
use super::guest::Guest;
use crate::calls::Calls;
use crate::environment;
use crate::lanes::Lanes;
use crate::loaded::Loaded;
use crate::variables::component_variables;
use crate::wasm::Unready;

/// The workers of this node, in the sense of the runtime's name.
pub(crate) struct Workers {
    /// Or why there are none.
    engines: Result<Engines, String>,
    /// Hosts of functions whose tags name none.
    allowed_hosts: Hosts,
    packages: Packages,
    logs: LogStore,
    tails: Tails,
    pub(crate) loaded: Loaded<Guest>,
    pub(crate) calls: Calls,
}

impl Workers {
    pub(crate) fn new(
        engines: Result<Engines, String>,
        allowed_hosts: Hosts,
        packages: Packages,
        logs: LogStore,
        tails: Tails,
    ) -> Self {
        Self {
            engines,
            allowed_hosts,
            packages,
            logs,
            tails,
            loaded: Loaded::default(),
            calls: Calls::default(),
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
        if let Some(guest) = self.loaded.get(&deployment.id) {
            return Ok((guest, None));
        }
        let began = Instant::now();
        // In a box: its state would else be moved about with every call.
        let guest = Box::pin(self.load(deployment)).await?;
        Ok((guest, Some(began.elapsed())))
    }

    /// Makes a deployment ready: its isolate is there, its modules have been evaluated.
    ///
    /// # Errors
    /// Why it can't be called.
    pub(crate) async fn load(&self, deployment: &Arc<Deployment>) -> Result<Arc<Guest>, Unready> {
        let make = || self.make(deployment);
        self.loaded.get_or_load(deployment, make).await
    }

    async fn make(&self, deployment: &Arc<Deployment>) -> Result<Arc<Guest>, Unready> {
        let engines = self
            .engines
            .as_ref()
            .map_err(|why| Unready::NoWall(format!("This node can't run workers: {why}.")))?;
        let (mut source, package) = self.source(engines, deployment).await?;
        let granted = grants(deployment, &mut source, &self.allowed_hosts).map_err(unread)?;
        let assets = granted.assets.as_ref();
        let assets = assets.map(|(assets, _)| Arc::clone(assets));
        let account = &deployment.key.account;
        let code = engines.code(account, deployment.id.to_string(), &source, granted);
        let handlers = engines.load(&code).await.map_err(|failure| match failure {
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
        Ok(Arc::new(Guest {
            tails: self.tails.clone(),
            timeout: environment::timeout(deployment),
            lanes: Lanes::new(
                Arc::clone(deployment),
                format!("worker:workerd-{}", engines.newest_date()),
                self.logs.clone(),
            ),
            deployment: Arc::clone(deployment),
            code,
            engines: engines.clone(),
            handlers,
            assets,
            _package: package,
        }))
    }

    /// What a deployment's package has to say to the engine, and the package.
    async fn source(
        &self,
        engines: &Engines,
        deployment: &Arc<Deployment>,
    ) -> Result<(Source, Unpacked), Unready> {
        let package = &deployment.configuration.code;
        let code = self.packages.unpacked(package).await.map_err(|error| {
            tracing::error!(function = %deployment.key, %error, "unpack a function's code");
            Unready::Code(error.into())
        })?;
        let (deployment, newest) = (Arc::clone(deployment), engines.newest_date().to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let variables = component_variables(&deployment);
            let handler = &deployment.configuration.handler;
            let source = Source::read(code.path(), handler, variables, &newest);
            source.map(|source| (source, code))
        });
        match read.await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => Err(unread(error)),
            Err(error) => Err(Unready::Internal(format!("read a package: {error}"))),
        }
    }

    /// Forgets everything, and ends the engines.
    pub(crate) async fn end(&self) {
        self.loaded.clear();
        if let Ok(engines) = &self.engines {
            engines.end().await;
        }
    }
}

/// Why a package is no worker.
fn unread(error: SourceError) -> Unready {
    match error {
        SourceError::Refused(why) => Unready::Refused(why),
        SourceError::Io(error) => Unready::Internal(format!("read a package: {error}")),
    }
}
