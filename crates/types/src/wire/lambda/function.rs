//! Functions and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    CapacityProviderConfig, Concurrency, DeadLetterConfig, DurableConfig, Environment,
    EphemeralStorage, FileSystemConfig, FunctionCode, FunctionCodeLocation, ImageConfig, Layer,
    LoggingConfig, RuntimeVersionConfig, SnapStart, SnapStartResponse, TracingConfig, Unexamined,
    VpcConfig, structure,
};

/// Body of `CreateFunction`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateFunctionRequest {
    /// A name or an ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_name: Option<String>,
    /// The code.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub code: Option<FunctionCode>,
    /// `Zip` or `Image`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_type: Option<String>,
    /// The processor that the code is built for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<String>>,
    /// Whether to publish version 1 at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<bool>,
    /// `LATEST_PUBLISHED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_to: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Rules of code signing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_signing_config_arn: Option<String>,
    /// The role's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Time for one invocation, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Memory, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_size: Option<i64>,
    /// The runtime's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Environment variables.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub environment: Option<Environment>,
    /// ARNs of layer versions, lowest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<String>>,
    /// `/tmp`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// Tracing.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub tracing_config: Option<TracingConfig>,
    /// Logging.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub logging_config: Option<LoggingConfig>,
    /// Snapshots of initialised environments.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub snap_start: Option<SnapStart>,
    /// A private network.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub vpc_config: Option<VpcConfig>,
    /// Where events go that could not be handled.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub dead_letter_config: Option<DeadLetterConfig>,
    /// Folders of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_system_configs: Option<Vec<FileSystemConfig>>,
    /// Settings of a container image.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub image_config: Option<ImageConfig>,
    /// A key that encrypts the environment variables.
    #[serde(rename = "KMSKeyArn", skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    /// A fleet of machines of one's own.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub capacity_provider_config: Option<CapacityProviderConfig>,
    /// Durable executions.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub durable_config: Option<DurableConfig>,
    /// Environments of their own for each tenant.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub tenancy_config: Option<Unexamined>,
    /// A runtime of one's own.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub runtime_config: Option<Unexamined>,
    /// Accelerators.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub accelerator_config: Option<Unexamined>,
}

/// Body of `UpdateFunctionConfiguration`. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateFunctionConfigurationRequest {
    /// The role's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Time for one invocation, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
    /// Memory, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_size: Option<i64>,
    /// The runtime's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Environment variables.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub environment: Option<Environment>,
    /// ARNs of layer versions, lowest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<String>>,
    /// `/tmp`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub ephemeral_storage: Option<EphemeralStorage>,
    /// Tracing.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub tracing_config: Option<TracingConfig>,
    /// Logging.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub logging_config: Option<LoggingConfig>,
    /// Snapshots of initialised environments.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub snap_start: Option<SnapStart>,
    /// A private network.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub vpc_config: Option<VpcConfig>,
    /// Where events go that could not be handled.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub dead_letter_config: Option<DeadLetterConfig>,
    /// Folders of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_system_configs: Option<Vec<FileSystemConfig>>,
    /// Settings of a container image.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub image_config: Option<ImageConfig>,
    /// A key that encrypts the environment variables.
    #[serde(rename = "KMSKeyArn", skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    /// A fleet of machines of one's own.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub capacity_provider_config: Option<CapacityProviderConfig>,
    /// Durable executions.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub durable_config: Option<DurableConfig>,
    /// A runtime of one's own.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub runtime_config: Option<Unexamined>,
    /// Accelerators.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub accelerator_config: Option<Unexamined>,
    /// Only if this is the current revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
}

/// Body of `PublishVersion`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PublishVersionRequest {
    /// Only if this is the digest of the code, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_sha256: Option<String>,
    /// Free text; the function's own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Only if this is the current revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
    /// `LATEST_PUBLISHED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_to: Option<String>,
}

/// `State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FunctionState {
    /// Being made ready.
    Pending,
    /// Ready.
    Active,
    /// It can't be made ready.
    Failed,
}

/// `LastUpdateStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LastUpdateStatus {
    /// It is what runs.
    Successful,
    /// It can't be made ready; what was there before runs on.
    Failed,
    /// Being made ready.
    InProgress,
}

/// `FunctionConfiguration`: one version of a function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionConfiguration {
    /// The function's name.
    pub function_name: String,
    /// Its ARN; with a qualifier where the operation names a version.
    pub function_arn: String,
    /// The runtime's name.
    pub runtime: String,
    /// The role's ARN.
    pub role: String,
    /// The handler; absent for a WebAssembly component, which needs none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub handler: String,
    /// Size of the zip, bytes.
    pub code_size: u64,
    /// Free text.
    pub description: String,
    /// Time for one invocation, seconds.
    pub timeout: u32,
    /// Memory, MiB.
    pub memory_size: u32,
    /// `2026-01-02T03:04:05.678+0000`.
    pub last_modified: String,
    /// Digest of the zip, in base64.
    pub code_sha256: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// Environment variables, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// Tracing.
    pub tracing_config: TracingConfig,
    /// Changes with every change of the version.
    pub revision_id: String,
    /// Layers, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<Layer>>,
    /// Whether it can be invoked; absent in listings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<FunctionState>,
    /// Why it is in that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<String>,
    /// A code for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason_code: Option<String>,
    /// How the last update went; absent in listings and while the function is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_status: Option<LastUpdateStatus>,
    /// Why it went so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_status_reason: Option<String>,
    /// A code for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_status_reason_code: Option<String>,
    /// `Zip`.
    pub package_type: String,
    /// The processor that the code is built for.
    pub architectures: Vec<String>,
    /// `/tmp`.
    pub ephemeral_storage: EphemeralStorage,
    /// Snapshots of initialised environments.
    pub snap_start: SnapStartResponse,
    /// The runtime in full; absent in listings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_version_config: Option<RuntimeVersionConfig>,
    /// Logging.
    pub logging_config: LoggingConfig,
    /// The fleet that runs it, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_provider_config: Option<CapacityProviderConfig>,
    /// Where events go that could not be handled, if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_config: Option<DeadLetterConfig>,
    /// Folders of the node, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_system_configs: Option<Vec<FileSystemConfig>>,
}

/// Answer of `GetFunction`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetFunctionResponse {
    /// The version that was asked for.
    pub configuration: FunctionConfiguration,
    /// Where its code is.
    pub code: FunctionCodeLocation,
    /// Tags, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Reserved concurrency, if there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
}

/// Answer of `ListFunctions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListFunctionsResponse {
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// The page.
    pub functions: Vec<FunctionConfiguration>,
}

/// Answer of `ListVersionsByFunction`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListVersionsByFunctionResponse {
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// The page.
    pub versions: Vec<FunctionConfiguration>,
}
