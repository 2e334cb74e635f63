//! Storage events on one node: a SQLite database of its own beside the control plane's.
//!
//! One thread ([`group`](super::group)) writes: what is due at the same moment shares transactions and fsyncs. What only
//! asks goes beside it.

mod rows;

use std::path::Path;

use hearth_types::name::BucketName;
use hearth_types::time::Timestamp;
use tokio::sync::futures::Notified;

use super::deliveries;
use super::due::DueFile;
use super::file::{self, Kind};
use crate::contract::StoreError;
use crate::storage::{
    Delivery, Knowledge, KnownObject, Notification, NotificationId, ObjectChange, StorageStoreError,
};

/// The file.
const KIND: Kind = Kind {
    // `HrSt`
    application_id: 0x4872_5374,
    migrations: &[include_str!("schema.sql")],
    of: "storage events",
    // As for events.
    checkpoint_pages: 4096,
};

/// Bounds of a [`SqliteStorageStore`].
#[derive(Clone, Copy, Debug)]
pub struct StorageBounds {
    /// Most notifications of the node: all are in memory, and each is asked for each change.
    pub notifications: u64,
    /// Most notifications on their way: some gigabyte of disk at most, as records are a kilobyte.
    pub deliveries: u64,
}

impl Default for StorageBounds {
    fn default() -> Self {
        Self {
            notifications: 1_000,
            deliveries: 1_000_000,
        }
    }
}

/// Storage events in one SQLite database file.
///
/// Each call is atomic, and what is answered is on disk (after the covering fsync) and seen by every later call. A
/// dropped future leaves it open whether it was done; it is never half done.
///
/// One process at a time: that is seen to by [`crate::SqliteStore`] in the same folder, which is opened first.
#[derive(Debug)]
pub struct SqliteStorageStore {
    file: DueFile,
    bounds: StorageBounds,
    opening: u32,
}

impl SqliteStorageStore {
    /// Opens the database at `path`, or makes it (its folder must be there; readable by its owner alone).
    ///
    /// # Errors
    /// As [`crate::SqliteStore::open`], also when transactions that were answered are missing; damage inside is found
    /// when it is met.
    pub fn open(path: impl AsRef<Path>, bounds: StorageBounds) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let connection = file::open(path, &KIND)?;
        let opening = rows::open(&connection)?;
        Ok(Self {
            file: DueFile::start(path, connection, "hearth-storage")?,
            bounds,
            opening,
        })
    }

    /// How often the file was opened, this time included: it rises with each start.
    pub fn opening(&self) -> u32 {
        self.opening
    }

    /// All notifications.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn notifications(&self) -> Result<Vec<Notification>, StoreError> {
        self.file
            .read(|connection| rows::notifications(connection))
            .await
    }

    /// Makes a notification, or puts it in the place of the one with its name.
    ///
    /// # Errors
    /// [`StorageStoreError`]: `Full`, or the store's.
    pub async fn put_notification(
        &self,
        notification: Notification,
    ) -> Result<(), StorageStoreError> {
        let most = self.bounds.notifications;
        self.file
            .write(0, move |work| {
                // Another of its name makes room for it.
                rows::delete_notification(work.connection, &notification.id)?;
                if rows::count_notifications(work.connection)? >= most {
                    return Ok(Err(StorageStoreError::Full));
                }
                rows::put_notification(work.connection, &notification)?;
                Ok(Ok(()))
            })
            .await?
    }

    /// Removes a notification. What is on its way stays so.
    ///
    /// # Errors
    /// [`StorageStoreError`]: `Missing`, or the store's.
    pub async fn delete_notification(&self, id: NotificationId) -> Result<(), StorageStoreError> {
        self.file
            .write(0, move |work| {
                let was_there = rows::delete_notification(work.connection, &id)?;
                Ok(was_there.then_some(()).ok_or(StorageStoreError::Missing))
            })
            .await?
    }

    /// What is known of the object with the key `at`, and of those under it as a folder, by key; of all if it is empty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn objects(
        &self,
        bucket: &BucketName,
        at: &str,
    ) -> Result<Vec<KnownObject>, StoreError> {
        let (bucket, at) = (bucket.clone(), at.to_owned());
        self.file
            .read(move |connection| rows::objects(connection, &bucket, &at))
            .await
    }

    /// How many objects of a bucket are known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_objects(&self, bucket: &BucketName) -> Result<usize, StoreError> {
        let bucket = bucket.clone();
        self.file
            .read(move |connection| rows::count_objects(connection, &bucket))
            .await
    }

    /// Takes changes in: what is known of the objects from now on, and who is told.
    ///
    /// # Errors
    /// [`StorageStoreError`]: `Full` if more notifications would be on their way than may be, or the store's. Nothing was
    /// taken in.
    pub async fn note(
        &self,
        bucket: &BucketName,
        changes: Vec<ObjectChange>,
        now: Timestamp,
    ) -> Result<(), StorageStoreError> {
        let (bucket, most) = (bucket.clone(), self.bounds.deliveries);
        let told = || changes.iter().flat_map(|change| &change.deliveries);
        let (count, bytes) = (
            told().count(),
            told().map(|one| one.record.len()).sum::<usize>(),
        );
        self.file
            .write(bytes, move |work| {
                let connection = work.connection;
                let waiting = rows::count_deliveries(connection)?;
                if count > 0 && waiting.saturating_add(count as u64) > most {
                    return Ok(Err(StorageStoreError::Full));
                }
                for change in &changes {
                    let is_new = match &change.knowledge {
                        Knowledge::There(stamp) => {
                            rows::put_object(connection, &bucket, &change.key, stamp)?;
                            true
                        }
                        Knowledge::Gone => {
                            rows::delete_object(connection, &bucket, &change.key)?;
                            true
                        }
                        Knowledge::Elsewhere { mark, until } => {
                            rows::note(connection, &bucket, mark, *until, now)?
                        }
                    };
                    for delivery in change.deliveries.iter().filter(|_| is_new) {
                        rows::insert_delivery(connection, delivery, now)?;
                    }
                }
                if count > 0 {
                    work.due_changed();
                }
                Ok(Ok(()))
            })
            .await?
    }

    /// Notifications that are due, first those that are due first. One that is not what was taken in has only its number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Result<Delivery, i64>>, StoreError> {
        self.file
            .read(move |connection| rows::due(connection, now, limit))
            .await
    }

    /// When the next notification is due.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.file
            .read(|connection| deliveries::next_due(connection))
            .await
    }

    /// Settles attempts: a notification is due again, or done with.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle(&self, ends: Vec<(i64, Option<Timestamp>)>) -> Result<(), StoreError> {
        self.file
            .write(0, move |work| {
                for (number, again) in &ends {
                    match again {
                        Some(due) => deliveries::put_off(work.connection, *number, *due)?,
                        None => deliveries::delete(work.connection, *number)?,
                    }
                }
                Ok(())
            })
            .await
    }

    /// Waits for a change that may make something due earlier. Made before looking, it misses nothing.
    pub fn changed(&self) -> Notified<'_> {
        self.file.changed()
    }
}
