//! The proof that a folder is what was unpacked: every path with its kind, size, mode and SHA-256, and a checksum over
//! the list itself. It lies beside the folder, so that what is mounted holds the package alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hearth_types::digest::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a block of disk is counted as: the block size of common Linux file systems (mkfs.ext4, mkfs.xfs defaults).
const BLOCK: u64 = 4_096;
/// Folders may be as deep as archives allow, and the walk descends no further than that plus one.
const DEPTH: usize = 65;

/// What is at one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub(crate) enum Item {
    /// A folder, mode 0755.
    Folder,
    /// A file, mode 0644 or 0755.
    File {
        size: u64,
        sha256: Digest,
        executable: bool,
    },
    /// A symbolic link.
    Link { target: String },
}

/// Everything in one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    items: BTreeMap<String, Item>,
}

impl Manifest {
    pub(crate) fn insert(&mut self, path: &str, item: Item) {
        self.items.insert(path.to_owned(), item);
    }

    /// Bytes of disk that the folder takes, in whole blocks.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.items
            .values()
            .map(|item| match item {
                Item::File { size, .. } => size.next_multiple_of(BLOCK),
                Item::Folder | Item::Link { .. } => BLOCK,
            })
            .sum()
    }

    /// Writes the manifest: a line with the checksum, then the list.
    pub(crate) fn save(&self, file: &Path) -> io::Result<()> {
        let list = serde_json::to_string(self)?;
        let checksum = Digest::from_bytes(Sha256::digest(&list).into());
        fs::write(file, format!("{checksum}\n{list}"))
    }

    /// Reads a manifest back; `InvalidData` if it is not as it was written.
    pub(crate) fn load(file: &Path) -> io::Result<Self> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the manifest is damaged");
        let text = fs::read_to_string(file)?;
        let (checksum, list) = text.split_once('\n').ok_or_else(damaged)?;
        if Digest::from_bytes(Sha256::digest(list).into()).to_hex() != checksum {
            return Err(damaged());
        }
        serde_json::from_str(list).map_err(|_| damaged())
    }

    /// Compares all of `folder` with this manifest. `Err` says the first difference, or why it can't be read.
    pub(crate) fn verify(&self, folder: &Path) -> Result<(), String> {
        let mut seen = 0;
        self.verify_below(folder, "", 0, &mut seen)?;
        if seen == self.items.len() {
            Ok(())
        } else {
            Err(format!(
                "{} of its files are missing",
                self.items.len() - seen
            ))
        }
    }

    fn verify_below(
        &self,
        folder: &Path,
        prefix: &str,
        depth: usize,
        seen: &mut usize,
    ) -> Result<(), String> {
        let unreadable = |error: io::Error| format!("'{prefix}' can't be read: {error}");
        if depth > DEPTH {
            return Err(format!("'{prefix}' was not in the package"));
        }
        check_mode(folder, 0o755, prefix)?;
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let Ok(name) = std::str::from_utf8(name.as_bytes()) else {
                return Err(format!(
                    "'{prefix}' holds a name that was not in the package"
                ));
            };
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            let differs = || format!("'{path}' differs");
            let kind = entry.file_type().map_err(unreadable)?;
            match self.items.get(&path) {
                None => return Err(format!("'{path}' was not in the package")),
                Some(Item::Folder) if kind.is_dir() => {
                    self.verify_below(&entry.path(), &path, depth + 1, seen)?;
                }
                Some(Item::File {
                    size,
                    sha256,
                    executable,
                }) if kind.is_file() => {
                    check_mode(&entry.path(), file_mode(*executable), &path)?;
                    let (length, hash) = hash(&entry.path()).map_err(unreadable)?;
                    if (length, hash) != (*size, *sha256) {
                        return Err(differs());
                    }
                }
                Some(Item::Link { target }) if kind.is_symlink() => {
                    let found = fs::read_link(entry.path()).map_err(unreadable)?;
                    if found.as_os_str() != target.as_str() {
                        return Err(differs());
                    }
                }
                Some(_) => return Err(differs()),
            }
            *seen += 1;
        }
        Ok(())
    }
}

/// The mode of an unpacked file.
pub(crate) const fn file_mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

fn check_mode(path: &Path, expected: u32, shown: &str) -> Result<(), String> {
    let found = fs::symlink_metadata(path)
        .map_err(|error| format!("'{shown}' can't be read: {error}"))?
        .permissions()
        .mode()
        & 0o7777;
    if found == expected {
        Ok(())
    } else {
        Err(format!(
            "'{shown}' has mode {found:04o}, not {expected:04o}"
        ))
    }
}

fn hash(path: &Path) -> io::Result<(u64, Digest)> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((length, Digest::from_bytes(hasher.finalize().into())));
        }
        length += read as u64;
        hasher.update(&chunk[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_no_byte_of_it_can_change_unseen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("manifest");
        let mut manifest = Manifest::default();
        manifest.insert("d", Item::Folder);
        manifest.insert(
            "d/é \"x\"",
            Item::File {
                size: 5_000,
                sha256: Digest::from_bytes([7; 32]),
                executable: true,
            },
        );
        manifest.insert("l", Item::Link { target: "d".into() });
        manifest.save(&file).unwrap();
        assert_eq!(Manifest::load(&file).unwrap(), manifest);
        assert_eq!(manifest.disk_bytes(), 4 * BLOCK);

        let good = fs::read(&file).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&file, &bad).unwrap();
            assert!(Manifest::load(&file).is_err(), "byte {at}");
            fs::write(&file, &good[..at]).unwrap();
            assert!(Manifest::load(&file).is_err(), "cut at {at}");
        }
    }
}
