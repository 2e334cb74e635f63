//! A function's settings as a request gives them: checked, and laid over what the function has.

use std::collections::{BTreeMap, BTreeSet};

use hearth_types::ApiError;
use hearth_types::arn::role_account;
use hearth_types::event_invoke::DestinationArn;
use hearth_types::folder::Folders;
use hearth_types::function::{
    Architecture, Configuration, LayerUse, LogFormat, Logging, Package, Runtime,
};
use hearth_types::limits::{
    DEFAULT_MEMORY_MIB, DEFAULT_TIMEOUT_S, DEFAULT_TMP_MIB, DESCRIPTION_CHARS, HANDLER_CHARS,
    MEMORY_MIB, TIMEOUT_S, TMP_MIB,
};
use hearth_types::name::{BucketName, FunctionKey};
use hearth_types::walls::Isolation;
use hearth_types::wire::lambda::{
    CapacityProviderConfig, CreateFunctionRequest, FileSystemConfig, LoggingConfig,
    UpdateFunctionConfigurationRequest,
};

use crate::constraints::Constraints;
use crate::destination::Role;
use crate::snapshot::Snapshot;
use crate::{RuntimePolicy, capacity_provider, destination, environment, folder_use, runtimes};

const ROLE_PATTERN: &str = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
const HANDLER_PATTERN: &str = r"[^\s]+";
const LOG_GROUP_PATTERN: &str = r"[\.\-_/#A-Za-z0-9]+";
/// Characters of a log group's name (service model, `LogGroup`).
const LOG_GROUP_CHARS: usize = 512;
/// What a function must say of itself; a component has no handler.
const MANDATORY: &str =
    "Runtime and Handler are mandatory parameters for functions created with deployment packages.";
/// Level of both kinds of lines when the format is JSON and none is asked for (developer guide, logging controls).
const DEFAULT_LEVEL: &str = "INFO";

/// What is common to `CreateFunction` and `UpdateFunctionConfiguration`.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    role: Option<String>,
    handler: Option<String>,
    description: Option<String>,
    timeout: Option<i64>,
    memory: Option<i64>,
    tmp: Option<i64>,
    runtime: Option<String>,
    environment: Option<BTreeMap<String, String>>,
    tracing_mode: Option<String>,
    logging: Option<LoggingConfig>,
    /// ARNs of layer versions.
    pub(crate) layers: Option<Vec<String>>,
    folders: Option<Vec<FileSystemConfig>>,
    capacity_provider: Option<CapacityProviderConfig>,
    /// `TargetArn` of `DeadLetterConfig`: an empty one takes the target away.
    dead_letter: Option<Option<DestinationArn>>,
    /// The first thing asked for that Hearth doesn't do.
    beyond: Option<&'static str>,
}

macro_rules! settings_of {
    ($request:expr, $constraints:expr) => {{
        let request = $request;
        let filled = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let beyond = [
            (
                request.vpc_config.as_ref().is_some_and(|vpc| {
                    let any =
                        |ids: &Option<Vec<String>>| ids.as_ref().is_some_and(|ids| !ids.is_empty());
                    any(&vpc.subnet_ids) || any(&vpc.security_group_ids)
                }),
                "VpcConfig with subnets or security groups",
            ),
            (
                request
                    .image_config
                    .as_ref()
                    .is_some_and(|image| *image != Default::default()),
                "ImageConfig",
            ),
            (
                request
                    .snap_start
                    .as_ref()
                    .and_then(|snap| snap.apply_on.as_deref())
                    == Some("PublishedVersions"),
                "SnapStart for PublishedVersions",
            ),
            (filled(&request.kms_key_arn), "KMSKeyArn"),
            (request.durable_config.is_some(), "DurableConfig"),
            (request.runtime_config.is_some(), "RuntimeConfig"),
            (request.accelerator_config.is_some(), "AcceleratorConfig"),
        ]
        .into_iter()
        .find_map(|(asked, what)| asked.then_some(what));
        Settings {
            role: request.role.take(),
            handler: request.handler.take(),
            description: request.description.take(),
            timeout: request.timeout,
            memory: request.memory_size,
            tmp: request
                .ephemeral_storage
                .take()
                .and_then(|storage| storage.size),
            runtime: request.runtime.take(),
            environment: request
                .environment
                .take()
                .map(|environment| environment.variables.unwrap_or_default()),
            tracing_mode: request
                .tracing_config
                .take()
                .and_then(|tracing| tracing.mode),
            logging: request.logging_config.take(),
            layers: request.layers.take(),
            folders: request.file_system_configs.take(),
            capacity_provider: request.capacity_provider_config.take(),
            dead_letter: request.dead_letter_config.take().map(|config| {
                let target = config.target_arn.as_deref();
                destination::read("deadLetterConfig.targetArn", target, $constraints)
            }),
            beyond,
        }
    }};
}

impl Settings {
    /// Takes the settings out of a request, and notes the breaches of their shapes.
    pub(crate) fn of_create(
        request: &mut CreateFunctionRequest,
        constraints: &mut Constraints,
    ) -> Self {
        constraints.required("role", request.role.is_some());
        if let Some(mode) = request
            .snap_start
            .as_ref()
            .and_then(|snap| snap.apply_on.as_deref())
        {
            constraints.one_of("snapStart.applyOn", mode, &["PublishedVersions", "None"]);
        }
        let settings: Self = settings_of!(request, constraints);
        settings.check(constraints);
        settings
    }

    /// As [`of_create`](Self::of_create), for an update.
    pub(crate) fn of_update(
        request: &mut UpdateFunctionConfigurationRequest,
        constraints: &mut Constraints,
    ) -> Self {
        if let Some(mode) = request
            .snap_start
            .as_ref()
            .and_then(|snap| snap.apply_on.as_deref())
        {
            constraints.one_of("snapStart.applyOn", mode, &["PublishedVersions", "None"]);
        }
        let settings: Self = settings_of!(request, constraints);
        settings.check(constraints);
        settings
    }

    fn check(&self, constraints: &mut Constraints) {
        let wide = |range: std::ops::RangeInclusive<u32>| {
            i64::from(*range.start())..=i64::from(*range.end())
        };
        if let Some(role) = &self.role {
            constraints.pattern("role", role, role_account(role).is_ok(), ROLE_PATTERN);
        }
        if let Some(handler) = &self.handler {
            constraints.length("handler", handler, 0..=HANDLER_CHARS);
            let fits = !handler.is_empty()
                && !handler.contains(char::is_whitespace)
                && !handler.contains('\0');
            constraints.pattern("handler", handler, fits, HANDLER_PATTERN);
        }
        if let Some(description) = &self.description {
            constraints.length("description", description, 0..=DESCRIPTION_CHARS);
        }
        if let Some(timeout) = self.timeout {
            constraints.range("timeout", timeout, wide(TIMEOUT_S));
        }
        if let Some(memory) = self.memory {
            constraints.range("memorySize", memory, wide(MEMORY_MIB));
        }
        if let Some(tmp) = self.tmp {
            constraints.range("ephemeralStorage.size", tmp, wide(TMP_MIB));
        }
        if let Some(variables) = &self.environment {
            environment::check_names(variables, constraints);
        }
        if let Some(mode) = &self.tracing_mode {
            constraints.one_of("tracingConfig.mode", mode, &["Active", "PassThrough"]);
        }
        if let Some(logging) = &self.logging {
            check_logging(logging, constraints);
        }
        if let Some(config) = &self.capacity_provider {
            capacity_provider::check(config, constraints);
        }
        if let Some(configs) = &self.folders {
            folder_use::check_shape(configs, constraints);
        }
    }

    /// Refuses what the shapes allow and the account or this node does not. Reads nothing that other requests change.
    ///
    /// # Errors
    /// [`hearth_types::ErrorKind::InvalidParameterValue`].
    pub(crate) fn check_values(
        &self,
        key: &FunctionKey,
        policy: &RuntimePolicy,
        folders: &Folders,
    ) -> Result<(), ApiError> {
        if let Some(what) = self.beyond {
            return Err(ApiError::invalid(format!(
                "Hearth does not support {what} yet. Leave it out or empty."
            )));
        }
        if let Some(role) = &self.role
            && role_account(role)? != key.account
        {
            return Err(ApiError::invalid(
                "The role defined for the function cannot be assumed by Lambda.",
            ));
        }
        if let Some(runtime) = &self.runtime {
            runtimes::parse(runtime, policy)?;
        }
        if let Some(variables) = &self.environment {
            environment::check(variables)?;
        }
        if let Some(configs) = &self.folders {
            folder_use::check(key, folders, &folder_use::read(configs)?)?;
        }
        Ok(())
    }

    /// Where dead letters are asked to go, if anywhere.
    pub(crate) fn dead_letter(&self) -> Option<&DestinationArn> {
        self.dead_letter.as_ref()?.as_ref()
    }

    /// Makes sure that dead letters can go where they are asked to.
    ///
    /// # Errors
    /// [`hearth_types::ErrorKind::InvalidParameterValue`].
    pub(crate) fn check_dead_letter(
        &self,
        key: &FunctionKey,
        snapshot: &Snapshot,
        buckets: &BTreeSet<BucketName>,
    ) -> Result<(), ApiError> {
        match self.dead_letter() {
            Some(arn) => destination::check(snapshot, buckets, key, Role::DeadLetters, arn),
            None => Ok(()),
        }
    }

    /// The runtime that is asked for, once [`check_values`](Self::check_values) has found it good.
    pub(crate) fn runtime(&self) -> Option<Runtime> {
        self.runtime.as_deref()?.parse().ok()
    }

    /// The configuration of a new function.
    ///
    /// # Errors
    /// [`hearth_types::ErrorKind::InvalidParameterValue`] if a member that has no default is missing.
    pub(crate) fn into_configuration(
        self,
        policy: &RuntimePolicy,
        architecture: Architecture,
        code: Package,
        layers: Vec<LayerUse>,
    ) -> Result<Configuration, ApiError> {
        let (Some(runtime), Some(role)) = (&self.runtime, &self.role) else {
            return Err(ApiError::invalid(MANDATORY));
        };
        let base = Configuration {
            description: String::new(),
            runtime: runtimes::parse(runtime, policy)?,
            handler: String::new(),
            role: role.clone(),
            timeout_s: DEFAULT_TIMEOUT_S,
            memory_mib: DEFAULT_MEMORY_MIB,
            tmp_mib: DEFAULT_TMP_MIB,
            environment: BTreeMap::new(),
            layers: Vec::new(),
            architecture,
            code,
            tracing_active: false,
            logging: Logging::default(),
            capacity_provider: None,
            dead_letter: None,
            folders: Vec::new(),
        };
        self.over(&base, policy, Some(layers))
    }

    /// These settings over `base`: what is absent stays as it is.
    ///
    /// # Errors
    /// [`hearth_types::ErrorKind::InvalidParameterValue`] if they don't go together.
    pub(crate) fn over(
        &self,
        base: &Configuration,
        policy: &RuntimePolicy,
        layers: Option<Vec<LayerUse>>,
    ) -> Result<Configuration, ApiError> {
        // Ranges were checked: the numbers fit.
        let number = |given: Option<i64>, current: u32| {
            given.and_then(|n| u32::try_from(n).ok()).unwrap_or(current)
        };
        let configuration = Configuration {
            description: self
                .description
                .clone()
                .unwrap_or_else(|| base.description.clone()),
            runtime: match &self.runtime {
                Some(runtime) => runtimes::parse(runtime, policy)?,
                None => base.runtime.clone(),
            },
            handler: self.handler.clone().unwrap_or_else(|| base.handler.clone()),
            role: self.role.clone().unwrap_or_else(|| base.role.clone()),
            timeout_s: number(self.timeout, base.timeout_s),
            memory_mib: number(self.memory, base.memory_mib),
            tmp_mib: number(self.tmp, base.tmp_mib),
            environment: self
                .environment
                .clone()
                .unwrap_or_else(|| base.environment.clone()),
            layers: layers.unwrap_or_else(|| base.layers.clone()),
            architecture: base.architecture,
            code: base.code,
            tracing_active: match self.tracing_mode.as_deref() {
                Some(mode) => mode == "Active",
                None => base.tracing_active,
            },
            logging: match &self.logging {
                Some(logging) => logging_over(logging, &base.logging)?,
                None => base.logging.clone(),
            },
            capacity_provider: match &self.capacity_provider {
                Some(config) => capacity_provider::read(config),
                None => base.capacity_provider.clone(),
            },
            dead_letter: self
                .dead_letter
                .clone()
                .unwrap_or_else(|| base.dead_letter.clone()),
            folders: match &self.folders {
                Some(configs) => folder_use::read(configs)?,
                None => base.folders.clone(),
            },
        };
        check_runtime(&configuration)?;
        Ok(configuration)
    }
}

/// Refuses what does not go with the runtime.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
fn check_runtime(configuration: &Configuration) -> Result<(), ApiError> {
    match configuration.runtime.isolation() {
        Some(Isolation::Wasm) if !configuration.layers.is_empty() => Err(ApiError::invalid(
            "A WebAssembly component holds all that it needs: functions of the runtime wasm can't have Layers. Leave them \
             out or empty.",
        )),
        Some(Isolation::Isolate) if !configuration.layers.is_empty() => Err(ApiError::invalid(
            "A worker is the modules of its package: functions of the runtime worker can't have Layers. Leave them out \
             or empty.",
        )),
        Some(Isolation::Wasm | Isolation::Isolate) if !configuration.folders.is_empty() => {
            Err(ApiError::invalid(format!(
                "Folders are mounted for processes: functions of the runtime {} can't have FileSystemConfigs. Leave them \
                 out or empty.",
                configuration.runtime
            )))
        }
        // A component has one way in, the interface that it exports, and so has a worker: its default export.
        Some(Isolation::Wasm | Isolation::Isolate) => Ok(()),
        Some(Isolation::Process) | None if configuration.handler.is_empty() => {
            Err(ApiError::invalid(MANDATORY))
        }
        Some(Isolation::Process) | None => Ok(()),
    }
}

fn check_logging(logging: &LoggingConfig, constraints: &mut Constraints) {
    if let Some(format) = &logging.log_format {
        constraints.one_of("loggingConfig.logFormat", format, &["JSON", "Text"]);
    }
    if let Some(level) = &logging.application_log_level {
        constraints.one_of(
            "loggingConfig.applicationLogLevel",
            level,
            &["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"],
        );
    }
    if let Some(level) = &logging.system_log_level {
        constraints.one_of(
            "loggingConfig.systemLogLevel",
            level,
            &["DEBUG", "INFO", "WARN"],
        );
    }
    if let Some(group) = &logging.log_group {
        constraints.length("loggingConfig.logGroup", group, 1..=LOG_GROUP_CHARS);
        let fits = group
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_/#".contains(&b));
        constraints.pattern("loggingConfig.logGroup", group, fits, LOG_GROUP_PATTERN);
    }
}

fn logging_over(given: &LoggingConfig, base: &Logging) -> Result<Logging, ApiError> {
    let format = match given.log_format.as_deref() {
        Some("JSON") => LogFormat::Json,
        Some(_) => LogFormat::Text,
        None => base.format,
    };
    let group = given.log_group.clone().or_else(|| base.group.clone());
    if format == LogFormat::Text {
        if given.application_log_level.is_some() || given.system_log_level.is_some() {
            return Err(ApiError::invalid(
                "ApplicationLogLevel and SystemLogLevel need the LogFormat JSON. Set it, or leave the levels out.",
            ));
        }
        return Ok(Logging {
            format,
            application_level: None,
            system_level: None,
            group,
        });
    }
    let level = |given: &Option<String>, base: &Option<String>| {
        given
            .clone()
            .or_else(|| base.clone())
            .or_else(|| Some(DEFAULT_LEVEL.to_owned()))
    };
    Ok(Logging {
        format,
        application_level: level(&given.application_log_level, &base.application_level),
        system_level: level(&given.system_log_level, &base.system_level),
        group,
    })
}

/// The processor that a request asks for: the host's, whether it is named or not. Components and workers run on every
/// processor, and may name the one that they like.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`] for another one.
pub(crate) fn architecture(
    asked: Option<&[String]>,
    host: Architecture,
    runtime: Option<&Runtime>,
) -> Result<Architecture, ApiError> {
    let (own, name) = (host, architecture_name(host));
    let any = matches!(runtime, Some(Runtime::Wasm | Runtime::Worker));
    match asked {
        None => Ok(own),
        Some([asked]) if asked == name => Ok(own),
        Some([asked]) if any => Ok(if asked == architecture_name(Architecture::Arm64) {
            Architecture::Arm64
        } else {
            Architecture::X86_64
        }),
        Some(other) => Err(ApiError::invalid(format!(
            "This node runs functions on {name} only, not on {}. Build the package for {name} and set Architectures to \
             [{name}], or leave it out.",
            other.join(", ")
        ))),
    }
}

/// Checks the shape of `Architectures`.
pub(crate) fn check_architectures(asked: Option<&[String]>, constraints: &mut Constraints) {
    let Some(asked) = asked else { return };
    let shown = format!("[{}]", asked.join(", "));
    if asked.len() != 1 {
        let rule = if asked.is_empty() {
            "Member must have length greater than or equal to 1"
        } else {
            "Member must have length less than or equal to 1"
        };
        constraints.breach("architectures", shown, rule);
    } else if !asked
        .iter()
        .all(|name| ["x86_64", "arm64"].contains(&name.as_str()))
    {
        constraints.breach(
            "architectures",
            shown,
            "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be \
             null]",
        );
    }
}

/// The name of a processor in the API.
pub(crate) fn architecture_name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Arm64 => "arm64",
    }
}
