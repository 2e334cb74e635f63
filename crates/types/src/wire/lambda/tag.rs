//! Tags.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Body of `TagResource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TagResourceRequest {
    /// Tags to add or replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// Answer of `ListTags`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListTagsResponse {
    /// All tags.
    pub tags: BTreeMap<String, String>,
}
