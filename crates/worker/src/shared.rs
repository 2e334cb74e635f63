//! What all environments of a worker share, and the table of its deployments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hearth_isolates::Engines;
use hearth_types::function::{Deployment, DeploymentId};
use hearth_types::{ApiError, ErrorKind};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::capacity::{Bounds, Capacity};
use crate::isolate::Workers;
use crate::options::WorkerOptions;
use crate::pool::Pool;
use crate::runtimes::Runtimes;
use crate::walls::Walls;
use crate::wasm::{Components, Processes};
use crate::{environment, life};

/// An immutable table that is replaced as a whole: reading it takes no lock (INV-9).
type Table = imbl::HashMap<DeploymentId, Arc<Pool>>;

/// What all environments share.
pub(crate) struct Shared {
    pub(crate) options: WorkerOptions,
    pub(crate) runtimes: Runtimes,
    pub(crate) locale: &'static str,
    pub(crate) walls: Arc<Walls>,
    pub(crate) capacity: Arc<Capacity>,
    pub(crate) components: Components,
    pub(crate) workers: Workers,
    /// Turns to start.
    pub(crate) starts: Arc<Semaphore>,
    /// Ends connections that have become another protocol's, when shutdown begins: they would not end by themselves.
    pub(crate) upgraded: CancellationToken,
    /// Ends all environments at once.
    pub(crate) kill: CancellationToken,
    /// Counts environments, so that shutdown can wait for their end.
    pub(crate) lives: TaskTracker,
    /// Environments started since the worker began.
    pub(crate) started: AtomicU64,
    closing: AtomicBool,
    table: ArcSwap<Table>,
}

impl Shared {
    pub(crate) fn new(options: WorkerOptions, runtimes: Runtimes) -> Arc<Self> {
        let walls = Arc::new(Walls::new(
            options.launcher.clone(),
            options.restart_launcher.clone(),
        ));
        let processes = options
            .components
            .as_ref()
            .and_then(|components| components.processes.clone())
            .map(|processes| Processes::new(processes, Arc::clone(&walls), options.keep_warm));
        let allowed_hosts = options
            .isolates
            .as_ref()
            .map(|isolates| isolates.allowed_hosts.clone())
            .unwrap_or_default();
        let engines = options.isolates.clone().map(|isolates| {
            let walls = Arc::clone(&walls);
            let options = hearth_isolates::Options {
                program: isolates.program,
                dir: isolates.dir,
                memory_mib: isolates.memory_mib,
                means: isolates.means,
                keep: options.keep_warm,
            };
            Engines::new(options, Arc::new(move || walls.launcher()))
        });
        Arc::new(Self {
            workers: Workers::new(
                engines,
                allowed_hosts,
                options.packages.clone(),
                options.logs.clone(),
                options.tails.clone(),
            ),
            walls,
            capacity: Capacity::new(Bounds {
                memory_mib: options.memory_bytes / (1024 * 1024),
                environments: options.max_environments,
            }),
            components: Components::new(
                options.components.clone(),
                processes,
                options.packages.clone(),
                options.logs.clone(),
            ),
            starts: Arc::new(Semaphore::new(options.parallel_starts.max(1))),
            locale: crate::variables::locale(),
            upgraded: CancellationToken::new(),
            kill: CancellationToken::new(),
            lives: TaskTracker::new(),
            started: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            table: ArcSwap::default(),
            options,
            runtimes,
        })
    }

    /// The pool of a deployment, made if there is none.
    ///
    /// # Errors
    /// If the worker is shutting down.
    pub(crate) fn pool(&self, deployment: &Arc<Deployment>) -> Result<Arc<Pool>, ApiError> {
        if let Some(pool) = self.table.load().get(&deployment.id) {
            return Ok(Arc::clone(pool));
        }
        let places = environment::places(deployment);
        let new = Pool::new(Arc::clone(deployment), places, self.options.queue_length);
        let mut pool = Arc::clone(&new);
        self.table.rcu(|table| {
            if let Some(there) = table.get(&deployment.id) {
                pool = Arc::clone(there);
                return Arc::clone(table);
            }
            pool = Arc::clone(&new);
            Arc::new(table.update(deployment.id, Arc::clone(&new)))
        });
        // Looked at after the pool is in the table: shutdown either sees the pool or is seen here.
        if self.closing.load(Ordering::SeqCst) {
            let error = shutting_down();
            pool.close(&error);
            return Err(error);
        }
        Ok(pool)
    }

    /// All pools.
    pub(crate) fn pools(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Forgets a pool that is closed, if it is still the one in the table.
    pub(crate) fn forget_closed(&self, pool: &Arc<Pool>) {
        self.table
            .rcu(|table| match table.get(&pool.deployment.id) {
                Some(there) if Arc::ptr_eq(there, pool) => {
                    Arc::new(table.without(&pool.deployment.id))
                }
                _ => Arc::clone(table),
            });
    }

    /// Starts as many environments as the policy wants for the invocations that wait. Gives when to ask again.
    pub(crate) fn scale(self: &Arc<Self>, pool: &Arc<Pool>) -> Duration {
        loop {
            match pool.appraise(Instant::now()) {
                Ok(member) => {
                    self.started.fetch_add(1, Ordering::Relaxed);
                    self.lives.spawn(life::live(Arc::clone(self), member));
                }
                Err(again) => return again,
            }
        }
    }

    /// Sees to it that invocations that were put back into the queue are run: whoever waits for one believes that it
    /// runs, and does not ask for an environment. Like all that wait, they are refused after the queue's time.
    pub(crate) fn ask_for(self: &Arc<Self>, pool: &Arc<Pool>) {
        let (shared, pool) = (Arc::clone(self), Arc::clone(pool));
        let put_back = Instant::now();
        let give_up = put_back + self.options.queue_wait;
        tokio::spawn(async move {
            while pool.anybody_waits() {
                let again = Instant::now() + shared.scale(&pool);
                tokio::time::sleep_until(again.min(give_up).into()).await;
                if Instant::now() >= give_up {
                    return pool.refuse_older(put_back, &no_room());
                }
            }
        });
    }

    /// Nothing new begins from here on.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.upgraded.cancel();
        let error = shutting_down();
        for pool in self.pools().values() {
            pool.close(&error);
        }
        self.lives.close();
        self.components.calls.close();
        self.workers.calls.close();
    }
}

/// What callers are told who have waited for an environment for as long as they may.
pub(crate) fn no_room() -> ApiError {
    ApiError::new(
        ErrorKind::ServiceUnavailable,
        "The node has no room for another execution environment at the moment. Try again later.",
    )
}

/// What callers are told during shutdown.
pub(crate) fn shutting_down() -> ApiError {
    ApiError::new(
        ErrorKind::ServiceUnavailable,
        "The node is shutting down. Try again, on another node if there is one.",
    )
}
