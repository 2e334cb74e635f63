//! Where packages live and how much may be kept unpacked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// An object store: a URL, and the options that reach it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// `s3://bucket/prefix`, `s3://` (a source: the request names the bucket) or `file:///folder`.
    pub url: String,
    /// Options as the `object_store` crate names them: `aws_endpoint`, `aws_region`, `aws_access_key_id`,
    /// `aws_secret_access_key`, `aws_session_token`, `aws_allow_http`, `aws_virtual_hosted_style_request`, …
    /// Nothing is read from the environment.
    pub options: BTreeMap<String, String>,
}

impl fmt::Debug for StoreUrl {
    /// Shows the names of the options alone: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreUrl")
            .field("url", &self.url)
            .field("options", &self.options.keys())
            .finish()
    }
}

/// Where packages are kept for good (L3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageStore {
    /// A folder of this machine, made if it is not there. One process at a time uses it.
    Local(PathBuf),
    /// An object store that many nodes share.
    Url(StoreUrl),
}

/// How code storage is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where packages are kept for good (L3).
    pub packages: PackageStore,
    /// The folder of unpacked packages (L1), made if it is not there. One process at a time uses it, and
    /// everything in it may be lost: it is made again from L3.
    pub cache_dir: PathBuf,
    /// Bytes of disk that unpacked packages which nobody holds may take; what is held is never evicted.
    pub cache_bytes: u64,
    /// The object store behind `S3Bucket` and `S3Key`: `s3://` with an endpoint, or `file:///folder`, where a bucket
    /// is a folder in it.
    pub source: Option<StoreUrl>,
}
