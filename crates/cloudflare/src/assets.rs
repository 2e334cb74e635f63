//! Uploads of files that are answers: a list of them, the files in one or more forms, and the upload of the worker that
//! they belong to, which has them in its package.
//!
//! What comes in is kept for an hour under the name of the list, in a bucket of the account that has nothing else: uploads
//! that nobody ends take no room of what lasts. The token of the list is the caller's with that name.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hearth_registry::Scope;
use hearth_store::key_value::{BucketId, CALL_BYTES, MOST_KEYS, Value, Write};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::{Failure, Reply, quoted};
use crate::api::{Caller, Cloudflare, Request, no_route};
use crate::form;
use crate::notes::after;
use crate::package::{ASSETS, File};
use crate::worker::function;

/// How long files are kept for the upload of their worker (Cloudflare's sessions last an hour).
const LIFE: Duration = Duration::from_secs(3_600);
/// Files of a worker, and bytes of one (Cloudflare's limits).
const MOST_FILES: usize = 20_000;
const MOST_FILE_BYTES: u64 = 25 << 20;
/// Bytes of all of them: a package is unpacked to 250 MB, and is read whole when it is made.
const MOST_BYTES: u64 = 100 << 20;
/// Bytes of a form, before base64, and files of one.
const FORM_BYTES: u64 = 20 << 20;
const FORM_FILES: usize = 500;

/// A list of files.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    script: String,
    region: String,
    manifest: BTreeMap<String, Listed>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Listed {
    hash: String,
    size: u64,
}

fn bucket(scope: &Scope) -> BucketId {
    BucketId::platform(scope.account.clone(), "cloudflare-assets")
}

fn session_key(session: &str) -> String {
    format!("assets/{session}")
}

fn file_key(session: &str, hash: &str) -> String {
    format!("asset/{session}/{hash}")
}

/// The path of a file in a package.
fn path_of(name: &str) -> Result<String, Failure> {
    let path = name.trim_start_matches('/');
    let is_bad = |segment: &str| matches!(segment, "" | "." | "..");
    if path.len() > 1_024 || path.split('/').any(is_bad) || path.contains(['\\', '\0']) {
        return Err(Failure::invalid(format!(
            "An asset can't be called {}: give it a path within the folder.",
            quoted(name)
        )));
    }
    Ok(format!("{ASSETS}/{path}"))
}

fn check(manifest: &BTreeMap<String, Listed>) -> Result<(), Failure> {
    let mut sum: u64 = 0;
    let mut sizes = HashMap::new();
    for (name, listed) in manifest {
        path_of(name)?;
        let is_hash = (1..=64).contains(&listed.hash.len())
            && listed.hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash || listed.size > MOST_FILE_BYTES {
            return Err(Failure::invalid(format!(
                "The asset {} has a bad hash, or more than {} MiB.",
                quoted(name),
                MOST_FILE_BYTES >> 20
            )));
        }
        // A file is kept by its hash: one that has two sizes would be larger than what the sum counts.
        let known = sizes.insert(listed.hash.as_str(), listed.size);
        if known.is_some_and(|known| known != listed.size) {
            return Err(Failure::invalid("A hash of the list has two sizes."));
        }
        sum = sum.saturating_add(listed.size);
    }
    if manifest.len() > MOST_FILES || sum > MOST_BYTES {
        return Err(Failure::invalid(format!(
            "A worker has up to {MOST_FILES} assets of {} MiB together.",
            MOST_BYTES >> 20
        )));
    }
    Ok(())
}

/// Which files come in which form.
fn forms(manifest: &BTreeMap<String, Listed>) -> Vec<Vec<String>> {
    let once: BTreeMap<&str, u64> = manifest
        .values()
        .map(|listed| (listed.hash.as_str(), listed.size))
        .collect();
    let mut forms: Vec<Vec<String>> = Vec::new();
    let mut left = 0;
    for (hash, size) in once {
        match forms.last_mut() {
            Some(form) if size <= left && form.len() < FORM_FILES => {
                form.push(hash.to_owned());
                left -= size;
            }
            _ => {
                forms.push(vec![hash.to_owned()]);
                left = FORM_BYTES.saturating_sub(size);
            }
        }
    }
    forms
}

impl Cloudflare {
    /// A list that was begun; `None` if it is over.
    async fn session(&self, scope: &Scope, id: &str) -> Result<Option<Session>, Failure> {
        let key = session_key(id);
        let found = self.keyvalue.get(&bucket(scope), vec![key]).await?.pop();
        let value = found.flatten();
        Ok(value.and_then(|value| serde_json::from_slice(&value.bytes).ok()))
    }

    /// `POST scripts/<name>/assets-upload-session`.
    pub(crate) async fn begin_assets(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        #[derive(Deserialize)]
        struct Asked {
            manifest: BTreeMap<String, Listed>,
        }
        let Asked { manifest } = request.json()?;
        function(name)?;
        check(&manifest)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let forms = forms(&manifest);
        let session = Session {
            script: name.to_owned(),
            region: caller.scope.region.to_string(),
            manifest,
        };
        let bytes = serde_json::to_vec(&session)
            .map_err(|_| Failure::internal("The list can't be written as JSON."))?;
        let value = Value {
            bytes,
            metadata: None,
            expires: Some(after(LIFE)),
        };
        let key = session_key(&id);
        let write = vec![Write::Set { key, value }];
        self.keyvalue.write(&bucket(&caller.scope), write).await?;
        let token = format!("{}~{id}", caller.token);
        Ok(Reply::of(json!({ "jwt": token, "buckets": forms })))
    }

    /// `POST workers/assets/upload`: some of the files of a list, in base64.
    pub(crate) async fn upload_assets(
        &self,
        caller: &Caller,
        request: &Request<'_>,
    ) -> Result<Reply, Failure> {
        if request.method != http::Method::POST {
            return Err(no_route(request));
        }
        let lost = || Failure::authentication("The upload of assets is over. Deploy again.");
        let id = caller.session.as_deref().ok_or_else(lost)?;
        let session = self.session(&caller.scope, id).await?.ok_or_else(lost)?;
        let listed = session.manifest.values();
        let sizes: HashMap<&str, u64> = listed
            .map(|listed| (listed.hash.as_str(), listed.size))
            .collect();
        let parts = form::read(request.content_type, request.body.clone()).await?;
        let bucket = bucket(&caller.scope);
        let expires = after(LIFE);
        let (mut writes, mut size) = (Vec::new(), 0);
        for part in parts {
            let listed = sizes.get(part.name.as_str());
            let bytes = STANDARD.decode(&part.bytes).ok();
            let bytes = bytes.filter(|bytes| {
                listed.is_some_and(|listed| usize::try_from(*listed) == Ok(bytes.len()))
            });
            let bytes = bytes.ok_or_else(|| {
                Failure::invalid("An asset of the upload is not in its list, or not of its size.")
            })?;
            if size + bytes.len() > CALL_BYTES {
                let some = std::mem::take(&mut writes);
                self.keyvalue.write(&bucket, some).await?;
                size = 0;
            }
            size += bytes.len();
            let value = Value {
                bytes,
                metadata: None,
                expires: Some(expires),
            };
            let key = file_key(id, &part.name);
            writes.push(Write::Set { key, value });
        }
        self.keyvalue.write(&bucket, writes).await?;
        Ok(Reply::of(
            json!({ "jwt": format!("{}~{id}", caller.token) }),
        ))
    }

    /// The files of a list, as files of a package. `jwt`: the token of the list.
    pub(crate) async fn uploaded(
        &self,
        scope: &Scope,
        name: &str,
        jwt: &str,
    ) -> Result<Vec<File>, Failure> {
        let lost = || Failure::invalid("The upload of the assets is over. Deploy again.");
        let (_, id) = jwt.rsplit_once('~').ok_or_else(lost)?;
        let session = self.session(scope, id).await?.ok_or_else(lost)?;
        if session.script != name || session.region != scope.region.as_str() {
            return Err(lost());
        }
        let bucket = bucket(scope);
        let mut files: Vec<File> = Vec::new();
        let mut read: HashMap<&str, Bytes> = HashMap::new();
        for (name, listed) in &session.manifest {
            let bytes = match read.get(listed.hash.as_str()) {
                Some(bytes) => bytes.clone(),
                None => {
                    // One at a time: together they may be more than the store gives at once.
                    let key = file_key(id, &listed.hash);
                    let found = self.keyvalue.get(&bucket, vec![key]).await?.pop().flatten();
                    let value = found.ok_or_else(|| {
                        Failure::invalid("An asset of the list was not uploaded. Deploy again.")
                    })?;
                    let bytes = Bytes::from(value.bytes);
                    read.insert(&listed.hash, bytes.clone());
                    bytes
                }
            };
            files.push((path_of(name)?, bytes));
        }
        let keys = read.keys().map(|hash| file_key(id, hash));
        let deletes = keys.chain([session_key(id)]);
        let deletes: Vec<Write> = deletes.map(|key| Write::Delete { key }).collect();
        for some in deletes.chunks(MOST_KEYS) {
            self.keyvalue.write(&bucket, some.to_vec()).await?;
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(hash: &str, size: u64) -> Listed {
        Listed {
            hash: hash.to_owned(),
            size,
        }
    }

    #[test]
    fn forms_are_within_their_bounds() {
        let large = FORM_BYTES / 2 + 1;
        let manifest = BTreeMap::from([
            ("/a".to_owned(), listed("aa", large)),
            ("/b".to_owned(), listed("bb", large)),
            ("/c".to_owned(), listed("bb", large)),
            ("/d".to_owned(), listed("dd", MOST_FILE_BYTES)),
        ]);
        assert_eq!(forms(&manifest), [["aa"], ["bb"], ["dd"]]);
        assert!(check(&manifest).is_ok());
        assert!(forms(&BTreeMap::new()).is_empty());
    }

    #[test]
    fn hostile_lists_are_refused() {
        for (name, entry) in [
            ("/../x", listed("aa", 1)),
            ("/a//b", listed("aa", 1)),
            ("/a", listed("../x", 1)),
            ("/a", listed("aa", MOST_FILE_BYTES + 1)),
        ] {
            assert!(
                check(&BTreeMap::from([(name.to_owned(), entry)])).is_err(),
                "{name}"
            );
        }
        let two_sizes = BTreeMap::from([
            ("/a".to_owned(), listed("aa", 0)),
            ("/b".to_owned(), listed("aa", MOST_FILE_BYTES)),
        ]);
        assert!(check(&two_sizes).is_err());
        let many = (0..5).map(|n| (format!("/{n}"), listed("aa", MOST_FILE_BYTES)));
        assert!(check(&many.collect()).is_err());
    }
}
