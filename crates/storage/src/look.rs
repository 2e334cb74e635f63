//! What every look at a bucket ends with: the difference to what is known.

use std::collections::BTreeMap;

use hearth_store::storage::StorageStoreError;
use hearth_types::name::BucketName;

use crate::Storage;
use crate::difference::{self, Change, Seen};

impl Storage {
    /// What `seen` says is another than what is known, of the objects at `places` and of those under them; the empty place
    /// is the whole bucket.
    ///
    /// # Errors
    /// What the operator is told.
    pub(crate) async fn changes(
        &self,
        bucket: &BucketName,
        places: &[String],
        seen: Seen,
    ) -> Result<Vec<Change>, String> {
        let mut known = BTreeMap::new();
        for at in places {
            let objects = self.0.store.objects(bucket, at).await;
            let objects = objects.map_err(|error| error.to_string())?;
            // Places may lie in each other.
            known.extend(objects.into_iter().map(|one| (one.key.clone(), one)));
        }
        let known: Vec<_> = known.into_values().collect();
        Ok(difference::between(&known, seen))
    }
}

/// What the operator is told if changes could not be taken in. Another look finds what is left.
pub(crate) fn untaken(error: StorageStoreError) -> String {
    match error {
        StorageStoreError::Full => {
            "as many notifications are on their way as may be; what has changed since is told once some have arrived"
                .to_owned()
        }
        error => error.to_string(),
    }
}

/// What the operator is told of a bucket with too many objects.
pub(crate) fn too_many(bucket: &BucketName, most: usize) -> String {
    format!(
        "it has more than {most} objects, and what changes is not told until it has fewer: remove some, or raise \
         storage.buckets.{bucket}.most_objects"
    )
}
