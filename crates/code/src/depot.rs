//! Packages for good (L3): objects named by their digest, in a folder or in an object store.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use hearth_types::digest::Digest;
use hearth_types::function::Package;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::RwLock;

use crate::options::{PackageStore, StoreUrl};
use crate::{CodeError, source};

const EXTENSION: &str = ".zip";

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Packages removed.
    pub packages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The stored packages.
pub(crate) struct Depot {
    store: Arc<dyn ObjectStore>,
    /// Puts share it; a removal has it alone, so that it can't take what was put after it looked.
    removal: RwLock<()>,
}

impl Depot {
    pub(crate) fn open(packages: &PackageStore) -> Result<Self, CodeError> {
        let store: Arc<dyn ObjectStore> = match packages {
            PackageStore::Local(folder) => Arc::new(local(folder)?),
            PackageStore::Url(url) => remote(url)?,
        };
        Ok(Self {
            store,
            removal: RwLock::default(),
        })
    }

    /// Stores a package. Written even if it is there already: a damaged copy is mended by it, and its age starts anew,
    /// so that a collection leaves it alone.
    pub(crate) async fn put(&self, package: &Package, zip: Bytes) -> Result<(), CodeError> {
        let _puts = self.removal.read().await;
        self.store
            .put(&location(&package.digest), zip.into())
            .await
            .map_err(|cause| {
                CodeError::storage(format!("store package {}", package.digest), cause)
            })?;
        Ok(())
    }

    pub(crate) async fn get(&self, digest: &Digest) -> Result<Bytes, CodeError> {
        let failed = |cause| match cause {
            object_store::Error::NotFound { .. } => CodeError::Missing(*digest),
            cause => CodeError::storage(format!("read package {digest}"), cause),
        };
        let result = self.store.get(&location(digest)).await.map_err(failed)?;
        result.bytes().await.map_err(failed)
    }

    pub(crate) async fn bytes(&self) -> Result<u64, CodeError> {
        Ok(self.list().await?.iter().map(|(_, meta)| meta.size).sum())
    }

    pub(crate) async fn collect(
        &self,
        live: &HashSet<Digest>,
        grace: Duration,
    ) -> Result<Collected, CodeError> {
        let failed = |cause| CodeError::storage("remove a package that nothing refers to", cause);
        let old = |meta: &ObjectMeta| {
            let stored = SystemTime::from(meta.last_modified);
            stored.elapsed().is_ok_and(|age| age >= grace)
        };
        let mut collected = Collected::default();
        for (digest, meta) in self.list().await? {
            if live.contains(&digest) || !old(&meta) {
                continue;
            }
            let _removal = self.removal.write().await;
            // It may have been put again since it was listed.
            let meta = match self.store.head(&meta.location).await {
                Ok(meta) => meta,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(cause) => return Err(failed(cause)),
            };
            if old(&meta) {
                self.store.delete(&meta.location).await.map_err(failed)?;
                collected.packages += 1;
                collected.bytes += meta.size;
            }
        }
        Ok(collected)
    }

    async fn list(&self) -> Result<Vec<(Digest, ObjectMeta)>, CodeError> {
        let all: Vec<ObjectMeta> = self
            .store
            .list(None)
            .try_collect()
            .await
            .map_err(|cause| CodeError::storage("list packages", cause))?;
        let ours = |meta: ObjectMeta| {
            let digest = meta
                .location
                .filename()?
                .strip_suffix(EXTENSION)?
                .parse()
                .ok()?;
            Some((digest, meta))
        };
        Ok(all.into_iter().filter_map(ours).collect())
    }
}

/// The digest of a package's bytes.
pub(crate) fn digest(zip: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(zip).into())
}

fn location(digest: &Digest) -> ObjectPath {
    ObjectPath::from(format!("{digest}{EXTENSION}"))
}

fn local(folder: &Path) -> Result<LocalFileSystem, CodeError> {
    let failed = |cause: io::Error| {
        CodeError::storage(format!("open the packages in {}", folder.display()), cause)
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    // The folder's own name must survive a loss of power as well, or all that is synced in it is lost.
    if let Some(parent) = folder.canonicalize().map_err(failed)?.parent() {
        fs::File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(failed)?;
    }
    // Files being written carry a number after '#' until they are whole (see `LocalFileSystem`): left by a crash.
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let leftover = entry
            .file_name()
            .to_str()
            .and_then(|name| name.rsplit_once('#'))
            .is_some_and(|(name, number)| {
                name.ends_with(EXTENSION) && number.bytes().all(|b| b.is_ascii_digit())
            });
        if leftover {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(LocalFileSystem::new_with_prefix(folder)
        .map_err(|cause| {
            CodeError::storage(format!("open the packages in {}", folder.display()), cause)
        })?
        .with_fsync(true))
}

/// Opens an object store: a folder, which is made if it is not there, or a bucket with or without a prefix. What is
/// written to a folder is on disk (file and folders synced) once it is answered.
///
/// # Errors
/// [`CodeError::Configuration`] if the URL or its options can't be used; [`CodeError::Storage`] if the folder can't be
/// made.
pub fn open_store(url: &StoreUrl) -> Result<Arc<dyn ObjectStore>, CodeError> {
    match url.url.strip_prefix("file://") {
        Some(folder) if folder.starts_with('/') => Ok(Arc::new(local(Path::new(folder))?)),
        Some(_) | None => remote(url),
    }
}

fn remote(url: &StoreUrl) -> Result<Arc<dyn ObjectStore>, CodeError> {
    let Some(rest) = url.url.strip_prefix("s3://") else {
        return Err(CodeError::Configuration(format!(
            "nothing can be kept at '{}': expected s3://bucket/prefix, or a folder",
            url.url
        )));
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(CodeError::Configuration(
            "a bucket is missing: s3://bucket/prefix".into(),
        ));
    }
    let store = source::s3(bucket, &url.options)?;
    if prefix.is_empty() {
        Ok(store)
    } else {
        Ok(Arc::new(PrefixStore::new(store, ObjectPath::from(prefix))))
    }
}
