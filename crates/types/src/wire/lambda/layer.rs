//! Layers.

use serde::{Deserialize, Serialize};

use super::{Blob, structure};

/// `LayerVersionContentInput`: where the layer's package comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LayerVersionContentInput {
    /// The package itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip_file: Option<Blob>,
    /// A bucket that holds the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_bucket: Option<String>,
    /// The package's key in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_key: Option<String>,
    /// The version of that object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_object_version: Option<String>,
    /// `COPY` or `REFERENCE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_object_storage_mode: Option<String>,
}

/// Body of `PublishLayerVersion`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PublishLayerVersionRequest {
    /// The package.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub content: Option<LayerVersionContentInput>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Processors that it is said to be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatible_architectures: Option<Vec<String>>,
    /// Runtimes that it is said to be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatible_runtimes: Option<Vec<String>>,
    /// Its licence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_info: Option<String>,
}

/// `LayerVersionContentOutput`: where the layer's package can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayerVersionContentOutput {
    /// A link that needs no credentials, for ten minutes.
    pub location: String,
    /// Digest of the zip, in base64.
    pub code_sha256: String,
    /// Size of the zip, bytes.
    pub code_size: u64,
}

/// Answer of `PublishLayerVersion`, `GetLayerVersion` and `GetLayerVersionByArn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayerVersionResponse {
    /// The package.
    pub content: LayerVersionContentOutput,
    /// The layer's ARN.
    pub layer_arn: String,
    /// The version's ARN.
    pub layer_version_arn: String,
    /// Free text.
    pub description: String,
    /// `2026-01-02T03:04:05.678+0000`.
    pub created_date: String,
    /// The version's number.
    pub version: u64,
    /// Processors that it is said to be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatible_architectures: Option<Vec<String>>,
    /// Runtimes that it is said to be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatible_runtimes: Option<Vec<String>>,
    /// Its licence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_info: Option<String>,
}

/// One version of a layer in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayerVersionsListItem {
    /// The version's ARN.
    pub layer_version_arn: String,
    /// Its number.
    pub version: u64,
    /// Free text.
    pub description: String,
    /// `2026-01-02T03:04:05.678+0000`.
    pub created_date: String,
    /// Processors that it is said to be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatible_architectures: Option<Vec<String>>,
    /// Runtimes that it is said to be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatible_runtimes: Option<Vec<String>>,
    /// Its licence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_info: Option<String>,
}

/// One layer in a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayersListItem {
    /// Its name.
    pub layer_name: String,
    /// Its ARN.
    pub layer_arn: String,
    /// Its newest version that fits what was asked for.
    pub latest_matching_version: LayerVersionsListItem,
}

/// Answer of `ListLayers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListLayersResponse {
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// The page.
    pub layers: Vec<LayersListItem>,
}

/// Answer of `ListLayerVersions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListLayerVersionsResponse {
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// The page, newest first.
    pub layer_versions: Vec<LayerVersionsListItem>,
}
