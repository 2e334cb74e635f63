//! What a function is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::arn::LayerVersionArn;
use crate::digest::Digest;
use crate::event_invoke::DestinationArn;
use crate::folder::FolderUse;
use crate::name::{FunctionKey, NameError, Version};
use crate::text::as_text;
use crate::time::Timestamp;
use crate::walls::{Isolation, Walls};

/// The language of a function, with the version that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// `python3.<minor>`.
    Python {
        /// The minor version: 12 of `python3.12`.
        minor: u16,
    },
    /// `nodejs<major>.x`.
    NodeJs {
        /// The major version: 22 of `nodejs22.x`.
        major: u16,
    },
    /// An executable named `bootstrap` that speaks the Runtime API itself; or a WebAssembly component, if the package
    /// has no `bootstrap` and one component at its root.
    Provided(Provided),
    /// `wasm`: a WebAssembly component. Hearth's own name; the service model has none for it.
    Wasm,
    /// `worker`: JavaScript modules with `export default { fetch }`. Hearth's own name, too.
    Worker,
}

impl Runtime {
    /// Which wall runs it; `None` where the package decides.
    pub const fn isolation(&self) -> Option<Isolation> {
        match self {
            Self::Python { .. } | Self::NodeJs { .. } => Some(Isolation::Process),
            Self::Provided(_) => None,
            Self::Wasm => Some(Isolation::Wasm),
            Self::Worker => Some(Isolation::Isolate),
        }
    }
}

/// The names under which an own `bootstrap` runs. They differ in the system image that Lambda puts under it;
/// Hearth runs all of them on the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provided {
    /// `provided`
    Al1,
    /// `provided.al2`
    Al2,
    /// `provided.al2023`
    Al2023,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python { minor } => write!(f, "python3.{minor}"),
            Self::NodeJs { major } => write!(f, "nodejs{major}.x"),
            Self::Provided(Provided::Al1) => f.write_str("provided"),
            Self::Provided(Provided::Al2) => f.write_str("provided.al2"),
            Self::Provided(Provided::Al2023) => f.write_str("provided.al2023"),
            Self::Wasm => f.write_str("wasm"),
            Self::Worker => f.write_str("worker"),
        }
    }
}

impl FromStr for Runtime {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        fn number(text: &str) -> Option<u16> {
            let plain = !text.starts_with('0')
                && text.len() <= 3
                && text.bytes().all(|b| b.is_ascii_digit());
            if plain { text.parse().ok() } else { None }
        }
        let known = match text {
            "provided" => Some(Self::Provided(Provided::Al1)),
            "provided.al2" => Some(Self::Provided(Provided::Al2)),
            "provided.al2023" => Some(Self::Provided(Provided::Al2023)),
            "wasm" => Some(Self::Wasm),
            "worker" => Some(Self::Worker),
            _ => {
                let python = text
                    .strip_prefix("python3.")
                    .and_then(number)
                    .map(|minor| Self::Python { minor });
                let node = || {
                    text.strip_prefix("nodejs")?
                        .strip_suffix(".x")
                        .and_then(number)
                };
                python.or_else(|| node().map(|major| Self::NodeJs { major }))
            }
        };
        known.ok_or_else(|| NameError {
            kind: "runtime",
            rule: "one of python3.N, nodejsN.x, provided, provided.al2, provided.al2023, wasm, worker",
            value: text.chars().take(80).collect(),
        })
    }
}

as_text!(Runtime);

/// `RecursiveLoop`: what becomes of an event that has led a function to itself too often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecursiveLoop {
    /// It goes on.
    Allow,
    /// It ends there.
    #[default]
    Terminate,
}

impl RecursiveLoop {
    /// The names on the wire.
    pub const NAMES: [&'static str; 2] = ["Allow", "Terminate"];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "Allow",
            Self::Terminate => "Terminate",
        }
    }

    /// Reads a name of the wire.
    pub fn read(text: &str) -> Option<Self> {
        [Self::Allow, Self::Terminate]
            .into_iter()
            .find(|known| known.as_str() == text)
    }
}

/// The processor that a package is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Architecture {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    #[serde(rename = "arm64")]
    Arm64,
}

/// A stored package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Package {
    /// Its digest: its name in code storage.
    pub digest: Digest,
    /// Its size as it was sent, bytes: a zip, or a WebAssembly component by itself.
    pub size: u64,
}

/// A layer as a function uses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LayerUse {
    /// Which version of which layer.
    pub arn: LayerVersionArn,
    /// Its package, pinned when the function was configured: a layer may be deleted while functions use it.
    pub package: Package,
}

/// How lines of a function's log are written (`LoggingConfig.LogFormat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogFormat {
    /// As they come.
    #[default]
    Text,
    /// JSON objects.
    #[serde(rename = "JSON")]
    Json,
}

/// `LoggingConfig` of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// The format.
    pub format: LogFormat,
    /// Least level of the function's own lines, with JSON only (`ApplicationLogLevel`).
    pub application_level: Option<String>,
    /// Least level of the platform's lines, with JSON only (`SystemLogLevel`).
    pub system_level: Option<String>,
    /// The log group, when it is not `/aws/lambda/<name>`.
    pub group: Option<String>,
}

/// Everything that a version freezes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// Free text.
    pub description: String,
    /// The language.
    pub runtime: Runtime,
    /// `module.function`, or whatever the bootstrap makes of it; may be empty for [`Runtime::Wasm`], which has no use
    /// for it, and for [`Runtime::Worker`], where it may name the main module.
    pub handler: String,
    /// The role's ARN.
    pub role: String,
    /// Time for one invocation, seconds ([`crate::limits::TIMEOUT_S`]).
    pub timeout_s: u32,
    /// Memory, MiB ([`crate::limits::MEMORY_MIB`]).
    pub memory_mib: u32,
    /// Size of `/tmp`, MiB ([`crate::limits::TMP_MIB`]).
    pub tmp_mib: u32,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Layers, lowest first: a later one's files hide an earlier one's.
    pub layers: Vec<LayerUse>,
    /// The processor.
    pub architecture: Architecture,
    /// The code.
    pub code: Package,
    /// `TracingConfig.Mode` is `Active` rather than `PassThrough`.
    pub tracing_active: bool,
    /// `LoggingConfig`.
    pub logging: Logging,
    /// `CapacityProviderConfig`. Records from before there was one have none, and read and write as they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_provider: Option<CapacityProvider>,
    /// `DeadLetterConfig`: a queue or a topic for events that could not be handled. As above for older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DestinationArn>,
    /// `FileSystemConfigs`: folders of the node. As above for older records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderUse>,
}

/// `LambdaManagedInstancesCapacityProviderConfig` of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityProvider {
    /// Which fleet runs the function. Kept as it was given: there is one, the node.
    pub arn: String,
    /// Invocations of one environment at the same time ([`crate::limits::ENVIRONMENT_CONCURRENCY`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// Memory of an environment for each of its virtual processors, GiB. Kept as it was given: shares of the processor
    /// follow from the memory alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_gib_per_vcpu: Option<serde_json::Number>,
}

/// Environment variables that the platform sets itself and no function can (developer guide, "Defined runtime
/// environment variables", those marked as reserved; `AWS_SESSION_TOKEN` and `AWS_DEFAULT_REGION` are refused by the
/// service as well, and `AWS_LAMBDA_MAX_CONCURRENCY` is what runtime clients go by).
pub const RESERVED_VARIABLES: [&str; 19] = [
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
];

/// Whether a version can be invoked (`State`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Being made ready.
    Pending,
    /// Ready.
    Active,
    /// It can't be made ready.
    Failed(Reason),
}

/// How the last update went (`LastUpdateStatus`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateStatus {
    /// Being made ready; invocations run what was there before, once there was something.
    InProgress,
    /// It is what runs.
    Successful,
    /// It can't be made ready.
    Failed(Reason),
}

/// Why a version can't be made ready: `StateReasonCode` and `StateReason`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A code of the service model's `StateReasonCode`: `InvalidRuntime`, `InvalidZipFileException`, …
    pub code: String,
    /// A sentence.
    pub message: String,
}

/// Names the code and configuration that an environment runs: a new one for every update of `$LATEST` and every
/// published version. Environments of an older deployment retire (INV-1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(u128);

impl DeploymentId {
    /// An identifier from 128 random bits.
    pub const fn from_random(bits: u128) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One version, ready to be handed to a worker: all that is needed to run it, and nothing that changes while it
/// runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Which code and configuration this is.
    pub id: DeploymentId,
    /// The function.
    pub key: FunctionKey,
    /// The version.
    pub version: Version,
    /// When it was made.
    pub created: Timestamp,
    /// What it is.
    pub configuration: Configuration,
    /// How it must be walled: from the function's tags.
    pub walls: Walls,
}

impl Deployment {
    /// Invocations that one environment may run at the same time, if the function says: its tag, or else its
    /// `CapacityProviderConfig`.
    pub fn concurrency(&self) -> Option<u32> {
        let provider = self.configuration.capacity_provider.as_ref();
        self.walls
            .concurrency
            .or_else(|| provider.and_then(|provider| provider.max_concurrency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_read_back() {
        for text in [
            "python3.12",
            "nodejs22.x",
            "provided",
            "provided.al2",
            "provided.al2023",
            "wasm",
            "worker",
        ] {
            assert_eq!(text.parse::<Runtime>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "python3.",
            "python3.012",
            "python2.7",
            "node22",
            "nodejs.x",
            "nodejs99999.x",
            "java21",
        ] {
            assert!(bad.parse::<Runtime>().is_err(), "{bad}");
        }
    }
}
