//! Scripts as functions: finding one, waiting until it is ready, and giving it a version.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hearth_registry::{FunctionDescription, PageRequest, Scope};
use hearth_types::arn::FunctionRef;
use hearth_types::limits::DESCRIPTION_CHARS;
use hearth_types::name::{Qualifier, Version};
use hearth_types::wire::lambda::{
    Blob, CreateFunctionRequest, Environment, FunctionCode, FunctionConfiguration, FunctionState,
    LastUpdateStatus, PublishVersionRequest, UpdateFunctionCodeRequest,
    UpdateFunctionConfigurationRequest,
};
use tokio::time::Instant;

use crate::answer::{Failure, code, quoted};
use crate::api::Cloudflare;

/// The runtime of scripts.
pub(crate) const RUNTIME: &str = "worker";
/// The alias that says what is deployed: Cloudflare's name of the environment that a worker has if it has one.
pub(crate) const DEPLOYED: &str = "production";
/// Time for one request, seconds: what Cloudflare gives one of computing by default.
const TIMEOUT_S: i64 = 30;
/// How long a version may take to become ready: its modules have 10 s to be evaluated, and others may be before it.
const READY: Duration = Duration::from_secs(60);
/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_millis(10);

/// Secrets, by name.
pub(crate) type Secrets = BTreeMap<String, String>;

/// A function by a script's name.
///
/// # Errors
/// If no function can be called so.
pub(crate) fn function(name: &str) -> Result<FunctionRef, Failure> {
    let name = name.parse().map_err(|_| {
        Failure::invalid(format!(
            "{} is no name of a worker: use up to 64 letters, digits, '-' and '_'.",
            quoted(name)
        ))
    })?;
    Ok(FunctionRef {
        account: None,
        region: None,
        name,
        qualifier: None,
    })
}

/// The identifier of a version: a UUID, as Wrangler wants one, that begins with the version's number.
pub(crate) fn version_id(number: u64) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// The number in an identifier.
pub(crate) fn version_number(id: &str) -> Option<u64> {
    let (number, rest) = id.split_once('-')?;
    (number.len() >= 8 && rest == "0000-4000-8000-000000000000")
        .then(|| u64::from_str_radix(number, 16).ok())?
}

/// A time of the Lambda API as this one writes it.
pub(crate) fn date(last_modified: &str) -> String {
    last_modified.replace("+0000", "Z")
}

pub(crate) fn secrets_of(configuration: &FunctionConfiguration) -> Secrets {
    let environment = configuration.environment.as_ref();
    environment
        .and_then(|environment| environment.variables.clone())
        .unwrap_or_default()
}

/// A description within its bound.
pub(crate) fn description(text: &str) -> String {
    text.chars().take(DESCRIPTION_CHARS).collect()
}

impl Cloudflare {
    /// A script, or a version of it; `None` if there is none, or if the function of that name is no worker.
    pub(crate) fn find(
        &self,
        scope: &Scope,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<FunctionDescription>, Failure> {
        let qualifier = version.map(|number| Qualifier::Version(Version::Number(number)));
        match self
            .registry
            .get_function(scope, &function(name)?, qualifier.as_ref())
        {
            Ok(found) if found.configuration.runtime == RUNTIME => Ok(Some(found)),
            Ok(_) => Ok(None),
            Err(error) if error.kind == hearth_types::ErrorKind::ResourceNotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A script that must be there.
    pub(crate) fn script_named(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<FunctionDescription, Failure> {
        self.find(scope, name, None)?
            .ok_or_else(|| Failure::no_script(name))
    }

    /// The published versions, the newest first.
    pub(crate) fn published(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Vec<FunctionConfiguration>, Failure> {
        let function = function(name)?;
        let mut versions = Vec::new();
        let mut page = PageRequest::default();
        loop {
            let answer = self.registry.list_versions(scope, &function, &page)?;
            let numbered = answer.versions.into_iter();
            versions.extend(numbered.filter(|one| number(one).is_some()));
            page.marker = answer.next_marker;
            if page.marker.is_none() {
                break;
            }
        }
        versions.reverse();
        Ok(versions)
    }

    /// Waits until what was changed last is ready.
    ///
    /// # Errors
    /// Why it can't be.
    async fn settled(&self, scope: &Scope, name: &str) -> Result<(), Failure> {
        let function = function(name)?;
        let until = Instant::now() + READY;
        loop {
            let found = self
                .registry
                .get_function_configuration(scope, &function, None)?;
            if found.state == Some(FunctionState::Failed) {
                return Err(not_ready(found.state_reason));
            }
            if found.last_update_status == Some(LastUpdateStatus::Failed) {
                return Err(not_ready(found.last_update_status_reason));
            }
            let updating = found.last_update_status == Some(LastUpdateStatus::InProgress);
            if found.state == Some(FunctionState::Active) && !updating {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Failure::new(
                    503,
                    code::INTERNAL,
                    "The worker takes too long to become ready. Try again.",
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Makes a function of a package: it is not there yet. Nothing is left of one that can't be made ready.
    pub(crate) async fn create(
        &self,
        scope: &Scope,
        name: &str,
        zip: Bytes,
        secrets: Secrets,
    ) -> Result<(), Failure> {
        let request = CreateFunctionRequest {
            function_name: Some(name.to_owned()),
            runtime: Some(RUNTIME.to_owned()),
            role: Some(role(scope)),
            timeout: Some(TIMEOUT_S),
            code: Some(FunctionCode {
                zip_file: Some(Blob(zip)),
                ..FunctionCode::default()
            }),
            environment: (!secrets.is_empty()).then_some(Environment {
                variables: Some(secrets),
            }),
            ..CreateFunctionRequest::default()
        };
        self.registry.create_function(scope, request).await?;
        let settled = self.settled(scope, name).await;
        if settled.is_err() {
            let deleted = self
                .registry
                .delete_function(scope, &function(name)?, None)
                .await;
            if let Err(error) = deleted {
                tracing::warn!(%error, name, "delete a worker that can't be made ready");
            }
        }
        settled
    }

    /// Changes what is there, which is not deployed by that: the package, the secrets, or both. What can't be made ready
    /// changes nothing that is deployed.
    pub(crate) async fn update(
        &self,
        scope: &Scope,
        name: &str,
        zip: Option<Bytes>,
        secrets: Option<Secrets>,
    ) -> Result<(), Failure> {
        let function = function(name)?;
        if let Some(secrets) = secrets {
            let request = UpdateFunctionConfigurationRequest {
                environment: Some(Environment {
                    variables: Some(secrets),
                }),
                ..UpdateFunctionConfigurationRequest::default()
            };
            self.registry
                .update_function_configuration(scope, &function, request)
                .await?;
            let settled = self.settled(scope, name).await;
            // New code may be what the new secrets need.
            if zip.is_none() || settled.as_ref().is_err_and(|failure| failure.status >= 500) {
                settled?;
            }
        }
        if let Some(zip) = zip {
            let request = UpdateFunctionCodeRequest {
                zip_file: Some(Blob(zip)),
                ..UpdateFunctionCodeRequest::default()
            };
            self.registry
                .update_function_code(scope, &function, request)
                .await?;
            self.settled(scope, name).await?;
        }
        Ok(())
    }

    /// Freezes what was changed last as a version: its number.
    pub(crate) async fn publish(
        &self,
        scope: &Scope,
        name: &str,
        message: &str,
    ) -> Result<u64, Failure> {
        let request = PublishVersionRequest {
            description: Some(description(message)),
            ..PublishVersionRequest::default()
        };
        let published = self
            .registry
            .publish_version(scope, &function(name)?, request)
            .await?;
        number(&published).ok_or_else(|| Failure::internal("The version has no number."))
    }
}

/// A version's number; `$LATEST` has none.
pub(crate) fn number(configuration: &FunctionConfiguration) -> Option<u64> {
    configuration.version.parse().ok()
}

/// The role that functions of an account have when nobody says another.
pub(crate) fn role(scope: &Scope) -> String {
    format!("arn:aws:iam::{}:role/hearth", scope.account)
}

fn not_ready(reason: Option<String>) -> Failure {
    Failure::invalid(reason.unwrap_or_else(|| "The worker can't be made ready.".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_versions_are_uuids_and_lead_back() {
        for number in [1, 255, u64::from(u32::MAX)] {
            let id = version_id(number);
            assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id}");
            assert_eq!(version_number(&id), Some(number));
        }
        for bad in [
            "",
            "1",
            "00000001-0000-4000-8000-000000000001",
            "0000000g-0000-4000-8000-000000000000",
        ] {
            assert_eq!(version_number(bad), None, "{bad}");
        }
    }
}
