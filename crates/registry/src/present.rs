//! Records as the API shows them.

use hearth_store::record::{AliasRecord, LayerVersionRecord, VersionRecord};
use hearth_types::ApiError;
use hearth_types::arn::FunctionArn;
use hearth_types::folder::FolderUse;
use hearth_types::function::{LogFormat, State, UpdateStatus};
use hearth_types::name::{FunctionKey, Qualifier};
use hearth_types::wire::lambda::{
    AliasConfiguration, AliasRoutingConfiguration, DeadLetterConfig, Environment, EphemeralStorage,
    FileSystemConfig, FunctionConfiguration, FunctionState, LastUpdateStatus, Layer,
    LayerVersionContentOutput, LayerVersionResponse, LayerVersionsListItem, LoggingConfig,
    RuntimeVersionConfig, SnapStartResponse, TracingConfig,
};

use crate::settings::architecture_name;
use crate::{LayerVersionDescription, capacity_provider};

/// What the service says of everything that is being made ready.
const CREATING: &str = "The function is being created.";
const CREATING_CODE: &str = "Creating";

/// Which members an operation's answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// All.
    Full,
    /// The answer of `CreateFunction`: nothing was updated yet.
    Created,
    /// A listing: no states, as the service has it.
    Listed,
}

/// The ARN of a function, with a qualifier or without.
pub(crate) fn arn(key: &FunctionKey, qualifier: Option<Qualifier>) -> String {
    FunctionArn { key, qualifier }.to_string()
}

/// The service's words for a function, version or alias that is not there.
pub(crate) fn function_not_found(key: &FunctionKey, qualifier: Option<&Qualifier>) -> ApiError {
    ApiError::not_found(format!(
        "Function not found: {}",
        arn(key, qualifier.cloned())
    ))
}

/// The service's words for a revision that is not the current one.
pub(crate) fn revision_mismatch() -> ApiError {
    ApiError::new(
        hearth_types::ErrorKind::PreconditionFailed,
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve \
         the latest Revision Id",
    )
}

/// One version, under the ARN with `qualifier`.
pub(crate) fn version(
    key: &FunctionKey,
    record: &VersionRecord,
    qualifier: Option<Qualifier>,
    detail: Detail,
) -> FunctionConfiguration {
    let configuration = &record.configuration;
    let listed = detail == Detail::Listed;
    let (state, state_reason, state_reason_code) = match &record.state {
        _ if listed => (None, None, None),
        State::Active => (Some(FunctionState::Active), None, None),
        State::Pending => (
            Some(FunctionState::Pending),
            Some(CREATING.to_owned()),
            Some(CREATING_CODE.to_owned()),
        ),
        State::Failed(reason) => (
            Some(FunctionState::Failed),
            Some(reason.message.clone()),
            Some(reason.code.clone()),
        ),
    };
    let (update, update_reason, update_reason_code) = match &record.update {
        _ if detail != Detail::Full => (None, None, None),
        UpdateStatus::Successful => (Some(LastUpdateStatus::Successful), None, None),
        UpdateStatus::InProgress => (
            Some(LastUpdateStatus::InProgress),
            Some(CREATING.to_owned()),
            Some(CREATING_CODE.to_owned()),
        ),
        UpdateStatus::Failed(reason) => (
            Some(LastUpdateStatus::Failed),
            Some(reason.message.clone()),
            Some(reason.code.clone()),
        ),
    };
    let layers: Vec<_> = configuration
        .layers
        .iter()
        .map(|layer| Layer {
            arn: layer.arn.to_string(),
            code_size: layer.package.size,
        })
        .collect();
    FunctionConfiguration {
        function_name: key.name.as_str().to_owned(),
        function_arn: arn(key, qualifier),
        runtime: configuration.runtime.to_string(),
        role: configuration.role.clone(),
        handler: configuration.handler.clone(),
        code_size: configuration.code.size,
        description: configuration.description.clone(),
        timeout: configuration.timeout_s,
        memory_size: configuration.memory_mib,
        last_modified: record.modified.to_lambda_string(),
        code_sha256: configuration.code.digest.to_base64(),
        version: record.version.to_string(),
        environment: (!configuration.environment.is_empty()).then(|| Environment {
            variables: Some(configuration.environment.clone()),
        }),
        tracing_config: TracingConfig {
            mode: Some(
                if configuration.tracing_active {
                    "Active"
                } else {
                    "PassThrough"
                }
                .to_owned(),
            ),
        },
        revision_id: record.revision.clone(),
        layers: (!layers.is_empty()).then_some(layers),
        state,
        state_reason,
        state_reason_code,
        last_update_status: update,
        last_update_status_reason: update_reason,
        last_update_status_reason_code: update_reason_code,
        package_type: "Zip".to_owned(),
        architectures: vec![architecture_name(configuration.architecture).to_owned()],
        ephemeral_storage: EphemeralStorage {
            size: Some(configuration.tmp_mib.into()),
        },
        snap_start: SnapStartResponse {
            apply_on: "None".to_owned(),
            optimization_status: "Off".to_owned(),
        },
        runtime_version_config: (!listed).then(|| RuntimeVersionConfig {
            runtime_version_arn: format!(
                "arn:aws:lambda:{}::runtime:{}",
                key.region, configuration.runtime
            ),
        }),
        logging_config: LoggingConfig {
            log_format: Some(
                match configuration.logging.format {
                    LogFormat::Text => "Text",
                    LogFormat::Json => "JSON",
                }
                .to_owned(),
            ),
            application_log_level: configuration.logging.application_level.clone(),
            system_log_level: configuration.logging.system_level.clone(),
            log_group: Some(
                configuration
                    .logging
                    .group
                    .clone()
                    .unwrap_or_else(|| format!("/aws/lambda/{}", key.name)),
            ),
        },
        capacity_provider_config: configuration
            .capacity_provider
            .as_ref()
            .map(capacity_provider::show),
        dead_letter_config: configuration
            .dead_letter
            .as_ref()
            .map(|arn| DeadLetterConfig {
                target_arn: Some(arn.to_string()),
            }),
        file_system_configs: (!configuration.folders.is_empty()).then(|| {
            let folders = configuration.folders.iter();
            let config = |folder: &FolderUse| FileSystemConfig {
                arn: Some(folder.arn.to_string()),
                local_mount_path: Some(folder.path.to_string()),
            };
            folders.map(config).collect()
        }),
    }
}

/// An alias.
pub(crate) fn alias(key: &FunctionKey, record: &AliasRecord) -> AliasConfiguration {
    AliasConfiguration {
        alias_arn: arn(key, Some(Qualifier::Alias(record.name.clone()))),
        name: record.name.as_str().to_owned(),
        function_version: record.version.to_string(),
        description: record.description.clone(),
        routing_config: record
            .weighted
            .map(|(version, weight)| AliasRoutingConfiguration {
                additional_version_weights: Some([(version.to_string(), weight)].into()),
            }),
        revision_id: record.revision.clone(),
    }
}

/// A layer version of a listing.
pub(crate) fn layer_version(record: &LayerVersionRecord) -> LayerVersionsListItem {
    let architectures: Vec<_> = record
        .compatible_architectures
        .iter()
        .map(|architecture| architecture_name(*architecture).to_owned())
        .collect();
    LayerVersionsListItem {
        layer_version_arn: record.arn.to_string(),
        version: record.arn.version,
        description: record.description.clone(),
        created_date: record.created.to_lambda_string(),
        compatible_architectures: (!architectures.is_empty()).then_some(architectures),
        compatible_runtimes: (!record.compatible_runtimes.is_empty())
            .then(|| record.compatible_runtimes.clone()),
        license_info: record.license.clone(),
    }
}

/// A layer version in full, but for the link to its package.
pub(crate) fn layer_version_in_full(record: &LayerVersionRecord) -> LayerVersionDescription {
    let item = layer_version(record);
    LayerVersionDescription {
        package: record.package,
        response: LayerVersionResponse {
            content: LayerVersionContentOutput {
                location: String::new(),
                code_sha256: record.package.digest.to_base64(),
                code_size: record.package.size,
            },
            layer_arn: record.arn.layer_arn(),
            layer_version_arn: item.layer_version_arn,
            description: item.description,
            created_date: item.created_date,
            version: item.version,
            compatible_architectures: item.compatible_architectures,
            compatible_runtimes: item.compatible_runtimes,
            license_info: item.license_info,
        },
    }
}
