//! Where the bytes of a package come from.

use bytes::Bytes;
use hearth_code::Packages;
use hearth_types::ApiError;
use hearth_types::error::ErrorKind;
use hearth_types::function::Package;
use hearth_types::limits::{STORED_CODE_BYTES, ZIP_FILE_BYTES};
use hearth_types::wire::lambda::{FunctionCode, LayerVersionContentInput};

use crate::Scope;
use crate::snapshot::Snapshot;

/// One source of one package.
#[derive(Clone, Debug)]
pub(crate) enum CodeSource {
    /// The package itself.
    Zip(Bytes),
    /// An object of the configured object store.
    Object {
        bucket: String,
        key: String,
        version: Option<String>,
    },
}

impl CodeSource {
    /// The source that a request names.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameterValue`] if it names none, more than one, or one that can't be had;
    /// [`ErrorKind::RequestTooLarge`] for a zip over [`ZIP_FILE_BYTES`].
    pub(crate) fn of_function(code: FunctionCode) -> Result<Self, ApiError> {
        if code.image_uri.is_some() {
            return Err(ApiError::invalid(
                "Hearth does not run container images yet. Provide a package as ZipFile, or S3Bucket and S3Key.",
            ));
        }
        if code
            .source_kms_key_arn
            .as_deref()
            .is_some_and(|arn| !arn.is_empty())
        {
            return Err(ApiError::invalid(
                "Hearth does not encrypt packages with SourceKMSKeyArn yet. Leave it out.",
            ));
        }
        if code
            .s3_object_storage_mode
            .as_deref()
            .is_some_and(|mode| mode != "COPY")
        {
            return Err(ApiError::invalid(
                "Hearth keeps a copy of every package: S3ObjectStorageMode can only be COPY.",
            ));
        }
        let object = (code.s3_bucket, code.s3_key, code.s3_object_version);
        match (code.zip_file, object) {
            (Some(zip), (None, None, None)) => {
                if zip.0.is_empty() {
                    return Err(ApiError::invalid("Uploaded file must be a non-empty zip"));
                }
                if zip.0.len() > ZIP_FILE_BYTES {
                    return Err(ApiError::new(
                        ErrorKind::RequestTooLarge,
                        format!(
                            "ZipFile must be smaller than {ZIP_FILE_BYTES} bytes. Use S3Bucket and S3Key for larger \
                             packages."
                        ),
                    ));
                }
                Ok(Self::Zip(zip.0))
            }
            (Some(_), _) => Err(ApiError::invalid(
                "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            )),
            (None, (Some(bucket), Some(key), version)) => Ok(Self::Object {
                bucket,
                key,
                version,
            }),
            (None, (None, None, None)) => Err(ApiError::invalid(
                "Please provide a source for function code.",
            )),
            (None, _) => Err(ApiError::invalid(
                "Please provide both S3Bucket and S3Key as a source for function code.",
            )),
        }
    }

    /// As [`of_function`](Self::of_function), for a layer.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn of_layer(content: LayerVersionContentInput) -> Result<Self, ApiError> {
        Self::of_function(FunctionCode {
            zip_file: content.zip_file,
            s3_bucket: content.s3_bucket,
            s3_key: content.s3_key,
            s3_object_version: content.s3_object_version,
            s3_object_storage_mode: content.s3_object_storage_mode,
            ..FunctionCode::default()
        })
    }

    /// Checks the package and stores it.
    ///
    /// # Errors
    /// Those of [`Packages::put`] and [`Packages::put_from_source`].
    pub(crate) async fn store(self, packages: &Packages) -> Result<Package, ApiError> {
        Ok(match self {
            Self::Zip(zip) => packages.put(zip).await?,
            Self::Object {
                bucket,
                key,
                version,
            } => {
                packages
                    .put_from_source(&bucket, &key, version.as_deref())
                    .await?
            }
        })
    }

    /// Checks the package only.
    ///
    /// # Errors
    /// Those of [`store`](Self::store).
    pub(crate) async fn check(self, packages: &Packages) -> Result<Package, ApiError> {
        let zip = match self {
            Self::Zip(zip) => zip,
            Self::Object {
                bucket,
                key,
                version,
            } => {
                packages
                    .read_source(&bucket, &key, version.as_deref())
                    .await?
            }
        };
        Ok(packages.check(zip).await?)
    }
}

/// Refuses packages that an account has no room for.
///
/// # Errors
/// [`ErrorKind::CodeStorageExceeded`].
pub(crate) fn check_room(snapshot: &Snapshot, scope: &Scope, bytes: u64) -> Result<(), ApiError> {
    if snapshot.usage(scope).code_bytes.saturating_add(bytes) > STORED_CODE_BYTES {
        return Err(ApiError::new(
            ErrorKind::CodeStorageExceeded,
            "Code storage limit exceeded. Delete functions, versions or layer versions that are not needed.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hearth_types::wire::lambda::Blob;

    use super::*;

    fn zip() -> Option<Blob> {
        Some(Blob(Bytes::from_static(b"PK")))
    }

    fn refused(code: FunctionCode) -> String {
        CodeSource::of_function(code)
            .unwrap_err()
            .message
            .into_owned()
    }

    #[test]
    fn there_is_exactly_one_source() {
        let text = |s: &str| Some(s.to_owned());
        assert!(refused(FunctionCode::default()).contains("provide a source"));
        assert!(
            refused(FunctionCode {
                zip_file: zip(),
                s3_bucket: text("b"),
                ..FunctionCode::default()
            })
            .contains("other FunctionCode parameters")
        );
        assert!(
            refused(FunctionCode {
                s3_key: text("k"),
                ..FunctionCode::default()
            })
            .contains("both S3Bucket and S3Key")
        );
        assert!(
            refused(FunctionCode {
                image_uri: text("x"),
                ..FunctionCode::default()
            })
            .contains("images")
        );
        let object = FunctionCode {
            s3_bucket: text("b"),
            s3_key: text("k"),
            ..FunctionCode::default()
        };
        assert!(matches!(
            CodeSource::of_function(object),
            Ok(CodeSource::Object { .. })
        ));
        let code = FunctionCode {
            zip_file: zip(),
            ..FunctionCode::default()
        };
        assert!(matches!(
            CodeSource::of_function(code),
            Ok(CodeSource::Zip(_))
        ));
    }
}
