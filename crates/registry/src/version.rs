//! `PublishVersion` and `ListVersionsByFunction`.

use hearth_store::contract::Change;
use hearth_store::record::{FunctionRecord, VersionRecord};
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::function::{Configuration, State, UpdateStatus};
use hearth_types::limits::DESCRIPTION_CHARS;
use hearth_types::name::{Qualifier, Version};
use hearth_types::wire::lambda::{
    FunctionConfiguration, ListVersionsByFunctionResponse, PublishVersionRequest,
};

use crate::code_source::check_room;
use crate::constraints::Constraints;
use crate::function_create::refuse_publish_to;
use crate::function_update::changeable;
use crate::page::Listing;
use crate::present::{self, Detail};
use crate::registry::{Subject, new_deployment, new_revision};
use crate::scope::unqualified;
use crate::snapshot::FunctionEntry;
use crate::{PageRequest, Registry, Scope};

impl Registry {
    /// `PublishVersion`: freezes `$LATEST` as the next number (INV-2). If nothing changed since the last one, gives
    /// that one.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound),
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) while `$LATEST` is being made ready,
    /// [`PreconditionFailed`](hearth_types::ErrorKind::PreconditionFailed) if `RevisionId` is not the current one,
    /// [`InvalidParameterValue`](hearth_types::ErrorKind::InvalidParameterValue) if `CodeSha256` is not the code's;
    /// those of the store. Nothing was changed then.
    pub async fn publish_version(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        request: PublishVersionRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        let mut constraints = Constraints::default();
        if let Some(description) = &request.description {
            constraints.length("description", description, 0..=DESCRIPTION_CHARS);
        }
        constraints.finish()?;
        refuse_publish_to(request.publish_to.as_deref())?;
        let key = unqualified(scope, function)?;
        self
            .change(&Subject::Function(key.clone()), |snapshot| {
                let mut record = changeable(snapshot, &key, request.revision_id.as_deref())?;
                let current = record.latest.configuration.code.digest.to_base64();
                // The console and some tools send empty text for "no guard".
                if let Some(guard) = request.code_sha256.as_deref().filter(|guard| !guard.is_empty())
                    && guard != current
                {
                    let shown: String = guard.chars().take(80).collect();
                    return Err(ApiError::invalid(format!(
                        "CodeSHA256 ({shown}) is different from current CodeSHA256 in $LATEST ({current}). Please try \
                         again with the CodeSHA256 in $LATEST."
                    )));
                }
                if let Some(known) = snapshot.function(&key).and_then(|entry| republished(entry, &record)) {
                    let qualifier = Some(Qualifier::Version(known.version));
                    return Ok((Vec::new(), present::version(&key, &known, qualifier, Detail::Full)));
                }
                check_room(snapshot, scope, record.latest.configuration.code.size)?;
                record.generation += 1;
                record.latest.revision = new_revision();
                let version = publish(&mut record, request.description.clone());
                let qualifier = Some(Qualifier::Version(version.version));
                let answer = present::version(&key, &version, qualifier, Detail::Full);
                let changes = vec![
                    Change::UpdateFunction(record),
                    Change::CreateVersion(key.clone(), version),
                ];
                Ok((changes, answer))
            })
            .await
    }

    /// `ListVersionsByFunction`: `$LATEST`, then by number.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad page parameters.
    pub fn list_versions(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        page: &PageRequest,
    ) -> Result<ListVersionsByFunctionResponse, ApiError> {
        let (after, size) = Listing::Versions.begin::<Version>(page)?;
        let key = scope.key(function)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .function(&key)
            .ok_or_else(|| present::function_not_found(&key, None))?;
        let from = match after {
            Some(Version::Number(number)) => number,
            Some(Version::Latest) | None => 0,
        };
        let latest = after.is_none().then_some(&entry.function.latest);
        let records = latest.into_iter().chain(entry.published_after(from));
        let (records, next_marker) =
            Listing::Versions.take(records, size, |record| record.version.to_string());
        let versions = records
            .into_iter()
            .map(|record| {
                let qualifier = Some(Qualifier::Version(record.version));
                present::version(&key, record, qualifier, Detail::Listed)
            })
            .collect();
        Ok(ListVersionsByFunctionResponse {
            next_marker,
            versions,
        })
    }
}

/// Makes the next version of `$LATEST`. One of a function that is ready is ready itself (it is the same package
/// and runtime); one of a function that is being made ready is made ready as well.
pub(crate) fn publish(function: &mut FunctionRecord, description: Option<String>) -> VersionRecord {
    function.last_published += 1;
    let latest = &function.latest;
    let ready = latest.state == State::Active && latest.update == UpdateStatus::Successful;
    VersionRecord {
        version: Version::Number(function.last_published),
        deployment: new_deployment(),
        revision: new_revision(),
        // The moment of the code and configuration, not of the publication: it tells whether they changed since.
        modified: latest.modified,
        configuration: Configuration {
            description: description.unwrap_or_else(|| latest.configuration.description.clone()),
            ..latest.configuration.clone()
        },
        state: if ready { State::Active } else { State::Pending },
        update: if ready {
            UpdateStatus::Successful
        } else {
            UpdateStatus::InProgress
        },
        running: None,
    }
}

/// The last published version, if `function` has the same code and configuration. A version can have a description
/// of its own: that alone is no change.
pub(crate) fn republished(
    entry: &FunctionEntry,
    function: &FunctionRecord,
) -> Option<VersionRecord> {
    let last = entry.version(Version::Number(function.last_published))?;
    let latest = &function.latest;
    let described = Configuration {
        description: latest.configuration.description.clone(),
        ..last.configuration.clone()
    };
    let same_description = last.configuration.description == latest.configuration.description;
    let same =
        described == latest.configuration && (same_description || last.modified == latest.modified);
    same.then(|| last.clone())
}
