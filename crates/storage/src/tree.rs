//! A look at a folder: its files are objects, their paths within it the keys.
//!
//! Symbolic links, devices, pipes and sockets are no objects, and no link is followed: nothing outside of the folder is
//! ever named.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::difference::{Found, Seen};

/// How to look.
#[derive(Debug)]
pub(crate) struct Look {
    /// The folder.
    pub(crate) root: PathBuf,
    /// For how long a file must not have changed.
    pub(crate) settle: Duration,
    /// Files that somebody is writing.
    pub(crate) writing: BTreeSet<String>,
    /// More objects than this are an error.
    pub(crate) most: usize,
    /// The time.
    pub(crate) now: SystemTime,
}

/// What a look has found.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// What can be said.
    pub(crate) seen: Seen,
    /// Files of which nothing can be said before this time is over.
    pub(crate) unsettled: Vec<(String, Duration)>,
    /// Folders that can't be read, with the reason.
    pub(crate) unreadable: Vec<String>,
}

/// Why a look has no end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The folder can't be read.
    Root(io::Error),
    /// There are more objects than there may be.
    TooMany,
}

impl Look {
    /// Looks at the keys `places` and under them; the empty one is the whole folder.
    ///
    /// # Errors
    /// [`Failure`]: nothing can be said.
    pub(crate) fn at(&self, places: &[String]) -> Result<View, Failure> {
        // A folder that is away, as one that is not mounted, is not an empty one.
        std::fs::read_dir(&self.root).map_err(Failure::Root)?;
        let mut view = View::default();
        for at in places {
            if !self.is_within(at) {
                continue;
            }
            let mut folders = Vec::new();
            if at.is_empty() {
                folders.push(String::new());
            } else {
                self.entry(at.clone(), &mut view, &mut folders)?;
            }
            while let Some(folder) = folders.pop() {
                self.folder(&folder, &mut view, &mut folders)?;
            }
        }
        Ok(view)
    }

    /// Whether all folders on the way to a key are folders, and not links to some.
    fn is_within(&self, key: &str) -> bool {
        key.match_indices('/').all(|(end, _)| {
            let folder = std::fs::symlink_metadata(self.root.join(&key[..end]));
            folder.is_ok_and(|folder| folder.is_dir())
        })
    }

    fn folder(&self, key: &str, view: &mut View, folders: &mut Vec<String>) -> Result<(), Failure> {
        let entries = match std::fs::read_dir(self.root.join(key)) {
            Ok(entries) => entries,
            Err(error) => return self.unread(key, error, view),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.unread(key, error, view),
            };
            // A key is text.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let key = match key {
                "" => name,
                _ => format!("{key}/{name}"),
            };
            self.entry(key, view, folders)?;
        }
        Ok(())
    }

    /// What is in a folder that can't be read stays as it is known.
    fn unread(&self, key: &str, error: io::Error, view: &mut View) -> Result<(), Failure> {
        if key.is_empty() {
            return Err(Failure::Root(error));
        }
        if error.kind() != ErrorKind::NotFound {
            view.unreadable.push(format!("{key}: {error}"));
            view.seen.held.insert(format!("{key}/"));
        }
        Ok(())
    }

    fn entry(
        &self,
        key: String,
        view: &mut View,
        folders: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let found = match std::fs::symlink_metadata(self.root.join(&key)) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                view.unreadable.push(format!("{key}: {error}"));
                view.seen.held.insert(key);
                return Ok(());
            }
        };
        if found.is_dir() {
            folders.push(key);
        } else if found.is_file() {
            if view.seen.objects.len() + view.unsettled.len() >= self.most {
                return Err(Failure::TooMany);
            }
            match self.wait(&key, &found) {
                Some(wait) => {
                    view.seen.held.insert(key.clone());
                    view.unsettled.push((key, wait));
                }
                None => {
                    view.seen.objects.insert(key, object(&found));
                }
            }
        }
        Ok(())
    }

    /// How long to wait until something can be said of a file; `None`: it can be said now.
    fn wait(&self, key: &str, found: &Metadata) -> Option<Duration> {
        // A second name for a file is made at once, and nobody closes it.
        if self.writing.contains(key) && found.nlink() == 1 {
            return Some(self.settle);
        }
        // The time of the last change of whatever kind: who copies a file sets the time of its content as he likes.
        let changed = Duration::new(
            u64::try_from(found.ctime()).unwrap_or(0),
            u32::try_from(found.ctime_nsec()).unwrap_or(0),
        );
        match self.now.duration_since(SystemTime::UNIX_EPOCH + changed) {
            Ok(age) => self.settle.checked_sub(age).filter(|wait| !wait.is_zero()),
            // Of a clock that is ahead nothing can be learnt, but by a little.
            Err(ahead) => (ahead.duration() < self.settle).then_some(self.settle),
        }
    }
}

/// The object that a file is. Its ETag is no digest of its content, which nobody has read.
fn object(found: &Metadata) -> Found {
    let etag = format!(
        "{:x}-{:x}{:09x}-{:x}",
        found.ino(),
        found.mtime(),
        found.mtime_nsec(),
        found.size()
    );
    Found {
        size: found.size(),
        stamp: etag.clone(),
        etag,
    }
}

/// Whether there is a file with this key after all.
pub(crate) fn is_there(root: &Path, key: &str) -> bool {
    let found = std::fs::symlink_metadata(root.join(key));
    found.is_ok_and(|found| found.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(root: &Path) -> Look {
        Look {
            root: root.to_owned(),
            settle: Duration::from_secs(1),
            writing: BTreeSet::new(),
            most: 3,
            // All that the tests write is old.
            now: SystemTime::now() + Duration::from_secs(60),
        }
    }

    fn keys(view: &View) -> Vec<&str> {
        view.seen.objects.keys().map(String::as_str).collect()
    }

    fn whole() -> [String; 1] {
        [String::new()]
    }

    #[test]
    fn files_of_sub_folders_are_objects_and_links_are_not() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/c"), "content").unwrap();
        std::fs::write(root.join("d"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("out")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), root.join("file")).unwrap();
        let look = look(root);
        let view = look.at(&whole()).unwrap();
        assert_eq!(keys(&view), ["a/b/c", "d"]);
        assert_eq!(view.seen.objects["a/b/c"].size, 7);
        for key in ["out/secret", "file", "out", "gone", "d/e"] {
            let view = look.at(&[key.to_owned()]).unwrap();
            assert!(keys(&view).is_empty(), "{key}");
        }
        assert_eq!(keys(&look.at(&["a".to_owned()]).unwrap()), ["a/b/c"]);
    }

    #[test]
    fn a_file_is_held_while_it_changes_or_is_written() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "1").unwrap();
        let mut look = look(folder.path());
        look.writing.insert("a".to_owned());
        let view = look.at(&whole()).unwrap();
        assert_eq!((keys(&view).len(), view.unsettled.len()), (0, 1));
        // A second name is written by nobody.
        std::fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert_eq!(keys(&look.at(&whole()).unwrap()), ["a", "b"]);
        look.writing.clear();
        look.now = SystemTime::now();
        let view = look.at(&whole()).unwrap();
        assert_eq!((keys(&view).len(), view.unsettled.len()), (0, 2));
        assert!(view.unsettled[0].1 <= look.settle);
    }

    #[test]
    fn a_folder_that_is_away_or_too_large_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(keys(&look(folder.path()).at(&whole()).unwrap()).len(), 3);
        std::fs::write(folder.path().join("d"), "").unwrap();
        let full = look(folder.path()).at(&whole());
        assert!(matches!(full, Err(Failure::TooMany)));
        let away = look(&folder.path().join("nowhere")).at(&whole());
        assert!(matches!(away, Err(Failure::Root(_))));
    }
}
