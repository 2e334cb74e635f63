//! The handle: whom changes concern, and taking them in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_store::storage::{
    Knowledge, NewDelivery, Notification, NotificationId, ObjectChange, StorageStoreError,
};
use hearth_store::{SqliteStorageStore, StoreError};
use hearth_types::name::BucketName;
use hearth_types::time::Timestamp;
use serde_json::{Value, json};

use crate::difference::Change;
use crate::{Clock, record, rule};

/// Most changes that are taken in with one transaction: bounds memory, and how long others wait for it.
const TOGETHER: usize = 256;

/// What [`Storage`] works with.
#[derive(Clone)]
pub struct Options {
    /// The buckets of the node; with a token, those for which others notify.
    pub buckets: BTreeMap<BucketName, Option<String>>,
    /// Functions that may be told.
    pub registry: Registry,
    /// Queues that may be told.
    pub queues: Queues,
    /// The time.
    pub clock: Clock,
}

/// Storage events. Cheap to clone.
#[derive(Clone)]
pub struct Storage(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: SqliteStorageStore,
    pub(crate) options: Options,
    /// What the store has: changes look here.
    pub(crate) notifications: RwLock<BTreeMap<NotificationId, Arc<Notification>>>,
    /// One change of the notifications at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
    changes: AtomicU64,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").finish_non_exhaustive()
    }
}

impl Storage {
    /// Reads the notifications of `store`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(store: SqliteStorageStore, options: Options) -> Result<Self, StoreError> {
        let notifications = store.notifications().await?;
        let notifications = notifications
            .into_iter()
            .map(|one| (one.id.clone(), Arc::new(one)))
            .collect();
        Ok(Self(Arc::new(Inner {
            store,
            options,
            notifications: RwLock::new(notifications),
            changing: tokio::sync::Mutex::default(),
            changes: AtomicU64::new(0),
        })))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0.options.clock)()
    }

    /// The names of the node's buckets.
    pub fn buckets(&self) -> BTreeSet<&BucketName> {
        self.0.options.buckets.keys().collect()
    }

    /// What orders changes: it rises from one to the next, and over restarts.
    fn sequencer(&self) -> String {
        let change = self.0.changes.fetch_add(1, Ordering::Relaxed);
        format!("{:08X}{change:012X}", self.0.store.opening())
    }

    /// The notifications that an event (without `s3:`) of a key concerns, each with `record`.
    pub(crate) fn deliveries(
        &self,
        bucket: &BucketName,
        event: &str,
        key: &str,
        record: &Value,
    ) -> Vec<NewDelivery> {
        let notifications = &self.0.notifications;
        let notifications = notifications.read().unwrap_or_else(PoisonError::into_inner);
        notifications
            .values()
            .filter(|one| one.settings.bucket == *bucket)
            .filter(|one| rule::concerns(&one.settings, event, key))
            .map(|one| {
                let mut record = record.clone();
                record["awsRegion"] = json!(one.id.region);
                record["s3"]["configurationId"] = json!(one.id.name);
                NewDelivery {
                    target: one.settings.target.clone(),
                    record: record.to_string(),
                }
            })
            .collect()
    }

    /// Takes in what a look has found. What was taken in before an error is known, and not found again.
    ///
    /// # Errors
    /// Those of the store, `Full` among them: nothing more can be told now.
    pub(crate) async fn take(
        &self,
        bucket: &BucketName,
        changes: Vec<Change>,
    ) -> Result<(), StorageStoreError> {
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let now = self.now();
            let part = changes.by_ref().take(TOGETHER).map(|change| {
                let record = record::of(bucket, &change.key, &change.what, &self.sequencer(), now);
                let event = change.what.event();
                ObjectChange {
                    deliveries: self.deliveries(bucket, event, &change.key, &record),
                    key: change.key,
                    knowledge: change.stamp.map_or(Knowledge::Gone, Knowledge::There),
                }
            });
            let part = part.collect();
            self.0.store.note(bucket, part, now).await?;
        }
        Ok(())
    }
}
