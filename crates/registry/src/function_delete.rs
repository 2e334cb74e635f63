//! `DeleteFunction`.

use hearth_store::contract::Change;
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::name::{FunctionKey, Qualifier, Version};

use crate::registry::Subject;
use crate::scope::one_qualifier;
use crate::{Registry, Scope, present};

impl Registry {
    /// `DeleteFunction`: the function with everything that belongs to it, or with a qualifier one published version.
    /// A version that is not there is as good as deleted.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound) if there is no such function,
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) if an alias refers to the version,
    /// [`InvalidParameterValue`](hearth_types::ErrorKind::InvalidParameterValue) for `$LATEST` or an alias; those of
    /// the store. Nothing was changed then.
    pub async fn delete_function(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<(), ApiError> {
        let key = scope.key(function)?;
        match one_qualifier(function, qualifier)? {
            None => self.delete_whole(&key).await,
            Some(Qualifier::Version(version @ Version::Number(_))) => {
                self.delete_version(&key, *version).await
            }
            Some(Qualifier::Version(Version::Latest)) => Err(ApiError::invalid(
                "$LATEST version cannot be deleted without deleting the function.",
            )),
            Some(Qualifier::Alias(_)) => Err(ApiError::invalid(
                "Deletion of aliases is not currently supported.",
            )),
        }
    }

    async fn delete_whole(&self, key: &FunctionKey) -> Result<(), ApiError> {
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = snapshot
                .function(key)
                .ok_or_else(|| present::function_not_found(key, None))?;
            let change = Change::DeleteFunction {
                key: key.clone(),
                generation: entry.function.generation,
            };
            Ok((vec![change], ()))
        })
        .await
    }

    async fn delete_version(&self, key: &FunctionKey, version: Version) -> Result<(), ApiError> {
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = snapshot
                .function(key)
                .ok_or_else(|| present::function_not_found(key, None))?;
            if entry.version(version).is_none() {
                return Ok((Vec::new(), ()));
            }
            let aliases: Vec<_> = entry
                .aliases()
                .filter(|alias| {
                    let second = alias.weighted.map(|(version, _)| version);
                    alias.version == version || second == Some(version)
                })
                .map(|alias| alias.name.as_str())
                .collect();
            if !aliases.is_empty() {
                return Err(ApiError::conflict(format!(
                    "Unable to delete version because the following aliases reference it: [{}]",
                    aliases.join(", ")
                )));
            }
            let mut changes = vec![Change::DeleteVersion(key.clone(), version)];
            let qualifier = Qualifier::Version(version);
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
