//! Hearth's own bootstraps: embedded in the binary, written out once at start.

use std::io;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/bootstraps.rs"));

/// Writes the bootstraps into `dir`: one folder a language, readable by everybody, as it is mounted at `/var/runtime`.
///
/// # Errors
/// If a file can't be written.
pub(super) fn write(dir: &Path) -> io::Result<()> {
    for (language, files) in [("python", PYTHON), ("node", NODEJS)] {
        let folder = dir.join(language);
        // What an earlier version of Hearth left must not be found by this one's imports.
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        make_folder(&folder)?;
        for (name, content) in files {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                make_folder(parent)?;
            }
            std::fs::write(&path, content)?;
            set_mode(&path, 0o644)?;
        }
    }
    Ok(())
}

fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    set_mode(path, 0o755)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_are_embedded_with_their_entry_point() {
        assert!(PYTHON.iter().any(|(name, _)| *name == "bootstrap.py"));
        assert!(
            NODEJS
                .iter()
                .any(|(name, _)| name.starts_with("bootstrap."))
        );
    }

    #[test]
    fn what_an_earlier_version_left_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let stale = dir.path().join("python/stale.py");
        std::fs::write(&stale, "").unwrap();
        write(dir.path()).unwrap();
        assert!(!stale.exists());
        assert!(dir.path().join("python/bootstrap.py").exists());
    }
}
