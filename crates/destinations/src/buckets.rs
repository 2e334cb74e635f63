//! To object storage: an object for each record.

use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::message::Message;

/// Time for one object: as long as a request to S3 may be tried again by its client (`object_store`, `RetryConfig`: 3
/// minutes).
const TIME: Duration = Duration::from_secs(180);

/// Writes the message; it is safe when this answers. Told again, it is the same object.
///
/// # Errors
/// If the store does not take it.
pub(crate) async fn put(bucket: &dyn ObjectStore, message: &Message) -> Result<(), String> {
    let path = path(message);
    match tokio::time::timeout(TIME, bucket.put(&path, message.body.clone().into())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            // What it says may name folders and addresses of the operator's.
            tracing::info!(%error, %path, "write a record to a bucket");
            Err("The bucket does not take the record; the node's log says why.".to_owned())
        }
        Err(_) => Err("The bucket did not answer in time.".to_owned()),
    }
}

/// The name of the object, by the convention of the guide ("Adding a destination", S3):
/// `aws/lambda/<folder>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<UUID>`.
fn path(message: &Message) -> Path {
    let moment = message.at.to_iso_string();
    // 2026-01-02T03:04:05.678Z
    let (seconds, _) = moment.split_at(19);
    let (date, _) = moment.split_at(10);
    Path::from(format!(
        "aws/lambda/{}/{}/{}-{}",
        message.folder,
        date.replace('-', "/"),
        seconds.replace(':', "."),
        message.id
    ))
}

#[cfg(test)]
mod tests {
    use hearth_events::destinations::Form;
    use object_store::local::LocalFileSystem;

    use super::*;
    use crate::message::tests::{end, event, message};

    #[tokio::test]
    async fn a_record_is_an_object_under_the_functions_name() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = LocalFileSystem::new_with_prefix(folder.path())
            .unwrap()
            .with_fsync(true);
        let (event, end) = (event(), end());
        let message = message(&event, &end, Form::Record);
        // Twice, as after a node's end.
        for _ in 0..2 {
            put(&bucket, &message).await.unwrap();
        }
        let day = folder.path().join("aws/lambda/async/broken/2026/01/02");
        let names: Vec<_> = std::fs::read_dir(&day)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names, [format!("2026-01-02T03.04.05-{}", message.id)]);
        let text = std::fs::read(day.join(&names[0])).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
        assert_eq!(record["requestPayload"]["n"], 1);
    }

    #[tokio::test]
    async fn a_bucket_that_can_not_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("aws"), "a file in the way").unwrap();
        let bucket = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        let (event, end) = (event(), end());
        let error = put(&bucket, &message(&event, &end, Form::Record)).await;
        let path = folder.path().to_str().unwrap();
        assert!(
            !error.unwrap_err().contains(path),
            "tells nothing of the host"
        );
    }
}
