//! What is kept of storage events: which bucket notifies whom, what was known of a bucket's objects, and notifications on
//! their way.
//!
//! What is known of an object and the notifications of its change are one transaction: a change is either found again, or
//! on its way. What a notification does elsewhere (an event, a message) is made once by its
//! [`Once`](crate::once::Once). What a change is, and whom it concerns, the store does not know.
//!
//! [`crate::sqlite::SqliteStorageStore`] is the store of one node.

use hearth_types::name::{AccountId, BucketName, Region};
use hearth_types::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contract::StoreError;

/// The name of a notification: whose it is, where, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationId {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The name within both.
    pub name: String,
}

/// Which events of a bucket are told to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationSettings {
    /// The bucket, as the node's configuration names it.
    pub bucket: BucketName,
    /// Kinds of events, as S3 writes them: `s3:ObjectCreated:*`.
    pub events: Vec<String>,
    /// What keys begin with.
    pub prefix: String,
    /// What keys end with.
    pub suffix: String,
    /// The function or queue.
    pub target: String,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its name.
    pub id: NotificationId,
    /// What is set.
    pub settings: NotificationSettings,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed.
    pub modified: Timestamp,
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownObject {
    /// Its key.
    pub key: String,
    /// What is another after each change of it.
    pub stamp: String,
}

/// A change of an object, and who is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectChange {
    /// The object's key.
    pub key: String,
    /// What is known of it from now on.
    pub knowledge: Knowledge,
    /// Who is told.
    pub deliveries: Vec<NewDelivery>,
}

/// What a change does to what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// The object is there, with this stamp.
    There(String),
    /// It is not there any more.
    Gone,
    /// Others keep that. A change with this mark is taken in once, until then.
    Elsewhere {
        /// What tells the change from all others of the bucket.
        mark: [u8; 32],
        /// For how long it is remembered.
        until: Timestamp,
    },
}

/// A notification for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// The function or queue.
    pub target: String,
    /// The record, as JSON.
    pub record: String,
}

/// A notification on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its number, never given twice.
    pub number: i64,
    /// What, and to whom.
    pub told: NewDelivery,
    /// When it was taken in.
    pub accepted: Timestamp,
    /// Attempts that have failed.
    pub failed: u32,
}

/// Why a store of storage events could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StorageStoreError {
    /// There are as many as there may be.
    #[error("there are as many as there may be")]
    Full,
    /// There is no such thing.
    #[error("it does not exist")]
    Missing,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
