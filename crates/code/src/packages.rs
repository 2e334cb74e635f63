//! The handle to code storage.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearth_types::digest::Digest;
use hearth_types::function::Package;
use hearth_types::limits::UNPACKED_BYTES;
use sha2::{Digest as _, Sha256};

use crate::archive::{self, Archive};
use crate::cache::{Cache, Unpacked};
use crate::depot::{self, Collected, Depot};
use crate::source::Source;
use crate::unpack::unpack;
use crate::{CodeError, Options};

/// Code storage. Cheap to clone; all clones are one storage.
#[derive(Clone)]
pub struct Packages(Arc<Inner>);

struct Inner {
    depot: Depot,
    cache: Cache,
    source: Option<Source>,
}

impl std::fmt::Debug for Packages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packages").finish_non_exhaustive()
    }
}

impl Packages {
    /// Opens code storage, and removes what a crash left half made.
    ///
    /// # Errors
    /// [`CodeError::Configuration`] if the options can't be used; [`CodeError::Storage`] if a folder can't be made.
    pub async fn open(options: Options) -> Result<Self, CodeError> {
        tokio::task::spawn_blocking(move || {
            let source = options.source.as_ref().map(Source::open).transpose()?;
            Ok(Self(Arc::new(Inner {
                depot: Depot::open(&options.packages)?,
                cache: Cache::open(&options.cache_dir, options.cache_bytes)?,
                source,
            })))
        })
        .await
        .map_err(|failed| CodeError::storage("open code storage", failed))?
    }

    /// Says what [`put`](Self::put) would say, and stores nothing.
    ///
    /// # Errors
    /// [`CodeError::BadZip`], [`CodeError::EmptyZip`], [`CodeError::TooLarge`]: the caller's faults.
    pub async fn check(&self, zip: Bytes) -> Result<Package, CodeError> {
        self.0
            .cache
            .work(move || {
                let package = Package {
                    digest: depot::digest(&zip),
                    size: zip.len() as u64,
                };
                Archive::open(zip, 0)?.read_all()?;
                Ok(package)
            })
            .await
    }

    /// Reads every entry of `zip` (or takes a WebAssembly component as it is) and, if it may be unpacked, stores it under
    /// its digest; on disk (file and folder synced) before the answer. The same bytes are stored once, however often they are put.
    ///
    /// Cancel safety: a dropped future leaves it open whether the package was stored; it is never half stored.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`CodeError::Full`], [`CodeError::Storage`] when the disk or object store gives up.
    pub async fn put(&self, zip: Bytes) -> Result<Package, CodeError> {
        let package = self.check(zip.clone()).await?;
        self.0.depot.put(&package, zip).await?;
        Ok(package)
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
        let source = self.0.source.as_ref().ok_or(CodeError::NoSource)?;
        source.read(bucket, key, version).await
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
        self.put(self.read_source(bucket, key, version).await?)
            .await
    }

    /// The zip with this digest. The digest is verified on every read: wrong bytes are never handed out.
    ///
    /// # Errors
    /// [`CodeError::Missing`], [`CodeError::Damaged`] (both name the package), [`CodeError::Storage`].
    pub async fn read(&self, digest: &Digest) -> Result<Bytes, CodeError> {
        let digest = *digest;
        let zip = self.0.depot.get(&digest).await?;
        self.0
            .cache
            .work(move || {
                if depot::digest(&zip) == digest {
                    Ok(zip)
                } else {
                    Err(CodeError::Damaged(digest))
                }
            })
            .await
    }

    /// Checks that a function's code and its layers together keep to [`UNPACKED_BYTES`].
    ///
    /// # Errors
    /// [`CodeError::TooLargeTogether`]; those of [`read`](Self::read).
    pub async fn check_together(
        &self,
        code: &Package,
        layers: &[Package],
    ) -> Result<(), CodeError> {
        if layers.is_empty() {
            // A package alone was held to the bound when it was put.
            return Ok(());
        }
        let mut actual = 0;
        for package in std::iter::once(code).chain(layers) {
            let zip = self.read(&package.digest).await?;
            actual += self
                .0
                .cache
                .work(move || Ok(Archive::open(zip, 0)?.tree().bytes()))
                .await?;
        }
        if actual > UNPACKED_BYTES {
            return Err(CodeError::TooLargeTogether { actual });
        }
        Ok(())
    }

    /// The folder of an unpacked package (L1), unpacked now if it is not there. Many callers at once share the work.
    /// A folder left by an earlier process is verified in full on its first use, and unpacked again if it is damaged.
    ///
    /// Cancel safety: safe; another caller takes the work over.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`CodeError::Full`].
    pub async fn unpacked(&self, package: &Package) -> Result<Unpacked, CodeError> {
        let name = format!("code-{}", package.digest);
        self.0
            .cache
            .get(&name, || self.make(std::slice::from_ref(package)))
            .await
    }

    /// The folder of layers merged in order (a later one's files hide an earlier one's); `None` if there are none.
    ///
    /// Cancel safety: as [`unpacked`](Self::unpacked).
    ///
    /// # Errors
    /// As [`unpacked`](Self::unpacked); [`CodeError::BadZip`] if the layers can't be merged: a symbolic link of one
    /// would, through a link of another, lead out of the folder; [`CodeError::TooLarge`].
    pub async fn layered(&self, layers: &[Package]) -> Result<Option<Unpacked>, CodeError> {
        match layers {
            [] => Ok(None),
            [layer] => self.unpacked(layer).await.map(Some),
            layers => {
                let mut list = Sha256::new();
                for layer in layers {
                    list.update(layer.digest.as_bytes());
                }
                let name = format!("layers-{}", Digest::from_bytes(list.finalize().into()));
                self.0
                    .cache
                    .get(&name, || self.make(layers))
                    .await
                    .map(Some)
            }
        }
    }

    /// Bytes of all stored packages (zips).
    ///
    /// # Errors
    /// [`CodeError::Storage`].
    pub async fn stored_bytes(&self) -> Result<u64, CodeError> {
        self.0.depot.bytes().await
    }

    /// Removes stored packages that are not in `live` and were last put at least `grace` ago. The grace period covers
    /// the time between a `put` and the commit of what refers to it, on any node: at least minutes.
    ///
    /// # Errors
    /// [`CodeError::Storage`]; what was removed until then stays removed.
    pub async fn collect(
        &self,
        live: &HashSet<Digest>,
        grace: Duration,
    ) -> Result<Collected, CodeError> {
        self.0.depot.collect(live, grace).await
    }

    async fn make(&self, packages: &[Package]) -> Result<crate::cache::Made, CodeError> {
        let mut zips = Vec::with_capacity(packages.len());
        for package in packages {
            zips.push(self.read(&package.digest).await?);
        }
        self.0
            .cache
            .make(move |folder| {
                let mut archives = zips
                    .into_iter()
                    .enumerate()
                    .map(|(number, zip)| Archive::open(zip, number))
                    .collect::<Result<Vec<_>, _>>()?;
                let tree = archive::merge(&archives)?;
                unpack(&mut archives, &tree, folder)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    use tempfile::TempDir;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::options::{PackageStore, StoreUrl};
    use crate::{SourceError, cache};

    const PLENTY: u64 = 1 << 30;

    fn zip(files: &[(&str, &[u8])]) -> Bytes {
        let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, contents) in files {
            let mode = if name.ends_with("bootstrap") {
                0o4700
            } else {
                0o600
            };
            writer
                .start_file(*name, SimpleFileOptions::default().unix_permissions(mode))
                .unwrap();
            writer.write_all(contents).unwrap();
        }
        writer.finish().unwrap().into_inner().into()
    }

    async fn open(dir: &TempDir, cache_bytes: u64) -> Packages {
        Packages::open(Options {
            packages: PackageStore::Local(dir.path().join("packages")),
            cache_dir: dir.path().join("cache"),
            cache_bytes,
            source: Some(StoreUrl {
                url: format!("file://{}", dir.path().join("source").display()),
                options: Default::default(),
            }),
        })
        .await
        .unwrap()
    }

    fn stored(dir: &TempDir, package: &Package) -> std::path::PathBuf {
        dir.path().join(format!("packages/{}.zip", package.digest))
    }

    fn read(unpacked: &Unpacked, path: &str) -> Vec<u8> {
        fs::read(unpacked.path().join(path)).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn a_package_is_stored_once_and_unpacked_with_plain_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let packages = open(&dir, PLENTY).await;
        let bytes = zip(&[("bootstrap", b"#!/bin/sh"), ("lib/a.py", b"pass")]);
        let package = packages.put(bytes.clone()).await.unwrap();
        assert_eq!(packages.put(bytes.clone()).await.unwrap(), package);
        assert_eq!(packages.check(bytes.clone()).await.unwrap(), package);
        assert_eq!(packages.stored_bytes().await.unwrap(), bytes.len() as u64);
        assert_eq!(packages.read(&package.digest).await.unwrap(), bytes);

        let unpacked = packages.unpacked(&package).await.unwrap();
        assert_eq!(read(&unpacked, "lib/a.py"), b"pass");
        assert_eq!(mode(&unpacked.path().join("bootstrap")), 0o755);
        assert_eq!(mode(&unpacked.path().join("lib/a.py")), 0o644);
        assert_eq!(mode(&unpacked.path().join("lib")), 0o755);
        assert_eq!(mode(unpacked.path()), 0o755);
        let modified = fs::metadata(unpacked.path().join("lib"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(
            modified
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            315_532_800
        );
    }

    #[tokio::test]
    async fn a_file_has_the_time_of_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let packages = open(&dir, PLENTY).await;
        let mut times = Vec::new();
        for (other, page) in [("a", b"hello"), ("b", b"world"), ("c", b"hello")] {
            let bytes = zip(&[("page.html", page), ("other", other.as_bytes())]);
            let package = packages.put(bytes).await.unwrap();
            let unpacked = packages.unpacked(&package).await.unwrap();
            let page = fs::metadata(unpacked.path().join("page.html")).unwrap();
            times.push(page.modified().unwrap());
        }
        assert_eq!(times[0], times[2]);
        assert_ne!(times[0], times[1]);
    }

    #[tokio::test]
    async fn a_component_by_itself_is_a_package_of_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let packages = open(&dir, PLENTY).await;
        let bytes = Bytes::from_static(b"\0asm\x0d\0\x01\0 and more");
        let package = packages.put(bytes.clone()).await.unwrap();
        assert_eq!(package.digest, depot::digest(&bytes));
        assert_eq!(package.size, bytes.len() as u64);
        assert_eq!(packages.read(&package.digest).await.unwrap(), bytes);
        let unpacked = packages.unpacked(&package).await.unwrap();
        assert_eq!(read(&unpacked, "component.wasm"), bytes);
        let only = fs::read_dir(unpacked.path()).unwrap().count();
        assert_eq!(only, 1);
        // As a layer it is one as well.
        let layer = packages.put(zip(&[("a.py", b"pass")])).await.unwrap();
        let layered = packages.layered(&[layer, package]).await.unwrap().unwrap();
        assert_eq!(read(&layered, "component.wasm"), bytes);
        packages.check_together(&layer, &[package]).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_not_a_package_is_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let packages = open(&dir, PLENTY).await;
        for bytes in [
            Bytes::new(),
            Bytes::from_static(b"not a zip at all, but long enough"),
        ] {
            packages.put(bytes).await.unwrap_err();
        }
        assert!(matches!(
            packages.put(zip(&[])).await,
            Err(CodeError::EmptyZip)
        ));
        assert_eq!(packages.stored_bytes().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_damaged_or_missing_package_is_an_error_that_names_it_and_a_put_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let packages = open(&dir, PLENTY).await;
        let bytes = zip(&[("a.py", b"pass")]);
        let package = packages.put(bytes.clone()).await.unwrap();
        let file = stored(&dir, &package);
        for at in (0..bytes.len()).step_by(7) {
            let mut bad = bytes.to_vec();
            bad[at] ^= 0x40;
            fs::write(&file, &bad).unwrap();
            assert!(
                matches!(packages.read(&package.digest).await, Err(CodeError::Damaged(d)) if d == package.digest)
            );
            fs::write(&file, &bytes[..at]).unwrap();
            assert!(matches!(
                packages.unpacked(&package).await,
                Err(CodeError::Damaged(_))
            ));
        }
        fs::remove_file(&file).unwrap();
        assert!(
            matches!(packages.read(&package.digest).await, Err(CodeError::Missing(d)) if d == package.digest)
        );
        packages.put(bytes.clone()).await.unwrap();
        assert_eq!(packages.read(&package.digest).await.unwrap(), bytes);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_hundred_callers_unpack_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache::Cache::open(&dir.path().join("cache"), PLENTY).unwrap();
        let made = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..100)
            .map(|_| {
                let (cache, made) = (cache.clone(), made.clone());
                tokio::spawn(async move {
                    let make = || {
                        made.fetch_add(1, Ordering::SeqCst);
                        cache.make(|folder| {
                            fs::create_dir(folder)
                                .map_err(|cause| CodeError::storage("test", cause))?;
                            Ok(Default::default())
                        })
                    };
                    cache.get("one", make).await.unwrap()
                })
            })
            .collect();
        for caller in callers {
            assert!(caller.await.unwrap().path().is_dir());
        }
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    /// Changes an unpacked tree in one way.
    type Damage = fn(&Path);

    #[tokio::test]
    async fn every_change_to_an_unpacked_folder_is_found_and_undone_by_the_next_process() {
        let damages: [(&str, Damage); 10] = [
            ("flipped", |tree| {
                let mut bytes = fs::read(tree.join("lib/a.py")).unwrap();
                bytes[2] ^= 1;
                fs::write(tree.join("lib/a.py"), bytes).unwrap();
            }),
            ("cut", |tree| {
                fs::write(tree.join("lib/a.py"), b"pa").unwrap()
            }),
            ("gone", |tree| {
                fs::remove_file(tree.join("lib/a.py")).unwrap()
            }),
            ("more", |tree| {
                fs::write(tree.join("lib/b.py"), b"").unwrap()
            }),
            ("folder", |tree| fs::create_dir(tree.join("x")).unwrap()),
            ("mode", |tree| {
                fs::set_permissions(tree.join("lib/a.py"), fs::Permissions::from_mode(0o4755))
                    .unwrap()
            }),
            ("link", |tree| {
                fs::remove_file(tree.join("lib/a.py")).unwrap();
                std::os::unix::fs::symlink("/etc/hostname", tree.join("lib/a.py")).unwrap();
            }),
            ("manifest", |tree| {
                fs::write(tree.with_file_name("manifest"), b"x").unwrap()
            }),
            ("no manifest", |tree| {
                fs::remove_file(tree.with_file_name("manifest")).unwrap()
            }),
            ("no tree", |tree| fs::remove_dir_all(tree).unwrap()),
        ];
        let dir = tempfile::tempdir().unwrap();
        let package = open(&dir, PLENTY)
            .await
            .put(zip(&[("lib/a.py", b"pass"), ("c", b"")]))
            .await
            .unwrap();
        for (what, damage) in damages {
            let tree = open(&dir, PLENTY)
                .await
                .unpacked(&package)
                .await
                .unwrap()
                .path()
                .to_owned();
            damage(&tree);
            let unpacked = open(&dir, PLENTY).await.unpacked(&package).await.unwrap();
            assert_eq!(read(&unpacked, "lib/a.py"), b"pass", "{what}");
            assert!(
                !tree.join("lib/b.py").exists() && !tree.join("x").exists(),
                "{what}"
            );
            assert_eq!(mode(&tree.join("lib/a.py")), 0o644, "{what}");
        }
    }

    #[tokio::test]
    async fn an_unharmed_folder_serves_the_next_process_without_the_package() {
        let dir = tempfile::tempdir().unwrap();
        let packages = open(&dir, PLENTY).await;
        let package = packages.put(zip(&[("a.py", b"pass")])).await.unwrap();
        drop(packages.unpacked(&package).await.unwrap());
        fs::remove_file(stored(&dir, &package)).unwrap();
        let unpacked = open(&dir, PLENTY).await.unpacked(&package).await.unwrap();
        assert_eq!(read(&unpacked, "a.py"), b"pass");
    }

    #[tokio::test]
    async fn what_a_crash_leaves_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let package = open(&dir, PLENTY)
            .await
            .put(zip(&[("a", b"b")]))
            .await
            .unwrap();
        let half = dir.path().join("cache/new/half/tree");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("a"), b"").unwrap();
        let staged = dir
            .path()
            .join(format!("packages/{}.zip#1", package.digest));
        fs::write(&staged, b"PK").unwrap();
        let packages = open(&dir, PLENTY).await;
        assert!(!half.exists() && !staged.exists());
        packages.read(&package.digest).await.unwrap();
    }

    #[tokio::test]
    async fn folders_beyond_the_bound_are_evicted_oldest_first_and_never_while_held() {
        let dir = tempfile::tempdir().unwrap();
        // Each package is two blocks: a file and nothing else counts one, and there are two files.
        let packages = open(&dir, 4 * 4_096).await;
        let mut all = Vec::new();
        for name in ["a", "b", "c", "d"] {
            all.push(
                packages
                    .put(zip(&[(name, b"x"), ("y", b"y")]))
                    .await
                    .unwrap(),
            );
        }
        let held = packages.unpacked(&all[0]).await.unwrap();
        let second = packages.unpacked(&all[1]).await.unwrap().path().to_owned();
        let third = packages.unpacked(&all[2]).await.unwrap().path().to_owned();
        assert!(held.path().exists() && !second.exists() && third.exists());
        let fourth = packages.unpacked(&all[3]).await.unwrap().path().to_owned();
        assert!(held.path().exists() && !third.exists() && fourth.exists());
        // Evicted is not lost.
        let again = packages.unpacked(&all[1]).await.unwrap();
        assert_eq!(read(&again, "b"), b"x");
        drop(held);
        let _fourth = packages.unpacked(&all[3]).await.unwrap();
        assert!(
            !dir.path()
                .join(format!("cache/code-{}", all[0].digest))
                .exists()
        );
    }

    #[tokio::test]
    async fn later_layers_hide_earlier_ones() {
        let dir = tempfile::tempdir().unwrap();
        let packages = open(&dir, PLENTY).await;
        let low = packages
            .put(zip(&[
                ("python/x.py", b"low"),
                ("only/low", b"1"),
                ("bin", b"file"),
            ]))
            .await
            .unwrap();
        let high = packages
            .put(zip(&[("python/x.py", b"high"), ("bin/tool", b"2")]))
            .await
            .unwrap();
        assert!(packages.layered(&[]).await.unwrap().is_none());
        let up = packages.layered(&[low, high]).await.unwrap().unwrap();
        assert_eq!(read(&up, "python/x.py"), b"high");
        assert_eq!(read(&up, "only/low"), b"1");
        assert_eq!(read(&up, "bin/tool"), b"2");
        let down = packages.layered(&[high, low]).await.unwrap().unwrap();
        assert_eq!(read(&down, "python/x.py"), b"low");
        assert_eq!(read(&down, "bin"), b"file");
        assert_ne!(up.path(), down.path());
        let one = packages.layered(&[low]).await.unwrap().unwrap();
        assert_eq!(one.path(), packages.unpacked(&low).await.unwrap().path());
        packages.check_together(&low, &[high]).await.unwrap();
    }

    #[tokio::test]
    async fn collection_spares_what_is_live_and_what_is_young() {
        let dir = tempfile::tempdir().unwrap();
        let packages = open(&dir, PLENTY).await;
        let live = packages.put(zip(&[("live", b"1")])).await.unwrap();
        let dead = packages.put(zip(&[("dead", b"2")])).await.unwrap();
        let refers = HashSet::from([live.digest]);
        let hour = Duration::from_secs(3_600);
        assert_eq!(
            packages.collect(&refers, hour).await.unwrap(),
            Collected::default()
        );
        let collected = packages.collect(&refers, Duration::ZERO).await.unwrap();
        assert_eq!(
            collected,
            Collected {
                packages: 1,
                bytes: dead.size
            }
        );
        packages.read(&live.digest).await.unwrap();
        assert!(matches!(
            packages.read(&dead.digest).await,
            Err(CodeError::Missing(_))
        ));
    }

    #[tokio::test]
    async fn packages_come_from_the_source() {
        let dir = tempfile::tempdir().unwrap();
        let packages = open(&dir, PLENTY).await;
        let bytes = zip(&[("a.py", b"pass")]);
        fs::create_dir_all(dir.path().join("source/bucket/v1")).unwrap();
        fs::write(dir.path().join("source/bucket/v1/code.zip"), &bytes).unwrap();
        fs::write(dir.path().join("source/secret"), &bytes).unwrap();
        let package = packages
            .put_from_source("bucket", "v1/code.zip", None)
            .await
            .unwrap();
        assert_eq!(packages.read(&package.digest).await.unwrap(), bytes);

        let why = |result: Result<Package, CodeError>| match result {
            Err(CodeError::Source(why)) => why,
            other => panic!("{other:?}"),
        };
        for (bucket, key, version, expected) in [
            ("bucket", "v1/none.zip", None, SourceError::NoSuchKey),
            ("bucket", "../secret", None, SourceError::NoSuchKey),
            ("bucket", "", None, SourceError::NoSuchKey),
            ("bucket", "v1", None, SourceError::NoSuchKey),
            (
                "bucket",
                "v1/code.zip",
                Some("1"),
                SourceError::NoSuchVersion,
            ),
            ("nowhere", "x", None, SourceError::NoSuchBucket),
            ("..", "secret", None, SourceError::NoSuchBucket),
            (
                "../source/bucket",
                "v1/code.zip",
                None,
                SourceError::NoSuchBucket,
            ),
        ] {
            assert_eq!(
                why(packages.put_from_source(bucket, key, version).await),
                expected,
                "{bucket}/{key}"
            );
        }
    }

    #[tokio::test]
    async fn options_that_can_not_be_used_are_refused_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        for url in ["http://x", "s3://", "s3:///x"] {
            let options = Options {
                packages: PackageStore::Url(StoreUrl {
                    url: url.into(),
                    options: Default::default(),
                }),
                cache_dir: dir.path().join("cache"),
                cache_bytes: PLENTY,
                source: None,
            };
            assert!(
                matches!(
                    Packages::open(options).await,
                    Err(CodeError::Configuration(_))
                ),
                "{url}"
            );
        }
        let options = Options {
            packages: PackageStore::Local(dir.path().join("packages")),
            cache_dir: dir.path().join("cache"),
            cache_bytes: PLENTY,
            source: None,
        };
        let packages = Packages::open(options).await.unwrap();
        assert!(matches!(
            packages.put_from_source("bucket", "key", None).await,
            Err(CodeError::NoSource)
        ));
    }
}
