//! What only this API knows: small values in a bucket of the account that no function can name.

use std::time::Duration;

use hearth_registry::Scope;
use hearth_store::key_value::{BucketId, KeyValueError, MOST_KEYS, Value, Write};
use hearth_types::name::AccountId;
use hearth_types::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::Failure;
use crate::api::Cloudflare;

/// The bucket.
const BUCKET: &str = "cloudflare";

impl From<KeyValueError> for Failure {
    fn from(error: KeyValueError) -> Self {
        match error {
            KeyValueError::Refused(why) => Self::invalid(format!("It can't be kept: {why}.")),
            KeyValueError::Store(error) => {
                tracing::error!(%error, "can't use the store of keys and values");
                Self::new(
                    503,
                    crate::answer::code::INTERNAL,
                    "The store of keys and values can't be used now. Try again.",
                )
            }
        }
    }
}

pub(crate) fn bucket(account: &AccountId) -> BucketId {
    BucketId::platform(account.clone(), BUCKET)
}

/// The key of a note about a script.
pub(crate) fn about(what: &str, scope: &Scope, name: &str) -> String {
    format!("{what}/{}/{name}", scope.region)
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from(std::time::SystemTime::now())
}

/// The end of what lives so long from now on.
pub(crate) fn after(life: Duration) -> Timestamp {
    let life = i64::try_from(life.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now().as_millis().saturating_add(life))
}

impl Cloudflare {
    /// A note, if there is one. One that can't be read is as good as none.
    pub(crate) async fn note<T: DeserializeOwned>(
        &self,
        scope: &Scope,
        key: String,
    ) -> Result<Option<T>, Failure> {
        let mut found = self
            .keyvalue
            .get(&bucket(&scope.account), vec![key])
            .await?;
        let value = found.pop().flatten();
        Ok(value.and_then(|value| serde_json::from_slice(&value.bytes).ok()))
    }

    /// Writes a note.
    pub(crate) async fn write_note(
        &self,
        scope: &Scope,
        key: String,
        note: &impl Serialize,
    ) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(note)
            .map_err(|_| Failure::internal("A note can't be written as JSON."))?;
        let value = Value {
            bytes,
            metadata: None,
            expires: None,
        };
        let write = vec![Write::Set { key, value }];
        Ok(self.keyvalue.write(&bucket(&scope.account), write).await?)
    }

    pub(crate) async fn forget(&self, scope: &Scope, keys: Vec<String>) -> Result<(), Failure> {
        let deletes = keys.into_iter().map(|key| Write::Delete { key });
        let bucket = bucket(&scope.account);
        Ok(self.keyvalue.write(&bucket, deletes.collect()).await?)
    }

    /// The notes whose keys begin with `prefix`, up to `most`: what follows the prefix, and the note.
    pub(crate) async fn notes<T: DeserializeOwned>(
        &self,
        scope: &Scope,
        prefix: &str,
        most: usize,
    ) -> Result<Vec<(String, T)>, Failure> {
        let bucket = bucket(&scope.account);
        let mut notes = Vec::new();
        let mut after = None;
        while notes.len() < most {
            let limit = (most - notes.len()).min(MOST_KEYS);
            let page = self
                .keyvalue
                .list_by_name(&bucket, prefix.to_owned(), after, limit)
                .await?;
            let keys: Vec<String> = page.keys.into_iter().map(|listed| listed.key).collect();
            after = keys.last().cloned();
            let values = self.keyvalue.get(&bucket, keys.clone()).await?;
            for (key, value) in keys.iter().zip(values) {
                let read = value.and_then(|value| serde_json::from_slice(&value.bytes).ok());
                if let (Some(name), Some(note)) = (key.strip_prefix(prefix), read) {
                    notes.push((name.to_owned(), note));
                }
            }
            if !page.more {
                break;
            }
        }
        Ok(notes)
    }
}
