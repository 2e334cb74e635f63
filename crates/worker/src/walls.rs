//! The launcher behind which sandboxes start, and a new one when it dies.
//!
//! A launcher that dies takes all its sandboxes with it. What ran in them fails with an error that says to try again
//! (the function is not to blame), and the next launch comes from a new launcher.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hearth_sandbox::{Exit, Launcher, LauncherOptions};
use hearth_types::{ApiError, ErrorKind};

/// The pause between two tries to start a launcher.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the news of a launcher's end may take to come after that of a sandbox's.
const NEWS: Duration = Duration::from_millis(20);

/// The launcher there is at the moment.
#[derive(Debug)]
pub(crate) struct Walls {
    launcher: ArcSwap<Launcher>,
    /// Whether it is one of the worker's own, rather than the one that it was given.
    own: AtomicBool,
    restart: Option<LauncherOptions>,
}

impl Walls {
    /// Starts with `launcher`; later ones are started with `restart`, if it is given.
    pub(crate) fn new(launcher: Launcher, restart: Option<LauncherOptions>) -> Self {
        Self {
            launcher: ArcSwap::from_pointee(launcher),
            own: AtomicBool::new(false),
            restart,
        }
    }

    /// The launcher to use for the next sandbox.
    pub(crate) fn launcher(&self) -> Arc<Launcher> {
        self.launcher.load_full()
    }

    /// Ends the launcher, if the worker started it; the one that it was given belongs to whoever gave it.
    pub(crate) async fn end(&self) {
        if self.own.load(Ordering::Relaxed) {
            self.launcher().shutdown().await;
        }
    }

    /// Replaces launchers that die. Works until it is dropped.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            self.launcher().ended().await;
            let Some(options) = &self.restart else {
                tracing::error!(
                    "the launcher has ended: no environment can be started until Hearth is restarted"
                );
                return;
            };
            tracing::error!(
                "the launcher has ended, and all environments with it; starting another"
            );
            loop {
                match Launcher::start(options.clone()).await {
                    Ok(launcher) => {
                        self.own.store(true, Ordering::Relaxed);
                        self.launcher.store(Arc::new(launcher));
                        break;
                    }
                    Err(error) => {
                        tracing::error!(%error, "start a launcher");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }
}

/// Whether a sandbox of `launcher` ended like this because the launcher did.
pub(crate) async fn fell(launcher: &Launcher, exit: Exit) -> bool {
    exit == Exit::Signal(9) && tokio::time::timeout(NEWS, launcher.ended()).await.is_ok()
}

/// What callers are told when the walls are gone.
pub(crate) fn gone() -> ApiError {
    ApiError::new(
        ErrorKind::ServiceUnavailable,
        "The node lost its execution environments and makes new ones. Try again.",
    )
}
