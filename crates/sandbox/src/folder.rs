//! Folders of the host that sandboxes are given: what node processes run in there, and what they read.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A folder of its own for one sandbox; removed when dropped.
#[derive(Debug)]
pub struct OwnFolder(PathBuf);

impl OwnFolder {
    /// The folder that is, or will be, at `path`.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        if let Err(error) = remove_folder(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "remove a sandbox's folder");
        }
    }
}

/// Removes a folder with all that is in it. One that is not there is no error.
///
/// # Errors
/// The system's.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder and those above it, with this mode whatever the process's mask is.
///
/// # Errors
/// The system's.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes `dir` anew, without what an earlier node left, and in it a folder that holds a program and nothing else: `put`
/// puts it at the path that it is given. Gives that folder, which sandboxes may mount.
///
/// # Errors
/// The system's.
pub fn program_folder(
    dir: &Path,
    program: &str,
    put: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<PathBuf> {
    remove_folder(dir)?;
    make_folder(dir, 0o700)?;
    let folder = dir.join("program");
    make_folder(&folder, 0o755)?;
    put(&folder.join(program))?;
    Ok(folder)
}
