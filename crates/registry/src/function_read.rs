//! `GetFunction`, `GetFunctionConfiguration`, `ListFunctions`.

use std::str::FromStr;

use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::name::{FunctionName, Qualifier, Version};
use hearth_types::wire::lambda::{FunctionConfiguration, ListFunctionsResponse};

use crate::constraints::Constraints;
use crate::page::Listing;
use crate::present::{self, Detail};
use crate::scope::one_qualifier;
use crate::{FunctionDescription, PageRequest, Registry, Scope};

impl Registry {
    /// `GetFunction`, but for the link to the code.
    ///
    /// # Errors
    /// As [`get_function_configuration`](Self::get_function_configuration).
    pub fn get_function(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<FunctionDescription, ApiError> {
        let key = scope.key(function)?;
        let qualifier = one_qualifier(function, qualifier)?;
        let snapshot = self.snapshot();
        let (entry, record) = snapshot
            .function(&key)
            .and_then(|entry| Some((entry, entry.qualified(qualifier)?)))
            .ok_or_else(|| present::function_not_found(&key, qualifier))?;
        Ok(FunctionDescription {
            configuration: present::version(&key, record, qualifier.cloned(), Detail::Full),
            code: record.configuration.code,
            tags: entry.function.tags.clone(),
            reserved: entry.function.reserved_concurrency,
        })
    }

    /// `GetFunctionConfiguration`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound) if there is no such function, version or
    /// alias, [`AccessDenied`](hearth_types::ErrorKind::AccessDenied) for another account's,
    /// [`InvalidParameterValue`](hearth_types::ErrorKind::InvalidParameterValue) if the ARN and `qualifier` differ.
    pub fn get_function_configuration(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<FunctionConfiguration, ApiError> {
        Ok(self.get_function(scope, function, qualifier)?.configuration)
    }

    /// `ListFunctions`, by name; with `function_version` `ALL` every version of each.
    ///
    /// # Errors
    /// [`Validation`](hearth_types::ErrorKind::Validation) and
    /// [`InvalidParameterValue`](hearth_types::ErrorKind::InvalidParameterValue) for bad parameters.
    pub fn list_functions(
        &self,
        scope: &Scope,
        function_version: Option<&str>,
        page: &PageRequest,
    ) -> Result<ListFunctionsResponse, ApiError> {
        let mut constraints = Constraints::default();
        if let Some(function_version) = function_version {
            constraints.one_of("functionVersion", function_version, &["ALL"]);
        }
        constraints.finish()?;
        let all = function_version.is_some();
        let (after, size) = Listing::Functions.begin::<Position>(page)?;
        let snapshot = self.snapshot();
        let entries = snapshot
            .functions_from(scope, after.as_ref().map(|after| &after.name))
            .flat_map(|entry| {
                // Of the function that the last page ended in, only the versions after that page.
                let seen = after
                    .as_ref()
                    .filter(|after| after.name == entry.function.key.name)
                    .map(|after| after.version);
                let latest = seen.is_none().then_some(&entry.function.latest);
                let from = match seen {
                    Some(Version::Number(number)) => number,
                    Some(Version::Latest) | None => 0,
                };
                let published = all
                    .then(|| entry.published_after(from))
                    .into_iter()
                    .flatten();
                latest
                    .into_iter()
                    .chain(published)
                    .map(move |record| (entry, record))
            });
        let (records, next_marker) = Listing::Functions.take(entries, size, |(entry, record)| {
            Position {
                name: entry.function.key.name.clone(),
                version: record.version,
            }
            .to_string()
        });
        let functions = records
            .into_iter()
            .map(|(entry, record)| {
                let qualifier = all.then_some(Qualifier::Version(record.version));
                present::version(&entry.function.key, record, qualifier, Detail::Listed)
            })
            .collect();
        Ok(ListFunctionsResponse {
            next_marker,
            functions,
        })
    }
}

/// Where a page of functions ended.
struct Position {
    name: FunctionName,
    version: Version,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, version) = text.split_once(':').ok_or(())?;
        Ok(Self {
            name: name.parse().map_err(|_| ())?,
            version: version.parse().map_err(|_| ())?,
        })
    }
}
