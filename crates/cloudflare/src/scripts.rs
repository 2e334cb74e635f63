//! Scripts: an upload that is deployed at once, what is known of a script, and its end.

use hearth_registry::{PageRequest, Scope};
use hearth_types::wire::lambda::FunctionConfiguration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::answer::{Failure, Reply};
use crate::api::{Caller, Cloudflare, Request, no_route};
use crate::bindings::{self, Binding, SECRET};
use crate::deployments::Deploying;
use crate::form;
use crate::notes::about;
use crate::package::{Note, Upload};
use crate::worker::{DEPLOYED, RUNTIME, Secrets, date, function, secrets_of};

/// What a script is set up with apart from its versions. Kept, and of no effect.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct ScriptSettings {
    tags: Vec<String>,
    logpush: Option<bool>,
    observability: Option<Value>,
}

/// What an upload gave, before it is deployed.
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) note: Note,
    pub(crate) etag: String,
    pub(crate) milliseconds: u64,
}

fn settings_key(scope: &Scope, name: &str) -> String {
    about("settings", scope, name)
}

/// A hash of code as a tag of HTTP's.
pub(crate) fn etag(configuration: &FunctionConfiguration) -> String {
    hex::encode(Sha256::digest(&configuration.code_sha256))
}

/// What tells a script apart from others for as long as it has its name.
fn tag(scope: &Scope, name: &str) -> String {
    let digest = Sha256::digest(format!("{}/{}/{name}", scope.account, scope.region));
    hex::encode(&digest[..16])
}

/// Bindings as the API shows them: secrets by name.
pub(crate) fn shown(note: &Note, secrets: &Secrets) -> Vec<Value> {
    let kept = note.bindings.iter().map(|binding| json!(binding));
    let secrets = secrets
        .keys()
        .map(|name| json!({ "name": name, "type": SECRET }));
    kept.chain(secrets).collect()
}

impl Cloudflare {
    /// Makes a version of an upload. It is not deployed by that.
    ///
    /// # Errors
    /// If it is none, or can't be made ready.
    pub(crate) async fn make(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Made, Failure> {
        let began = std::time::Instant::now();
        let parts = form::read(request.content_type, request.body.clone()).await?;
        let upload = Upload::read(parts)?;
        let before = self.find(scope, name, None)?;
        let (note, secrets) = match &before {
            Some(found) => (
                self.note_of(&found.code).await?,
                secrets_of(&found.configuration),
            ),
            None => (Note::default(), Secrets::default()),
        };
        let metadata = &upload.metadata;
        let (asked, keep) = (metadata.bindings.clone(), &metadata.keep_bindings);
        let sorted = bindings::sort(asked, keep, &note.bindings, &secrets)?;
        // What is a variable now is a secret no more: both have one name.
        let is_kept = |name: &String| !sorted.kept.iter().any(|known| known.name == *name);
        let mut wanted = secrets.clone();
        wanted.retain(|name, _| is_kept(name));
        wanted.extend(sorted.secrets);

        let (assets, config) = match (&metadata.assets, &before) {
            (Some(asked), _) => {
                let files = self.uploaded(scope, name, &asked.jwt).await?;
                (files, Some(asked.config.clone()))
            }
            (None, Some(found)) if metadata.keep_assets => {
                (self.assets_of(&found.code).await?, note.assets.clone())
            }
            _ => (Vec::new(), None),
        };
        let services = self.services(scope, name, &sorted.kept)?;
        let configuration = bindings::configuration(&sorted.kept, &services);
        let note = Note {
            bindings: sorted.kept,
            compatibility_date: metadata.compatibility_date.clone(),
            compatibility_flags: metadata.compatibility_flags.clone(),
            annotations: annotations(&metadata.annotations),
            assets: config,
            is_upload: true,
        };
        let packed = tokio::task::spawn_blocking(move || {
            let zip = upload.package(configuration, &note, assets)?;
            Ok::<_, Failure>((zip, note))
        });
        let (zip, note) = packed
            .await
            .map_err(|_| Failure::internal("The upload can't be packed. Try again."))??;
        match before {
            None => self.create(scope, name, zip, wanted).await?,
            Some(_) => {
                let changed = (wanted != secrets).then_some(wanted);
                self.update(scope, name, Some(zip), changed).await?;
            }
        }
        let number = self.publish(scope, name, &note.message()).await?;
        let made = self.script_named(scope, name)?;
        Ok(Made {
            number,
            note,
            etag: etag(&made.configuration),
            milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// `PUT scripts/<name>`: an upload, deployed at once.
    pub(crate) async fn put_script(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        let made = self.make(scope, request, name).await?;
        let message = made.note.message();
        let deploying = Deploying::whole(made.number, &message, "upload");
        self.deploy(scope, name, deploying).await?;
        let found = self.script_named(scope, name)?;
        let mut script = self.described(scope, name, &found.configuration);
        script["deployment_id"] = json!(crate::worker::version_id(made.number));
        script["startup_time_ms"] = json!(made.milliseconds.max(1));
        Ok(Reply::of(script))
    }

    fn described(&self, scope: &Scope, name: &str, configuration: &FunctionConfiguration) -> Value {
        let modified = date(&configuration.last_modified);
        json!({
            "id": name,
            "tag": tag(scope, name),
            "etag": etag(configuration),
            "handlers": ["fetch"],
            "created_on": modified,
            "modified_on": modified,
            "usage_model": "standard",
            "has_modules": true,
        })
    }

    /// `GET scripts`.
    pub(crate) fn list_scripts(
        &self,
        caller: &Caller,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        if request.method != http::Method::GET {
            return Err(no_route(request));
        }
        let scope = &caller.scope;
        let mut page = PageRequest::default();
        let mut scripts = Vec::new();
        loop {
            let answer = self.registry.list_functions(scope, None, &page)?;
            let workers = answer.functions.iter().filter(|one| one.runtime == RUNTIME);
            scripts.extend(workers.map(|one| self.described(scope, &one.function_name, one)));
            page.marker = answer.next_marker;
            if page.marker.is_none() {
                return Ok(Reply::of(scripts));
            }
        }
    }

    /// `services/<name>`: a script by the name of the service that it is.
    pub(crate) async fn service(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        name: &str,
        rest: &[&str],
    ) -> Result<Reply, Failure> {
        let scope = &caller.scope;
        match (request.method.as_str(), rest) {
            ("GET", []) => {
                let found = self.script_named(scope, name)?;
                let note = self.note_of(&found.code).await?;
                let settings = self.script_settings_of(scope, name).await?;
                let mut script = self.described(scope, name, &found.configuration);
                script["tags"] = json!(settings.tags);
                let from = if note.is_upload { "wrangler" } else { "api" };
                script["last_deployed_from"] = json!(from);
                script["compatibility_date"] = json!(note.compatibility_date);
                script["compatibility_flags"] = json!(note.compatibility_flags);
                let modified = date(&found.configuration.last_modified);
                Ok(Reply::of(json!({
                    "id": name,
                    "created_on": modified,
                    "modified_on": modified,
                    "default_environment": {
                        "environment": DEPLOYED,
                        "created_on": modified,
                        "modified_on": modified,
                        "script": script,
                    },
                })))
            }
            ("DELETE", []) => self.delete_script(scope, name).await,
            _ => Err(no_route(request)),
        }
    }

    /// The end of a script, with its schedules, its URL and its versions.
    pub(crate) async fn delete_script(&self, scope: &Scope, name: &str) -> Result<Reply, Failure> {
        self.script_named(scope, name)?;
        self.replace_schedules(scope, name, &[]).await?;
        self.registry
            .delete_function(scope, &function(name)?, None)
            .await?;
        let keys = vec![
            settings_key(scope, name),
            crate::deployments::history_key(scope, name),
        ];
        self.forget(scope, keys).await?;
        Ok(Reply::of(Value::Null))
    }

    /// `GET scripts/<name>/references`: nobody counts who names a script.
    pub(crate) fn references(&self, scope: &Scope, name: &str) -> Result<Reply, Failure> {
        self.script_named(scope, name)?;
        Ok(Reply::of(json!({
            "services": { "incoming": [], "outgoing": [] },
            "durable_objects": [],
            "dispatch_outbounds": [],
        })))
    }

    /// `GET scripts/<name>/settings`.
    pub(crate) async fn settings(&self, scope: &Scope, name: &str) -> Result<Reply, Failure> {
        let found = self.script_named(scope, name)?;
        let note = self.note_of(&found.code).await?;
        let settings = self.script_settings_of(scope, name).await?;
        Ok(Reply::of(json!({
            "bindings": shown(&note, &secrets_of(&found.configuration)),
            "compatibility_date": note.compatibility_date,
            "compatibility_flags": note.compatibility_flags,
            "tags": settings.tags,
            "logpush": settings.logpush.unwrap_or(false),
            "observability": settings.observability,
            "tail_consumers": [],
            "usage_model": "standard",
        })))
    }

    /// `PATCH scripts/<name>/settings`, by which Wrangler sets several secrets at once: those that come with a text are
    /// set, those that are named stay, others go.
    pub(crate) async fn patch_settings(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        #[derive(Deserialize)]
        struct Settings {
            bindings: Option<Vec<Binding>>,
        }
        let parts = form::read(request.content_type, request.body.clone()).await?;
        let part = parts.iter().find(|part| part.name == "settings");
        let part = part.ok_or_else(|| Failure::invalid("The form has no part 'settings'."))?;
        let settings: Settings = serde_json::from_slice(&part.bytes)
            .map_err(|error| Failure::invalid(format!("The settings can't be read: {error}.")))?;
        if let Some(asked) = settings.bindings {
            let found = self.script_named(scope, name)?;
            let known = secrets_of(&found.configuration);
            let mut secrets = Secrets::new();
            for binding in asked {
                match binding.text {
                    Some(text) if binding.kind == SECRET => {
                        secrets.insert(binding.name, text);
                    }
                    _ => {
                        if let Some(text) = known.get(&binding.name) {
                            secrets.insert(binding.name, text.clone());
                        }
                    }
                }
            }
            self.set_secrets(scope, name, secrets, "Secrets changed")
                .await?;
        }
        self.settings(scope, name).await
    }

    async fn script_settings_of(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<ScriptSettings, Failure> {
        let settings = self.note(scope, settings_key(scope, name)).await?;
        Ok(settings.unwrap_or_default())
    }

    /// `GET scripts/<name>/script-settings`.
    pub(crate) async fn script_settings(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Reply, Failure> {
        self.script_named(scope, name)?;
        let settings = self.script_settings_of(scope, name).await?;
        Ok(Reply::of(json!(settings)))
    }

    /// `PATCH scripts/<name>/script-settings`. What is absent stays as it is.
    pub(crate) async fn patch_script_settings(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        #[derive(Deserialize)]
        struct Asked {
            tags: Option<Vec<String>>,
            logpush: Option<bool>,
            observability: Option<Value>,
        }
        let asked: Asked = request.json()?;
        self.script_named(scope, name)?;
        let known = self.script_settings_of(scope, name).await?;
        let settings = ScriptSettings {
            tags: asked.tags.unwrap_or(known.tags),
            logpush: asked.logpush.or(known.logpush),
            observability: asked.observability.or(known.observability),
        };
        let key = settings_key(scope, name);
        self.write_note(scope, key, &settings).await?;
        Ok(Reply::of(json!(settings)))
    }
}

/// Message and tag of an upload, as texts.
fn annotations(asked: &Map<String, Value>) -> Map<String, Value> {
    let known = ["workers/message", "workers/tag"];
    let texts = asked.iter().filter(|(name, value)| {
        known.contains(&name.as_str()) && value.as_str().is_some_and(|text| text.len() <= 1024)
    });
    texts
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
