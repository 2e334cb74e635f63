//! `UpdateFunctionCode` and `UpdateFunctionConfiguration`.

use hearth_store::contract::Change;
use hearth_store::record::{FunctionRecord, Running};
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::function::{Configuration, State, UpdateStatus};
use hearth_types::name::{FunctionKey, Qualifier};
use hearth_types::time::Timestamp;
use hearth_types::wire::lambda::{
    FunctionConfiguration, UpdateFunctionCodeRequest, UpdateFunctionConfigurationRequest,
};

use crate::code_source::{CodeSource, check_room};
use crate::constraints::Constraints;
use crate::function_create::refuse_publish_to;
use crate::present::{self, Detail};
use crate::registry::{Subject, new_deployment, new_revision};
use crate::scope::unqualified;
use crate::settings::{self, Settings};
use crate::snapshot::{FunctionEntry, Snapshot};
use crate::version::{publish, republished};
use crate::{Registry, Scope, layer_use, tag_rules};

impl Registry {
    /// `UpdateFunctionCode`. The code that ran before runs until the new one is ready.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound),
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) while another update is in progress,
    /// [`PreconditionFailed`](hearth_types::ErrorKind::PreconditionFailed) if `RevisionId` is not the current one,
    /// those of code storage and of the store. Nothing was changed then.
    pub async fn update_function_code(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        mut request: UpdateFunctionCodeRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        let mut constraints = Constraints::default();
        settings::check_architectures(request.architectures.as_deref(), &mut constraints);
        constraints.finish()?;
        let key = unqualified(scope, function)?;
        refuse_publish_to(request.publish_to.as_deref())?;
        let revision = request.revision_id.take();
        let current = changeable(&self.snapshot(), &key, revision.as_deref())?;
        let architecture = settings::architecture(
            request.architectures.as_deref(),
            self.inner.options.architecture,
            Some(&current.latest.configuration.runtime),
        )?;
        let source = CodeSource::of_function(request.take_code())?;
        let dry_run = request.dry_run.unwrap_or(false);
        let packages = &self.inner.packages;
        let code = if dry_run {
            source.check(packages).await?
        } else {
            source.store(packages).await?
        };
        if dry_run {
            let mut record = current.latest;
            record.configuration.code = code;
            return Ok(present::version(&key, &record, None, Detail::Full));
        }
        self.check_together(&Configuration {
            code,
            ..current.latest.configuration
        })
        .await?;
        let now = self.now();
        let publishing = request.publish.unwrap_or(false);
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let mut record = changeable(snapshot, &key, revision.as_deref())?;
            check_room(snapshot, scope, code.size)?;
            let configuration = Configuration {
                code,
                architecture,
                ..record.latest.configuration.clone()
            };
            replace(&mut record, configuration, now);
            if !publishing {
                let answer = present::version(&key, &record.latest, None, Detail::Full);
                return Ok((vec![Change::UpdateFunction(record)], answer));
            }
            let known = snapshot
                .function(&key)
                .and_then(|entry| republished(entry, &record));
            let version = known.unwrap_or_else(|| publish(&mut record, None));
            let qualifier = Some(Qualifier::Version(version.version));
            let answer = present::version(&key, &version, qualifier, Detail::Full);
            let mut changes = vec![Change::UpdateFunction(record.clone())];
            if snapshot
                .function(&key)
                .is_none_or(|entry| entry.version(version.version).is_none())
            {
                changes.push(Change::CreateVersion(key.clone(), version));
            }
            Ok((changes, answer))
        })
        .await
    }

    /// `UpdateFunctionConfiguration`. What is absent stays as it is.
    ///
    /// # Errors
    /// As [`update_function_code`](Self::update_function_code), and those of a configuration that must be changed.
    pub async fn update_function_configuration(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        mut request: UpdateFunctionConfigurationRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        let mut constraints = Constraints::default();
        let settings = Settings::of_update(&mut request, &mut constraints);
        if let Some(arns) = &settings.layers {
            layer_use::check_shape(arns, &mut constraints);
        }
        constraints.finish()?;
        let key = unqualified(scope, function)?;
        let runtimes = &self.inner.options.runtimes;
        settings.check_values(&key, runtimes, &self.inner.options.folders)?;
        let revision = request.revision_id.take();
        let current = changeable(&self.snapshot(), &key, revision.as_deref())?;
        settings.check_dead_letter(&key, &self.snapshot(), &self.inner.options.buckets)?;
        self.check_queue(&key, settings.dead_letter()).await?;
        // Layers that the function has already stay usable after they were deleted.
        let layers = match &settings.layers {
            Some(arns) => Some(self.layers_of(scope, &current, arns)?),
            None => None,
        };
        if layers.is_some() {
            let configuration =
                settings.over(&current.latest.configuration, runtimes, layers.clone())?;
            self.check_together(&configuration).await?;
        }
        let now = self.now();
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let mut record = changeable(snapshot, &key, revision.as_deref())?;
            let configuration =
                settings.over(&record.latest.configuration, runtimes, layers.clone())?;
            tag_rules::check(&record.tags, [&configuration.runtime])?;
            replace(&mut record, configuration, now);
            let answer = present::version(&key, &record.latest, None, Detail::Full);
            Ok((vec![Change::UpdateFunction(record)], answer))
        })
        .await
    }

    fn layers_of(
        &self,
        scope: &Scope,
        current: &FunctionRecord,
        arns: &[String],
    ) -> Result<Vec<hearth_types::function::LayerUse>, ApiError> {
        let used = &current.latest.configuration.layers;
        let unchanged = used.len() == arns.len()
            && used
                .iter()
                .zip(arns)
                .all(|(layer, arn)| layer.arn.to_string() == *arn);
        if unchanged {
            return Ok(used.clone());
        }
        layer_use::find(scope, &self.snapshot(), arns)
    }
}

/// The record of a function that may be changed now.
///
/// # Errors
/// [`hearth_types::ErrorKind::ResourceNotFound`], [`hearth_types::ErrorKind::PreconditionFailed`], and
/// [`hearth_types::ErrorKind::ResourceConflict`] while it is being made ready.
pub(crate) fn changeable(
    snapshot: &Snapshot,
    key: &FunctionKey,
    revision: Option<&str>,
) -> Result<FunctionRecord, ApiError> {
    let entry = snapshot
        .function(key)
        .ok_or_else(|| present::function_not_found(key, None))?;
    settled(entry)?;
    let record = &entry.function;
    if revision.is_some_and(|revision| revision != record.latest.revision) {
        return Err(present::revision_mismatch());
    }
    Ok(record.as_ref().clone())
}

/// Refuses a function whose `$LATEST` is being made ready.
///
/// # Errors
/// [`hearth_types::ErrorKind::ResourceConflict`], in the service's words.
pub(crate) fn settled(entry: &FunctionEntry) -> Result<(), ApiError> {
    let record = &entry.function;
    if record.latest.state == State::Pending {
        return Err(ApiError::conflict(
            "The operation cannot be performed at this time. The function is currently in the following state: Pending",
        ));
    }
    if record.latest.update == UpdateStatus::InProgress {
        return Err(ApiError::conflict(format!(
            "The operation cannot be performed at this time. An update is in progress for resource: {}",
            present::arn(&record.key, None)
        )));
    }
    Ok(())
}

/// Gives `$LATEST` another configuration, which is to be made ready; what runs now runs until then.
fn replace(function: &mut FunctionRecord, configuration: Configuration, now: Timestamp) {
    function.generation += 1;
    let latest = &mut function.latest;
    if latest.running.is_none() {
        match latest.state {
            State::Active => {
                latest.running = Some(Running {
                    deployment: latest.deployment,
                    configuration: latest.configuration.clone(),
                    modified: latest.modified,
                });
            }
            // Nothing ever ran: it is as if it were created anew.
            State::Pending | State::Failed(_) => latest.state = State::Pending,
        }
    }
    latest.configuration = configuration;
    latest.deployment = new_deployment();
    latest.revision = new_revision();
    latest.modified = now;
    latest.update = UpdateStatus::InProgress;
}
