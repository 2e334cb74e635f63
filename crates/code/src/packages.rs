//! The handle to code storage.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use hearth_types::digest::Digest;
use hearth_types::function::Package;

use crate::{CodeError, Options};

/// Code storage. Cheap to clone; all clones are one storage.
#[derive(Clone, Debug)]
pub struct Packages(());

/// An unpacked package, ready to be mounted read-only: directories 0755, files 0644 or 0755. The folder stays as long
/// as this value lives; afterwards it may be evicted.
#[derive(Debug)]
pub struct Unpacked(());

impl Unpacked {
    /// The folder.
    pub fn path(&self) -> &Path {
        todo!()
    }
}

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Packages removed.
    pub packages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Packages {
    /// Opens code storage, and removes what a crash left half made.
    ///
    /// # Errors
    /// [`CodeError::Configuration`] if the options can't be used; [`CodeError::Storage`] if a folder can't be made.
    pub async fn open(options: Options) -> Result<Self, CodeError> {
        let _ = options;
        todo!()
    }

    /// Says what `put` would say, and stores nothing.
    ///
    /// # Errors
    /// [`CodeError::BadZip`], [`CodeError::EmptyZip`], [`CodeError::TooLarge`]: the caller's faults.
    pub async fn check(&self, zip: Bytes) -> Result<Package, CodeError> {
        let _ = zip;
        todo!()
    }

    /// Reads every entry of `zip` and, if it may be unpacked, stores it under its digest; on disk (file and folder
    /// synced) before the answer. Storing the same bytes again stores nothing new.
    ///
    /// Cancel safety: a dropped future leaves it open whether the package was stored; it is never half stored.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`CodeError::Full`], [`CodeError::Storage`] when the disk or object store gives up.
    pub async fn put(&self, zip: Bytes) -> Result<Package, CodeError> {
        let _ = zip;
        todo!()
    }

    /// Reads an object of the configured source: the zip behind `S3Bucket`, `S3Key` and `S3ObjectVersion`.
    ///
    /// # Errors
    /// [`CodeError::NoSource`] without a source, [`CodeError::Source`] if the object can't be had,
    /// [`CodeError::TooLarge`] if it is larger than any package may be.
    pub async fn read_source(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Bytes, CodeError> {
        let _ = (bucket, key, version);
        todo!()
    }

    /// [`read_source`](Self::read_source), then [`put`](Self::put).
    ///
    /// # Errors
    /// Those of both.
    pub async fn put_from_source(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Package, CodeError> {
        self.put(self.read_source(bucket, key, version).await?).await
    }

    /// The zip with this digest. The digest is verified on every read: wrong bytes are never handed out.
    ///
    /// # Errors
    /// [`CodeError::Missing`], [`CodeError::Damaged`] (both name the package), [`CodeError::Storage`].
    pub async fn read(&self, digest: &Digest) -> Result<Bytes, CodeError> {
        let _ = digest;
        todo!()
    }

    /// Checks that a function's code and its layers together keep to [`hearth_types::limits::UNPACKED_BYTES`].
    ///
    /// # Errors
    /// [`CodeError::TooLargeTogether`]; those of [`read`](Self::read).
    pub async fn check_together(&self, code: &Package, layers: &[Package]) -> Result<(), CodeError> {
        let _ = (code, layers);
        todo!()
    }

    /// The folder of an unpacked package (L1), unpacked now if it is not there. Many callers at once share the work.
    /// A folder left by an earlier process is verified in full on its first use.
    ///
    /// Cancel safety: safe; another caller takes the work over.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`CodeError::Full`].
    pub async fn unpacked(&self, package: &Package) -> Result<Unpacked, CodeError> {
        let _ = package;
        todo!()
    }

    /// The folder of layers merged in order (a later one's files hide an earlier one's); `None` if there are none.
    ///
    /// # Errors
    /// As [`unpacked`](Self::unpacked); [`CodeError::BadZip`] if the layers can't be merged: a symbolic link of one
    /// would, through a link of another, lead out of the folder.
    pub async fn layered(&self, layers: &[Package]) -> Result<Option<Unpacked>, CodeError> {
        let _ = layers;
        todo!()
    }

    /// Bytes of all stored packages (zips).
    ///
    /// # Errors
    /// [`CodeError::Storage`].
    pub async fn stored_bytes(&self) -> Result<u64, CodeError> {
        todo!()
    }

    /// Removes stored packages that are not in `live` and were last put more than `grace` ago. The grace period covers
    /// the time between a `put` and the commit of what refers to it: at least minutes.
    ///
    /// # Errors
    /// [`CodeError::Storage`]; what was removed until then stays removed.
    pub async fn collect(&self, live: &HashSet<Digest>, grace: Duration) -> Result<Collected, CodeError> {
        let _ = (live, grace);
        todo!()
    }
}
