//! The programs that are loaded, and the way to one that is not: from the cache, or through the compiler.
//!
//! A look-up reads a snapshot of a persistent map: it takes no lock, and costs the same for ten programs and ten thousand
//! (INV-9). Whoever asks for a program that is not loaded starts a flight for it, which all who ask meanwhile wait for;
//! it is a task of its own, so that it lands though its first asker goes away.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use wasmtime::component::Component;

use crate::cache::{self, Cache, Mapped};
use crate::compile::{Artefact, Compiler};
use crate::engines::{Engines, Model};
use crate::inspect;
use crate::options::WallOptions;
use crate::program::{Digest, Program, Refusal};

/// Programs that are being loaded or compiled at the same time, with those that wait for their turn (INV-3).
const FLIGHTS: usize = 1024;

/// All programs of a wall. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Programs(Arc<Inner>);

struct Inner {
    engines: Arc<Engines>,
    compiler: Compiler,
    cache: Cache,
    most_programs: usize,
    most_bytes: u64,
    loaded: ArcSwap<Table>,
    flights: Mutex<HashMap<Digest, Flight>>,
    /// What uses are counted from.
    begin: Instant,
}

type Table = imbl::HashMap<Digest, Arc<Slot>>;
type Outcome = Result<Arc<Program>, Refusal>;
type Flight = watch::Receiver<Option<Outcome>>;

/// A loaded program with when it was asked for last.
struct Slot {
    program: Arc<Program>,
    /// Seconds.
    used: AtomicU64,
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs")
            .field("loaded", &self.0.loaded.load().len())
            .finish_non_exhaustive()
    }
}

impl Programs {
    /// Opens the cache.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub(crate) fn new(engines: Arc<Engines>, options: &WallOptions) -> io::Result<Self> {
        let cache = Cache::open(&options.cache_dir, options.cache_bytes, &options.secret)?;
        Ok(Self(Arc::new(Inner {
            compiler: Compiler::new(Arc::clone(&engines), options.parallel_compilations),
            engines,
            cache,
            most_programs: options.loaded_programs,
            most_bytes: options.loaded_bytes,
            loaded: ArcSwap::default(),
            flights: Mutex::default(),
            begin: Instant::now(),
        })))
    }

    /// The program of this digest, if it is loaded.
    pub(crate) fn loaded(&self, digest: &Digest) -> Option<Arc<Program>> {
        let table = self.0.loaded.load();
        let slot = table.get(digest)?;
        let now = self.0.begin.elapsed().as_secs();
        // Written once a second at most: what every request writes, processors take from each other.
        if slot.used.load(Ordering::Relaxed) != now {
            slot.used.store(now, Ordering::Relaxed);
        }
        Some(slot.program.clone())
    }

    /// The program of the component in `file`.
    pub(crate) async fn of_file(&self, file: &Path) -> Outcome {
        let file = file.to_owned();
        let hashed = file.clone();
        let digest = blocking("hash a component", move || digest(&hashed)).await??;
        self.of_digest(digest, || async { Ok(file) }).await
    }

    /// The program of this digest, made of the file that `source` leads to if it is neither loaded nor in the cache.
    pub(crate) async fn of_digest<P, F>(
        &self,
        digest: Digest,
        source: impl FnOnce() -> F + Send + 'static,
    ) -> Outcome
    where
        P: AsRef<Path> + Send + 'static,
        F: Future<Output = Result<P, Refusal>> + Send,
    {
        if let Some(program) = self.loaded(&digest) {
            return Ok(program);
        }
        let mut flight = {
            let mut flights = self.flights();
            // It may have landed since.
            if let Some(program) = self.loaded(&digest) {
                return Ok(program);
            }
            match flights.get(&digest) {
                Some(flight) => flight.clone(),
                None if flights.len() >= FLIGHTS => {
                    return Err(Refusal::Internal(
                        "the node has too many components to load: try again later".to_owned(),
                    ));
                }
                None => {
                    let (land, flight) = watch::channel(None);
                    flights.insert(digest, flight.clone());
                    let landing = Landing {
                        programs: self.clone(),
                        digest,
                    };
                    tokio::spawn(async move {
                        let outcome = landing.programs.make(digest, source).await;
                        // From here on it is found among those that are loaded, or asked for anew.
                        drop(landing);
                        land.send_replace(Some(outcome));
                    });
                    flight
                }
            }
        };
        match flight.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            _ => Err(Refusal::Internal(
                "the task that makes a program ready was stopped".to_owned(),
            )),
        }
    }

    async fn make<P, F>(&self, digest: Digest, source: impl FnOnce() -> F) -> Outcome
    where
        P: AsRef<Path> + Send + 'static,
        F: Future<Output = Result<P, Refusal>>,
    {
        let programs = self.clone();
        let cached = blocking("load a component", move || programs.load_kept(&digest)).await?;
        if let Some(program) = cached {
            return Ok(self.enter(digest, program));
        }
        // From here on a component is in memory, perhaps twice: hence only those whose turn it is.
        let turn = self.0.compiler.turn().await?;
        let source = source().await?;
        let programs = self.clone();
        let (model, component) = blocking("read a component", move || {
            let component = read(source.as_ref())?;
            let model = inspect::inspect(&component, &programs.0.engines)?;
            Ok((model, component))
        })
        .await??;
        let (bytes, begin) = (component.len(), Instant::now());
        let (turn, artefact) = self.0.compiler.compile(turn, model, component).await?;
        tracing::info!(
            bytes,
            compiled_bytes = artefact.bytes().len(),
            ms = begin.elapsed().as_millis() as u64,
            "compiled a component"
        );
        let programs = self.clone();
        let program = blocking("keep a component", move || {
            let program = programs.keep_compiled(&digest, model, &artefact);
            drop(turn);
            program
        })
        .await??;
        Ok(self.enter(digest, program))
    }

    fn load_kept(&self, digest: &Digest) -> Option<Program> {
        // Nobody remembers which model it is of: the cache knows it under one of them.
        Model::ALL.into_iter().find_map(|model| {
            let base = self.0.engines.of(model);
            let Mapped { component, bytes } = self.0.cache.load(base, digest)?;
            match Program::link((model, base), &component, bytes) {
                Ok(program) => Some(program),
                Err(refusal) => {
                    // It was linked when it was kept: the node offers something else now. Its source tells what it lacks.
                    tracing::info!(%refusal, "compiled component can't be linked; compiling it again");
                    None
                }
            }
        })
    }

    fn keep_compiled(
        &self,
        digest: &Digest,
        model: Model,
        artefact: &Artefact,
    ) -> Result<Program, Refusal> {
        let base = self.0.engines.of(model);
        let loaded: HashSet<Digest> = self.0.loaded.load().keys().copied().collect();
        let kept = self.0.cache.store(base, digest, artefact.bytes(), &loaded);
        if let Err(error) = &kept {
            tracing::warn!(%error, "could not keep a compiled component; it is compiled again by the next process");
        }
        let link = |component: &Component, bytes| Program::link((model, base), component, bytes);
        let linked = match kept.ok().and_then(|()| self.0.cache.load(base, digest)) {
            Some(Mapped { component, bytes }) => link(&component, bytes),
            None => cache::load_compiled(&base.engine, artefact)
                .map_err(|error| unloadable(&error))
                .and_then(|component| link(&component, artefact.bytes().len() as u64)),
        };
        if linked.is_err() {
            self.0.cache.remove(base, digest);
        }
        linked
    }

    /// Puts a program among those that are loaded, and takes out those that were not used for the longest time and that
    /// nobody holds, if there are too many.
    fn enter(&self, digest: Digest, program: Program) -> Arc<Program> {
        let program = Arc::new(program);
        // Writers take turns: flights land one after the other.
        let _writers = self.flights();
        let mut table = Table::clone(&self.0.loaded.load());
        self.trim(&mut table, program.compiled_bytes());
        let slot = Slot {
            program: program.clone(),
            used: AtomicU64::new(self.0.begin.elapsed().as_secs()),
        };
        table.insert(digest, Arc::new(slot));
        self.0.loaded.store(Arc::new(table));
        program
    }

    /// Makes room for one more program of `bytes`. A program that somebody takes up in this moment stays whole for him;
    /// the next who asks for it maps it a second time.
    fn trim(&self, table: &mut Table, bytes: u64) {
        let total: u64 = table
            .values()
            .map(|slot| slot.program.compiled_bytes())
            .sum();
        let mut total = total + bytes;
        if total <= self.0.most_bytes && table.len() < self.0.most_programs {
            return;
        }
        let mut idle: Vec<_> = table
            .iter()
            .filter(|(_, slot)| Arc::strong_count(&slot.program) == 1)
            .map(|(digest, slot)| (slot.used.load(Ordering::Relaxed), *digest))
            .collect();
        idle.sort_unstable();
        for (_, digest) in idle {
            if total <= self.0.most_bytes && table.len() < self.0.most_programs {
                return;
            }
            if let Some(slot) = table.remove(&digest) {
                total -= slot.program.compiled_bytes();
            }
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Digest, Flight>> {
        // What is guarded is changed in one step each: a panic elsewhere leaves it sound.
        self.0
            .flights
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the board, however it ends.
struct Landing {
    programs: Programs,
    digest: Digest,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.programs.flights().remove(&self.digest);
    }
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|stopped| Refusal::Internal(format!("{what}: {stopped}")))
}

fn open(file: &Path) -> Result<File, Refusal> {
    let failed = |error: io::Error| unreadable(file, &error);
    let opened = File::open(file).map_err(failed)?;
    let bytes = opened.metadata().map_err(failed)?.len();
    if bytes > inspect::COMPONENT_BYTES {
        return Err(inspect::too_large(bytes));
    }
    Ok(opened)
}

fn read(file: &Path) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    open(file)?
        .take(inspect::COMPONENT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(file, &error))?;
    Ok(bytes)
}

fn digest(file: &Path) -> Result<Digest, Refusal> {
    Ok(Sha256::digest(read(file)?).into())
}

fn unreadable(file: &Path, error: &io::Error) -> Refusal {
    Refusal::Internal(format!("read the component {}: {error}", file.display()))
}

/// Why code that was compiled a moment ago can't be loaded: the pool has no place of such a size, unless the host failed.
fn unloadable(error: &wasmtime::Error) -> Refusal {
    if error.root_cause().downcast_ref::<io::Error>().is_some()
        || error
            .root_cause()
            .downcast_ref::<rustix::io::Errno>()
            .is_some()
    {
        return Refusal::Internal(format!("load a compiled component: {error:#}"));
    }
    Refusal::Invalid(format!(
        "The component needs more than one instance may have: {error:#}."
    ))
}

#[cfg(test)]
mod tests;
