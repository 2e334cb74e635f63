//! A bucket of an object store, which is listed from time to time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use hearth_types::name::BucketName;
use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;

use crate::Storage;
use crate::difference::{Found, Seen};
use crate::look;

/// Finds what changes in a bucket by listing it.
pub struct Listing {
    /// Where changes go.
    pub storage: Storage,
    /// The bucket's name.
    pub bucket: BucketName,
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
    /// Time between two listings.
    pub interval: Duration,
    /// More objects than this are not followed.
    pub most_objects: usize,
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing")
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

impl Listing {
    /// Works until it is stopped. Dropping the future is like a kill.
    pub async fn run(self, stop: CancellationToken) {
        let work = async {
            let mut interval = tokio::time::interval(self.interval);
            // A listing that takes longer than the interval is not followed by another at once.
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                if let Err(error) = self.look().await {
                    tracing::error!(bucket = %self.bucket, error, "look what has changed in a bucket");
                }
            }
        };
        stop.run_until_cancelled(work).await;
    }

    async fn look(&self) -> Result<(), String> {
        let seen = self.list().await?;
        let whole = [String::new()];
        let changes = self.storage.changes(&self.bucket, &whole, seen).await?;
        let taken = self.storage.take(&self.bucket, changes).await;
        taken.map_err(look::untaken)
    }

    /// A listing that ends early is none: what it lacks would seem to be removed.
    async fn list(&self) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let mut objects = self.store.list(None);
        while let Some(object) = objects
            .try_next()
            .await
            .map_err(|error| error.to_string())?
        {
            if seen.objects.len() >= self.most_objects {
                return Err(look::too_many(&self.bucket, self.most_objects));
            }
            let modified = object.last_modified.timestamp_micros();
            let etag = object.e_tag.unwrap_or_default();
            let etag = etag.trim_matches('"').to_owned();
            let found = Found {
                stamp: format!("{etag}/{modified}/{}", object.size),
                size: object.size,
                etag,
            };
            seen.objects.insert(object.location.to_string(), found);
        }
        Ok(seen)
    }
}
