//! What goes wrong with packages, and what a caller is told of it.

use hearth_types::digest::Digest;
use hearth_types::limits;
use hearth_types::{ApiError, ErrorKind};

/// Why an object could not be had from the configured source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The bucket is not there.
    #[error("NoSuchBucket. S3 Error Message: The specified bucket does not exist")]
    NoSuchBucket,
    /// The key is not there.
    #[error("NoSuchKey. S3 Error Message: The specified key does not exist.")]
    NoSuchKey,
    /// The version of the object is not there.
    #[error("NoSuchVersion. S3 Error Message: The specified version does not exist.")]
    NoSuchVersion,
    /// The source does not let Hearth read it.
    #[error("AccessDenied. S3 Error Message: Access Denied")]
    AccessDenied,
}

/// A failure of code storage.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The bytes are not a zip that can be unpacked. The caller's fault; the text says which rule is broken.
    #[error("not a zip that can be unpacked: {0}")]
    BadZip(String),
    /// A zip without files. The caller's fault.
    #[error("the zip holds no files")]
    EmptyZip,
    /// The package unpacks to more than [`limits::UNPACKED_BYTES`]. The caller's fault.
    #[error("the package unpacks to more than {} bytes", limits::UNPACKED_BYTES)]
    TooLarge,
    /// A function and its layers unpack to more than [`limits::UNPACKED_BYTES`] together. The caller's fault.
    #[error(
        "the function and its layers unpack to {actual} bytes, more than {}",
        limits::UNPACKED_BYTES
    )]
    TooLargeTogether {
        /// Bytes of all of them.
        actual: u64,
    },
    /// `S3Bucket` was given, and no source is configured. The caller can't mend it; the operator can.
    #[error("no object store is configured to read S3Bucket from")]
    NoSource,
    /// The object can't be read from the source. The caller's fault.
    #[error("GetObject: {0}")]
    Source(#[from] SourceError),
    /// No package with this digest is stored.
    #[error("package {0} is not in code storage")]
    Missing(Digest),
    /// The stored bytes are not those that were stored.
    #[error("package {0} is damaged in code storage: its bytes do not have its digest")]
    Damaged(Digest),
    /// The disk is full. Safe to retry once there is room.
    #[error("no space left to store code")]
    Full,
    /// The options can't be used.
    #[error("code storage: {0}")]
    Configuration(String),
    /// The disk or the object store gives up. Safe to retry.
    #[error("{action}: {cause}")]
    Storage {
        /// What was being done: verb and object.
        action: String,
        /// The cause.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<CodeError> for ApiError {
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::EmptyZip => Self::invalid("Uploaded file must be a non-empty zip"),
            error => Self::new(ErrorKind::Service, error.to_string()),
        }
    }
}
