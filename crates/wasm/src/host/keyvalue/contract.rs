//! What a guest's buckets are kept in, and which it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

/// One bucket: keys with their values. What is answered is on disk, and the next read of anybody sees it.
///
/// Keys are as the guest wrote them; bounds on keys, values and the whole are the implementation's, and told as
/// [`KeyValueError::Refused`].
#[async_trait]
pub trait KeyValue: Send + Sync {
    /// The values of `keys` as of one moment, in their order.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, KeyValueError>;

    /// Whether there is a value.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn exists(&self, key: String) -> Result<bool, KeyValueError>;

    /// Sets all, or none.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn set(&self, entries: Vec<(String, Bytes)>) -> Result<(), KeyValueError>;

    /// Removes all, or none; those that are not there are no error.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn delete(&self, keys: Vec<String>) -> Result<(), KeyValueError>;

    /// Keys after `cursor` (`None`: from the start), a page of them, and where the next begins if there is one. A key
    /// that is there all the while comes exactly once.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn list(&self, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError>;

    /// Adds to a number, which is kept as decimal text and is 0 if it is not there. The sum.
    ///
    /// # Errors
    /// [`KeyValueError`]; [`KeyValueError::Refused`] also if the value is not a number, or the sum too large.
    async fn increment(&self, key: String, delta: i64) -> Result<i64, KeyValueError>;

    /// Sets a value if the one that is there is still `current` (`None`: there is none). Whether it was.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn swap(
        &self,
        key: String,
        current: Option<Bytes>,
        new: Bytes,
    ) -> Result<bool, KeyValueError>;
}

/// Why a bucket could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// The guest asked for what can't be had: a sentence for its author.
    #[error("{0}")]
    Refused(String),
    /// The store failed. What is wrong is the operator's to know, and was logged; safe to try again.
    #[error("the store can't be used now")]
    Unavailable,
}

/// The buckets of one function.
#[derive(Clone, Default)]
pub struct KeyValueGrant {
    /// By the name by which the guest opens them. `""` is the one that it opens without a name.
    pub buckets: BTreeMap<String, Arc<dyn KeyValue>>,
}

impl std::fmt::Debug for KeyValueGrant {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.buckets.keys()).finish()
    }
}
