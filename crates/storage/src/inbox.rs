//! Notifications that others send: MinIO, Ceph, or whoever forwards those of S3.
//!
//! All write S3's records: MinIO beside members of its own, with `s3:` before an event's name and with escaped slashes; Ceph
//! with keys that are not escaped (`rgw_pubsub.h`, `rgw_notify.cc`). A record is taken in once.

use hearth_store::storage::{Knowledge, ObjectChange, StorageStoreError};
use hearth_types::error::ThrottleReason;
use hearth_types::name::BucketName;
use hearth_types::time::Timestamp;
use hearth_types::{ApiError, ErrorKind};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{Storage, operations, record};

/// Most bytes of a request: MinIO sends one record, S3 and Ceph a few of about a kilobyte.
pub const BODY_BYTES: usize = 1 << 20;
/// Most records of a request.
const RECORDS: usize = 1_000;
/// Most bytes of a record that is passed on: a queue's message has 256 KiB.
const RECORD_BYTES: usize = 128 << 10;
/// Who sends keys as they are (`eventSource`).
const CEPH: &str = "ceph:s3";
/// For how long a record is remembered: senders try again within hours.
const REMEMBERED_MS: i64 = 86_400_000;

impl Storage {
    /// Whether `token` is the one of a bucket for which others notify.
    ///
    /// # Errors
    /// [`AccessDenied`](ErrorKind::AccessDenied), also if there is no such bucket.
    pub fn admit(&self, bucket: &str, token: &str) -> Result<BucketName, ApiError> {
        let found = bucket.parse().ok().and_then(|name: BucketName| {
            let expected = self.0.options.buckets.get(&name)?.as_ref()?;
            // Of equal length, so that time tells nothing of where they differ.
            let (given, expected) = (Sha256::digest(token), Sha256::digest(expected));
            bool::from(given.ct_eq(&expected)).then_some(name)
        });
        found.ok_or_else(|| {
            ApiError::new(
                ErrorKind::AccessDenied,
                "The bucket takes no notifications with this token. Send the one of storage.buckets in the node's \
                 configuration as Authorization: Bearer.",
            )
        })
    }

    /// Takes in what a request tells of a bucket, all or nothing; how many records it has.
    ///
    /// # Errors
    /// [`InvalidParameterValue`](ErrorKind::InvalidParameterValue) if it can't be read,
    /// [`TooManyRequests`](ErrorKind::TooManyRequests) if too much is on its way; those of the store.
    pub async fn receive(&self, bucket: &BucketName, body: &[u8]) -> Result<usize, ApiError> {
        let unreadable = |why: &str| {
            ApiError::invalid(format!(
                "The notification can't be read: {why}. Send what S3, MinIO or Ceph send."
            ))
        };
        let body: Value =
            serde_json::from_slice(body).map_err(|error| unreadable(&error.to_string()))?;
        let Value::Object(mut body) = body else {
            return Err(unreadable("it is no JSON object"));
        };
        let records = match body.remove("Records") {
            // S3's test message, or a question whether anybody listens.
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(records)) if records.len() <= RECORDS => records,
            Some(Value::Array(_)) => return Err(unreadable("it has more than 1000 records")),
            Some(_) => return Err(unreadable("Records is no list")),
        };
        let now = self.now();
        let until = Timestamp::from_millis(now.as_millis().saturating_add(REMEMBERED_MS));
        let count = records.len();
        let changes = records.into_iter().map(|record| {
            let told = Told::read(record, bucket).ok_or_else(|| {
                unreadable("a record needs eventName and s3.object.key, and may have 128 KiB")
            })?;
            Ok(ObjectChange {
                deliveries: self.deliveries(bucket, &told.event, &told.key, &told.record),
                knowledge: Knowledge::Elsewhere {
                    mark: told.mark(),
                    until,
                },
                key: told.key,
            })
        });
        let changes = changes.collect::<Result<Vec<_>, ApiError>>()?;
        match self.0.store.note(bucket, changes, now).await {
            Ok(()) => Ok(count),
            Err(StorageStoreError::Full) => Err(ApiError {
                message: "As many notifications are on their way as may be. Send it again later."
                    .into(),
                ..ApiError::throttled(ThrottleReason::CallerRateLimitExceeded)
            }),
            Err(error) => Err(operations::refusal(error)),
        }
    }
}

/// A record that somebody has sent.
struct Told {
    event: String,
    key: String,
    record: Value,
}

impl Told {
    fn read(mut record: Value, bucket: &BucketName) -> Option<Self> {
        if record.to_string().len() > RECORD_BYTES {
            return None;
        }
        let event = record.get("eventName")?.as_str()?;
        let event = event.strip_prefix("s3:").unwrap_or(event).to_owned();
        let key = record.pointer("/s3/object/key")?.as_str()?;
        let key = match record.get("eventSource").and_then(Value::as_str) {
            Some(CEPH) => key.to_owned(),
            _ => record::unescaped(key)?,
        };
        if key.is_empty() || !record.get("s3")?.is_object() {
            return None;
        }
        record["eventName"] = Value::from(event.as_str());
        // As S3 writes it, whoever has sent it: functions need not know.
        record["s3"]["object"]["key"] = Value::from(record::escaped(&key));
        // The name that it has here: functions that answer ask for the object by it.
        if !record.pointer("/s3/bucket").is_some_and(Value::is_object) {
            record["s3"]["bucket"] = serde_json::json!({});
        }
        record["s3"]["bucket"]["name"] = Value::from(bucket.as_str());
        record["s3"]["bucket"]["arn"] = Value::from(format!("arn:aws:s3:::{bucket}"));
        Some(Self { event, key, record })
    }

    /// What tells the change from all others: the order of changes of the key if the sender gives it, else content and time.
    fn mark(&self) -> [u8; 32] {
        let object = |member: &str| {
            let object = self.record.pointer("/s3/object");
            let value = object.and_then(|object| object.get(member));
            value.map(Value::to_string).unwrap_or_default()
        };
        let sequencer = object("sequencer");
        let moment = match sequencer.as_str() {
            "" | "null" | "\"\"" => {
                let time = self.record.get("eventTime").map(Value::to_string);
                time.unwrap_or_default()
            }
            _ => sequencer,
        };
        let mut digest = Sha256::new();
        for part in [
            &self.event,
            &self.key,
            &moment,
            &object("eTag"),
            &object("versionId"),
        ] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}
