//! Which deployments are loaded, where a wall keeps no environments for the worker: a table that is read without a lock
//! (INV-9).

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use hearth_types::function::{Deployment, DeploymentId};
use hearth_types::name::{FunctionKey, Version};
use tokio::sync::OnceCell;

use crate::lanes::Lanes;

/// A deployment that can be called.
pub(crate) trait Guest {
    /// Its lanes.
    fn lanes(&self) -> &Lanes;
}

/// An immutable table that is replaced as a whole.
type Table<G> = imbl::HashMap<DeploymentId, Arc<Slot<G>>>;

/// One deployment's place in the table.
struct Slot<G> {
    deployment: Arc<Deployment>,
    /// When it came into the table.
    since: Instant,
    /// Filled by the first who needs it; the others wait for that.
    guest: OnceCell<Arc<G>>,
}

/// The deployments of one wall.
pub(crate) struct Loaded<G> {
    table: ArcSwap<Table<G>>,
}

impl<G> Default for Loaded<G> {
    fn default() -> Self {
        Self {
            table: ArcSwap::default(),
        }
    }
}

impl<G: Guest> Loaded<G> {
    /// The guest of a deployment, if it is loaded.
    pub(crate) fn get(&self, id: &DeploymentId) -> Option<Arc<G>> {
        self.table.load().get(id)?.guest.get().cloned()
    }

    /// The guest of a deployment, loaded by `load` if it is not. Many callers at once share the work; what fails is not
    /// kept.
    pub(crate) async fn get_or_load<E, L>(
        &self,
        deployment: &Arc<Deployment>,
        load: impl FnOnce() -> L,
    ) -> Result<Arc<G>, E>
    where
        L: Future<Output = Result<Arc<G>, E>>,
    {
        let slot = self.slot(deployment);
        match slot.guest.get_or_try_init(load).await {
            Ok(guest) => Ok(Arc::clone(guest)),
            Err(error) => {
                self.remove(&slot);
                Err(error)
            }
        }
    }

    /// The deployment's place, made if there is none.
    fn slot(&self, deployment: &Arc<Deployment>) -> Arc<Slot<G>> {
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
    fn remove(&self, slot: &Arc<Slot<G>>) {
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

    /// Lets go of lanes, and of deployments, that have been idle since before `idle_since`.
    pub(crate) fn expire(&self, idle_since: Instant) {
        for slot in self.table.load_full().values() {
            let needed = match slot.guest.get() {
                Some(guest) => guest.lanes().expire(idle_since) || slot.since > idle_since,
                // It is being loaded, or the one who wanted it went away.
                None => slot.since > idle_since,
            };
            if !needed {
                self.remove(slot);
            }
        }
    }

    /// Lets go of the deployments that were idle for longest, until there are at most `most`.
    pub(crate) fn evict(&self, most: usize) {
        let table = self.table.load_full();
        let Some(excess) = table.len().checked_sub(most).filter(|excess| *excess > 0) else {
            return;
        };
        let mut idle: Vec<_> = table
            .values()
            .filter_map(|slot| Some((slot.guest.get()?.lanes().idle_since()?, slot)))
            .collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        for (_, slot) in idle.iter().take(excess) {
            self.remove(slot);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.table.store(Arc::default());
    }

    /// Counts for a person: deployments that are loaded, lanes that are idle and lanes that serve a call. Walks over all
    /// of them.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let table = self.table.load_full();
        let guests = table.values().filter_map(|slot| slot.guest.get());
        guests.fold([0; 3], |[loaded, idle, busy], guest| {
            let lanes = guest.lanes().counts();
            [loaded + 1, idle + lanes[0], busy + lanes[1]]
        })
    }
}
