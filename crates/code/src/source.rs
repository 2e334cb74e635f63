//! Other people's objects: what `S3Bucket` and `S3Key` of a request name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use hearth_types::limits::UNPACKED_BYTES;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, ObjectStore};

use crate::options::StoreUrl;
use crate::{CodeError, SourceError};

/// Where objects are read from.
pub(crate) enum Source {
    /// A folder whose sub-folders are buckets.
    Folder(PathBuf),
    /// An S3-compatible store, with its options.
    S3(BTreeMap<String, String>),
}

impl Source {
    pub(crate) fn open(url: &StoreUrl) -> Result<Self, CodeError> {
        if let Some(folder) = url.url.strip_prefix("file://") {
            if folder.starts_with('/') {
                return Ok(Self::Folder(folder.into()));
            }
        } else if matches!(url.url.as_str(), "s3://" | "s3:///") {
            // Fails now rather than at the first request, if the options can't be used.
            s3("any-bucket", &url.options)?;
            return Ok(Self::S3(url.options.clone()));
        }
        Err(CodeError::Configuration(format!(
            "packages can't be read from '{}': expected s3:// or file:///folder",
            url.url
        )))
    }

    /// Reads one object.
    pub(crate) async fn read(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Bytes, CodeError> {
        if !is_bucket(bucket) {
            return Err(SourceError::NoSuchBucket.into());
        }
        // Keys with empty, `.` or `..` components exist on S3, and can't be named here.
        let path = ObjectPath::parse(key).map_err(|_| SourceError::NoSuchKey)?;
        let store: Arc<dyn ObjectStore> = match self {
            Self::Folder(folder) => {
                if version.is_some() {
                    return Err(SourceError::NoSuchVersion.into());
                }
                let folder = folder.join(bucket);
                if !folder.is_dir() {
                    return Err(SourceError::NoSuchBucket.into());
                }
                if !folder.join(path.as_ref()).is_file() {
                    return Err(SourceError::NoSuchKey.into());
                }
                let store = LocalFileSystem::new_with_prefix(&folder);
                Arc::new(
                    store.map_err(|cause| CodeError::storage("open a bucket's folder", cause))?,
                )
            }
            Self::S3(options) => s3(bucket, options)?,
        };
        let options = GetOptions {
            version: version.map(str::to_owned),
            ..GetOptions::default()
        };
        let failed = |cause| failure(cause, version.is_some());
        let object = store.get_opts(&path, options).await.map_err(failed)?;
        if object.meta.size > UNPACKED_BYTES {
            return Err(CodeError::TooLarge);
        }
        object.bytes().await.map_err(failed)
    }
}

/// The rules of S3 for names of buckets, as far as they keep a name within its place in a URL and a path.
fn is_bucket(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && !name.starts_with('.')
        && !name.contains("..")
}

fn failure(error: object_store::Error, versioned: bool) -> CodeError {
    use object_store::Error;
    match error {
        Error::NotFound { source, .. } => {
            // The store's answer is in the text alone: an XML body with its error code.
            let text = format!("{source:?}");
            if text.contains("NoSuchBucket") {
                SourceError::NoSuchBucket.into()
            } else if versioned && text.contains("NoSuchVersion") {
                SourceError::NoSuchVersion.into()
            } else {
                SourceError::NoSuchKey.into()
            }
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            SourceError::AccessDenied.into()
        }
        cause => CodeError::storage("read an object of the source", cause),
    }
}

/// A bucket of an S3-compatible store. Nothing is read from the environment.
#[cfg(feature = "s3")]
pub(crate) fn s3(
    bucket: &str,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn ObjectStore>, CodeError> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

    // TLS asks for a process-wide choice of cryptography. Whoever chose first is right: it may be the front door.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let mut builder = AmazonS3Builder::new();
    for (name, value) in options {
        let key: AmazonS3ConfigKey = name.parse().map_err(|_| {
            CodeError::Configuration(format!("'{name}' is not an option of an S3 store"))
        })?;
        builder = builder.with_config(key, value);
    }
    let store = builder.with_bucket_name(bucket).build().map_err(|cause| {
        CodeError::Configuration(format!("the options of an S3 store: {cause}"))
    })?;
    Ok(Arc::new(store))
}

/// Says that this program was built without S3.
#[cfg(not(feature = "s3"))]
pub(crate) fn s3(
    _bucket: &str,
    _options: &BTreeMap<String, String>,
) -> Result<Arc<dyn ObjectStore>, CodeError> {
    Err(CodeError::Configuration(
        "this program was built without S3 (feature 's3' of hearth-code)".into(),
    ))
}
