//! A process for each account whose components run: started when it is first needed, kept while it is, replaced when it
//! dies.
//!
//! A function holds a way to its account's process, not the process ([`Processes::reach`]): the next call after a
//! process's end comes to a new one. Processes that end soon after their start are not started again at once.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use hearth_types::name::AccountId;
use hearth_wasm::Failure;
use hearth_wasm::process::{Process, Reach};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::process::{self, Running};
use crate::options::ProcessOptions;
use crate::walls::Walls;

/// A process that lived for less than this was a failure, whatever it did.
const SHORT_LIFE: Duration = Duration::from_secs(10);

/// The pause after the first failure; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: how long an account waits after whatever made its processes die is over.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A pause that calls wait out; before the end of a longer one they are refused.
const PATIENCE: Duration = Duration::from_secs(1);

/// The processes of a worker. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Processes(Arc<Inner>);

pub(super) struct Inner {
    pub(super) options: ProcessOptions,
    pub(super) walls: Arc<Walls>,
    /// How long a process without calls is kept.
    pub(super) keep_warm: Duration,
    /// The folder of the program that processes run, once it is there.
    pub(super) program: OnceCell<PathBuf>,
    /// Numbers for folders.
    pub(super) next: AtomicU64,
    pub(super) end: CancellationToken,
    pub(super) lives: TaskTracker,
    accounts: Mutex<HashMap<AccountId, Arc<Account>>>,
}

/// One account.
pub(super) struct Account {
    pub(super) id: AccountId,
    pub(super) current: ArcSwapOption<Process>,
    /// Held while one is started.
    start: tokio::sync::Mutex<()>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// Processes in a row that ended soon.
    failures: u32,
    /// When another may be started.
    again: Option<Instant>,
    /// Why the last one ended.
    why: String,
}

impl Processes {
    /// None is started yet.
    pub(crate) fn new(options: ProcessOptions, walls: Arc<Walls>, keep_warm: Duration) -> Self {
        Self(Arc::new(Inner {
            options,
            walls,
            keep_warm,
            program: OnceCell::new(),
            next: AtomicU64::new(1),
            end: CancellationToken::new(),
            lives: TaskTracker::new(),
            accounts: Mutex::default(),
        }))
    }

    /// The way to an account's process, for as long as a function of the account is loaded.
    pub(super) fn reach(&self, account: &AccountId) -> Reach {
        let account = Arc::clone(
            lock(&self.0.accounts)
                .entry(account.clone())
                .or_insert_with(|| Arc::new(Account::new(account.clone()))),
        );
        let inner = Arc::clone(&self.0);
        Arc::new(move || {
            let (inner, account) = (Arc::clone(&inner), Arc::clone(&account));
            Box::pin(async move { inner.process(account).await })
        })
    }

    /// Ends all processes, and waits until nothing of them is left.
    pub(crate) async fn end(&self) {
        self.0.end.cancel();
        self.0.lives.close();
        self.0.lives.wait().await;
        process::clear(&self.0.options.dir).await;
    }
}

impl Inner {
    /// An account's process, started if there is none.
    async fn process(self: Arc<Self>, account: Arc<Account>) -> Result<Process, Failure> {
        if let Some(process) = account.usable() {
            return Ok(process);
        }
        // A task of its own: the first caller may go away, and others wait for the same.
        let started = tokio::spawn(async move {
            let _turn = account.start.lock().await;
            if let Some(process) = account.usable() {
                return Ok(process);
            }
            tokio::time::sleep(account.pause()?).await;
            if self.end.is_cancelled() {
                return Err(Failure::NoRoom);
            }
            match process::start(&self, &account.id).await {
                Ok(running) => Ok(self.adopt(account.clone(), running)),
                Err(error) => {
                    tracing::error!(account = %account.id, error, "start an account's process");
                    account.failed(error);
                    Err(Failure::Internal(
                        "the account's process can't be started".to_owned(),
                    ))
                }
            }
        });
        started
            .await
            .unwrap_or_else(|error| Err(Failure::Internal(error.to_string())))
    }

    /// Makes a process the account's, and sees to its end.
    fn adopt(self: &Arc<Self>, account: Arc<Account>, running: Running) -> Process {
        let process = running.process().clone();
        account.current.store(Some(Arc::new(process.clone())));
        let (inner, began) = (Arc::clone(self), Instant::now());
        self.lives.spawn(async move {
            let end = running.live(&inner, &account).await;
            account.forget(&end.process);
            match end.why {
                Some(why) if began.elapsed() < SHORT_LIFE => account.failed(why),
                Some(_) | None => account.fine(),
            }
        });
        process
    }

    /// A number that no other of this worker's folders has.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Account {
    fn new(id: AccountId) -> Self {
        Self {
            id,
            current: ArcSwapOption::empty(),
            start: tokio::sync::Mutex::default(),
            health: Mutex::default(),
        }
    }

    fn usable(&self) -> Option<Process> {
        let current = self.current.load();
        let process = current.as_deref()?;
        process.is_usable().then(|| process.clone())
    }

    /// Takes a process out of use, if it is still the one.
    pub(super) fn forget(&self, process: &Process) {
        self.current.rcu(|current| {
            current
                .as_ref()
                .filter(|current| !current.is(process))
                .cloned()
        });
    }

    /// How long to wait before another process is started.
    ///
    /// # Errors
    /// If that is longer than a call waits.
    fn pause(&self) -> Result<Duration, Failure> {
        let health = lock(&self.health);
        let pause = health.again.map_or(Duration::ZERO, |again| {
            again.saturating_duration_since(Instant::now())
        });
        if pause <= PATIENCE {
            return Ok(pause);
        }
        Err(Failure::Crashed(format!(
            "{}; {} in a row ended so, and the next is not started yet",
            health.why, health.failures
        )))
    }

    fn failed(&self, why: String) {
        let mut health = lock(&self.health);
        let pause = FIRST_PAUSE.saturating_mul(1 << health.failures.min(16));
        health.failures = health.failures.saturating_add(1);
        // The first failure is anybody's: only those that follow it wait.
        health.again = (health.failures > 1).then(|| Instant::now() + pause.min(LONGEST_PAUSE));
        health.why = why;
    }

    fn fine(&self) {
        *lock(&self.health) = Health::default();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_keep_dying_are_started_ever_later() {
        let account = Account::new("000000000000".parse().expect("an account"));
        assert_eq!(account.pause(), Ok(Duration::ZERO));
        account.failed("it fell".to_owned());
        assert_eq!(account.pause(), Ok(Duration::ZERO));
        account.failed("it fell".to_owned());
        assert!(account.pause().expect("a short one") > Duration::ZERO);
        for failures in 3..40 {
            account.failed("it fell".to_owned());
            let again = lock(&account.health).again.expect("a pause");
            let pause = again.saturating_duration_since(Instant::now());
            assert!(pause <= LONGEST_PAUSE);
            assert!(failures < 10 || pause > LONGEST_PAUSE / 2);
        }
        let refused = account.pause().expect_err("not yet").to_string();
        assert!(refused.contains("it fell"), "{refused}");
        account.fine();
        assert_eq!(account.pause(), Ok(Duration::ZERO));
    }
}
