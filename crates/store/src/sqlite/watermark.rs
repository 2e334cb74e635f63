//! How far answers have gone, in a file beside the database.
//!
//! SQLite takes an unreadable end of its log for a transaction that was never finished, and an empty file for a
//! new database: both are right after a crash and silent loss after damage. The watermark tells them apart. It
//! is written after each transaction is on disk and before anyone hears of it, so a database that is behind it
//! has lost something that was answered.
//!
//! It is not synced each time (that would double the wait): a killed process leaves it exact, a power cut may
//! leave it older, which is harmless, for the database is synced before it is raised. Removing the file accepts
//! the database as it is: that is how a backup is restored.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::row::Content;
use super::schema::Head;
use crate::contract::StoreError;

/// The first word of the file, with the version of its form.
const KIND: &str = "hearth-watermark-1";

/// More than the file ever is; it fits into one sector, the unit that a disk writes whole.
const LONGEST: u64 = 512;

/// The open file.
#[derive(Debug)]
pub(super) struct Watermark {
    file: File,
    path: PathBuf,
}

impl Watermark {
    /// Compares `head`, as found in the database at `database`, with the mark; makes the file if it is not there.
    pub(super) fn open(database: &Path, head: &Head) -> Result<Self, StoreError> {
        let mut name = OsString::from(database);
        name.push("-watermark");
        let path = PathBuf::from(name);
        match File::open(&path) {
            Ok(file) => compare(&path, file, head)?,
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(unusable(&path, &e)),
        }
        let mark = Self {
            file: OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(|e| unusable(&path, &e))?,
            path,
        };
        mark.start(head).map_err(|e| unusable(&mark.path, &e))?;
        Ok(mark)
    }

    fn start(&self, head: &Head) -> io::Result<()> {
        self.file.write_all_at(line(head).as_bytes(), 0)?;
        self.file.sync_all()?;
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }

    /// Raises the mark to `head`, which is on disk.
    pub(super) fn raise(&self, head: &Head) {
        if let Err(e) = self.file.write_all_at(line(head).as_bytes(), 0) {
            // What was committed is safe; only the guard against its later loss is behind.
            tracing::warn!(file = %self.path.display(), error = %e, "can't raise the store's watermark");
        }
    }

    /// Puts the mark on disk.
    pub(super) fn sync(&self) {
        if let Err(e) = self.file.sync_all() {
            tracing::warn!(file = %self.path.display(), error = %e, "can't sync the store's watermark");
        }
    }
}

/// Always of the same length, so that one overwrites the other.
fn line(head: &Head) -> String {
    let body = format!(
        "{KIND} {:020} {}",
        head.sequence,
        hex::encode(head.content.0)
    );
    let checksum = hex::encode(Sha256::digest(&body));
    format!("{body} {checksum}\n")
}

fn parse(text: &str) -> Option<Head> {
    let (body, _) = text.rsplit_once(' ')?;
    let mut words = body.split(' ').skip(1);
    let sequence = words.next()?.parse().ok()?;
    let mut content = [0; 32];
    hex::decode_to_slice(words.next()?, &mut content).ok()?;
    let head = Head {
        sequence,
        content: Content(content),
    };
    (line(&head) == text).then_some(head)
}

fn compare(path: &Path, file: File, head: &Head) -> Result<(), StoreError> {
    let mut text = Vec::new();
    file.take(LONGEST)
        .read_to_end(&mut text)
        .map_err(|e| unusable(path, &e))?;
    let mark = std::str::from_utf8(&text)
        .ok()
        .and_then(parse)
        .ok_or_else(|| lost(path, "the watermark can't be read"))?;
    if head.sequence < mark.sequence {
        return Err(lost(
            path,
            &format!(
                "it ends at transaction {}, but transaction {} was answered",
                head.sequence, mark.sequence
            ),
        ));
    }
    if head.sequence == mark.sequence && head.content != mark.content {
        return Err(lost(path, "its content is not what was answered"));
    }
    Ok(())
}

fn lost(path: &Path, what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{what}; restore the data folder from a backup or, to go on with what is there, remove {}",
        path.display()
    ))
}

fn unusable(path: &Path, error: &io::Error) -> StoreError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::StorageFull => StoreError::Full(text),
        _ => StoreError::Unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_no_changed_byte_passes() {
        let head = Head {
            sequence: 42,
            content: Content([7; 32]),
        };
        let text = line(&head);
        assert!((text.len() as u64) < LONGEST);
        assert_eq!(parse(&text), Some(head));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(
                parse(std::str::from_utf8(&bytes).unwrap()),
                None,
                "byte {at}"
            );
            assert_eq!(parse(&text[..at]), None, "cut at {at}");
        }
    }
}
