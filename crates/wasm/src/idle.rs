//! Instances between two calls, where a function is granted to use one again.
//!
//! Each function has a stack of its own, so that the instance used last is used next and those that nobody needs grow
//! old at the bottom. The wall knows which functions have any: one task drops what is too old, and a call that finds no
//! slot drops one to get it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::instance::Instance;
use crate::machine::Machine;

/// How long an instance waits for its next call. It holds a slot and its memory meanwhile; a new one costs far less than
/// a millisecond.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the wall looks for instances that waited too long.
const SWEEP: Duration = Duration::from_secs(1);

/// Most idle instances of one function.
const MOST: usize = 256;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The idle instances of one function.
#[derive(Default)]
pub(crate) struct Idle {
    stack: Mutex<Stack>,
}

#[derive(Default)]
struct Stack {
    /// Oldest first.
    instances: Vec<(Instant, Box<Instance>)>,
    /// The wall knows of this stack.
    known: bool,
}

impl Idle {
    /// The instance used last.
    pub(crate) fn take(&self) -> Option<Box<Instance>> {
        lock(&self.stack)
            .instances
            .pop()
            .map(|(_, instance)| instance)
    }

    /// Keeps `instance` for the next call. Gives it back if there are enough.
    pub(crate) fn put(
        self: &Arc<Self>,
        instance: Box<Instance>,
        parked: &Parked,
    ) -> Option<Box<Instance>> {
        let mut stack = lock(&self.stack);
        if stack.instances.len() >= MOST {
            return Some(instance);
        }
        stack.instances.push((Instant::now(), instance));
        if !stack.known {
            stack.known = true;
            drop(stack);
            lock(&parked.stacks).push_back(Arc::downgrade(self));
        }
        None
    }

    /// Takes out those that wait since `before`, and says whether there are more. If not, the wall may forget this stack.
    fn take_old(&self, before: Instant) -> (Vec<(Instant, Box<Instance>)>, bool) {
        let mut stack = lock(&self.stack);
        let old = stack
            .instances
            .partition_point(|(since, _)| *since < before);
        let old = stack.instances.drain(..old).collect();
        stack.known = !stack.instances.is_empty();
        (old, stack.known)
    }

    /// Takes out the one that waits longest, and says whether there are more, as [`Idle::take_old`] does.
    fn take_oldest(&self) -> (Option<Box<Instance>>, bool) {
        let mut stack = lock(&self.stack);
        let oldest = (!stack.instances.is_empty()).then(|| stack.instances.remove(0).1);
        stack.known = !stack.instances.is_empty();
        (oldest, stack.known)
    }
}

/// Which functions of a wall have idle instances. Those that have none are forgotten when somebody looks: each look
/// costs what was put here before, however many functions there are (INV-9).
#[derive(Default)]
pub(crate) struct Parked {
    stacks: Mutex<VecDeque<Weak<Idle>>>,
}

impl Parked {
    /// Drops one idle instance, for its slots; of another function each time.
    pub(crate) fn drop_one(&self) {
        loop {
            let Some(stack) = lock(&self.stacks).pop_front() else {
                return;
            };
            let Some(idle) = stack.upgrade() else {
                continue;
            };
            let (oldest, some_left) = idle.take_oldest();
            if some_left {
                lock(&self.stacks).push_back(stack);
            }
            if oldest.is_some() {
                return;
            }
        }
    }

    /// Drops what waits too long, as long as the wall is there.
    pub(crate) fn sweep(machine: &Arc<Machine>) {
        let weak = Arc::downgrade(machine);
        machine.runtime.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(machine) = weak.upgrade() else {
                    return;
                };
                if let Some(before) = Instant::now().checked_sub(PATIENCE) {
                    machine.parked.drop_old(before);
                }
            }
        });
    }

    fn drop_old(&self, before: Instant) {
        let stacks = std::mem::take(&mut *lock(&self.stacks));
        for stack in stacks {
            let Some(idle) = stack.upgrade() else {
                continue;
            };
            let (old, some_left) = idle.take_old(before);
            if some_left {
                lock(&self.stacks).push_back(stack);
            }
            drop(old);
        }
    }
}
