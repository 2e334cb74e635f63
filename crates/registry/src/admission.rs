//! How many invocations run at once: of a function against its reserved concurrency, of an account in a region
//! against what no function has reserved.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hearth_types::ApiError;
use hearth_types::error::ThrottleReason;
use hearth_types::name::FunctionKey;

use crate::{Registry, Resolved, Scope};

/// Locks that functions spread over, so that none is shared by all.
const SHARDS: usize = 64;

/// Counts running invocations. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    /// Functions that run something now, and how much.
    functions: [Mutex<HashMap<FunctionKey, u32>>; SHARDS],
    hasher: RandomState,
    /// Running invocations of functions without reserved concurrency. Entries stay: there are as many as pairs of
    /// account and region in which something was ever run.
    accounts: RwLock<HashMap<Scope, Arc<AtomicU32>>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            functions: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            accounts: RwLock::default(),
        }
    }
}

/// An admitted invocation. Dropping it makes room for another.
#[derive(Debug)]
pub struct Permit {
    counters: Arc<Counters>,
    function: FunctionKey,
    account: Option<Arc<AtomicU32>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.fetch_sub(1, Ordering::Relaxed);
        }
        let mut shard = self.counters.shard(&self.function);
        if let Entry::Occupied(mut running) = shard.entry(self.function.clone()) {
            // An idle function leaves nothing behind.
            if *running.get() <= 1 {
                running.remove();
            } else {
                *running.get_mut() -= 1;
            }
        }
    }
}

impl Registry {
    /// Lets an invocation in, if its function and its account have room for one more.
    ///
    /// # Errors
    /// [`TooManyRequests`](hearth_types::ErrorKind::TooManyRequests), with the bound that was met.
    pub fn admit(&self, resolved: &Resolved) -> Result<Permit, ApiError> {
        let key = resolved.key();
        self.inner.admission.admit(key, resolved.reserved, || {
            let scope = Scope {
                account: key.account.clone(),
                region: key.region.clone(),
            };
            let settings = self.get_account_settings(&scope);
            settings.account_limit.unreserved_concurrent_executions
        })
    }
}

impl Admission {
    /// Lets an invocation of `function` in, if there is room. `reserved` is its reserved concurrency; `unreserved`
    /// tells what the account has for all functions without one together; it is asked for those only.
    ///
    /// # Errors
    /// TooManyRequests, with the bound that was met.
    fn admit(
        &self,
        function: &FunctionKey,
        reserved: Option<u32>,
        unreserved: impl FnOnce() -> u32,
    ) -> Result<Permit, ApiError> {
        let account = match reserved {
            Some(reserved) => {
                self.0.enter(function, reserved)?;
                None
            }
            None => {
                let account = self.0.account(function);
                enter_account(&account, unreserved)?;
                // Counted too, for when concurrency is reserved while they run.
                if let Err(error) = self.0.enter(function, u32::MAX) {
                    account.fetch_sub(1, Ordering::Relaxed);
                    return Err(error);
                }
                Some(account)
            }
        };
        Ok(Permit {
            counters: Arc::clone(&self.0),
            function: function.clone(),
            account,
        })
    }
}

/// Counts one more, or says no.
fn enter_account(running: &AtomicU32, unreserved: impl FnOnce() -> u32) -> Result<(), ApiError> {
    let before = running.fetch_add(1, Ordering::Relaxed);
    if before < unreserved() {
        return Ok(());
    }
    running.fetch_sub(1, Ordering::Relaxed);
    Err(ApiError::throttled(
        ThrottleReason::ConcurrentInvocationLimitExceeded,
    ))
}

impl Counters {
    fn enter(&self, function: &FunctionKey, bound: u32) -> Result<(), ApiError> {
        let mut shard = self.shard(function);
        let running = shard.get(function).copied().unwrap_or_default();
        if running >= bound {
            return Err(ApiError::throttled(
                ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded,
            ));
        }
        match shard.get_mut(function) {
            Some(running) => *running += 1,
            None => {
                shard.insert(function.clone(), 1);
            }
        }
        Ok(())
    }

    fn shard(
        &self,
        function: &FunctionKey,
    ) -> std::sync::MutexGuard<'_, HashMap<FunctionKey, u32>> {
        // The remainder fits every width of usize.
        let at = self.hasher.hash_one(function) % SHARDS as u64;
        // Nothing in here can panic half-way, so a poisoned lock holds a whole map.
        self.functions[usize::try_from(at).unwrap_or_default()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, function: &FunctionKey) -> Arc<AtomicU32> {
        let scope = Scope {
            account: function.account.clone(),
            region: function.region.clone(),
        };
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = accounts.get(&scope) {
            return Arc::clone(running);
        }
        drop(accounts);
        let mut accounts = self
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(scope).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> FunctionKey {
        FunctionKey {
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            name: name.parse().unwrap(),
        }
    }

    fn reason(result: Result<Permit, ApiError>) -> ThrottleReason {
        result.unwrap_err().throttle.unwrap()
    }

    #[test]
    fn reserved_concurrency_bounds_its_function_only() {
        let admission = Admission::default();
        let first = admission.admit(&function("f"), Some(1), || 0).unwrap();
        assert_eq!(
            reason(admission.admit(&function("f"), Some(1), || 0)),
            ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded
        );
        admission.admit(&function("g"), Some(1), || 0).unwrap();
        drop(first);
        admission.admit(&function("f"), Some(1), || 0).unwrap();
        assert_eq!(
            reason(admission.admit(&function("f"), Some(0), || 0)),
            ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded
        );
    }

    #[test]
    fn the_account_bounds_functions_without_reservations() {
        let admission = Admission::default();
        let bound = 5;
        let held: Vec<_> = (0..bound)
            .map(|n| {
                admission
                    .admit(&function(&format!("f{n}")), None, || bound)
                    .unwrap()
            })
            .collect();
        assert_eq!(
            reason(admission.admit(&function("g"), None, || bound)),
            ThrottleReason::ConcurrentInvocationLimitExceeded
        );
        // What is reserved is apart from it.
        admission.admit(&function("h"), Some(1), || 0).unwrap();
        drop(held);
        admission.admit(&function("g"), None, || bound).unwrap();
    }

    #[test]
    fn a_reservation_counts_what_runs_already() {
        let admission = Admission::default();
        let _running = admission.admit(&function("f"), None, || 1_000).unwrap();
        assert_eq!(
            reason(admission.admit(&function("f"), Some(1), || 1_000)),
            ThrottleReason::ReservedFunctionConcurrentInvocationLimitExceeded
        );
    }

    #[test]
    fn idle_functions_leave_nothing_behind() {
        let admission = Admission::default();
        for n in 0..1_000 {
            drop(
                admission
                    .admit(&function(&format!("f{n}")), None, || 1_000)
                    .unwrap(),
            );
            let _ = admission.admit(&function(&format!("f{n}")), Some(0), || 0);
        }
        let held: usize = admission
            .0
            .functions
            .iter()
            .map(|s| s.lock().unwrap().len())
            .sum();
        assert_eq!(held, 0);
        let accounts = admission.0.accounts.read().unwrap();
        assert!(
            accounts
                .values()
                .all(|running| running.load(Ordering::Relaxed) == 0)
        );
    }
}
