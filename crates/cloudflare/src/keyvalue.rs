//! Workers KV: namespaces are the account's stores of keys and values, which workers and components bind by name.
//!
//! A namespace's identifier is its store's name. One that was made by this API has a title, and is listed; every other
//! store can be used by its name as well.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hearth_registry::Scope;
use hearth_store::key_value::{BucketId, CALL_BYTES, Listed, MOST_KEYS, Value, Write};
use hearth_types::time::Timestamp;
use hearth_types::walls::is_store_name;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::answer::{Failure, Reply, code, quoted};
use crate::api::{Caller, Cloudflare, Request, no_route};
use crate::form;
use crate::notes::{after, now};

/// Notes about namespaces: their titles.
const NOTES: &str = "namespace/";
/// Most namespaces that are listed of an account: as many as Cloudflare gives one.
const MOST_NAMESPACES: usize = 1_000;
/// The shortest life of a value, seconds (Workers KV).
const LEAST_TTL: u64 = 60;
/// Keys of a bulk read (Workers KV).
const MOST_READ: usize = 100;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Title {
    title: String,
}

/// A pair of a bulk write.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Pair {
    key: String,
    value: String,
    base64: bool,
    expiration: Option<u64>,
    expiration_ttl: Option<u64>,
    metadata: Option<Json>,
}

fn described(id: &str, title: &str) -> Json {
    json!({ "id": id, "title": title, "supports_url_encoding": true })
}

fn no_namespace(id: &str) -> Failure {
    Failure::new(
        404,
        code::NO_NAMESPACE,
        format!(
            "There is no namespace {}: a namespace is called as its store is.",
            quoted(id)
        ),
    )
}

fn bucket(scope: &Scope, id: &str) -> Result<BucketId, Failure> {
    if is_store_name(id) {
        Ok(BucketId::shared(scope.account.clone(), id))
    } else {
        Err(no_namespace(id))
    }
}

/// When a value is there no more.
fn expires(ttl: Option<u64>, at: Option<u64>) -> Result<Option<Timestamp>, Failure> {
    let seconds = match (ttl, at) {
        (Some(ttl), _) => ttl,
        (None, Some(at)) => {
            let now = u64::try_from(now().as_millis() / 1_000).unwrap_or_default();
            at.saturating_sub(now)
        }
        (None, None) => return Ok(None),
    };
    if seconds < LEAST_TTL {
        return Err(Failure::invalid(format!(
            "A value lives at least {LEAST_TTL} seconds."
        )));
    }
    Ok(Some(after(Duration::from_secs(seconds))))
}

fn seconds(request: &Request<'_>, name: &str) -> Result<Option<u64>, Failure> {
    let read = request.query(name).map(|text| {
        text.parse()
            .map_err(|_| Failure::invalid(format!("{name} is a whole number of seconds.")))
    });
    read.transpose()
}

impl Cloudflare {
    /// What is below `storage/kv/namespaces`.
    pub(crate) async fn namespaces(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        rest: &[&str],
    ) -> Result<Reply, Failure> {
        let scope = &caller.scope;
        match (request.method.as_str(), rest) {
            ("GET", []) => self.list_namespaces(scope, request).await,
            ("POST", []) => self.create_namespace(scope, request).await,
            ("GET", [id]) => {
                let known = self.title(scope, id).await?;
                let known = known.ok_or_else(|| no_namespace(id))?;
                Ok(Reply::of(described(id, &known.title)))
            }
            ("PUT", [id]) => self.rename_namespace(scope, request, id).await,
            ("DELETE", [id]) => self.delete_namespace(scope, id).await,
            ("GET", [id, "keys"]) => self.list_keys(&bucket(scope, id)?, request).await,
            // A key may have slashes, which some clients don't escape.
            ("GET", [id, "values", key @ ..]) => {
                let value = self.value(&bucket(scope, id)?, key.join("/")).await?;
                Ok(Reply::Bytes(value.bytes.into()))
            }
            ("GET", [id, "metadata", key @ ..]) => {
                let value = self.value(&bucket(scope, id)?, key.join("/")).await?;
                let metadata = value
                    .metadata
                    .and_then(|text| serde_json::from_str(&text).ok());
                Ok(Reply::of(metadata.unwrap_or(Json::Null)))
            }
            ("PUT", [id, "values", key @ ..]) => {
                self.put_value(&bucket(scope, id)?, request, key.join("/"))
                    .await
            }
            ("DELETE", [id, "values", key @ ..]) => {
                let delete = vec![Write::Delete { key: key.join("/") }];
                self.keyvalue.write(&bucket(scope, id)?, delete).await?;
                Ok(Reply::of(Json::Null))
            }
            ("PUT", [id, "bulk"]) => self.put_many(&bucket(scope, id)?, request).await,
            ("POST", [id, "bulk", "get"]) => self.get_many(&bucket(scope, id)?, request).await,
            ("DELETE", [id, "bulk"]) | ("POST", [id, "bulk", "delete"]) => {
                self.delete_many(&bucket(scope, id)?, request).await
            }
            _ => Err(no_route(request)),
        }
    }

    async fn title(&self, scope: &Scope, id: &str) -> Result<Option<Title>, Failure> {
        bucket(scope, id)?;
        self.note(scope, format!("{NOTES}{id}")).await
    }

    async fn list_namespaces(
        &self,
        scope: &Scope,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        let number = |name: &str, usual: usize| {
            let asked = request.query(name).and_then(|text| text.parse().ok());
            asked.unwrap_or(usual).max(1)
        };
        let (page, size) = (number("page", 1), number("per_page", 20).min(100));
        let mut known: Vec<(String, Title)> = self.notes(scope, NOTES, MOST_NAMESPACES).await?;
        known.sort_by(|(_, one), (_, other)| one.title.cmp(&other.title));
        let total = known.len();
        let shown: Vec<Json> = known
            .iter()
            .skip((page - 1).saturating_mul(size))
            .take(size)
            .map(|(id, known)| described(id, &known.title))
            .collect();
        let info =
            json!({ "page": page, "per_page": size, "count": shown.len(), "total_count": total });
        Ok(Reply::with_info(shown, info))
    }

    async fn create_namespace(
        &self,
        scope: &Scope,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        let Title { title } = request.json()?;
        if !is_store_name(&title) {
            return Err(Failure::invalid(
                "A namespace's title is the name of its store: up to 64 letters, digits, '-', '_' and '.'.",
            ));
        }
        if self.title(scope, &title).await?.is_some() {
            return Err(Failure::new(
                400,
                code::TITLE_TAKEN,
                "A namespace with this title already exists. Use its identifier, or another title.",
            ));
        }
        let known: Vec<(String, Title)> = self.notes(scope, NOTES, MOST_NAMESPACES).await?;
        if known.len() >= MOST_NAMESPACES {
            return Err(Failure::invalid(format!(
                "The account has {MOST_NAMESPACES} namespaces already. Delete those that nobody uses."
            )));
        }
        let answer = described(&title, &title);
        let key = format!("{NOTES}{title}");
        self.write_note(scope, key, &Title { title }).await?;
        Ok(Reply::of(answer))
    }

    async fn rename_namespace(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        id: &str,
    ) -> Result<Reply, Failure> {
        let renamed: Title = request.json()?;
        if renamed.title.is_empty() || renamed.title.chars().count() > 512 {
            return Err(Failure::invalid("A title has 1 to 512 characters."));
        }
        if self.title(scope, id).await?.is_none() {
            return Err(no_namespace(id));
        }
        let key = format!("{NOTES}{id}");
        self.write_note(scope, key, &renamed).await?;
        Ok(Reply::of(described(id, &renamed.title)))
    }

    /// Deletes a namespace with all that is in it.
    async fn delete_namespace(&self, scope: &Scope, id: &str) -> Result<Reply, Failure> {
        if self.title(scope, id).await?.is_none() {
            return Err(no_namespace(id));
        }
        self.keyvalue.remove(&bucket(scope, id)?).await?;
        self.forget(scope, vec![format!("{NOTES}{id}")]).await?;
        Ok(Reply::of(Json::Null))
    }

    async fn list_keys(&self, bucket: &BucketId, request: &Request<'_>) -> Result<Reply, Failure> {
        let limit = match request.query("limit") {
            None => MOST_KEYS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST_KEYS).contains(limit))
                .ok_or_else(|| Failure::invalid("limit is a number from 1 to 1000."))?,
        };
        let cursor = request.query("cursor").filter(|cursor| !cursor.is_empty());
        let after = cursor.map(|cursor| {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| Failure::invalid("The cursor is none that a list gave."))
        });
        let prefix = request.query("prefix").unwrap_or_default();
        let page = self
            .keyvalue
            .list_by_name(bucket, prefix, after.transpose()?, limit)
            .await?;
        let last = page.keys.last().filter(|_| page.more);
        let cursor = last.map(|last| URL_SAFE_NO_PAD.encode(&last.key));
        let shown: Vec<Json> = page.keys.iter().map(listed).collect();
        let info = json!({ "count": shown.len(), "cursor": cursor.unwrap_or_default() });
        Ok(Reply::with_info(shown, info))
    }

    async fn value(&self, bucket: &BucketId, key: String) -> Result<Value, Failure> {
        let mut found = self.keyvalue.get(bucket, vec![key]).await?;
        let value = found.pop().flatten();
        value.ok_or_else(|| Failure::new(404, code::NO_KEY, "There is no such key."))
    }

    async fn put_value(
        &self,
        bucket: &BucketId,
        request: &Request<'_>,
        key: String,
    ) -> Result<Reply, Failure> {
        let is_form = request
            .content_type
            .is_some_and(|kind| kind.starts_with("multipart/form-data"));
        let (bytes, metadata) = if is_form {
            let parts = form::read(request.content_type, request.body.clone()).await?;
            let of = |name: &str| parts.iter().find(|part| part.name == name);
            let value = of("value").ok_or_else(|| Failure::invalid("The form has no value."))?;
            let metadata = of("metadata").map(|part| {
                let read: Result<Json, _> = serde_json::from_slice(&part.bytes);
                read.map(|metadata| metadata.to_string())
                    .map_err(|_| Failure::invalid("The metadata is no JSON."))
            });
            (value.bytes.to_vec(), metadata.transpose()?)
        } else {
            (request.body.to_vec(), None)
        };
        let expires = expires(
            seconds(request, "expiration_ttl")?,
            seconds(request, "expiration")?,
        )?;
        let value = Value {
            bytes,
            metadata,
            expires,
        };
        let write = vec![Write::Set { key, value }];
        self.keyvalue.write(bucket, write).await?;
        Ok(Reply::of(Json::Null))
    }

    /// Writes pairs, as many at once as the store takes.
    async fn put_many(&self, bucket: &BucketId, request: &Request<'_>) -> Result<Reply, Failure> {
        let pairs: Vec<Pair> = request.json()?;
        let count = pairs.len();
        let (mut writes, mut size) = (Vec::new(), 0);
        for pair in pairs {
            let bytes = if pair.base64 {
                STANDARD
                    .decode(&pair.value)
                    .map_err(|_| Failure::invalid("A value that should be base64 is none."))?
            } else {
                pair.value.into_bytes()
            };
            if writes.len() == MOST_KEYS || size + bytes.len() > CALL_BYTES {
                self.keyvalue
                    .write(bucket, std::mem::take(&mut writes))
                    .await?;
                size = 0;
            }
            size += bytes.len();
            let value = Value {
                bytes,
                metadata: pair.metadata.map(|metadata| metadata.to_string()),
                expires: expires(pair.expiration_ttl, pair.expiration)?,
            };
            writes.push(Write::Set {
                key: pair.key,
                value,
            });
        }
        self.keyvalue.write(bucket, writes).await?;
        Ok(Reply::of(
            json!({ "successful_key_count": count, "unsuccessful_keys": [] }),
        ))
    }

    async fn get_many(&self, bucket: &BucketId, request: &Request<'_>) -> Result<Reply, Failure> {
        #[derive(Deserialize)]
        struct Asked {
            keys: Vec<String>,
        }
        let Asked { keys } = request.json()?;
        if keys.len() > MOST_READ {
            return Err(Failure::invalid(format!(
                "{} keys are too many for one call; it takes up to {MOST_READ}.",
                keys.len()
            )));
        }
        let found = self.keyvalue.get(bucket, keys.clone()).await?;
        let text = |value: Option<Value>| {
            value.map_or(Json::Null, |value| {
                json!(String::from_utf8_lossy(&value.bytes))
            })
        };
        let values: Map<String, Json> = keys.into_iter().zip(found.into_iter().map(text)).collect();
        Ok(Reply::of(json!({ "values": values })))
    }

    async fn delete_many(
        &self,
        bucket: &BucketId,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        let keys: Vec<String> = request.json()?;
        let count = keys.len();
        for keys in keys.chunks(MOST_KEYS) {
            let deletes = keys.iter().map(|key| Write::Delete { key: key.clone() });
            self.keyvalue.write(bucket, deletes.collect()).await?;
        }
        Ok(Reply::of(
            json!({ "successful_key_count": count, "unsuccessful_keys": [] }),
        ))
    }
}

fn listed(listed: &Listed) -> Json {
    let mut shown = json!({ "name": listed.key });
    if let Some(at) = listed.expires {
        shown["expiration"] = json!(at.as_millis() / 1_000);
    }
    let metadata = listed.metadata.as_deref();
    // What another wall's functions wrote there may be none.
    if let Some(metadata) = metadata.and_then(|text| serde_json::from_str::<Json>(text).ok()) {
        shown["metadata"] = metadata;
    }
    shown
}
