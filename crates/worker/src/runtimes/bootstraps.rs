//! Hearth's own bootstraps: embedded in the binary, written out once at start.

use std::io;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/bootstraps.rs"));

/// Writes the bootstraps into `dir`: one folder a language, readable by everybody, as it is mounted at `/var/runtime`.
/// A folder that holds exactly these files is left alone, and with it the bytecode that was compiled for them.
///
/// # Errors
/// If a file can't be written.
pub(super) fn write(dir: &Path) -> io::Result<()> {
    for (language, files) in [("python", PYTHON), ("node", NODEJS)] {
        let folder = dir.join(language);
        if is_current(&folder, files) {
            continue;
        }
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

/// Compiles the Python bootstrap for one interpreter: a function's environment can't write what it compiled, so that
/// each one would compile it again. Without it functions run all the same.
///
/// # Errors
/// If the interpreter does not run or says no.
pub(super) async fn compile(dir: &Path, interpreter: &Path) -> io::Result<()> {
    let status = tokio::process::Command::new(interpreter)
        // Without the host's packages; with hashes that are not checked, since the files never change in place.
        .args([
            "-S",
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
        ])
        .arg(dir.join("python"))
        .env_clear()
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .status()
        .await?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(status.to_string()))
    }
}

/// Whether `folder` holds `files` and nothing else but bytecode.
fn is_current(folder: &Path, files: &[(&str, &[u8])]) -> bool {
    let same = |(name, content): &(&str, &[u8])| {
        std::fs::read(folder.join(name)).is_ok_and(|found| found == *content)
    };
    files.iter().all(same) && count(folder).is_ok_and(|count| count == files.len())
}

fn count(folder: &Path) -> io::Result<usize> {
    let mut files = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            files += 1;
        } else if entry.file_name() != "__pycache__" {
            files += count(&entry.path())?;
        }
    }
    Ok(files)
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

    #[test]
    fn bytecode_stays_with_what_it_was_compiled_from() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let bytecode = dir.path().join("python/hearth_runtime/__pycache__");
        std::fs::create_dir(&bytecode).unwrap();
        write(dir.path()).unwrap();
        assert!(bytecode.exists());
        std::fs::write(dir.path().join("python/bootstrap.py"), "other").unwrap();
        write(dir.path()).unwrap();
        assert!(!bytecode.exists());
    }
}
