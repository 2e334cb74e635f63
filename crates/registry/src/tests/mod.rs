//! The registry through its public operations, on a store in memory and workers that do as they are told.

mod bad_input;
mod changes;
mod components;
mod event_invokes;
mod failures;
mod folders;
mod functions;
mod layers;
mod mappings;
mod memory;
mod routes;
mod tags;
mod topics;
mod urls;
mod versions;

use std::io::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hearth_code::{PackageStore, Packages, StoreUrl};
use hearth_types::arn::FunctionRef;
use hearth_types::function::{Architecture, Deployment, DeploymentId, Reason};
use hearth_types::invoke::{
    Body, BoxFuture, HttpInvocation, Invocation, Invoker, Outcome, Served, Streamed,
};
use hearth_types::name::{FunctionKey, Qualifier, Version};
use hearth_types::source::{BrokerKind, KnownBroker};
use hearth_types::time::Timestamp;
use hearth_types::wire::lambda::{
    Blob, CreateFunctionRequest, FunctionCode, FunctionConfiguration, FunctionState,
    LastUpdateStatus, UpdateFunctionCodeRequest,
};
use hearth_types::{ApiError, ErrorKind};
use tokio::sync::watch;

use crate::{Options, Registry, Scope};
use memory::MemoryStore;

const ROLE: &str = "arn:aws:iam::000000000000:role/lambda";

/// Workers that note what they are told.
struct Workers {
    /// While this is false, nothing becomes ready.
    open: watch::Sender<bool>,
    /// What making ready ends with.
    outcome: Mutex<Result<(), Reason>>,
    retired: Mutex<Vec<(Version, Option<DeploymentId>)>>,
}

impl Invoker for Workers {
    fn invoke(&self, _: Invocation) -> BoxFuture<'_, Result<Outcome, ApiError>> {
        Box::pin(async {
            Err(ApiError::new(
                ErrorKind::NotImplemented,
                "The registry never invokes.",
            ))
        })
    }

    fn stream(&self, invocation: Invocation) -> BoxFuture<'_, Result<Streamed, ApiError>> {
        Box::pin(async { self.invoke(invocation).await.map(Streamed::Whole) })
    }

    fn serve(
        &self,
        _: HttpInvocation,
        request: http::Request<Body>,
    ) -> BoxFuture<'_, Result<Served, ApiError>> {
        Box::pin(async move { Ok(Served::TakesEvents(request)) })
    }

    fn prepare(&self, _: Arc<Deployment>) -> BoxFuture<'_, Result<(), Reason>> {
        let mut open = self.open.subscribe();
        Box::pin(async move {
            let _ = open.wait_for(|open| *open).await;
            self.outcome
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        })
    }

    fn retire(&self, _: &FunctionKey, version: Version, keep: Option<DeploymentId>) {
        self.retired
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((version, keep));
    }
}

/// A registry with everything around it.
struct World {
    registry: Registry,
    store: Arc<MemoryStore>,
    workers: Arc<Workers>,
    scope: Scope,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let packages = Packages::open(hearth_code::Options {
            packages: PackageStore::Local(folder.path().join("packages")),
            cache_dir: folder.path().join("cache"),
            cache_bytes: 1 << 30,
            source: Some(StoreUrl {
                url: format!("file://{}", folder.path().display()),
                options: [].into(),
            }),
        })
        .await
        .unwrap();
        let store = Arc::new(MemoryStore::default());
        let workers = Arc::new(Workers {
            open: watch::Sender::new(true),
            outcome: Mutex::new(Ok(())),
            retired: Mutex::default(),
        });
        // Every look at the clock is a second later than the last one.
        let seconds = AtomicI64::new(1_700_000_000);
        let options = Options {
            architecture: Architecture::X86_64,
            buckets: ["failed".parse().unwrap()].into(),
            brokers: [("cache", BrokerKind::Redis), ("hall", BrokerKind::Mqtt)]
                .map(|(name, kind)| {
                    let servers = Vec::new();
                    (name.parse().unwrap(), KnownBroker { kind, servers })
                })
                .into(),
            folders: Arc::new(folders::folders()),
            clock: Arc::new(move || {
                Timestamp::from_millis(seconds.fetch_add(1, Ordering::Relaxed) * 1000)
            }),
            ..Options::default()
        };
        let registry = Registry::open(store.clone(), packages, workers.clone(), options)
            .await
            .unwrap();
        Self {
            registry,
            store,
            workers,
            scope: scope("000000000000", "us-east-1"),
            folder,
        }
    }

    /// The same store and workers under a new registry, as after a restart.
    async fn restarted(&self) -> Registry {
        let inner = &self.registry.inner;
        Registry::open(
            self.store.clone(),
            inner.packages.clone(),
            self.workers.clone(),
            inner.options.clone(),
        )
        .await
        .unwrap()
    }

    /// Creates a function and waits until it is active.
    async fn function(&self, name: &str) -> FunctionConfiguration {
        self.registry
            .create_function(&self.scope, create(name))
            .await
            .unwrap();
        self.settled(name).await
    }

    /// Waits until nothing of a function is being made ready.
    async fn settled(&self, name: &str) -> FunctionConfiguration {
        settled(&self.registry, &self.scope, name).await
    }

    async fn update_code(&self, name: &str, text: &str) -> Result<FunctionConfiguration, ApiError> {
        let request = UpdateFunctionCodeRequest {
            zip_file: zip(text),
            ..UpdateFunctionCodeRequest::default()
        };
        self.registry
            .update_function_code(&self.scope, &function(name), request)
            .await
    }

    fn get(&self, name: &str) -> FunctionConfiguration {
        self.registry
            .get_function_configuration(&self.scope, &function(name), None)
            .unwrap()
    }

    /// The digest of the code that an invocation runs, and its version.
    fn runs(&self, name: &str, draw: f64) -> (String, String) {
        let resolved = self
            .registry
            .resolve(&self.scope, &function(name), None, draw)
            .unwrap();
        (
            resolved.deployment.configuration.code.digest.to_base64(),
            resolved.executed_version.to_string(),
        )
    }

    fn retired(&self) -> Vec<(Version, Option<DeploymentId>)> {
        std::mem::take(&mut *self.workers.retired.lock().unwrap())
    }

    fn fail_preparations(&self, code: &str) {
        *self.workers.outcome.lock().unwrap() = Err(Reason {
            code: code.to_owned(),
            message: "It can't be.".to_owned(),
        });
    }
}

async fn settled(registry: &Registry, scope: &Scope, name: &str) -> FunctionConfiguration {
    let wait = async {
        loop {
            let versions = registry.snapshot();
            let key = scope.key(&function(name)).unwrap();
            let entry = versions.function(&key).unwrap();
            if !entry.all_versions().any(crate::prepare::unfinished) {
                return registry
                    .get_function_configuration(scope, &function(name), None)
                    .unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    // A bound for a registry that never gets there; one that works passes at once.
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .expect("the function settles")
}

fn scope(account: &str, region: &str) -> Scope {
    Scope {
        account: account.parse().unwrap(),
        region: region.parse().unwrap(),
    }
}

fn function(text: &str) -> FunctionRef {
    text.parse().unwrap()
}

fn qualifier(text: &str) -> Qualifier {
    text.parse().unwrap()
}

/// A package with one file.
fn zip(text: &str) -> Option<Blob> {
    Some(Blob(zip_bytes(text)))
}

fn zip_bytes(text: &str) -> Bytes {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("index.py", zip::write::SimpleFileOptions::default())
        .unwrap();
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner().into()
}

/// A good request.
fn create(name: &str) -> CreateFunctionRequest {
    CreateFunctionRequest {
        function_name: Some(name.to_owned()),
        runtime: Some("python3.12".to_owned()),
        handler: Some("index.handler".to_owned()),
        role: Some(ROLE.to_owned()),
        code: Some(FunctionCode {
            zip_file: zip("one"),
            ..FunctionCode::default()
        }),
        ..CreateFunctionRequest::default()
    }
}

#[track_caller]
fn kind<T: std::fmt::Debug>(result: Result<T, ApiError>) -> ErrorKind {
    result.unwrap_err().kind
}
