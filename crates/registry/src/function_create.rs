//! `CreateFunction`.

use hearth_store::contract::Change;
use hearth_store::record::{FunctionRecord, VersionRecord};
use hearth_types::ApiError;
use hearth_types::function::{Package, RecursiveLoop, State, UpdateStatus};
use hearth_types::name::{FunctionKey, Version};
use hearth_types::wire::lambda::{CreateFunctionRequest, FunctionConfiguration};

use crate::code_source::{CodeSource, check_room};
use crate::constraints::Constraints;
use crate::present::{self, Detail};
use crate::registry::{Subject, new_deployment, new_revision};
use crate::scope::{parse_function, unqualified};
use crate::settings::{self, Settings};
use crate::snapshot::Snapshot;
use crate::version::publish;
use crate::{Registry, Scope, layer_use, tag_rules};

impl Registry {
    /// `CreateFunction`: stores the package and the function, answers with `State` `Pending`, and begins to make it
    /// ready.
    ///
    /// # Errors
    /// [`Validation`](hearth_types::ErrorKind::Validation) and
    /// [`InvalidParameterValue`](hearth_types::ErrorKind::InvalidParameterValue) for requests that must be changed,
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) if the name is taken; those of code storage
    /// and of the store. Nothing was created then.
    pub async fn create_function(
        &self,
        scope: &Scope,
        mut request: CreateFunctionRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        let options = &self.inner.options;
        let mut constraints = Constraints::default();
        constraints.required("functionName", request.function_name.is_some());
        constraints.required("code", request.code.is_some());
        let settings = Settings::of_create(&mut request, &mut constraints);
        settings::check_architectures(request.architectures.as_deref(), &mut constraints);
        if let Some(package_type) = &request.package_type {
            constraints.one_of("packageType", package_type, &["Zip", "Image"]);
        }
        let tags = request.tags.take().unwrap_or_default();
        tag_rules::check_shape(&tags, &mut constraints);
        let layer_arns = settings.layers.clone().unwrap_or_default();
        layer_use::check_shape(&layer_arns, &mut constraints);
        constraints.finish()?;

        let function = parse_function(request.function_name.as_deref().unwrap_or_default())?;
        let key = unqualified(scope, &function)?;
        refuse_unsupported(&request)?;
        settings.check_values(&key, &options.runtimes, &options.folders)?;
        let architecture = settings::architecture(
            request.architectures.as_deref(),
            options.architecture,
            settings.runtime().as_ref(),
        )?;
        let source = CodeSource::of_function(request.code.take().unwrap_or_default())?;
        must_be_free(&self.snapshot(), &key)?;
        let layers = layer_use::find(scope, &self.snapshot(), &layer_arns)?;
        settings.check_dead_letter(&key, &self.snapshot(), &options.buckets)?;
        self.check_queue(&key, settings.dead_letter()).await?;
        // Before the package is stored: a request that can't succeed must leave nothing behind.
        let unstored = Package {
            digest: hearth_types::digest::Digest::from_bytes([0; 32]),
            size: 0,
        };
        let mut configuration =
            settings.into_configuration(&options.runtimes, architecture, unstored, layers)?;
        tag_rules::check(&tags, [&configuration.runtime])?;
        configuration.code = source.store(&self.inner.packages).await?;
        self.check_together(&configuration).await?;

        let now = self.now();
        let record = FunctionRecord {
            key: key.clone(),
            generation: 1,
            created: now,
            tags,
            reserved_concurrency: None,
            last_published: 0,
            recursive_loop: RecursiveLoop::default(),
            latest: VersionRecord {
                version: Version::Latest,
                deployment: new_deployment(),
                revision: new_revision(),
                modified: now,
                configuration,
                state: State::Pending,
                update: UpdateStatus::InProgress,
                running: None,
            },
        };
        let publishing = request.publish.unwrap_or(false);
        self.change(&Subject::Function(key.clone()), |snapshot| {
            must_be_free(snapshot, &key)?;
            let copies = 1 + u64::from(publishing);
            check_room(
                snapshot,
                scope,
                record.latest.configuration.code.size * copies,
            )?;
            let mut record = record.clone();
            if !publishing {
                let answer = present::version(&key, &record.latest, None, Detail::Created);
                return Ok((vec![Change::CreateFunction(record)], answer));
            }
            let version = publish(&mut record, None);
            let answer = present::version(&key, &version, None, Detail::Created);
            let changes = vec![
                Change::CreateFunction(record),
                Change::CreateVersion(key.clone(), version),
            ];
            Ok((changes, answer))
        })
        .await
    }

    /// Checks that a function and its layers unpack to no more than they may together.
    ///
    /// # Errors
    /// Those of [`hearth_code::Packages::check_together`].
    pub(crate) async fn check_together(
        &self,
        configuration: &hearth_types::function::Configuration,
    ) -> Result<(), ApiError> {
        if configuration.layers.is_empty() {
            return Ok(());
        }
        let layers: Vec<_> = configuration
            .layers
            .iter()
            .map(|layer| layer.package)
            .collect();
        Ok(self
            .inner
            .packages
            .check_together(&configuration.code, &layers)
            .await?)
    }
}

fn must_be_free(snapshot: &Snapshot, key: &FunctionKey) -> Result<(), ApiError> {
    match snapshot.function(key) {
        None => Ok(()),
        Some(_) => Err(ApiError::conflict(format!(
            "Function already exist: {}",
            key.name
        ))),
    }
}

fn refuse_unsupported(request: &CreateFunctionRequest) -> Result<(), ApiError> {
    if request.package_type.as_deref() == Some("Image") {
        return Err(ApiError::invalid(
            "Hearth does not run container images yet. Use PackageType Zip.",
        ));
    }
    if request
        .code_signing_config_arn
        .as_deref()
        .is_some_and(|arn| !arn.is_empty())
    {
        return Err(ApiError::invalid(
            "Hearth does not support CodeSigningConfigArn yet. Leave it out.",
        ));
    }
    if request.tenancy_config.is_some() {
        return Err(ApiError::invalid(
            "Hearth does not support TenancyConfig yet. Leave it out.",
        ));
    }
    refuse_publish_to(request.publish_to.as_deref())
}

/// `PublishTo` belongs to capacity providers.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`] if it is there.
pub(crate) fn refuse_publish_to(publish_to: Option<&str>) -> Result<(), ApiError> {
    match publish_to {
        None => Ok(()),
        Some(_) => Err(ApiError::invalid(
            "Hearth does not support PublishTo yet. Leave it out.",
        )),
    }
}
