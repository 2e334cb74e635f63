//! Reading a package that anyone may have made: a zip, or a WebAssembly component by itself, which is treated as a zip
//! with this one file.
//!
//! [`Archive::open`] reads what the zip says that it holds and refuses what may not be unpacked; bytes of files are
//! counted and summed up as they are inflated, whatever the zip says of them. Nothing here writes to a disk.

mod ending;
mod name;
mod tree;

use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use hearth_types::limits::UNPACKED_BYTES;
use zip::read::{ZipArchive, ZipFile};
use zip::{CompressionMethod, System};

use crate::CodeError;
use tree::TARGET_BYTES;
pub(crate) use tree::{Node, Tree};

/// How many times its own size a package may unpack to. Deflate's own bound is 1,032 (zlib's technical notes), where
/// only repetition of one byte comes near; code and libraries stay below 10.
const RATIO: u64 = 200;
/// Up to here a package may unpack to anything: a small file of zeros harms nobody.
const RATIO_FREE_BYTES: u64 = 4 << 20;
/// Bytes inflated at a time.
const CHUNK: usize = 64 * 1024;

// inode(7): the type of a file in its mode.
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;

/// How every WebAssembly binary begins (WebAssembly core specification, "Modules", binary format: the magic).
const WASM_MAGIC: &[u8] = b"\0asm";
/// The name that a WebAssembly component gets which comes without one.
const COMPONENT_NAME: &str = "component.wasm";

/// A package whose directory was read and found fit to be unpacked.
pub(crate) struct Archive {
    contents: Contents,
    tree: Tree,
}

/// Where the bytes of files come from.
enum Contents {
    Zip(ZipArchive<Cursor<Bytes>>),
    /// One file, which is all of the package.
    File(Bytes),
}

impl Archive {
    /// Reads the directory of `bytes`. `archive` is its number in a list of layers.
    ///
    /// # Errors
    /// [`CodeError::BadZip`], [`CodeError::EmptyZip`], [`CodeError::TooLarge`].
    pub(crate) fn open(bytes: Bytes, archive: usize) -> Result<Self, CodeError> {
        if bytes.is_empty() {
            return Err(CodeError::EmptyZip);
        }
        if bytes.starts_with(WASM_MAGIC) {
            return Self::of_file(COMPONENT_NAME, bytes, archive);
        }
        let length = bytes.len() as u64;
        let entries = ending::entries(&bytes).map_err(|rule| CodeError::BadZip(rule.into()))?;
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
        if zip.has_duplicate_names() {
            return Err(CodeError::BadZip(
                "it has several entries of one name".into(),
            ));
        }
        if zip.len() as u64 != entries {
            return Err(CodeError::BadZip("its end is damaged".into()));
        }
        // Local headers that say other than the directory, entries that overlap, entries that it leaves out: other
        // readers of the same zip would see another package.
        zip.validate_header_consistency().map_err(unreadable)?;

        let mut tree = Tree::default();
        let mut total = 0;
        for entry in 0..zip.len() {
            total += add(&mut zip, &mut tree, archive, entry)?;
            if total > UNPACKED_BYTES {
                return Err(CodeError::TooLarge);
            }
        }
        if tree.files().next().is_none() {
            return Err(CodeError::EmptyZip);
        }
        if total > RATIO_FREE_BYTES && total / RATIO > length {
            return Err(CodeError::BadZip(format!(
                "it unpacks to more than {RATIO} times its own size"
            )));
        }
        tree.check_links()
            .map_err(|(path, rule)| refused(path.as_bytes(), rule))?;
        Ok(Self {
            contents: Contents::Zip(zip),
            tree,
        })
    }

    /// A package that is one file.
    fn of_file(name: &str, bytes: Bytes, archive: usize) -> Result<Self, CodeError> {
        let size = bytes.len() as u64;
        if size > UNPACKED_BYTES {
            return Err(CodeError::TooLarge);
        }
        let mut tree = Tree::default();
        let node = Node::File {
            place: tree::Place { archive, entry: 0 },
            size,
            executable: false,
        };
        tree.insert(name, node)
            .map_err(|rule| refused(name.as_bytes(), rule))?;
        Ok(Self {
            contents: Contents::File(bytes),
            tree,
        })
    }

    /// What it holds.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Inflates every file, and keeps nothing.
    ///
    /// # Errors
    /// [`CodeError::BadZip`] if one can't be inflated or is not what the directory says.
    pub(crate) fn read_all(&mut self) -> Result<(), CodeError> {
        let entries: Vec<usize> = self.tree.files().map(|(place, _)| place.entry).collect();
        for entry in entries {
            self.copy(entry, &mut std::io::sink())?;
        }
        Ok(())
    }

    /// Inflates one file into `sink`: as many bytes as the directory says, with the checksum that it says.
    ///
    /// # Errors
    /// [`CodeError::BadZip`]; [`CodeError::Storage`] or [`CodeError::Full`] if the sink fails.
    pub(crate) fn copy(&mut self, entry: usize, sink: &mut impl Write) -> Result<(), CodeError> {
        match &mut self.contents {
            Contents::Zip(zip) => inflate(zip, entry, sink),
            Contents::File(bytes) => sink.write_all(bytes).map_err(unwritten),
        }
    }
}

/// Inflates one file of a zip into `sink`.
fn inflate(
    zip: &mut ZipArchive<Cursor<Bytes>>,
    entry: usize,
    sink: &mut impl Write,
) -> Result<(), CodeError> {
    let mut file = zip.by_index(entry).map_err(unreadable)?;
    let declared = file.size();
    let mut left = declared;
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(_) => return Err(refused(file.name_raw(), "can't be inflated, or is damaged")),
        };
        left = left
            .checked_sub(read as u64)
            .ok_or_else(|| refused(file.name_raw(), "is larger than its header says"))?;
        sink.write_all(&chunk[..read]).map_err(unwritten)?;
    }
    if left > 0 {
        return Err(refused(file.name_raw(), "is smaller than its header says"));
    }
    Ok(())
}

/// Adds an entry of a zip to the tree. Answers the bytes that it says it unpacks to.
fn add(
    zip: &mut ZipArchive<Cursor<Bytes>>,
    tree: &mut Tree,
    archive: usize,
    entry: usize,
) -> Result<u64, CodeError> {
    // Raw: an entry that can't be inflated must still be named in the error.
    let file = zip.by_index_raw(entry).map_err(unreadable)?;
    let raw = file.name_raw().to_vec();
    let no = |rule: &str| refused(&raw, rule);
    if file.encrypted() {
        return Err(no("is encrypted"));
    }
    if !matches!(
        file.compression(),
        CompressionMethod::Stored | CompressionMethod::Deflated
    ) {
        return Err(no("is neither stored nor deflated"));
    }
    let size = file.size();
    let mode = unix_mode(&file);
    drop(file);

    let path = name::path(&raw).map_err(no)?;
    let folder_name = raw.ends_with(b"/");
    let node = match mode & TYPE {
        DIRECTORY => Node::Folder,
        0 | REGULAR if folder_name => Node::Folder,
        0 | REGULAR => Node::File {
            place: tree::Place { archive, entry },
            size,
            executable: mode & 0o111 != 0,
        },
        SYMLINK if !folder_name => Node::Link {
            target: target(zip, entry, size).map_err(|error| match error {
                None => no("is a link whose target is no path"),
                Some(error) => error,
            })?,
        },
        _ => return Err(no("is neither a file, nor a folder, nor a symbolic link")),
    };
    if node == Node::Folder && size > 0 {
        return Err(no("is a folder with contents of its own"));
    }
    if path.is_empty() {
        return if node == Node::Folder {
            Ok(0)
        } else {
            Err(no("has no name"))
        };
    }
    tree.insert(&path, node).map_err(no)?;
    Ok(size)
}

/// The target of a link; `None` as the error if it is not a path.
fn target(
    zip: &mut ZipArchive<Cursor<Bytes>>,
    entry: usize,
    size: u64,
) -> Result<String, Option<CodeError>> {
    if size > TARGET_BYTES {
        return Err(None);
    }
    let mut target = Vec::new();
    inflate(zip, entry, &mut target)?;
    String::from_utf8(target).map_err(|_| None)
}

/// Lays archives over each other, the first one lowest.
///
/// # Errors
/// [`CodeError::BadZip`] if what they make together may not be unpacked, [`CodeError::TooLarge`].
pub(crate) fn merge(archives: &[Archive]) -> Result<Tree, CodeError> {
    let mut merged = Tree::default();
    for archive in archives {
        merged
            .overlay(archive.tree.clone())
            .map_err(|rule| CodeError::BadZip(rule.into()))?;
    }
    if merged.bytes() > UNPACKED_BYTES {
        return Err(CodeError::TooLarge);
    }
    merged
        .check_links()
        .map_err(|(path, rule)| refused(path.as_bytes(), rule))?;
    Ok(merged)
}

/// Type and permissions, if a system that has them made the entry; 0 otherwise.
fn unix_mode<R: Read>(file: &ZipFile<'_, R>) -> u32 {
    match file.system() {
        // 19 is OS X (Darwin), which writes modes as UNIX does (APPNOTE.TXT 4.4.2.2).
        System::Unix | System::OsDarwin => file.external_attributes() >> 16,
        _ => 0,
    }
}

fn unwritten(cause: std::io::Error) -> CodeError {
    CodeError::storage("write an unpacked file", cause)
}

fn refused(name: &[u8], rule: &str) -> CodeError {
    CodeError::BadZip(format!("the entry {} {rule}", name::shown(name)))
}

/// The zip reader's words are for people who know zip; they are short, and quote no more than a name.
fn unreadable(error: zip::result::ZipError) -> CodeError {
    let text: String = error
        .to_string()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    CodeError::BadZip(text)
}
