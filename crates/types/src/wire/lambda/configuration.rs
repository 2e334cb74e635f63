//! Parts of a function's configuration.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// `Environment` of requests and responses. `Debug` shows names only: the model calls the values sensitive.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Environment {
    /// The variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variables: Option<BTreeMap<String, String>>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Option<Vec<_>> = self.variables.as_ref().map(|v| v.keys().collect());
        f.debug_struct("Environment")
            .field("variables", &names)
            .finish()
    }
}

/// `EphemeralStorage`: `/tmp`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EphemeralStorage {
    /// Its size, MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
}

/// `TracingConfig` and its response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TracingConfig {
    /// `Active` or `PassThrough`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// `LoggingConfig` of requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LoggingConfig {
    /// `JSON` or `Text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
    /// Least level of the function's lines, with JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_log_level: Option<String>,
    /// Least level of the platform's lines, with JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_log_level: Option<String>,
    /// The log group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_group: Option<String>,
}

/// `SnapStart` of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SnapStart {
    /// `PublishedVersions` or `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply_on: Option<String>,
}

/// `SnapStart` of responses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SnapStartResponse {
    /// `PublishedVersions` or `None`.
    pub apply_on: String,
    /// `On` or `Off`.
    pub optimization_status: String,
}

/// `RuntimeVersionConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RuntimeVersionConfig {
    /// Names the runtime.
    pub runtime_version_arn: String,
}

/// A layer of a function, as responses show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Layer {
    /// Which version of which layer.
    pub arn: String,
    /// The size of its zip, bytes.
    pub code_size: u64,
}

/// `VpcConfig` of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcConfig {
    /// Subnets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_ids: Option<Vec<String>>,
    /// Security groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_ids: Option<Vec<String>>,
    /// Whether IPv6 is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_allowed_for_dual_stack: Option<bool>,
}

/// `DeadLetterConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeadLetterConfig {
    /// Where events go that could not be handled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_arn: Option<String>,
}

/// `FileSystemConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FileSystemConfig {
    /// The access point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// Where it is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_mount_path: Option<String>,
}

/// `ImageConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// Entry point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<Vec<String>>,
    /// Command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
}

/// `DurableConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DurableConfig {
    /// Time for one execution, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_timeout: Option<i64>,
    /// How long its history is kept, days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_period_in_days: Option<i64>,
}

/// `CapacityProviderConfig` of requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CapacityProviderConfig {
    /// The one kind of provider that there is.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::structure::optional"
    )]
    pub lambda_managed_instances_capacity_provider_config: Option<ManagedInstancesConfig>,
}

/// `LambdaManagedInstancesCapacityProviderConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManagedInstancesConfig {
    /// The fleet's ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_provider_arn: Option<String>,
    /// Invocations of one environment at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_execution_environment_max_concurrency: Option<i64>,
    /// Memory of an environment for each virtual processor, GiB.
    #[serde(
        rename = "ExecutionEnvironmentMemoryGiBPerVCpu",
        skip_serializing_if = "Option::is_none"
    )]
    pub execution_environment_memory_gib_per_vcpu: Option<serde_json::Number>,
}

/// A structure whose members are not looked at: what it asks for is not to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unexamined {}
