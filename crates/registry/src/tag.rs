//! Tags: `TagResource`, `UntagResource`, `ListTags`. Functions and event source mappings have them.

use std::collections::BTreeMap;

use hearth_store::contract::Change;
use hearth_store::record::FunctionRecord;
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::mapping::MappingId;
use hearth_types::name::FunctionKey;
use hearth_types::walls::Walls;
use hearth_types::wire::lambda::{ListTagsResponse, TagResourceRequest};

use crate::constraints::Constraints;
use crate::registry::{Subject, new_deployment};
use crate::snapshot::FunctionEntry;
use crate::{Registry, Scope, present, tag_rules};

const RESOURCE_PATTERN: &str = r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})";

impl Registry {
    /// `TagResource`. A tag of Hearth's takes effect for environments that are started from now on; older ones end
    /// after their invocation.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound),
    /// [`InvalidParameterValue`](hearth_types::ErrorKind::InvalidParameterValue) for tags that can't be had; those of
    /// the store. Nothing was changed then.
    pub async fn tag_resource(
        &self,
        scope: &Scope,
        resource: &str,
        request: TagResourceRequest,
    ) -> Result<(), ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("tags", request.tags.is_some());
        let tags = request.tags.unwrap_or_default();
        tag_rules::check_shape(&tags, &mut constraints);
        constraints.finish()?;
        self.set_tags_of(taggable(scope, resource)?, |current| {
            let mut all = current.clone();
            all.extend(tags.clone());
            all
        })
        .await
    }

    /// `UntagResource`. Tags that are not there are as good as removed.
    ///
    /// # Errors
    /// As [`tag_resource`](Self::tag_resource).
    pub async fn untag_resource(
        &self,
        scope: &Scope,
        resource: &str,
        keys: &[String],
    ) -> Result<(), ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("tagKeys", !keys.is_empty());
        constraints.finish()?;
        self.set_tags_of(taggable(scope, resource)?, |current| {
            let mut left = current.clone();
            left.retain(|name, _| !keys.contains(name));
            left
        })
        .await
    }

    /// `ListTags`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of a bad ARN.
    pub fn list_tags(&self, scope: &Scope, resource: &str) -> Result<ListTagsResponse, ApiError> {
        let key = match taggable(scope, resource)? {
            Taggable::Function(key) => key,
            Taggable::Mapping(id) => {
                let tags = self.mapping_tags(&id)?;
                return Ok(ListTagsResponse { tags });
            }
        };
        let snapshot = self.snapshot();
        let entry = snapshot
            .function(&key)
            .ok_or_else(|| present::function_not_found(&key, None))?;
        Ok(ListTagsResponse {
            tags: entry.function.tags.clone(),
        })
    }

    async fn set_tags_of(
        &self,
        of: Taggable,
        tags_after: impl Fn(&BTreeMap<String, String>) -> BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        match of {
            Taggable::Function(key) => self.set_tags(&key, tags_after).await,
            Taggable::Mapping(id) => self.set_mapping_tags(&id, tags_after).await,
        }
    }

    async fn set_tags(
        &self,
        key: &FunctionKey,
        tags_after: impl Fn(&BTreeMap<String, String>) -> BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = snapshot
                .function(key)
                .ok_or_else(|| present::function_not_found(key, None))?;
            let tags = tags_after(&entry.function.tags);
            if tags == entry.function.tags {
                return Ok((Vec::new(), ()));
            }
            let runtimes = entry
                .all_versions()
                .map(|version| &version.configuration.runtime);
            let walls = tag_rules::check(&tags, runtimes)?;
            let mut record = entry.function.as_ref().clone();
            record.generation += 1;
            record.tags = tags;
            let redeployed = if Walls::from_tags(&entry.function.tags) == Ok(walls) {
                Vec::new()
            } else {
                redeploy(entry, &mut record)
            };
            let changes = std::iter::once(Change::UpdateFunction(record)).chain(redeployed);
            Ok((changes.collect(), ()))
        })
        .await
    }
}

/// Names everything that runs anew, so that no environment of the old walls serves it (INV-1).
fn redeploy(entry: &FunctionEntry, record: &mut FunctionRecord) -> Vec<Change> {
    record.latest.deployment = new_deployment();
    if let Some(running) = &mut record.latest.running {
        running.deployment = new_deployment();
    }
    entry
        .published()
        .map(|version| {
            let mut version = version.clone();
            version.deployment = new_deployment();
            Change::UpdateVersion(record.key.clone(), version)
        })
        .collect()
}

/// What may have tags.
enum Taggable {
    Function(FunctionKey),
    Mapping(MappingId),
}

fn taggable(scope: &Scope, resource: &str) -> Result<Taggable, ApiError> {
    if let Some(id) = MappingId::of_arn(resource)
        && (&id.account, &id.region) == (&scope.account, &scope.region)
    {
        return Ok(Taggable::Mapping(id));
    }
    let function = resource
        .parse::<FunctionRef>()
        .ok()
        .filter(|function| function.account.is_some() && function.region.is_some());
    let mut constraints = Constraints::default();
    constraints.pattern("resource", resource, function.is_some(), RESOURCE_PATTERN);
    constraints.finish()?;
    let function = function.ok_or_else(|| ApiError::invalid("Tags need the ARN of a function."))?;
    if function.qualifier.is_some() {
        return Err(ApiError::invalid(
            "Tags on function aliases and versions are not supported. Please specify a function ARN.",
        ));
    }
    scope.key(&function).map(Taggable::Function)
}
