//! How many environments the host has room for: a bound on their number and on the sum of their memory sizes.
//!
//! Only starts and ends of environments come here, never a warm invocation, save for one atomic read. When there is no
//! room, starts wait; the reaper evicts idle environments for them, and deployments that hold more than their share
//! let environments go after an invocation ([`Capacity::should_yield`]). Room goes to the deployment that holds the
//! least (max-min fairness), among equals to whoever waited longest: one busy function cannot keep another out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_types::function::DeploymentId;
use tokio::sync::{Notify, oneshot};

/// The bounds of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Sum of the memory sizes of all environments, MiB.
    pub(crate) memory_mib: u64,
    /// Environments.
    pub(crate) environments: usize,
}

/// The room there is.
#[derive(Debug)]
pub(crate) struct Capacity {
    bounds: Bounds,
    /// Whether starts wait: read on every invocation's end, so that nothing is locked when none do.
    wanted: AtomicBool,
    /// Wakes the reaper.
    pressure: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: Used,
    /// Environments on their way out whose room comes back soon.
    leaving: Used,
    held: HashMap<DeploymentId, usize>,
    waiting: Vec<Waiter>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    memory_mib: u64,
    environments: usize,
}

#[derive(Debug)]
struct Waiter {
    deployment: DeploymentId,
    memory_mib: u64,
    grant: oneshot::Sender<Room>,
}

/// Room for one environment; comes back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    capacity: Arc<Capacity>,
    deployment: DeploymentId,
    memory_mib: u64,
}

/// An environment of this size never fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeverFits;

impl Capacity {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            wanted: AtomicBool::new(false),
            pressure: Notify::new(),
            state: Mutex::default(),
        })
    }

    /// Waits for room for one environment. Cancel safe.
    ///
    /// # Errors
    /// If it could never fit.
    pub(crate) async fn room(
        self: &Arc<Self>,
        deployment: DeploymentId,
        memory_mib: u64,
    ) -> Result<Room, NeverFits> {
        if memory_mib > self.bounds.memory_mib || self.bounds.environments == 0 {
            return Err(NeverFits);
        }
        let granted = {
            let mut state = self.lock();
            if state.waiting.is_empty() && self.fits(&state, memory_mib) {
                return Ok(self.take(&mut state, deployment, memory_mib));
            }
            let (grant, granted) = oneshot::channel();
            state.waiting.push(Waiter {
                deployment,
                memory_mib,
                grant,
            });
            granted
        };
        self.settle();
        // The sender is dropped only together with the waiter, which lives until it is granted or nobody waits.
        granted.await.map_err(|_| NeverFits)
    }

    /// Whether any start waits for room.
    pub(crate) fn wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Asks the reaper to look for environments that can go.
    pub(crate) fn press(&self) {
        self.pressure.notify_one();
    }

    /// Waits until somebody asked for room that there is not. Cancel safe.
    pub(crate) async fn pressed(&self) {
        self.pressure.notified().await;
    }

    /// Whether room is missing that is not on its way already.
    pub(crate) fn short(&self) -> bool {
        let state = self.lock();
        let Some(at) = next_waiter(&state) else {
            return false;
        };
        let needed = state.waiting.get(at).map_or(0, |waiter| waiter.memory_mib);
        let memory = state
            .used
            .memory_mib
            .saturating_sub(state.leaving.memory_mib);
        let environments = state
            .used
            .environments
            .saturating_sub(state.leaving.environments);
        memory + needed > self.bounds.memory_mib || environments >= self.bounds.environments
    }

    /// Notes that an environment of this size was told to go: its room comes back when it has ended.
    pub(crate) fn expect(&self, memory_mib: u64) {
        let mut state = self.lock();
        state.leaving.memory_mib += memory_mib;
        state.leaving.environments += 1;
    }

    /// Whether an environment of `deployment` should end after its invocation, for the sake of a deployment that would
    /// still hold fewer than this one if it got the room.
    pub(crate) fn should_yield(&self, deployment: DeploymentId) -> bool {
        if !self.wanted() || !self.short() {
            return false;
        }
        let state = self.lock();
        let held = |id: &DeploymentId| state.held.get(id).copied().unwrap_or(0);
        next_waiter(&state)
            .and_then(|at| state.waiting.get(at))
            .is_some_and(|waiter| held(&waiter.deployment) + 1 < held(&deployment))
    }

    /// Environments that hold room, and the sum of their memory, MiB.
    pub(crate) fn used(&self) -> (usize, u64) {
        let state = self.lock();
        (state.used.environments, state.used.memory_mib)
    }

    fn fits(&self, state: &State, memory_mib: u64) -> bool {
        state.used.environments < self.bounds.environments
            && state.used.memory_mib + memory_mib <= self.bounds.memory_mib
    }

    fn take(
        self: &Arc<Self>,
        state: &mut State,
        deployment: DeploymentId,
        memory_mib: u64,
    ) -> Room {
        state.used.memory_mib += memory_mib;
        state.used.environments += 1;
        *state.held.entry(deployment).or_default() += 1;
        Room {
            capacity: Arc::clone(self),
            deployment,
            memory_mib,
        }
    }

    /// Gives the room there is to those who wait for it, and asks the reaper for what is missing.
    fn settle(self: &Arc<Self>) {
        loop {
            let (waiter, room) = {
                let mut state = self.lock();
                state.waiting.retain(|waiter| !waiter.grant.is_closed());
                let next = next_waiter(&state);
                self.wanted.store(next.is_some(), Ordering::Relaxed);
                let Some(at) = next else {
                    return;
                };
                let needed = state.waiting.get(at).map_or(0, |waiter| waiter.memory_mib);
                if !self.fits(&state, needed) {
                    break;
                }
                let waiter = state.waiting.remove(at);
                let room = self.take(&mut state, waiter.deployment, waiter.memory_mib);
                (waiter, room)
            };
            // Not under the lock: if nobody waits any more, the room is dropped here, which takes the lock.
            drop(waiter.grant.send(room));
        }
        self.press();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Only numbers, whole between any two operations.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose turn it is: the first among those whose deployment holds the least.
fn next_waiter(state: &State) -> Option<usize> {
    let held = |waiter: &Waiter| state.held.get(&waiter.deployment).copied().unwrap_or(0);
    let (at, _) = state
        .waiting
        .iter()
        .enumerate()
        .filter(|(_, waiter)| !waiter.grant.is_closed())
        .min_by_key(|(_, waiter)| held(waiter))?;
    Some(at)
}

impl Drop for Room {
    fn drop(&mut self) {
        {
            let mut state = self.capacity.lock();
            state.used.memory_mib = state.used.memory_mib.saturating_sub(self.memory_mib);
            state.used.environments = state.used.environments.saturating_sub(1);
            // Which of them leave is not kept: an environment that ends by itself in the meantime counts for one that
            // was told to, and the reaper looks again.
            state.leaving.memory_mib = state.leaving.memory_mib.saturating_sub(self.memory_mib);
            state.leaving.environments = state.leaving.environments.saturating_sub(1);
            if let Some(held) = state.held.get_mut(&self.deployment) {
                *held = held.saturating_sub(1);
                if *held == 0 {
                    state.held.remove(&self.deployment);
                }
            }
        }
        if self.capacity.wanted() {
            self.capacity.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    const A: DeploymentId = DeploymentId::from_random(1);
    const B: DeploymentId = DeploymentId::from_random(2);

    fn capacity(environments: usize) -> Arc<Capacity> {
        Capacity::new(Bounds {
            memory_mib: 1024,
            environments,
        })
    }

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn now(capacity: &Arc<Capacity>, deployment: DeploymentId, memory: u64) -> Option<Room> {
        match poll(pin!(capacity.room(deployment, memory))) {
            Poll::Ready(room) => room.ok(),
            Poll::Pending => None,
        }
    }

    #[test]
    fn memory_and_number_are_bounds() {
        let by_memory = capacity(100);
        let first = now(&by_memory, A, 1000).unwrap();
        assert!(now(&by_memory, A, 25).is_none());
        drop(first);
        assert!(now(&by_memory, A, 25).is_some());
        let by_number = capacity(1);
        let _first = now(&by_number, A, 1).unwrap();
        assert!(now(&by_number, A, 1).is_none());
        assert_eq!(by_number.used(), (1, 1));
    }

    #[test]
    fn what_can_never_fit_is_told_at_once() {
        let capacity = capacity(100);
        assert!(matches!(
            poll(pin!(capacity.room(A, 1025))),
            Poll::Ready(Err(NeverFits))
        ));
    }

    #[test]
    fn room_that_comes_back_goes_to_whoever_waits() {
        let capacity = capacity(1);
        let first = now(&capacity, A, 1).unwrap();
        let mut waiting = pin!(capacity.room(B, 1));
        assert!(poll(waiting.as_mut()).is_pending());
        assert!(capacity.wanted() && capacity.short());
        drop(first);
        assert!(matches!(poll(waiting.as_mut()), Poll::Ready(Ok(_))));
        assert!(!capacity.wanted());
        assert_eq!(capacity.used(), (0, 0));
    }

    #[test]
    fn a_waiter_that_gave_up_keeps_nothing() {
        let capacity = capacity(1);
        let first = now(&capacity, A, 1).unwrap();
        {
            let mut gives_up = pin!(capacity.room(B, 1));
            assert!(poll(gives_up.as_mut()).is_pending());
        }
        drop(first);
        assert_eq!(capacity.used(), (0, 0));
        assert!(now(&capacity, A, 1).is_some());
    }

    #[test]
    fn the_deployment_that_holds_less_comes_first_and_the_other_yields() {
        let capacity = capacity(3);
        let mut rooms: Vec<Room> = (0..3).map(|_| now(&capacity, A, 1).unwrap()).collect();
        let mut more = pin!(capacity.room(A, 1));
        assert!(poll(more.as_mut()).is_pending());
        assert!(!capacity.should_yield(A), "not for its own sake");
        let mut other = pin!(capacity.room(B, 1));
        assert!(poll(other.as_mut()).is_pending());
        assert!(capacity.should_yield(A));
        rooms.pop();
        let Poll::Ready(Ok(_held)) = poll(other.as_mut()) else {
            panic!("B holds less and comes first");
        };
        assert!(poll(more.as_mut()).is_pending());
        assert!(!capacity.should_yield(B));
    }

    #[test]
    fn what_is_leaving_is_not_asked_for_twice() {
        let capacity = capacity(1);
        let first = now(&capacity, A, 1).unwrap();
        let mut waiting = pin!(capacity.room(B, 1));
        assert!(poll(waiting.as_mut()).is_pending());
        assert!(capacity.short());
        capacity.expect(1);
        assert!(!capacity.short());
        drop(first);
        assert!(matches!(poll(waiting.as_mut()), Poll::Ready(Ok(_))));
    }
}
