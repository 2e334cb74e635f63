//! Where a function's code comes from, and where it can be fetched.

use serde::{Deserialize, Serialize};

use super::Blob;

/// `FunctionCode`: the source of a new function's code.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FunctionCode {
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
    /// A container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_uri: Option<String>,
    /// A key that encrypts the package.
    #[serde(rename = "SourceKMSKeyArn", skip_serializing_if = "Option::is_none")]
    pub source_kms_key_arn: Option<String>,
}

/// Body of `UpdateFunctionCode`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateFunctionCodeRequest {
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
    /// A container image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_uri: Option<String>,
    /// A key that encrypts the package.
    #[serde(rename = "SourceKMSKeyArn", skip_serializing_if = "Option::is_none")]
    pub source_kms_key_arn: Option<String>,
    /// The processor that it is built for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<String>>,
    /// Whether to publish a version of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<bool>,
    /// `LATEST_PUBLISHED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_to: Option<String>,
    /// Whether to check only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Only if this is the current revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
}

impl UpdateFunctionCodeRequest {
    /// Takes the source of the code out of the request.
    pub fn take_code(&mut self) -> FunctionCode {
        FunctionCode {
            zip_file: self.zip_file.take(),
            s3_bucket: self.s3_bucket.take(),
            s3_key: self.s3_key.take(),
            s3_object_version: self.s3_object_version.take(),
            s3_object_storage_mode: self.s3_object_storage_mode.take(),
            image_uri: self.image_uri.take(),
            source_kms_key_arn: self.source_kms_key_arn.take(),
        }
    }
}

/// `FunctionCodeLocation`: where the code can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionCodeLocation {
    /// `S3`.
    pub repository_type: String,
    /// A link that needs no credentials, for ten minutes.
    pub location: String,
}
