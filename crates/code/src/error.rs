//! What goes wrong with packages, and what a caller is told of it.

use std::error::Error;
use std::io;

use hearth_types::digest::Digest;
use hearth_types::limits::UNPACKED_BYTES;
use hearth_types::{ApiError, ErrorKind};

/// Why an object could not be had from the configured source: error code and message as S3 gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The bucket is not there.
    #[error("S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist")]
    NoSuchBucket,
    /// The key is not there.
    #[error("S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.")]
    NoSuchKey,
    /// The version of the object is not there.
    #[error(
        "S3 Error Code: NoSuchVersion. S3 Error Message: The specified version does not exist."
    )]
    NoSuchVersion,
    /// The source does not let Hearth read it.
    #[error("S3 Error Code: AccessDenied. S3 Error Message: Access Denied")]
    AccessDenied,
}

/// A failure of code storage.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The bytes are not a zip that may be unpacked. The caller's fault; the text says which rule is broken.
    #[error("not a zip that may be unpacked: {0}")]
    BadZip(String),
    /// A zip without files. The caller's fault.
    #[error("the zip holds no files")]
    EmptyZip,
    /// The package unpacks to more than [`UNPACKED_BYTES`]. The caller's fault.
    #[error("the package unpacks to more than {UNPACKED_BYTES} bytes")]
    TooLarge,
    /// A function and its layers unpack to more than [`UNPACKED_BYTES`] together. The caller's fault.
    #[error("the function and its layers unpack to {actual} bytes, more than {UNPACKED_BYTES}")]
    TooLargeTogether {
        /// Bytes of all of them.
        actual: u64,
    },
    /// `S3Bucket` was given, and no source is configured. The caller can't mend it; the operator can.
    #[error("no object store is configured to read S3Bucket from")]
    NoSource,
    /// The object can't be had from the source. The caller's fault.
    #[error("Error occurred while GetObject. {0}")]
    Source(#[from] SourceError),
    /// No package with this digest is stored.
    #[error("package {0} is not in code storage")]
    Missing(Digest),
    /// The stored bytes are not those that were stored.
    #[error("package {0} is damaged in code storage: its bytes do not have its digest")]
    Damaged(Digest),
    /// The disk is full. Safe to retry once there is room.
    #[error("no space left for code while trying to {0}")]
    Full(String),
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
        cause: Box<dyn Error + Send + Sync>,
    },
}

impl CodeError {
    /// Makes of any failure of the disk or an object store a `CodeError`: [`CodeError::Full`] if that is what it is.
    pub(crate) fn storage(
        action: impl Into<String>,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let (action, cause) = (action.into(), cause.into());
        let mut at: Option<&(dyn Error + 'static)> = Some(cause.as_ref());
        while let Some(error) = at {
            if let Some(io) = error.downcast_ref::<io::Error>()
                && matches!(
                    io.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            {
                return Self::Full(action);
            }
            at = error.source();
        }
        Self::Storage { action, cause }
    }
}

impl From<CodeError> for ApiError {
    /// Types and texts are the service's where it has them. Causes that speak of this host are left out: the caller
    /// of this conversion logs them.
    fn from(error: CodeError) -> Self {
        match error {
            CodeError::BadZip(rule) => Self::invalid(format!(
                "Could not unzip uploaded file. Please check your file, then try to upload again. ({rule})"
            )),
            CodeError::EmptyZip => Self::invalid("Uploaded file must be a non-empty zip"),
            CodeError::TooLarge => Self::invalid(format!(
                "Unzipped size must be smaller than {UNPACKED_BYTES} bytes"
            )),
            CodeError::TooLargeTogether { actual } => Self::invalid(format!(
                "Function code combined with layers exceeds the maximum allowed size of {UNPACKED_BYTES} bytes. The \
                 actual size is {actual} bytes."
            )),
            CodeError::NoSource => Self::invalid(
                "This node has no object store to read S3Bucket from. Upload the package as ZipFile, or start the node \
                 with a code source (option object_store: s3:// with an endpoint, or file:///folder).",
            ),
            CodeError::Source(error) => {
                Self::invalid(format!("Error occurred while GetObject. {error}"))
            }
            CodeError::Missing(_) | CodeError::Damaged(_) => Self::service(format!(
                "{}. Upload it again with UpdateFunctionCode.",
                sentence(&error.to_string())
            )),
            CodeError::Full(_) => Self::new(
                ErrorKind::ServiceUnavailable,
                "The node has no space left for code. Free some and try again.",
            ),
            CodeError::Configuration(_) | CodeError::Storage { .. } => {
                Self::service("Code storage does not answer. Try again; the node's log says why.")
            }
        }
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_see_the_services_words_and_nothing_of_the_host() {
        let told = |error: CodeError| {
            let error = ApiError::from(error);
            (error.kind, error.message.into_owned())
        };
        let (kind, text) = told(CodeError::BadZip("the entry 'x' is encrypted".into()));
        assert_eq!(kind, ErrorKind::InvalidParameterValue);
        assert!(text.starts_with(
            "Could not unzip uploaded file. Please check your file, then try to upload again."
        ));
        let (_, text) = told(CodeError::TooLarge);
        assert_eq!(text, "Unzipped size must be smaller than 262144000 bytes");
        let (_, text) = told(SourceError::NoSuchKey.into());
        assert_eq!(
            text,
            "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."
        );
        let (kind, text) = told(CodeError::storage(
            "write /srv/data/x",
            io::Error::other("disk on fire"),
        ));
        assert_eq!(kind, ErrorKind::Service);
        assert!(!text.contains("/srv"));
    }

    #[test]
    fn a_full_disk_is_found_behind_other_errors() {
        let inner = io::Error::from(io::ErrorKind::StorageFull);
        let outer = CodeError::Storage {
            action: "write".into(),
            cause: inner.into(),
        };
        assert!(matches!(
            CodeError::storage("store a package", outer),
            CodeError::Full(_)
        ));
        assert!(matches!(
            CodeError::storage("store a package", io::Error::other("no")),
            CodeError::Storage { .. }
        ));
    }
}
