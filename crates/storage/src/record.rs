//! How S3 writes a change (S3 user guide, "Event message structure").

use hearth_types::name::BucketName;
use hearth_types::time::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// What stays as it is in a key: as in forms, and slashes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b'/')
    .remove(b' ');

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is there, for the first time or with another content.
    Created {
        /// Bytes.
        size: u64,
        /// What tells contents apart.
        etag: String,
    },
    /// It is not there any more.
    Removed,
}

impl What {
    /// The event's name.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Created { .. } => "ObjectCreated:Put",
            Self::Removed => "ObjectRemoved:Delete",
        }
    }
}

/// A key as records have it: escaped as in forms.
pub fn escaped(key: &str) -> String {
    utf8_percent_encode(key, ESCAPED)
        .to_string()
        .replace(' ', "+")
}

/// A key of a record, as the bucket has it; `None` if it is no text.
pub fn unescaped(key: &str) -> Option<String> {
    let spaced = key.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
    Some(decoded.ok()?.into_owned())
}

/// A record without what is the notification's: its name and its region.
pub fn of(bucket: &BucketName, key: &str, what: &What, sequencer: &str, now: Timestamp) -> Value {
    let mut object = json!({ "key": escaped(key), "sequencer": sequencer });
    if let What::Created { size, etag } = what {
        object["size"] = json!(size);
        object["eTag"] = json!(etag);
    }
    json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "",
        "eventTime": now.to_iso_string(),
        "eventName": what.event(),
        "userIdentity": { "principalId": "hearth" },
        "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": sequencer, "x-amz-id-2": "hearth" },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "",
            "bucket": {
                "name": bucket,
                "ownerIdentity": { "principalId": "hearth" },
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": object,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_as_in_forms_and_read_back() {
        for (key, shown) in [
            ("a/b c+d.png", "a/b+c%2Bd.png"),
            ("ü(1)~*.txt", "%C3%BC%281%29%7E*.txt"),
            ("100%", "100%25"),
        ] {
            assert_eq!(escaped(key), shown);
            assert_eq!(unescaped(shown).as_deref(), Some(key));
        }
        assert_eq!(unescaped("%FF"), None);
    }

    #[test]
    fn a_removed_object_has_neither_size_nor_etag() {
        let bucket = "photos".parse().unwrap();
        let record = of(
            &bucket,
            "a",
            &What::Removed,
            "01",
            Timestamp::from_millis(0),
        );
        assert_eq!(
            record["s3"]["object"],
            json!({ "key": "a", "sequencer": "01" })
        );
        assert_eq!(record["eventName"], "ObjectRemoved:Delete");
    }
}
