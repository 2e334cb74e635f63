//! What both drafts of `wasi:keyvalue` have in common: which bucket is whose, and what is asked of it.

use std::sync::Arc;

use bytes::Bytes;
use hearth_types::walls::Walls;
use wasmtime::component::{Resource, ResourceTableError};

use super::Buckets;
use super::contract::{KeyValue, KeyValueError};
use crate::call::OutputStream;

/// A bucket that a guest has opened.
#[allow(
    unreachable_pub,
    reason = "generated code re-exports it, and nobody that"
)]
#[derive(Clone)]
pub struct Bucket(Arc<dyn KeyValue>);

/// What a guest has seen of a key, to be changed if it is still so.
#[allow(
    unreachable_pub,
    reason = "generated code re-exports it, and nobody that"
)]
pub struct Cas {
    bucket: Bucket,
    key: String,
    seen: Option<Bytes>,
}

/// Why a guest's call failed: what both drafts have words for.
#[allow(
    unreachable_pub,
    reason = "generated code re-exports it, and nobody that"
)]
#[derive(Debug)]
pub enum Error {
    /// The bucket was not granted, whether it is there or not.
    AccessDenied,
    /// A sentence.
    Other(String),
}

impl From<KeyValueError> for Error {
    fn from(error: KeyValueError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<ResourceTableError> for Error {
    fn from(error: ResourceTableError) -> Self {
        Self::Other(error.to_string())
    }
}

impl Buckets<'_> {
    /// Opens a bucket by the name by which it was granted.
    pub(super) fn open_bucket(&mut self, name: &str) -> Result<Resource<Bucket>, Error> {
        let Some(bucket) = self.grant.and_then(|grant| grant.buckets.get(name)) else {
            let shown: String = name.chars().take(64).collect();
            self.log.write(
                OutputStream::Stderr,
                format!(
                    "The bucket {shown:?} of keys and values was denied: the function's tag {} does not grant it.\n",
                    Walls::KEYVALUE_TAG
                )
                .as_bytes(),
            );
            return Err(Error::AccessDenied);
        };
        Ok(self.table.push(Bucket(Arc::clone(bucket)))?)
    }

    pub(super) fn bucket(&self, handle: &Resource<Bucket>) -> Result<Bucket, Error> {
        Ok(self.table.get(handle)?.clone())
    }

    /// Looks at a key, for a later [`Buckets::swap_seen`].
    pub(super) async fn look(
        &mut self,
        bucket: Bucket,
        key: String,
    ) -> Result<Resource<Cas>, Error> {
        let seen = bucket.get(key.clone()).await?;
        Ok(self.table.push(Cas { bucket, key, seen })?)
    }

    pub(super) fn seen(&self, handle: &Resource<Cas>) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.table.get(handle)?.seen.clone().map(Vec::from))
    }

    /// Changes a key if it is as it was seen; else gives what is there now.
    pub(super) async fn swap_seen(
        &mut self,
        handle: Resource<Cas>,
        value: Vec<u8>,
    ) -> Result<Option<Resource<Cas>>, Error> {
        let Cas { bucket, key, seen } = self.table.delete(handle)?;
        let swapped = bucket.0.swap(key.clone(), seen, Bytes::from(value)).await?;
        if swapped {
            Ok(None)
        } else {
            self.look(bucket, key).await.map(Some)
        }
    }
}

impl Bucket {
    pub(super) async fn get(&self, key: String) -> Result<Option<Bytes>, Error> {
        Ok(self.0.get(vec![key]).await?.pop().flatten())
    }

    pub(super) async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, Error> {
        Ok(self.0.get(keys).await?)
    }

    pub(super) async fn set(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key, Bytes::from(value)))
            .collect();
        Ok(self.0.set(entries).await?)
    }

    pub(super) async fn delete(&self, keys: Vec<String>) -> Result<(), Error> {
        Ok(self.0.delete(keys).await?)
    }

    pub(super) async fn exists(&self, key: String) -> Result<bool, Error> {
        Ok(self.0.exists(key).await?)
    }

    pub(super) async fn list(
        &self,
        cursor: Option<u64>,
    ) -> Result<(Vec<String>, Option<u64>), Error> {
        Ok(self.0.list(cursor).await?)
    }

    pub(super) async fn increment(&self, key: String, delta: i64) -> Result<i64, Error> {
        Ok(self.0.increment(key, delta).await?)
    }
}
