//! Versions of a script: published versions of its function.

use hearth_registry::{FunctionDescription, Scope};
use hearth_types::wire::lambda::FunctionConfiguration;
use serde_json::{Map, Value, json};

use crate::answer::{Failure, Reply, code, quoted};
use crate::api::{Cloudflare, Request};
use crate::package::Note;
use crate::scripts::{etag, shown};
use crate::worker::{date, number, secrets_of, version_id, version_number};

/// Versions that a list has (API reference: the ten that can be deployed).
const LISTED: usize = 10;

pub(crate) fn no_version(id: &str) -> Failure {
    Failure::new(
        404,
        code::NO_VERSION,
        format!("The worker has no version {}.", quoted(id)),
    )
}

/// What its maker said of a version. One that came of a change of secrets has a description of its own.
fn annotations(configuration: &FunctionConfiguration, note: &Note) -> Map<String, Value> {
    if configuration.description == note.message() {
        let mut annotations = note.annotations.clone();
        annotations.insert("workers/triggered_by".to_owned(), json!("upload"));
        return annotations;
    }
    let mut annotations = Map::new();
    annotations.insert("workers/triggered_by".to_owned(), json!("secret"));
    annotations.insert(
        "workers/message".to_owned(),
        json!(configuration.description),
    );
    annotations
}

fn described(found: &FunctionDescription, note: &Note) -> Value {
    let configuration = &found.configuration;
    let number = number(configuration).unwrap_or_default();
    let created = date(&configuration.last_modified);
    json!({
        "id": version_id(number),
        "number": number,
        "metadata": {
            "created_on": created,
            "modified_on": created,
            "source": if note.is_upload { "wrangler" } else { "api" },
            "author_id": "",
            "author_email": "",
            "has_preview": false,
        },
        "annotations": annotations(configuration, note),
    })
}

impl Cloudflare {
    /// A version that must be there, with what is known of its package.
    async fn version_of(
        &self,
        scope: &Scope,
        name: &str,
        number: u64,
    ) -> Result<Option<(FunctionDescription, Note)>, Failure> {
        match self.find(scope, name, Some(number))? {
            None => Ok(None),
            Some(found) => {
                let note = self.note_of(&found.code).await?;
                Ok(Some((found, note)))
            }
        }
    }

    /// `GET versions`: the newest first.
    pub(crate) async fn versions(&self, scope: &Scope, name: &str) -> Result<Reply, Failure> {
        self.script_named(scope, name)?;
        let mut items = Vec::new();
        let published = self.published(scope, name)?;
        for number in published.iter().filter_map(number).take(LISTED) {
            if let Some((found, note)) = self.version_of(scope, name, number).await? {
                items.push(described(&found, &note));
            }
        }
        Ok(Reply::of(json!({ "items": items })))
    }

    /// `GET versions/<id>`.
    pub(crate) async fn version(
        &self,
        scope: &Scope,
        name: &str,
        id: &str,
    ) -> Result<Reply, Failure> {
        self.script_named(scope, name)?;
        let number = version_number(id).ok_or_else(|| no_version(id))?;
        let (found, note) = self
            .version_of(scope, name, number)
            .await?
            .ok_or_else(|| no_version(id))?;
        let mut version = described(&found, &note);
        version["resources"] = json!({
            "bindings": shown(&note, &secrets_of(&found.configuration)),
            "script": {
                "etag": etag(&found.configuration),
                "handlers": ["fetch"],
                "last_deployed_from": "wrangler",
            },
            "script_runtime": {
                "compatibility_date": note.compatibility_date,
                "compatibility_flags": note.compatibility_flags,
                "usage_model": "standard",
            },
        });
        Ok(Reply::of(version))
    }

    /// `POST versions`: an upload that is not deployed.
    pub(crate) async fn post_version(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        self.script_named(scope, name)?;
        let made = self.make(scope, request, name).await?;
        let (found, note) = self
            .version_of(scope, name, made.number)
            .await?
            .ok_or_else(|| Failure::internal("The version is gone."))?;
        let mut version = described(&found, &note);
        version["startup_time_ms"] = json!(made.milliseconds.max(1));
        version["resources"] = json!({ "script": { "etag": made.etag, "handlers": ["fetch"] } });
        Ok(Reply::of(version))
    }
}
