//! Which functions have got something to do: held until it is asked for, one entry a function.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;
use tokio::sync::Notify;

use crate::events::Head;

/// What was not asked for yet.
#[derive(Debug, Default)]
pub(crate) struct News {
    pending: Mutex<HashMap<FunctionKey, Timestamp>>,
    notify: Notify,
}

impl News {
    fn pending(&self) -> MutexGuard<'_, HashMap<FunctionKey, Timestamp>> {
        // Nothing in here can panic half-way, so a poisoned lock holds a whole map.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A function has something that is due at `due`.
    pub(crate) fn tell(&self, function: &FunctionKey, due: Timestamp) {
        let mut pending = self.pending();
        match pending.get_mut(function) {
            Some(earliest) => *earliest = due.min(*earliest),
            None => {
                pending.insert(function.clone(), due);
            }
        }
        drop(pending);
        self.notify.notify_one();
    }

    /// Waits until there is something, and takes it. Cancel safe.
    pub(crate) async fn wait(&self) -> Vec<Head> {
        loop {
            let heads: Vec<Head> = self
                .pending()
                .drain()
                .map(|(function, due)| Head { function, due })
                .collect();
            if !heads.is_empty() {
                return heads;
            }
            self.notify.notified().await;
        }
    }
}
