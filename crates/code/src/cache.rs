//! Unpacked folders on this machine's disk (L1), each made once and shared by all who need it.
//!
//! A folder `<name>` holds `tree` (what is mounted) and `manifest`. It is made under `new/` and renamed, so that what has
//! its name is whole, unless the machine lost power or something else wrote there: hence each is verified in full the
//! first time that a process uses it. Everything here can be made again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore};

use crate::CodeError;
use crate::manifest::Manifest;

const TREE: &str = "tree";
const MANIFEST: &str = "manifest";
/// The folder of what is being made and of what is being removed.
const NEW: &str = "new";

/// The cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cache(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    bound: u64,
    /// How many folders are made or verified at once: each keeps a processor and the disk busy.
    work: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: HashMap<Arc<str>, Slot>,
    /// Counts uses: the order of eviction.
    uses: u64,
}

struct Slot {
    ready: Arc<OnceCell<()>>,
    held: usize,
    used: u64,
    /// Bytes of disk; 0 until it is known.
    bytes: u64,
}

/// A folder that is whole and has no name yet.
pub(crate) struct Made {
    dir: TempDir,
    bytes: u64,
}

/// An unpacked package or stack of layers, ready to be mounted read-only: folders 0755, files 0644 or 0755. It stays
/// where it is as long as this value lives; afterwards it may be evicted.
pub struct Unpacked {
    cache: Cache,
    name: Arc<str>,
    ready: Arc<OnceCell<()>>,
    path: PathBuf,
}

impl Unpacked {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Unpacked").field(&self.path).finish()
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        if let Some(slot) = state.slots.get_mut(&self.name) {
            slot.held -= 1;
            if slot.held == 0 && slot.bytes == 0 {
                state.slots.remove(&self.name);
            }
        }
    }
}

impl Cache {
    /// Opens the cache in `dir`, removing what was being made or removed when a process ended.
    pub(crate) fn open(dir: &Path, bound: u64) -> Result<Self, CodeError> {
        let failed = |cause: io::Error| {
            CodeError::storage(format!("open the cache {}", dir.display()), cause)
        };
        let new = dir.join(NEW);
        match fs::remove_dir_all(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::create_dir_all(&new).map_err(failed)?;

        let mut found = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if name == NEW {
                continue;
            }
            // Without a manifest that reads back there is nothing to trust; the first use says so and makes it anew.
            let manifest = entry.path().join(MANIFEST);
            let bytes =
                Manifest::load(&manifest).map_or(1, |manifest| manifest.disk_bytes().max(1));
            let used = fs::metadata(&manifest)
                .and_then(|metadata| metadata.modified())
                .unwrap_or(SystemTime::UNIX_EPOCH);
            found.push((used, name, bytes));
        }
        found.sort();
        let mut state = State::default();
        for (_, name, bytes) in found {
            state.uses += 1;
            let slot = Slot {
                ready: Arc::default(),
                held: 0,
                used: state.uses,
                bytes,
            };
            state.slots.insert(name.into(), slot);
        }
        let work = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Self(Arc::new(Inner {
            dir: dir.to_owned(),
            bound,
            work: Semaphore::new(work),
            state: Mutex::new(state),
        })))
    }

    /// The folder `name`, made by `make` if it is not there or not whole. Callers of one name at the same time wait for
    /// one of them; if that one is dropped or fails, the next tries.
    pub(crate) async fn get<F>(
        &self,
        name: &str,
        make: impl FnOnce() -> F,
    ) -> Result<Unpacked, CodeError>
    where
        F: Future<Output = Result<Made, CodeError>>,
    {
        let unpacked = self.hold(name);
        unpacked
            .ready
            .get_or_try_init(async || {
                if self.is_whole(name).await? {
                    return Ok(());
                }
                let made = make().await?;
                self.publish(name, made)
            })
            .await?;
        self.evict();
        Ok(unpacked)
    }

    /// Makes a folder: `fill` gets the path of the tree, which is not there yet, and answers what it wrote.
    pub(crate) async fn make(
        &self,
        fill: impl FnOnce(&Path) -> Result<Manifest, CodeError> + Send + 'static,
    ) -> Result<Made, CodeError> {
        let cache = self.clone();
        self.work(move || {
            let failed = |cause: io::Error| CodeError::storage("make a folder in the cache", cause);
            let dir = tempfile::tempdir_in(cache.0.dir.join(NEW)).map_err(failed)?;
            // Others than the owner must be able to enter: environments run as other users.
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
            let manifest = fill(&dir.path().join(TREE))?;
            manifest.save(&dir.path().join(MANIFEST)).map_err(failed)?;
            Ok(Made {
                dir,
                bytes: manifest.disk_bytes().max(1),
            })
        })
        .await
    }

    /// Runs heavy work on a thread for blocking work, a bounded number at once.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CodeError> + Send + 'static,
    ) -> Result<T, CodeError> {
        let _permit = self
            .0
            .work
            .acquire()
            .await
            .map_err(|closed| CodeError::storage("wait for a turn", closed))?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|failed| CodeError::storage("work on a package", failed))?
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is guarded is changed in one step each: a panic elsewhere leaves it sound.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, name: &str) -> Unpacked {
        let name: Arc<str> = name.into();
        let mut state = self.lock();
        state.uses += 1;
        let used = state.uses;
        let slot = state.slots.entry(name.clone()).or_insert_with(|| Slot {
            ready: Arc::default(),
            held: 0,
            used,
            bytes: 0,
        });
        slot.held += 1;
        slot.used = used;
        Unpacked {
            cache: self.clone(),
            path: self.0.dir.join(&*name).join(TREE),
            ready: slot.ready.clone(),
            name,
        }
    }

    /// Whether the folder of an earlier process is there and is what its manifest says. One that is not is removed.
    async fn is_whole(&self, name: &str) -> Result<bool, CodeError> {
        let folder = self.0.dir.join(name);
        if fs::symlink_metadata(&folder).is_err() {
            return Ok(false);
        }
        let checked = folder.clone();
        let difference = self
            .work(move || {
                let manifest = checked.join(MANIFEST);
                Ok(match Manifest::load(&manifest) {
                    Ok(list) => {
                        let verdict = list.verify(&checked.join(TREE));
                        if verdict.is_ok() {
                            // Remembers the use for the order of eviction in the next process; nothing depends on it.
                            let _ = fs::File::open(&manifest)
                                .and_then(|file| file.set_modified(SystemTime::now()));
                        }
                        verdict.err()
                    }
                    Err(error) => Some(error.to_string()),
                })
            })
            .await?;
        let Some(difference) = difference else {
            return Ok(true);
        };
        tracing::warn!(
            name,
            difference,
            "unpacked code was damaged on disk; unpacking it again"
        );
        self.discard(&folder)
            .map_err(|cause| CodeError::storage("remove damaged code", cause))?;
        if let Some(slot) = self.lock().slots.get_mut(name) {
            slot.bytes = 0;
        }
        Ok(false)
    }

    fn publish(&self, name: &str, made: Made) -> Result<(), CodeError> {
        fs::rename(made.dir.path(), self.0.dir.join(name))
            .map_err(|cause| CodeError::storage("name a folder in the cache", cause))?;
        // It has another name now; there is nothing left to remove under this one.
        let _ = made.dir.keep();
        if let Some(slot) = self.lock().slots.get_mut(name) {
            slot.bytes = made.bytes;
        }
        Ok(())
    }

    /// Removes least recently used folders that nobody holds until the rest is within the bound.
    fn evict(&self) {
        let mut state = self.lock();
        let mut total: u64 = state.slots.values().map(|slot| slot.bytes).sum();
        if total <= self.0.bound {
            return;
        }
        let mut idle: Vec<_> = state
            .slots
            .iter()
            .filter(|(_, slot)| slot.held == 0)
            .map(|(name, slot)| (slot.used, name.clone(), slot.bytes))
            .collect();
        idle.sort_unstable();
        for (_, name, bytes) in idle {
            if total <= self.0.bound {
                break;
            }
            // Moved under the lock: whoever asks for this name next finds neither the slot nor the folder.
            match self.discard(&self.0.dir.join(&*name)) {
                Ok(()) => {
                    state.slots.remove(&name);
                    total -= bytes;
                }
                Err(error) => {
                    tracing::warn!(name = &*name, %error, "could not evict unpacked code")
                }
            }
        }
    }

    /// Takes a folder's name away, and removes it in the background.
    fn discard(&self, folder: &Path) -> io::Result<()> {
        let aside = tempfile::Builder::new()
            .prefix("old")
            .tempdir_in(self.0.dir.join(NEW))?;
        fs::rename(folder, aside.path().join("folder"))?;
        // What can't be removed now is removed when the cache is opened again.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(aside))),
            Err(_) => drop(aside),
        }
        Ok(())
    }
}
