//! The seam between components' buckets and the store of keys and values: neither crate knows the other.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use hearth_store::key_value::{self, BucketId, MOST_KEYS, Write};
use hearth_store::{KeyValueOptions, KeyValueStore, SqliteKeyValueStore};
use hearth_wasm::{KeyValue, KeyValueError};
use hearth_worker::Buckets;

/// Opens what functions keep, in the data folder, which this process holds.
pub(crate) fn open(data: &Path) -> anyhow::Result<Arc<SqliteKeyValueStore>> {
    let path = data.join("keyvalue.db");
    let store = SqliteKeyValueStore::open(&path, KeyValueOptions::default())
        .with_context(|| format!("open {}", path.display()))?;
    Ok(Arc::new(store))
}

/// What components find of it.
pub(crate) fn for_components(store: Arc<SqliteKeyValueStore>) -> Buckets {
    Arc::new(move |function, name| {
        let id = match name {
            None => BucketId::of_function(function),
            Some(name) => BucketId::shared(function.account.clone(), name),
        };
        Arc::new(Bucket {
            store: Arc::clone(&store),
            id,
        })
    })
}

/// One bucket of the store.
struct Bucket {
    store: Arc<SqliteKeyValueStore>,
    id: BucketId,
}

/// What a guest is told. What is the operator's goes to the operator's log.
fn told(error: key_value::KeyValueError) -> KeyValueError {
    match error {
        key_value::KeyValueError::Refused(why) => KeyValueError::Refused(why),
        key_value::KeyValueError::Store(error) => {
            tracing::error!(%error, "can't use the store of keys and values");
            KeyValueError::Unavailable
        }
    }
}

#[async_trait]
impl KeyValue for Bucket {
    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, KeyValueError> {
        let values = self.store.get(&self.id, keys).await.map_err(told)?;
        Ok(values
            .into_iter()
            .map(|value| value.map(|value| value.bytes.into()))
            .collect())
    }

    async fn exists(&self, key: String) -> Result<bool, KeyValueError> {
        self.store.exists(&self.id, key).await.map_err(told)
    }

    async fn set(&self, entries: Vec<(String, Bytes)>) -> Result<(), KeyValueError> {
        let writes = entries
            .into_iter()
            .map(|(key, value)| Write::Set {
                key,
                value: Vec::from(value).into(),
            })
            .collect();
        self.store.write(&self.id, writes).await.map_err(told)
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
        let writes = keys.into_iter().map(|key| Write::Delete { key }).collect();
        self.store.write(&self.id, writes).await.map_err(told)
    }

    async fn list(&self, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
        let page = self.store.list(&self.id, cursor, MOST_KEYS).await;
        let page = page.map_err(told)?;
        Ok((page.keys, page.next))
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, KeyValueError> {
        let sum = self.store.increment(&self.id, key, delta).await;
        sum.map_err(told)
    }

    async fn swap(
        &self,
        key: String,
        current: Option<Bytes>,
        new: Bytes,
    ) -> Result<bool, KeyValueError> {
        let swapped = self
            .store
            .swap(&self.id, key, current.map(Vec::from), Vec::from(new))
            .await;
        swapped.map_err(told)
    }
}
