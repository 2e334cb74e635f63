//! Which bucket notifies whom, as Hearth's own API shows it: members as S3's `PutBucketNotificationConfiguration` names them.
//!
//! Unknown members are errors: a misspelt filter must not let everything through.

use serde::{Deserialize, Serialize};

/// A notification: the body of `PUT`, and every answer about one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Notification {
    /// Its name; in a request it may be left to the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The bucket, as the node's configuration names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Kinds of events: `s3:ObjectCreated:*`, `s3:ObjectRemoved:Delete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// Which keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// The function or queue that is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_arn: Option<String>,
    /// When it was made; passed over in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<String>,
    /// When it was changed; passed over in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_time: Option<String>,
}

/// Which keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Filter {
    /// Rules about the key.
    pub key: KeyFilter,
}

/// Rules about the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct KeyFilter {
    /// At most one of each name.
    pub filter_rules: Vec<FilterRule>,
}

/// A rule about the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct FilterRule {
    /// `prefix` or `suffix`.
    pub name: String,
    /// What the key begins or ends with.
    pub value: String,
}

/// Answer of `GET` without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListNotificationsResponse {
    /// All that there are.
    pub notifications: Vec<Notification>,
}
