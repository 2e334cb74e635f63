//! What all calls of a wall share: the engines, slots for instances, the memory budget, the ticker and the threads for
//! long computations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use hearth_egress::Egress;
use tokio::runtime::Handle;
use tokio::sync::futures::Notified;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use crate::call::Failure;
use crate::compute::Compute;
use crate::engines::Engines;
use crate::idle::Parked;
use crate::limits::Budget;
use crate::options::WallOptions;
use crate::ticker::Ticker;

/// Calls that wait for slots or memory, for each slot that there is: more find no room at once (INV-3). A waiting call holds its
/// request's head and nothing else.
const WAITING_PER_SLOT: u32 = 4;

/// What all calls of a wall share.
pub(crate) struct Machine {
    pub(crate) engines: Arc<Engines>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) ticker: Ticker,
    pub(crate) compute: Compute,
    pub(crate) parked: Parked,
    /// The way to the outside.
    pub(crate) egress: Arc<Egress>,
    /// Where guests finish whose caller has what it came for.
    pub(crate) runtime: Handle,
    /// Instances that may be dropped behind their callers' backs at the same time.
    burials: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    waiting: AtomicU32,
    most_waiting: u32,
    wait: Duration,
}

impl Machine {
    /// Sets up what all calls share. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the host can't give the address space of the pool, or threads.
    pub(crate) fn new(options: &WallOptions) -> std::io::Result<Arc<Self>> {
        let engines = Engines::new(options.instances).map_err(std::io::Error::other)?;
        let engines = Arc::new(engines);
        let machine = Arc::new(Self {
            budget: Arc::new(Budget::new(options.memory_bytes)),
            ticker: Ticker::start({
                let engines = Arc::clone(&engines);
                move || engines.increment_epochs()
            })?,
            compute: Compute::start()?,
            parked: Parked::default(),
            egress: Arc::new(Egress::new(options.outside.clone())),
            runtime: Handle::current(),
            slots: Arc::new(Semaphore::new(options.instances as usize)),
            burials: Arc::new(Semaphore::new(available_parallelism()?.get())),
            waiting: AtomicU32::new(0),
            most_waiting: options.instances.saturating_mul(WAITING_PER_SLOT),
            wait: options.wait,
            engines,
        });
        Parked::sweep(&machine);
        Ok(machine)
    }

    /// Until when a call with this deadline waits for an instance.
    pub(crate) fn until(&self, deadline: Instant) -> Instant {
        Instant::now()
            .checked_add(self.wait)
            .map_or(deadline, |until| until.min(deadline))
    }

    /// Slots for one instance: at once if there are as many, else in turn.
    ///
    /// # Errors
    /// [`Failure::NoRoom`].
    pub(crate) async fn slots(
        &self,
        wanted: u32,
        until: Instant,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_many_owned(wanted) {
            return Ok(permit);
        }
        let _place = self.queue()?;
        // Instances that nobody uses make room for those that somebody waits for. They give their slots back while we
        // are in the queue, so that nobody else gets between.
        let turn = Arc::clone(&self.slots).acquire_many_owned(wanted);
        let reclaim = async {
            for _ in 0..wanted {
                self.parked.drop_one();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            turn = timeout_at(until.into(), turn) => match turn {
                Ok(Ok(permit)) => Ok(permit),
                Ok(Err(_)) | Err(_) => Err(Failure::NoRoom),
            },
            () = reclaim => Err(Failure::NoRoom),
        }
    }

    /// Waits until some instance gives memory back: `freed`, made before there was too little.
    ///
    /// # Errors
    /// [`Failure::NoRoom`].
    pub(crate) async fn memory(&self, freed: Notified<'_>, until: Instant) -> Result<(), Failure> {
        let _place = self.queue()?;
        self.parked.drop_one();
        timeout_at(until.into(), freed)
            .await
            .map_err(|_| Failure::NoRoom)
    }

    /// Leave to drop an instance behind its caller's back.
    pub(crate) fn burial(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.burials).try_acquire_owned().ok()
    }

    /// A place in the queue for room.
    fn queue(&self) -> Result<Place<'_>, Failure> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most_waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Failure::NoRoom);
        }
        Ok(Place(&self.waiting))
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("free_slots", &self.slots.available_permits())
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

/// A place in the queue for room.
struct Place<'a>(&'a AtomicU32);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
