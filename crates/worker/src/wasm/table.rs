//! Which deployments are loaded: a table that is read without a lock (INV-9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use hearth_code::Packages;
use hearth_telemetry::logs::LogStore;
use hearth_types::ApiError;
use hearth_types::function::{Deployment, DeploymentId};
use hearth_types::name::{FunctionKey, Version};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::guest::Guest;
use super::processes::Processes;
use crate::options::ComponentOptions;
use crate::shared::shutting_down;

/// Deployments that stay loaded. Each program has a descriptor and a few mappings, of which a process has 65,530
/// (`vm.max_map_count`); programs of the same package are one.
const MOST_LOADED: usize = 8_192;

/// An immutable table that is replaced as a whole.
type Table = imbl::HashMap<DeploymentId, Arc<Slot>>;

/// One deployment's place in the table.
pub(super) struct Slot {
    pub(super) deployment: Arc<Deployment>,
    /// When it came into the table.
    since: Instant,
    /// Filled by the first who needs it; the others wait for that.
    pub(super) guest: OnceCell<Arc<Guest>>,
}

/// The components of this worker.
pub(crate) struct Components {
    /// `None`: this node has no such wall.
    pub(super) options: Option<ComponentOptions>,
    /// `None`: guests run in this process.
    pub(super) processes: Option<Processes>,
    pub(super) packages: Packages,
    pub(super) logs: LogStore,
    table: ArcSwap<Table>,
    /// Counts calls, so that shutdown can wait for their end.
    calls: TaskTracker,
    closing: AtomicBool,
}

impl Components {
    pub(crate) fn new(
        options: Option<ComponentOptions>,
        processes: Option<Processes>,
        packages: Packages,
        logs: LogStore,
    ) -> Self {
        Self {
            options,
            processes,
            packages,
            logs,
            table: ArcSwap::default(),
            calls: TaskTracker::new(),
            closing: AtomicBool::new(false),
        }
    }

    /// The guest of a deployment, if it is loaded.
    pub(crate) fn loaded(&self, id: &DeploymentId) -> Option<Arc<Guest>> {
        self.table.load().get(id)?.guest.get().cloned()
    }

    /// The deployment's place, made if there is none.
    pub(super) fn slot(&self, deployment: &Arc<Deployment>) -> Arc<Slot> {
        let new = Arc::new(Slot {
            deployment: Arc::clone(deployment),
            since: Instant::now(),
            guest: OnceCell::new(),
        });
        let mut slot = Arc::clone(&new);
        self.table.rcu(|table| {
            if let Some(there) = table.get(&deployment.id) {
                slot = Arc::clone(there);
                return Arc::clone(table);
            }
            slot = Arc::clone(&new);
            Arc::new(table.update(deployment.id, Arc::clone(&new)))
        });
        slot
    }

    /// Takes a place out of the table. Calls that run keep their guest until they end.
    pub(super) fn remove(&self, slot: &Arc<Slot>) {
        let id = slot.deployment.id;
        self.table.rcu(|table| match table.get(&id) {
            Some(there) if Arc::ptr_eq(there, slot) => Arc::new(table.without(&id)),
            _ => Arc::clone(table),
        });
    }

    /// Forgets the deployments of `version` other than `keep`.
    pub(crate) fn retire(&self, key: &FunctionKey, version: Version, keep: Option<DeploymentId>) {
        for (id, slot) in self.table.load_full().iter() {
            if Some(*id) != keep
                && slot.deployment.key == *key
                && slot.deployment.version == version
            {
                self.remove(slot);
            }
        }
    }

    /// Lets go of lanes, and of deployments, that have been idle since before `idle_since`. What is loaded again later
    /// comes from the wall's cache.
    pub(crate) fn expire(&self, idle_since: Instant) {
        for slot in self.table.load_full().values() {
            let needed = match slot.guest.get() {
                Some(guest) => guest.lanes.expire(idle_since) || slot.since > idle_since,
                // It is being loaded, or the one who wanted it went away.
                None => slot.since > idle_since,
            };
            if !needed {
                self.remove(slot);
            }
        }
        self.evict(MOST_LOADED);
    }

    /// Lets go of the deployments that were idle for longest, until there are at most `most`.
    fn evict(&self, most: usize) {
        let table = self.table.load_full();
        let Some(excess) = table.len().checked_sub(most).filter(|excess| *excess > 0) else {
            return;
        };
        let mut idle: Vec<_> = table
            .values()
            .filter_map(|slot| Some((slot.guest.get()?.lanes.idle_since()?, slot)))
            .collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        for (_, slot) in idle.iter().take(excess) {
            self.remove(slot);
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

    /// Forgets everything, and ends accounts' processes.
    pub(crate) async fn end(&self) {
        self.table.store(Arc::default());
        if let Some(processes) = &self.processes {
            processes.end().await;
        }
    }

    /// Counts for a person: deployments that are loaded, lanes that are idle and lanes that serve a call. Walks over all
    /// of them.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let table = self.table.load_full();
        let guests = table.values().filter_map(|slot| slot.guest.get());
        guests.fold([0; 3], |[loaded, idle, busy], guest| {
            let lanes = guest.lanes.counts();
            [loaded + 1, idle + lanes[0], busy + lanes[1]]
        })
    }
}
