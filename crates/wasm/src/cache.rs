//! Compiled components on this machine's disk (L1).
//!
//! A file holds one component as native code that [`Component::deserialize_file`] maps, and after it a [`Trailer`]. What
//! is in it runs in this process without a wall around it: it is loaded only if it carries a tag over every byte, made
//! with the node's secret, and it is verified before each load. A file that is stale, damaged, cut short, of another
//! node or of another component is worth nothing, and no error: it is made again.
//!
//! The file that is verified is the file that is mapped: both go through one open descriptor. Nobody but this user can
//! write in the folder (0700); who can write there while the node runs already has the node's rights.
//!
//! Files are written aside, flushed and renamed. Processes may share a folder: what one renames over or removes stays
//! mapped in the others.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engines::Base;
use crate::program::Digest;
use crate::seal::{Seal, TAG_BYTES};

/// Of files that are being written.
const NEW: &str = "new-";
/// Of whole files.
const EXTENSION: &str = "cwasm";

/// The cache. Its methods block.
pub(crate) struct Cache {
    dir: PathBuf,
    bound: u64,
    seal: Seal,
}

/// A component, mapped from its file.
pub(crate) struct Mapped {
    pub(crate) component: Component,
    /// Compiled bytes.
    pub(crate) bytes: u64,
}

impl Cache {
    /// Opens the cache in `dir`, removing what was being written when a process ended.
    pub(crate) fn open(dir: &Path, bound: u64, secret: &[u8; 32]) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
        if fs::metadata(dir)?.permissions().mode() & 0o777 != 0o700 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        }
        let cache = Self {
            dir: dir.to_owned(),
            bound,
            seal: Seal::new(secret),
        };
        cache.clean()?;
        Ok(cache)
    }

    /// Maps the component of this digest as the engine of `base` compiled it, if there is a file of it that can be trusted.
    pub(crate) fn load(&self, base: &Base, digest: &Digest) -> Option<Mapped> {
        let path = self.path(base, digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::info!(path = %path.display(), %error, "compiled component can't be read; compiling it again");
                return None;
            }
        };
        match self.load_file(base, digest, &file) {
            Ok(mapped) => Some(mapped),
            Err(reason) => {
                tracing::info!(path = %path.display(), reason, "compiled component is not trusted; compiling it again");
                None
            }
        }
    }

    fn load_file(&self, base: &Base, digest: &Digest, file: &File) -> Result<Mapped, String> {
        let bytes = self.verify(base, digest, file)?;
        let component = map(&base.engine, file).map_err(|error| format!("{error:#}"))?;
        // Remembers the use for the order of removal, in this process and the next; nothing else depends on it.
        let _ = file.set_modified(SystemTime::now());
        Ok(Mapped { component, bytes })
    }

    /// Checks every byte of a file; answers how many of them are compiled code.
    fn verify(&self, base: &Base, digest: &Digest, file: &File) -> Result<u64, String> {
        let unreadable = |error: io::Error| error.to_string();
        let length = file.metadata().map_err(unreadable)?.len();
        let bytes = length
            .checked_sub(TRAILER_BYTES as u64)
            .ok_or("it is cut short")?;
        let mut found = [0; TRAILER_BYTES];
        file.read_exact_at(&mut found, bytes).map_err(unreadable)?;
        let mut expected = trailer(base, digest, bytes);
        // The fields before the tag differ in a file of another component, engine or length: there is nothing to hash.
        if found[..FIELDS_BYTES] != expected[..FIELDS_BYTES] {
            return Err("it was made for something else, or is damaged".to_owned());
        }
        let tag = self
            .seal
            .of_file(&expected[..FIELDS_BYTES], file, bytes)
            .map_err(unreadable)?;
        expected[FIELDS_BYTES..].copy_from_slice(tag.as_bytes());
        // Compared in constant time, though nobody can measure it.
        let tag_found: [u8; TAG_BYTES] = found[FIELDS_BYTES..].try_into().unwrap_or([0; TAG_BYTES]);
        if tag != tag_found {
            return Err("it is damaged, or of another node".to_owned());
        }
        Ok(bytes)
    }

    /// Keeps what the engine of `base` compiled. `loaded` are the components that this process has mapped: they count as used now.
    ///
    /// # Errors
    /// Of the disk. Nothing was changed then.
    pub(crate) fn store(
        &self,
        base: &Base,
        digest: &Digest,
        artefact: &[u8],
        loaded: &HashSet<Digest>,
    ) -> io::Result<()> {
        let length = (artefact.len() + TRAILER_BYTES) as u64;
        if length > self.bound {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!("{length} bytes, and the cache may have {}", self.bound),
            ));
        }
        let new = tempfile::Builder::new()
            .prefix(NEW)
            .tempfile_in(&self.dir)?;
        // Says to other processes that open the folder that this is not a leftover.
        new.as_file().lock_shared()?;
        let mut trailer = trailer(base, digest, artefact.len() as u64);
        let tag = self.seal.of_bytes(&trailer[..FIELDS_BYTES], artefact);
        trailer[FIELDS_BYTES..].copy_from_slice(tag.as_bytes());
        new.as_file().write_all_at(artefact, 0)?;
        new.as_file()
            .write_all_at(&trailer, artefact.len() as u64)?;
        new.as_file().sync_all()?;
        new.persist(self.path(base, digest))
            .map_err(|error| error.error)?;
        // Without this, a power failure may take the name away: the file is then made again.
        File::open(&self.dir)?.sync_all()?;
        self.trim(digest, loaded);
        Ok(())
    }

    /// Forgets a component.
    pub(crate) fn remove(&self, base: &Base, digest: &Digest) {
        let path = self.path(base, digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::info!(path = %path.display(), %error, "could not remove a compiled component");
            }
            _ => {}
        }
    }

    /// Removes least recently used files until the rest is within the bound; `kept` and what is loaded last of all.
    fn trim(&self, kept: &Digest, loaded: &HashSet<Digest>) {
        let kept = hex(kept);
        let loaded: HashSet<String> = loaded.iter().map(|digest| hex(digest)).collect();
        let mut files = match self.files() {
            Ok(files) => files,
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error, "could not list compiled components");
                return;
            }
        };
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        files.sort_by_cached_key(|file| {
            let digest = file.digest();
            let last = (digest == kept, loaded.contains(digest));
            (last, file.used)
        });
        for file in files {
            if total <= self.bound {
                return;
            }
            match fs::remove_file(&file.path) {
                Ok(()) => total -= file.bytes,
                // Another process was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => total -= file.bytes,
                Err(error) => {
                    tracing::warn!(path = %file.path.display(), %error, "could not remove a compiled component");
                }
            }
        }
    }

    /// Whole files, of all engines.
    fn files(&self) -> io::Result<Vec<Kept>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension() != Some(OsStr::new(EXTENSION)) {
                continue;
            }
            // One that another process removed in between takes no room.
            if let Ok(metadata) = entry.metadata() {
                files.push(Kept {
                    path,
                    bytes: metadata.len(),
                    used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                });
            }
        }
        Ok(files)
    }

    /// Removes what nobody goes on writing.
    fn clean(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(NEW.as_bytes())
            {
                continue;
            }
            // A leftover that can't be opened or removed is in nobody's way.
            let abandoned = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
            if abandoned {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn path(&self, base: &Base, digest: &Digest) -> PathBuf {
        self.dir.join(format!(
            "{}-{}.{EXTENSION}",
            hex(digest),
            hex(&base.fingerprint[..8])
        ))
    }
}

/// The end of a file, the tag still missing.
fn trailer(base: &Base, digest: &Digest, bytes: u64) -> [u8; TRAILER_BYTES] {
    let mut trailer = [0; TRAILER_BYTES];
    let fields: [&[u8]; 4] = [MAGIC, digest, &base.fingerprint, &bytes.to_le_bytes()];
    let mut at = 0;
    for field in fields {
        trailer[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    }
    trailer
}

/// What a file begins its trailer with: the format, with its version.
const MAGIC: &[u8; 8] = b"hearth\x00\x01";

/// Bytes of the fields under the tag: format, digest of the component, fingerprint of the engine, length of the code.
const FIELDS_BYTES: usize = MAGIC.len() + 32 + 32 + 8;

/// Bytes after the code.
const TRAILER_BYTES: usize = FIELDS_BYTES + TAG_BYTES;

struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Kept {
    /// Of its component, as [`Cache::path`] writes it.
    fn digest(&self) -> &str {
        let stem = self.path.file_stem().and_then(OsStr::to_str);
        stem.and_then(|stem| stem.split_once('-'))
            .map_or("", |(digest, _)| digest)
    }
}

/// Maps a file that was verified.
#[expect(
    unsafe_code,
    reason = "compiled components are native code: who loads them vouches for them"
)]
fn map(engine: &Engine, file: &File) -> wasmtime::Result<Component> {
    // Opens the same file again by its descriptor, whatever has its name by now.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the file's every byte carries this node's tag: it was written by `Cache::store` from what an engine with
    // this fingerprint compiled. Nobody but this user can write it, and no process of Hearth writes to a file that has
    // its name.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Loads what was compiled just now and could not be kept: a copy in memory.
#[expect(
    unsafe_code,
    reason = "compiled components are native code: who loads them vouches for them"
)]
pub(crate) fn load_compiled(
    engine: &Engine,
    artefact: &crate::compile::Artefact,
) -> wasmtime::Result<Component> {
    // SAFETY: an `Artefact` is made by `Engine::precompile_component` alone, and never left this process.
    unsafe { Component::deserialize(engine, artefact.bytes()) }
}

/// Tells engines apart whose code is not the same.
pub(crate) fn fingerprint(engine: &Engine) -> [u8; 32] {
    struct Fields(Sha256);
    impl Hasher for Fields {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            // Nobody asks: the digest is taken out.
            0
        }
    }
    let mut fields = Fields(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut fields);
    fields.0.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
