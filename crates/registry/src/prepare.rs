//! Making deployments ready, off the request's path.
//!
//! A new function is `Pending`, and an update `InProgress`, until the workers say that they can run it. What they
//! say is committed like any other change. A node that stops in between begins again when it starts.

use std::sync::Arc;
use std::time::Duration;

use hearth_store::contract::Change;
use hearth_store::record::VersionRecord;
use hearth_types::function::{Deployment, DeploymentId, Reason, State, UpdateStatus};
use hearth_types::name::{FunctionKey, Version};

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
    /// Begins to make ready whatever is not: what a stopped node left.
    pub(crate) fn prepare_unfinished(&self) {
        for entry in self.snapshot().functions() {
            for record in entry.all_versions().filter(|record| unfinished(record)) {
                self.spawn_preparation(entry, record);
            }
        }
    }

    /// Tells the workers of committed changes: what is new is made ready, what no longer runs may end.
    pub(crate) fn follow(&self, before: &Snapshot, changes: &[Change]) {
        let after = self.snapshot();
        for change in changes {
            match change {
                Change::CreateFunction(record) | Change::UpdateFunction(record) => {
                    self.follow_version(&record.key, Version::Latest, before, &after);
                }
                Change::CreateVersion(key, record) | Change::UpdateVersion(key, record) => {
                    self.follow_version(key, record.version, before, &after);
                }
                Change::DeleteVersion(key, version) => {
                    self.inner.invoker.retire(key, *version, None)
                }
                Change::DeleteFunction { key, .. } => {
                    let versions = before
                        .function(key)
                        .into_iter()
                        .flat_map(|entry| entry.all_versions());
                    for record in versions {
                        self.inner.invoker.retire(key, record.version, None);
                    }
                }
                Change::CreateAlias(..)
                | Change::UpdateAlias { .. }
                | Change::DeleteAlias(..)
                | Change::CreateFunctionUrl(..)
                | Change::UpdateFunctionUrl(..)
                | Change::DeleteFunctionUrl(..)
                | Change::PutPolicy { .. }
                | Change::DeletePolicy(..)
                | Change::PutEventInvoke { .. }
                | Change::DeleteEventInvoke(..)
                | Change::CreateLayerVersion(_)
                | Change::DeleteLayerVersion(_)
                | Change::PutRoute { .. }
                | Change::DeleteRoute { .. }
                | Change::PutRouteKey { .. }
                | Change::DeleteRouteKey { .. }
                | Change::PutTopic { .. }
                | Change::DeleteTopic { .. } => {}
                Change::PutMapping { .. } | Change::DeleteMapping { .. } => {
                    self.inner.mappings_changed.send_replace(());
                }
            }
        }
    }

    fn follow_version(
        &self,
        key: &FunctionKey,
        version: Version,
        before: &Snapshot,
        after: &Snapshot,
    ) {
        let old = before
            .function(key)
            .and_then(|entry| entry.version(version));
        let Some((entry, new)) = after
            .function(key)
            .and_then(|entry| Some((entry, entry.version(version)?)))
        else {
            return;
        };
        if unfinished(new) && old.map(|old| old.deployment) != Some(new.deployment) {
            self.spawn_preparation(entry, new);
        }
        if let (Some(ran), Some(runs)) = (old.and_then(running), running(new))
            && ran != runs
        {
            self.inner.invoker.retire(key, version, Some(runs));
        }
    }

    fn spawn_preparation(&self, entry: &FunctionEntry, record: &VersionRecord) {
        if let Some(deployment) = pending_deployment(&entry.function, record) {
            let registry = self.clone();
            tokio::spawn(async move { registry.prepare(deployment).await });
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
            let decide =
                |snapshot: &Snapshot| Ok((outcome_of(snapshot, &deployment, &outcome), ()));
            match self.change(&subject, decide).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(function = %deployment.key, %error, attempt, "outcome of making ready not stored");
                    tokio::time::sleep(Duration::from_secs(attempt.into())).await;
                }
            }
        }
        tracing::error!(function = %deployment.key, "outcome of making ready given up; the next start tries again");
    }
}

/// The deployment that invocations of a version get.
fn running(record: &VersionRecord) -> Option<DeploymentId> {
    match (&record.running, &record.state) {
        (Some(running), _) => Some(running.deployment),
        (None, State::Active) => Some(record.deployment),
        (None, State::Pending | State::Failed(_)) => None,
    }
}

/// The change that records an outcome. There is none if another deployment has taken the place of this one
/// meanwhile, or if the function is gone.
fn outcome_of(
    snapshot: &Snapshot,
    deployment: &Deployment,
    outcome: &Result<(), Reason>,
) -> Vec<Change> {
    let Some(entry) = snapshot.function(&deployment.key) else {
        return Vec::new();
    };
    let Some(record) = entry.version(deployment.version) else {
        return Vec::new();
    };
    if record.deployment != deployment.id || !unfinished(record) {
        return Vec::new();
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
    vec![change]
}
