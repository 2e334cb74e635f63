//! Aliases: `CreateAlias`, `GetAlias`, `ListAliases`, `UpdateAlias`, `DeleteAlias`.

use hearth_store::contract::Change;
use hearth_store::record::AliasRecord;
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::limits::DESCRIPTION_CHARS;
use hearth_types::name::{AliasName, FunctionKey, Qualifier, Version};
use hearth_types::wire::lambda::{
    AliasConfiguration, AliasRoutingConfiguration, CreateAliasRequest, ListAliasesResponse,
    UpdateAliasRequest,
};

use crate::constraints::Constraints;
use crate::page::Listing;
use crate::registry::{Subject, new_revision};
use crate::scope::unqualified;
use crate::snapshot::FunctionEntry;
use crate::{PageRequest, Registry, Scope, present};

const NAME_PATTERN: &str = "(?!^[0-9]+$)([a-zA-Z0-9-_]+)";
const VERSION_PATTERN: &str = r"(\$LATEST|[0-9]+)";

impl Registry {
    /// `CreateAlias`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound) if the function or a version is not there,
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) if the alias is; those of bad parameters and
    /// of the store. Nothing was changed then.
    pub async fn create_alias(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        request: CreateAliasRequest,
    ) -> Result<AliasConfiguration, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("name", request.name.is_some());
        constraints.required("functionVersion", request.function_version.is_some());
        let name = request
            .name
            .as_deref()
            .and_then(|name| read_name(name, &mut constraints));
        let version = request
            .function_version
            .as_deref()
            .and_then(|version| read_version(version, &mut constraints));
        check_description(request.description.as_deref(), &mut constraints);
        let weighted = read_weights(request.routing_config.as_ref(), &mut constraints);
        constraints.finish()?;
        let weighted = weighted?;
        let (Some(name), Some(version)) = (name, version) else {
            // Both were checked above.
            return Err(ApiError::invalid(
                "An alias needs a Name and a FunctionVersion.",
            ));
        };
        let key = unqualified(scope, function)?;
        let record = AliasRecord {
            name,
            version,
            weighted,
            description: request.description.unwrap_or_default(),
            revision: new_revision(),
        };
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = snapshot
                .function(&key)
                .ok_or_else(|| present::function_not_found(&key, None))?;
            if entry.alias(&record.name).is_some() {
                return Err(ApiError::conflict(format!(
                    "Alias already exists: {}",
                    alias_arn(&key, &record.name)
                )));
            }
            check_versions(entry, &record)?;
            let answer = present::alias(&key, &record);
            Ok((
                vec![Change::CreateAlias(key.clone(), record.clone())],
                answer,
            ))
        })
        .await
    }

    /// `GetAlias`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters.
    pub fn get_alias(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        alias: &str,
    ) -> Result<AliasConfiguration, ApiError> {
        let name = name_in_path(alias)?;
        let key = unqualified(scope, function)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .function(&key)
            .ok_or_else(|| present::function_not_found(&key, None))?;
        let record = entry.alias(&name).ok_or_else(|| {
            ApiError::not_found(format!("Cannot find alias arn: {}", alias_arn(&key, &name)))
        })?;
        Ok(present::alias(&key, record))
    }

    /// `ListAliases`, by name; with `version` only those that point to it.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters.
    pub fn list_aliases(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        version: Option<&str>,
        page: &PageRequest,
    ) -> Result<ListAliasesResponse, ApiError> {
        let mut constraints = Constraints::default();
        let version = version.and_then(|version| read_version(version, &mut constraints));
        constraints.finish()?;
        let (after, size) = Listing::Aliases.begin::<AliasName>(page)?;
        let key = unqualified(scope, function)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .function(&key)
            .ok_or_else(|| present::function_not_found(&key, None))?;
        let records = entry
            .aliases()
            .filter(|record| after.as_ref().is_none_or(|after| record.name > *after))
            .filter(|record| version.is_none_or(|version| record.version == version));
        let (records, next_marker) =
            Listing::Aliases.take(records, size, |record| record.name.as_str().to_owned());
        Ok(ListAliasesResponse {
            next_marker,
            aliases: records
                .into_iter()
                .map(|record| present::alias(&key, record))
                .collect(),
        })
    }

    /// `UpdateAlias`. What is absent stays as it is; empty weights take the second version away.
    ///
    /// # Errors
    /// As [`create_alias`](Self::create_alias), and
    /// [`PreconditionFailed`](hearth_types::ErrorKind::PreconditionFailed) if `RevisionId` is not the current one.
    pub async fn update_alias(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        alias: &str,
        request: UpdateAliasRequest,
    ) -> Result<AliasConfiguration, ApiError> {
        let mut constraints = Constraints::default();
        let name = read_name(alias, &mut constraints);
        let version = request
            .function_version
            .as_deref()
            .and_then(|version| read_version(version, &mut constraints));
        check_description(request.description.as_deref(), &mut constraints);
        let weighted = read_weights(request.routing_config.as_ref(), &mut constraints);
        constraints.finish()?;
        let weighted = weighted?;
        let name = match name {
            Some(name) => name,
            None => name_in_path(alias)?,
        };
        let key = unqualified(scope, function)?;
        let revision = new_revision();
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = snapshot
                .function(&key)
                .ok_or_else(|| present::function_not_found(&key, None))?;
            let current = entry.alias(&name).ok_or_else(|| {
                ApiError::not_found(format!("Alias not found: {}", alias_arn(&key, &name)))
            })?;
            if request
                .revision_id
                .as_ref()
                .is_some_and(|revision| *revision != current.revision)
            {
                return Err(present::revision_mismatch());
            }
            let record = AliasRecord {
                name: name.clone(),
                version: version.unwrap_or(current.version),
                weighted: if request.routing_config.is_some() {
                    weighted
                } else {
                    current.weighted
                },
                description: request
                    .description
                    .clone()
                    .unwrap_or_else(|| current.description.clone()),
                revision: revision.clone(),
            };
            check_versions(entry, &record)?;
            let answer = present::alias(&key, &record);
            let change = Change::UpdateAlias {
                key: key.clone(),
                record,
                expected: current.revision.clone(),
            };
            Ok((vec![change], answer))
        })
        .await
    }

    /// `DeleteAlias`, with its function URL, its policy and how its events are handled. One that is not there is as good as deleted.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound) if the function is not there; those of the
    /// store.
    pub async fn delete_alias(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        alias: &str,
    ) -> Result<(), ApiError> {
        let name = name_in_path(alias)?;
        let key = unqualified(scope, function)?;
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = snapshot
                .function(&key)
                .ok_or_else(|| present::function_not_found(&key, None))?;
            if entry.alias(&name).is_none() {
                return Ok((Vec::new(), ()));
            }
            let qualifier = Qualifier::Alias(name.clone());
            let mut changes = vec![Change::DeleteAlias(key.clone(), name.clone())];
            if entry.url(&qualifier).is_some() {
                changes.push(Change::DeleteFunctionUrl(key.clone(), qualifier.clone()));
            }
            if entry.policy(&qualifier).is_some() {
                changes.push(Change::DeletePolicy(key.clone(), qualifier.clone()));
            }
            if entry.event_invoke(&qualifier).is_some() {
                changes.push(Change::DeleteEventInvoke(key.clone(), qualifier));
            }
            Ok((changes, ()))
        })
        .await
    }
}

fn alias_arn(key: &FunctionKey, name: &AliasName) -> String {
    present::arn(key, Some(Qualifier::Alias(name.clone())))
}

fn read_name(text: &str, constraints: &mut Constraints) -> Option<AliasName> {
    let name = text.parse().ok();
    constraints.pattern("name", text, name.is_some(), NAME_PATTERN);
    name
}

fn name_in_path(text: &str) -> Result<AliasName, ApiError> {
    let mut constraints = Constraints::default();
    let name = read_name(text, &mut constraints);
    constraints.finish()?;
    name.ok_or_else(|| ApiError::invalid("An alias needs a name."))
}

fn read_version(text: &str, constraints: &mut Constraints) -> Option<Version> {
    let version = text.parse().ok();
    constraints.pattern("functionVersion", text, version.is_some(), VERSION_PATTERN);
    version
}

fn check_description(description: Option<&str>, constraints: &mut Constraints) {
    if let Some(description) = description {
        constraints.length("description", description, 0..=DESCRIPTION_CHARS);
    }
}

/// The second version of an alias and its weight: breaches of their shape go to `constraints`.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`] if there are more than one.
fn read_weights(
    routing: Option<&AliasRoutingConfiguration>,
    constraints: &mut Constraints,
) -> Result<Option<(Version, f64)>, ApiError> {
    const MEMBER: &str = "routingConfig.additionalVersionWeights";
    let Some(weights) = routing.and_then(|routing| routing.additional_version_weights.as_ref())
    else {
        return Ok(None);
    };
    let shown = || {
        let pairs: Vec<_> = weights
            .iter()
            .map(|(version, weight)| format!("{version}={weight}"))
            .collect();
        format!("{{{}}}", pairs.join(", "))
    };
    if !weights.values().all(|weight| (0.0..=1.0).contains(weight)) {
        constraints.breach(
            MEMBER,
            shown(),
            "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have \
             value greater than or equal to 0.0]",
        );
    }
    let numbers: Option<Vec<_>> = weights
        .iter()
        .map(|(version, weight)| match version.parse() {
            Ok(version @ Version::Number(_)) => Some((version, *weight)),
            _ => None,
        })
        .collect();
    match numbers {
        None => {
            constraints.breach(
                MEMBER,
                shown(),
                "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [0-9]+]",
            );
            Ok(None)
        }
        Some(numbers) if numbers.len() > 1 => Err(ApiError::invalid(
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        )),
        Some(numbers) => Ok(numbers.first().copied()),
    }
}

/// Checks that an alias's versions are there and go together.
///
/// # Errors
/// [`hearth_types::ErrorKind::ResourceNotFound`] or [`hearth_types::ErrorKind::InvalidParameterValue`].
fn check_versions(entry: &FunctionEntry, record: &AliasRecord) -> Result<(), ApiError> {
    let key = &entry.function.key;
    let second = record.weighted.map(|(version, _)| version);
    for version in std::iter::once(record.version).chain(second) {
        if entry.version(version).is_none() {
            return Err(present::function_not_found(
                key,
                Some(&Qualifier::Version(version)),
            ));
        }
    }
    if second.is_some() && record.version == Version::Latest {
        return Err(ApiError::invalid(
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ));
    }
    if second == Some(record.version) {
        let version = record.version;
        return Err(ApiError::invalid(format!(
            "Invalid function version {version}. Function version {version} is already included in routing \
             configuration."
        )));
    }
    Ok(())
}
