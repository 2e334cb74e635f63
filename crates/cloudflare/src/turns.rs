//! Whose turn it is: a script is changed by one call at a time, and few large uploads are taken in at once.
//!
//! Changes read what is there, then write: two at once would lose one of them and answer both with success. Other means
//! (the Lambda API) wait for no turn.
//!
//! Who needs room takes it before the script's turn: nobody has a turn and waits for room.

use std::array;
use std::hash::{BuildHasher as _, RandomState};

use hearth_registry::Scope;
use tokio::sync::{Mutex, MutexGuard, Semaphore, SemaphorePermit};

/// Uploads at once. Each may hold 100 MiB of assets (250 MB if they are the last version's) and the package's 50 MB, which
/// are in no other budget, and keeps a core busy while it is packed.
const LARGE: usize = 2;
/// Locks that all scripts share: more than there are deployments at once.
const LOCKS: usize = 64;

pub(crate) struct Turns {
    room: Semaphore,
    locks: [Mutex<()>; LOCKS],
    hasher: RandomState,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self {
            room: Semaphore::new(LARGE),
            locks: array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
        }
    }

    /// Waits until there is room for a large upload, which is given back when the permit is dropped. `None`: never, the
    /// semaphore is not closed.
    pub(crate) async fn room(&self) -> Option<SemaphorePermit<'_>> {
        self.room.acquire().await.ok()
    }

    /// Waits until nobody else changes a script.
    pub(crate) async fn of(&self, scope: &Scope, name: &str) -> MutexGuard<'_, ()> {
        let script = (scope.account.as_str(), scope.region.as_str(), name);
        // Below LOCKS.
        let at = (self.hasher.hash_one(script) % LOCKS as u64) as usize;
        self.locks[at].lock().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_script_is_changed_by_one_at_a_time_and_large_uploads_by_few() {
        let turns = Turns::new();
        let scope = Scope {
            account: "123456789012".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
        };
        let first = turns.of(&scope, "a").await;
        assert!(turns.of(&scope, "a").now_or_never().is_none());
        drop(first);
        assert!(turns.of(&scope, "a").now_or_never().is_some());

        let rooms = (turns.room().await, turns.room().await);
        assert!(turns.room().now_or_never().is_none());
        drop(rooms);
        assert!(turns.room().now_or_never().is_some());
    }
}
