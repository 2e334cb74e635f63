//! The handle, and the one way in which anything is changed.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hearth_code::Packages;
use hearth_store::contract::Change;
use hearth_store::{Store, StoreError};
use hearth_types::ApiError;
use hearth_types::digest::Digest;
use hearth_types::error::ErrorKind;
use hearth_types::function::DeploymentId;
use hearth_types::invoke::Invoker;
use hearth_types::name::{FunctionKey, TopicId};
use hearth_types::time::Timestamp;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore, watch};
use uuid::Uuid;

use crate::Options;
use crate::admission::Admission;
use crate::mapping::AllSeen;
use crate::snapshot::{LayerKey, Snapshot};

/// Locks over which functions and layers are spread. More than the writes that a node's disk can sync at once.
const LOCKS: usize = 64;
/// How long a change waits for another of the same function: a node whose store takes this long is in trouble.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Deployments that are made ready at the same time (each may unpack 250 MB).
const PREPARATIONS: usize = 8;

/// The registry. Cheap to clone; all clones are one registry.
///
/// Reads take no lock and see what was committed last. Changes of one function are made one after the other;
/// each is on disk before it is seen or answered, and goes on to its end if the caller stops waiting for it.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    store: Arc<dyn Store>,
    pub(crate) packages: Packages,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) options: Options,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) admission: Admission,
    locks: Vec<Arc<Mutex<()>>>,
    /// Held while reserved concurrency is given out: its sum over an account's functions is bounded.
    pub(crate) reservations: Mutex<()>,
    pub(crate) preparations: Semaphore,
    /// Told whenever an event source mapping has changed.
    pub(crate) mappings_changed: watch::Sender<()>,
    pub(crate) seen: AllSeen,
}

/// What a change is about: changes of the same subject never overlap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Function(FunctionKey),
    Layer(LayerKey),
    /// All routes and their keys: whether one fits depends on the others.
    Routes,
    Topic(TopicId),
    /// All event source mappings: whether one fits depends on the others.
    Mappings,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Reads the store, and makes ready again whatever was being made ready when the node stopped.
    ///
    /// # Errors
    /// Those of [`Store::load`].
    pub async fn open(
        store: Arc<dyn Store>,
        packages: Packages,
        invoker: Arc<dyn Invoker>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let snapshot = Snapshot::load(store.load().await?);
        let registry = Self {
            inner: Arc::new(Inner {
                store,
                packages,
                invoker,
                options,
                snapshot: ArcSwap::from_pointee(snapshot),
                admission: Admission::default(),
                locks: (0..LOCKS).map(|_| Arc::default()).collect(),
                reservations: Mutex::default(),
                preparations: Semaphore::new(PREPARATIONS),
                mappings_changed: watch::Sender::new(()),
                seen: AllSeen::default(),
            }),
        };
        registry.prepare_unfinished();
        Ok(registry)
    }

    /// Digests of all packages that functions, versions and layers refer to: those that `Packages::collect` must
    /// leave alone.
    pub fn live_packages(&self) -> HashSet<Digest> {
        let snapshot = self.snapshot();
        let mut live = HashSet::new();
        for record in snapshot.functions().flat_map(|entry| entry.all_versions()) {
            let running = record
                .running
                .as_ref()
                .map(|running| &running.configuration);
            for configuration in std::iter::once(&record.configuration).chain(running) {
                live.insert(configuration.code.digest);
                live.extend(
                    configuration
                        .layers
                        .iter()
                        .map(|layer| layer.package.digest),
                );
            }
        }
        live.extend(
            snapshot
                .layer_versions()
                .map(|record| record.package.digest),
        );
        live
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.snapshot.load_full()
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.inner.options.clock)()
    }

    /// Decides on a change by the current snapshot, commits it, and lets it be seen. A decision without changes
    /// commits nothing. If the store knows better (another node wrote), reads the subject again and decides again.
    ///
    /// # Errors
    /// Those of `decide`, and those of the store. Nothing was changed then.
    pub(crate) async fn change<T>(
        &self,
        subject: &Subject,
        decide: impl Fn(&Snapshot) -> Result<(Vec<Change>, T), ApiError>,
    ) -> Result<T, ApiError> {
        const ATTEMPTS: usize = 3;
        let mut guard = self.lock(subject).await?;
        for _ in 0..ATTEMPTS {
            let (changes, answer) = decide(&self.snapshot())?;
            if changes.is_empty() {
                return Ok(answer);
            }
            let (returned, result) = self.commit(guard, changes).await?;
            guard = returned;
            match result {
                Ok(()) => return Ok(answer),
                Err(StoreError::Conflict(why)) => {
                    tracing::info!(
                        ?subject,
                        why,
                        "another node changed this first; reading it again"
                    );
                    self.reload(subject).await?;
                }
                Err(error) => return Err(refusal(&error)),
            }
        }
        Err(ApiError::conflict(
            "The operation cannot be performed at this time. The resource is being changed by other requests; try again.",
        ))
    }

    async fn lock(&self, subject: &Subject) -> Result<OwnedMutexGuard<()>, ApiError> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(subject);
        // The remainder is smaller than LOCKS.
        let lock = Arc::clone(&self.inner.locks[(hash % LOCKS as u64) as usize]);
        tokio::time::timeout(LOCK_WAIT, lock.lock_owned())
            .await
            .map_err(|_| {
                ApiError::new(
                    ErrorKind::ServiceUnavailable,
                    "Other changes of the same kind take too long. Try again.",
                )
            })
    }

    /// Commits, publishes and tells the workers in a task of its own: a caller that stops waiting in the middle must
    /// not leave the snapshot behind the store, the lock open, or the workers without the news.
    async fn commit(
        &self,
        guard: OwnedMutexGuard<()>,
        changes: Vec<Change>,
    ) -> Result<(OwnedMutexGuard<()>, Result<(), StoreError>), ApiError> {
        let registry = self.clone();
        tokio::spawn(async move {
            let result = registry.inner.store.commit(changes.clone()).await;
            if result.is_ok() {
                // The subject's part of the snapshot can't change meanwhile: the lock is held.
                let before = registry.snapshot();
                registry
                    .inner
                    .publish(|snapshot| changes.iter().for_each(|change| snapshot.apply(change)));
                registry.follow(&before, &changes);
            }
            (guard, result)
        })
        .await
        .map_err(|error| {
            tracing::error!(%error, "a commit did not end");
            ApiError::service("The change could not be stored. Try again.")
        })
    }

    async fn reload(&self, subject: &Subject) -> Result<(), ApiError> {
        let contents = self
            .inner
            .store
            .load()
            .await
            .map_err(|error| refusal(&error))?;
        self.inner.publish(|snapshot| match subject {
            Subject::Function(key) => snapshot.reload_function(key, &contents),
            Subject::Layer(key) => snapshot.reload_layer(key, &contents),
            Subject::Routes => snapshot.reload_routes(&contents.routes, &contents.route_keys),
            Subject::Topic(id) => snapshot.reload_topic(id, &contents),
            Subject::Mappings => snapshot.reload_mappings(&contents.mappings),
        });
        Ok(())
    }
}

impl Inner {
    /// Changes of different subjects may be published at the same moment: each is made on the newest snapshot.
    fn publish(&self, edit: impl Fn(&mut Snapshot)) {
        self.snapshot.rcu(|current| {
            let mut next = Snapshot::clone(current);
            edit(&mut next);
            next
        });
    }
}

/// What a caller is told when the store can't.
pub(crate) fn refusal(error: &StoreError) -> ApiError {
    tracing::error!(%error, "the store refused a change");
    match error {
        StoreError::Full(_) => ApiError::new(
            ErrorKind::ServiceUnavailable,
            "The node has no space left to store the change. Free some and try again.",
        ),
        StoreError::Corrupt(_) => {
            ApiError::service("The store is damaged; the node's log says where.")
        }
        StoreError::Conflict(_) | StoreError::Locked(_) | StoreError::Unavailable(_) => {
            ApiError::new(
                ErrorKind::ServiceUnavailable,
                "The store can't take the change now. Try again.",
            )
        }
    }
}

/// A new `RevisionId`.
pub(crate) fn new_revision() -> String {
    Uuid::new_v4().to_string()
}

/// A new name for code and configuration.
pub(crate) fn new_deployment() -> DeploymentId {
    DeploymentId::from_random(Uuid::new_v4().as_u128())
}
