//! A tree of archives as a folder on disk.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hearth_types::digest::Digest;
use sha2::{Digest as _, Sha256};

use crate::CodeError;
use crate::archive::{Archive, Node, Tree};
use crate::manifest::{Item, Manifest, file_mode};

/// When folders were last modified: the earliest time that a zip can hold (APPNOTE.TXT 4.4.6), so that a function can zip
/// its own files; the same everywhere, so that nothing depends on when a node unpacked.
const MODIFIED: Duration = Duration::from_secs(315_532_800);

/// When a file was last modified: up to 17 years after [`MODIFIED`], as its content says. Servers of files make ETags of
/// their time and size: those of two versions of a file must differ, or browsers keep the old one.
fn modified(content: &Digest) -> SystemTime {
    let [a, b, c, d, ..] = *content.as_bytes();
    let seconds = u32::from_be_bytes([a, b, c, d]) >> 3;
    SystemTime::UNIX_EPOCH + MODIFIED + Duration::from_secs(seconds.into())
}

/// Writes `tree` into `folder`, which must not be there.
///
/// # Errors
/// [`CodeError::Full`], [`CodeError::Storage`]; [`CodeError::BadZip`] if an archive can't be inflated. The folder then
/// holds a part of the tree.
pub(crate) fn unpack(
    archives: &mut [Archive],
    tree: &Tree,
    folder: &Path,
) -> Result<Manifest, CodeError> {
    let failed = |cause: io::Error| CodeError::storage("unpack a package", cause);
    let mut manifest = Manifest::default();
    make_folder(folder).map_err(failed)?;
    let mut folders = vec![folder.to_owned()];
    let mut links = Vec::new();
    for (path, node) in tree.iter() {
        let target = folder.join(path);
        match node {
            Node::Folder => {
                make_folder(&target).map_err(failed)?;
                folders.push(target);
                manifest.insert(path, Item::Folder);
            }
            Node::File {
                place,
                size,
                executable,
            } => {
                let mut file = Hashing::new(make_file(&target).map_err(failed)?);
                archives[place.archive].copy(place.entry, &mut file)?;
                let sha256 = file.finish(file_mode(*executable)).map_err(failed)?;
                manifest.insert(
                    path,
                    Item::File {
                        size: *size,
                        sha256,
                        executable: *executable,
                    },
                );
            }
            Node::Link { target: to } => links.push((path, target, to)),
        }
    }
    // Last: while there is no link in the folder, no write can go through one.
    for (path, at, to) in links {
        std::os::unix::fs::symlink(to, at).map_err(failed)?;
        manifest.insert(path, Item::Link { target: to.clone() });
    }
    for folder in folders.iter().rev() {
        settle_folder(folder).map_err(failed)?;
    }
    Ok(manifest)
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)
}

fn make_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
}

/// Gives a folder its mode, whatever the process's umask is, and its time, once nothing more is written into it.
fn settle_folder(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    File::open(path)?.set_modified(SystemTime::UNIX_EPOCH + MODIFIED)
}

/// A file that is hashed as it is written.
struct Hashing {
    file: File,
    hasher: Sha256,
}

impl Hashing {
    fn new(file: File) -> Self {
        Self {
            file,
            hasher: Sha256::new(),
        }
    }

    fn finish(self, mode: u32) -> io::Result<Digest> {
        let content = Digest::from_bytes(self.hasher.finalize().into());
        self.file.set_permissions(Permissions::from_mode(mode))?;
        self.file.set_modified(modified(&content))?;
        Ok(content)
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
