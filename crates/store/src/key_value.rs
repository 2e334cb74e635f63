//! What every store of keys and values promises. It is apart from [`crate::contract`]: what functions keep is not
//! loaded into memory, may be far larger than what the control plane keeps, and must not make that wait.

use async_trait::async_trait;
use hearth_types::name::{AccountId, FunctionKey};
use hearth_types::time::Timestamp;

use crate::contract::StoreError;

/// Longest key, bytes. As Workers KV has it.
pub const KEY_BYTES: usize = 512;

/// Largest value, bytes. As Workers KV has it.
pub const VALUE_BYTES: usize = 25 << 20;

/// Largest metadata of a value, bytes. As Workers KV has it.
pub const METADATA_BYTES: usize = 1024;

/// Most keys of one call, and most of one page of a list. As Workers KV has it for lists.
pub const MOST_KEYS: usize = 1000;

/// Most bytes of values of one call: one value of the largest size, and some.
pub const CALL_BYTES: usize = 32 << 20;

/// What an entry counts besides its key, its value and its metadata, bytes: that there is an end to empty values, too.
/// About what SQLite keeps of a row and its places in indexes.
pub const ENTRY_BYTES: u64 = 64;

/// Keys and values in buckets. Implementation: [`crate::sqlite::SqliteKeyValueStore`]; PostgreSQL for a cluster plugs
/// in here.
///
/// Each call is atomic, and what is answered is on disk (after the covering fsync) and seen by every later call. A
/// bucket is there when it is first written to. An entry that has expired is not there.
///
/// Cancel safety of what writes: a dropped future leaves it open whether it was done; it is never half done.
#[async_trait]
pub trait KeyValueStore: Send + Sync + 'static {
    /// The values of up to [`MOST_KEYS`] keys as of one moment, in their order; together up to [`CALL_BYTES`].
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn get(
        &self,
        bucket: &BucketId,
        keys: Vec<String>,
    ) -> Result<Vec<Option<Value>>, KeyValueError>;

    /// Whether a key has a value.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn exists(&self, bucket: &BucketId, key: String) -> Result<bool, KeyValueError>;

    /// Up to `limit` keys whose position is after `after`, in order of position (`None`: from the start). A key keeps
    /// its position for as long as it has a value, and no position is used again: over several pages a key that is
    /// there all the while comes exactly once.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn list(
        &self,
        bucket: &BucketId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page, KeyValueError>;

    /// Up to `limit` keys that begin with `prefix` and come after `after` (`None`: from the first), by the bytes of their
    /// names.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn list_by_name(
        &self,
        bucket: &BucketId,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<NamePage, KeyValueError>;

    /// Applies up to [`MOST_KEYS`] writes in order, all or none.
    ///
    /// # Errors
    /// [`KeyValueError`]; nothing was applied.
    async fn write(&self, bucket: &BucketId, writes: Vec<Write>) -> Result<(), KeyValueError>;

    /// Adds to a number, which is decimal text, and 0 if there is no value. The sum. Metadata and expiry stay.
    ///
    /// # Errors
    /// [`KeyValueError`]; [`KeyValueError::Refused`] also if the value is no number, or the sum does not fit.
    async fn increment(
        &self,
        bucket: &BucketId,
        key: String,
        delta: i64,
    ) -> Result<i64, KeyValueError>;

    /// Sets a value if its bytes are still `current` (`None`: there is no value). Whether they were. Metadata and
    /// expiry stay.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn swap(
        &self,
        bucket: &BucketId,
        key: String,
        current: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, KeyValueError>;

    /// Removes a bucket with all that is in it. One that is not there is no error.
    ///
    /// # Errors
    /// [`KeyValueError`].
    async fn remove(&self, bucket: &BucketId) -> Result<(), KeyValueError>;
}

/// Which bucket: a function's own, or one that functions of an account share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketId {
    account: AccountId,
    /// Begins with what kind it is: names of different kinds are never the same.
    name: String,
}

impl BucketId {
    /// A function's own.
    #[must_use]
    pub fn of_function(function: &FunctionKey) -> Self {
        Self {
            account: function.account.clone(),
            name: format!("function:{}:{}", function.region, function.name),
        }
    }

    /// One of an account, by its name.
    #[must_use]
    pub fn shared(account: AccountId, name: &str) -> Self {
        Self {
            account,
            name: format!("shared:{name}"),
        }
    }

    /// One of the platform's own beside an account's: no function can name it.
    #[must_use]
    pub fn platform(account: AccountId, name: &str) -> Self {
        Self {
            account,
            name: format!("platform:{name}"),
        }
    }

    /// The owner.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The name within the account, as it is stored.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A value with what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Up to [`VALUE_BYTES`].
    pub bytes: Vec<u8>,
    /// What its writer says of it; up to [`METADATA_BYTES`].
    pub metadata: Option<String>,
    /// When it is there no more.
    pub expires: Option<Timestamp>,
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets the value of a key, in place of what was there.
    Set {
        /// 1 to [`KEY_BYTES`] bytes.
        key: String,
        /// Its value from now on.
        value: Value,
    },
    /// Removes a key's value, if there is one.
    Delete {
        /// Which.
        key: String,
    },
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys.
    pub keys: Vec<String>,
    /// After which position the next page begins; `None`: this was the last.
    pub next: Option<u64>,
}

/// A part of a list by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamePage {
    /// Keys with what is known of their values.
    pub keys: Vec<Listed>,
    /// Whether there are more after the last of them.
    pub more: bool,
}

/// A key in a list by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// What its writer says of the value.
    pub metadata: Option<String>,
    /// When it is there no more.
    pub expires: Option<Timestamp>,
}

/// Why a store of keys and values could not do it.
#[derive(Debug, thiserror::Error)]
pub enum KeyValueError {
    /// The caller asked for what can't be had: a sentence for it.
    #[error("{0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks one key.
///
/// # Errors
/// [`KeyValueError::Refused`].
pub(crate) fn check_key(key: &str) -> Result<(), KeyValueError> {
    match key.len() {
        1..=KEY_BYTES => Ok(()),
        0 => Err(refused("a key can't be empty")),
        length => Err(refused(format!(
            "a key of {length} bytes is too long; a key has up to {KEY_BYTES}"
        ))),
    }
}

/// Checks what can be checked of a value by itself.
///
/// # Errors
/// [`KeyValueError::Refused`].
pub(crate) fn check_value(value: &Value) -> Result<(), KeyValueError> {
    if value.bytes.len() > VALUE_BYTES {
        return Err(refused(format!(
            "a value of {} bytes is too large; a value has up to {VALUE_BYTES}",
            value.bytes.len()
        )));
    }
    if value
        .metadata
        .as_ref()
        .is_some_and(|m| m.len() > METADATA_BYTES)
    {
        return Err(refused(format!(
            "metadata has up to {METADATA_BYTES} bytes"
        )));
    }
    Ok(())
}

/// Checks how many keys a call is about.
///
/// # Errors
/// [`KeyValueError::Refused`].
pub(crate) fn check_count(keys: usize) -> Result<(), KeyValueError> {
    if keys > MOST_KEYS {
        return Err(refused(format!(
            "{keys} keys are too many for one call; it takes up to {MOST_KEYS}"
        )));
    }
    Ok(())
}

/// Checks how many bytes of values a call is about.
///
/// # Errors
/// [`KeyValueError::Refused`].
pub(crate) fn check_bytes(bytes: usize) -> Result<(), KeyValueError> {
    if bytes > CALL_BYTES {
        return Err(refused(format!(
            "the values of one call have up to {CALL_BYTES} bytes together; use several calls"
        )));
    }
    Ok(())
}

pub(crate) fn refused(why: impl Into<String>) -> KeyValueError {
    KeyValueError::Refused(why.into())
}
