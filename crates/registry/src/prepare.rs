//! Making deployments ready, off the request's path.
//!
//! A new function is `Pending`, and an update `InProgress`, until the workers say that they can run it. What they
//! say is committed like any other change. A node that stops in between begins again when it starts.

use std::sync::Arc;
use std::time::Duration;

use hearth_store::contract::Change;
use hearth_store::record::VersionRecord;
use hearth_types::function::{Deployment, Reason, State, UpdateStatus};
use hearth_types::name::Version;

use crate::Registry;
use crate::registry::{Subject, new_revision};
use crate::snapshot::{FunctionEntry, Snapshot, pending_deployment};

/// The longest that making ready may take: unpacking 250 MB on a slow disk, several times over.
const PREPARATION: Duration = Duration::from_secs(300);
/// How often the outcome is tried to be committed, waiting a second more each time.
const COMMITS: u32 = 10;

/// Whether a version is being made ready.
pub(crate) fn unfinished(record: &VersionRecord) -> bool {
    record.state == State::Pending || record.update == UpdateStatus::InProgress
}

impl Registry {
    /// Begins to make ready what is unfinished of a function.
    pub(crate) fn prepare_unfinished(&self, entry: &FunctionEntry) {
        for record in entry.all_versions().filter(|record| unfinished(record)) {
            if let Some(deployment) = pending_deployment(&entry.function, record) {
                let registry = self.clone();
                tokio::spawn(async move { registry.prepare(deployment).await });
            }
        }
    }

    async fn prepare(&self, deployment: Arc<Deployment>) {
        let outcome = {
            // The semaphore is never closed; were it, there would be no bound and nothing worse.
            let _permit = self.inner.preparations.acquire().await;
            tokio::time::timeout(
                PREPARATION,
                self.inner.invoker.prepare(Arc::clone(&deployment)),
            )
            .await
            .unwrap_or_else(|_| {
                Err(Reason {
                    code: "InternalError".to_owned(),
                    message: format!(
                        "Making the function ready took over {} s.",
                        PREPARATION.as_secs()
                    ),
                })
            })
        };
        if let Err(reason) = &outcome {
            tracing::info!(function = %deployment.key, version = %deployment.version, ?reason, "not ready");
        }
        let subject = Subject::Function(deployment.key.clone());
        for attempt in 1..=COMMITS {
            let decide = |snapshot: &Snapshot| Ok(outcome_of(snapshot, &deployment, &outcome));
            match self.change(&subject, decide).await {
                Ok(true) => {
                    let keep = outcome.is_ok().then_some(deployment.id);
                    if keep.is_some() {
                        self.inner
                            .invoker
                            .retire(&deployment.key, deployment.version, keep);
                    }
                    return;
                }
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(function = %deployment.key, %error, attempt, "outcome of making ready not stored");
                    tokio::time::sleep(Duration::from_secs(attempt.into())).await;
                }
            }
        }
        tracing::error!(function = %deployment.key, "outcome of making ready given up; the next start tries again");
    }
}

/// The change that records an outcome, and whether there is any: another deployment may have taken the place of
/// this one meanwhile, or the function may be gone.
fn outcome_of(
    snapshot: &Snapshot,
    deployment: &Deployment,
    outcome: &Result<(), Reason>,
) -> (Vec<Change>, bool) {
    let Some(entry) = snapshot.function(&deployment.key) else {
        return (Vec::new(), false);
    };
    let Some(record) = entry.version(deployment.version) else {
        return (Vec::new(), false);
    };
    if record.deployment != deployment.id || !unfinished(record) {
        return (Vec::new(), false);
    }
    let mut record = VersionRecord {
        revision: new_revision(),
        ..record.clone()
    };
    match outcome {
        Ok(()) => {
            record.state = State::Active;
            record.update = UpdateStatus::Successful;
            record.running = None;
        }
        Err(reason) => {
            record.update = UpdateStatus::Failed(reason.clone());
            // What ran before runs on.
            if record.running.is_none() {
                record.state = State::Failed(reason.clone());
            }
        }
    }
    let change = match deployment.version {
        Version::Latest => {
            let mut function = entry.function.as_ref().clone();
            function.generation += 1;
            function.latest = record;
            Change::UpdateFunction(function)
        }
        Version::Number(_) => Change::UpdateVersion(deployment.key.clone(), record),
    };
    (vec![change], true)
}
