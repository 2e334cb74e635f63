//! Zips that nobody should unpack, made byte by byte: each is refused with its reason, and nothing is written anywhere.

#![allow(clippy::unwrap_used, reason = "a test stops where it can't go on")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hearth_code::{CodeError, Options, PackageStore, Packages};
use tempfile::TempDir;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const UNIX: u16 = 3 << 8 | 20;
const UTF8: u16 = 1 << 11;

/// One entry, with every field that a hostile zip may lie about.
#[derive(Clone)]
struct Entry {
    name: Vec<u8>,
    local_name: Option<Vec<u8>>,
    data: Vec<u8>,
    size: u32,
    compressed: u32,
    crc: u32,
    method: u16,
    flags: u16,
    made_by: u16,
    mode: u32,
    /// The local header's place, if it is not where it was written.
    offset: Option<u32>,
}

fn entry(name: impl AsRef<[u8]>, data: &[u8]) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        local_name: None,
        data: data.to_vec(),
        size: data.len() as u32,
        compressed: data.len() as u32,
        crc: crc32fast::hash(data),
        method: STORED,
        flags: UTF8,
        made_by: UNIX,
        mode: 0o100_644,
        offset: None,
    }
}

fn link(name: &str, target: &str) -> Entry {
    Entry {
        mode: 0o120_777,
        ..entry(name, target.as_bytes())
    }
}

fn local(out: &mut Vec<u8>, entry: &Entry) {
    let name = entry.local_name.as_ref().unwrap_or(&entry.name);
    out.extend(b"PK\x03\x04");
    for field in [20, entry.flags, entry.method, 0, 0x21] {
        out.extend(field.to_le_bytes());
    }
    for field in [entry.crc, entry.compressed, entry.size] {
        out.extend(field.to_le_bytes());
    }
    out.extend((name.len() as u16).to_le_bytes());
    out.extend(0_u16.to_le_bytes());
    out.extend(name);
    out.extend(&entry.data);
}

fn central(out: &mut Vec<u8>, entry: &Entry, offset: u32) {
    out.extend(b"PK\x01\x02");
    for field in [entry.made_by, 20, entry.flags, entry.method, 0, 0x21] {
        out.extend(field.to_le_bytes());
    }
    for field in [entry.crc, entry.compressed, entry.size] {
        out.extend(field.to_le_bytes());
    }
    for field in [entry.name.len() as u16, 0, 0, 0, 0] {
        out.extend(field.to_le_bytes());
    }
    out.extend((entry.mode << 16).to_le_bytes());
    out.extend(entry.offset.unwrap_or(offset).to_le_bytes());
    out.extend(&entry.name);
}

fn end(out: &mut Vec<u8>, entries: u16, start: usize, comment: &[u8]) {
    let size = (out.len() - start) as u32;
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(entries.to_le_bytes());
    out.extend(entries.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend((start as u32).to_le_bytes());
    out.extend((comment.len() as u16).to_le_bytes());
    out.extend(comment);
}

fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let offsets: Vec<_> = entries
        .iter()
        .map(|entry| {
            let offset = out.len() as u32;
            local(&mut out, entry);
            offset
        })
        .collect();
    let start = out.len();
    for (entry, offset) in entries.iter().zip(offsets) {
        central(&mut out, entry, offset);
    }
    end(&mut out, entries.len() as u16, start, b"");
    out
}

/// The same with the end in zip64's form, saying that there are `count` entries.
fn zip64(entries: &[Entry], count: u64) -> Vec<u8> {
    let mut out = zip(entries);
    out.truncate(out.len() - 22);
    let start = out
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    let end64 = out.len();
    out.extend(b"PK\x06\x06");
    out.extend(44_u64.to_le_bytes());
    out.extend([45, 0, 45, 0]);
    out.extend([0; 8]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(((end64 - start) as u64).to_le_bytes());
    out.extend((start as u64).to_le_bytes());
    out.extend(b"PK\x06\x07\0\0\0\0");
    out.extend((end64 as u64).to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([0xff; 12]);
    out.extend([0; 2]);
    out
}

fn deflated(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, data) in files {
        writer
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

struct Storage {
    dir: TempDir,
    packages: Packages,
}

impl Storage {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let packages = Packages::open(Options {
            packages: PackageStore::Local(dir.path().join("packages")),
            cache_dir: dir.path().join("cache"),
            cache_bytes: 1 << 30,
            source: None,
        })
        .await
        .unwrap();
        Self { dir, packages }
    }

    async fn refusal(&self, zip: Vec<u8>) -> String {
        match self.packages.put(zip.into()).await {
            Err(error @ (CodeError::BadZip(_) | CodeError::EmptyZip | CodeError::TooLarge)) => {
                error.to_string()
            }
            other => panic!("not refused as the caller's fault: {other:?}"),
        }
    }

    /// The folder of an accepted zip.
    async fn folder(&self, zip: Vec<u8>) -> PathBuf {
        let package = self.packages.put(zip.into()).await.unwrap();
        self.packages
            .unpacked(&package)
            .await
            .unwrap()
            .path()
            .to_owned()
    }
}

/// Files and links below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

#[tokio::test]
async fn an_honest_zip_is_accepted() {
    // The control: what the others are made from.
    let storage = Storage::open().await;
    let mut made = zip(&[
        entry("a.py", b"pass"),
        Entry {
            mode: 0o040_700,
            ..entry("d/", b"")
        },
        Entry {
            mode: 0o106_755,
            ..entry("d/tool", b"#!/bin/sh")
        },
        link("d/l", "../a.py"),
        // From a system without modes.
        Entry {
            made_by: 20,
            mode: 0o777,
            ..entry("e/f", b"")
        },
        entry("A.py", b"another"),
    ]);
    let folder = storage.folder(made.clone()).await;
    assert_eq!(below(&folder).len(), 5);
    assert_eq!(fs::read(folder.join("d/l")).unwrap(), b"pass");
    assert_eq!(fs::read(folder.join("A.py")).unwrap(), b"another");
    let mode = |path: &str| {
        std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(folder.join(path)).unwrap().permissions(),
        )
    };
    assert_eq!(mode("d/tool"), 0o100_755);
    assert_eq!(mode("d"), 0o040_755);
    assert_eq!(mode("e/f"), 0o100_644);

    // In front of a zip anything may stand: that is how self-extracting ones are made.
    made.splice(0..0, b"#!/usr/bin/env python3\n".iter().copied());
    storage.folder(made).await;
    storage.folder(zip64(&[entry("a", b"64")], 1)).await;
    let with_comment = {
        let mut bytes = zip(&[entry("a", b"x")]);
        let length = bytes.len();
        bytes[length - 2] = 5;
        bytes.extend(b"hello");
        bytes
    };
    storage.folder(with_comment).await;
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let storage = Storage::open().await;
    let names: [&[u8]; 12] = [
        b"../x",
        b"a/../../x",
        b"/etc/passwd",
        b"..\\x",
        b"a\\..\\..\\x",
        b"C:\\x",
        b"C:/x",
        b"a\0b",
        b"caf\xe9",
        b"..",
        b"a/..",
        b"./",
    ];
    for name in names {
        let text = storage
            .refusal(zip(&[entry("ok", b"x"), entry(name, b"evil")]))
            .await;
        assert!(text.contains("entry"), "{text}");
    }
    for name in [
        "d/".repeat(65) + "x",
        "n".repeat(256),
        "abcdefg/".repeat(40) + &"y".repeat(900),
    ] {
        storage.refusal(zip(&[entry(name, b"x")])).await;
    }
    assert_eq!(
        below(&storage.dir.path().join("packages")),
        Vec::<PathBuf>::new()
    );
    assert_eq!(
        below(&storage.dir.path().join("cache")),
        Vec::<PathBuf>::new()
    );
}

#[tokio::test]
async fn links_and_what_is_no_file_are_refused() {
    let storage = Storage::open().await;
    for entries in [
        vec![link("l", "/etc/passwd"), entry("x", b"")],
        vec![link("l", "../x"), entry("x", b"")],
        vec![link("d/e", ".."), link("l", "d/e/../x"), entry("x", b"")],
        // A file through a link.
        vec![link("l", "/tmp"), entry("l/x", b"evil")],
        vec![entry("x", b""), link("d", "."), entry("d/x", b"evil")],
        vec![link("a", "b"), link("b", "a"), entry("x", b"")],
        vec![link("l", ""), entry("x", b"")],
        vec![link("l", &"a/".repeat(600)), entry("x", b"")],
        vec![link("l/", "x"), entry("x", b"")],
        vec![
            Entry {
                data: b"\xff".to_vec(),
                crc: crc32fast::hash(b"\xff"),
                ..link("l", "x")
            },
            entry("x", b""),
        ],
    ] {
        storage.refusal(zip(&entries)).await;
    }
    // inode(7): fifo, character device, block device, socket.
    for kind in [0o010_000, 0o020_000, 0o060_000, 0o140_000] {
        let node = Entry {
            mode: kind | 0o644,
            ..entry("node", b"")
        };
        let text = storage.refusal(zip(&[node, entry("x", b"")])).await;
        assert!(text.contains("neither a file"), "{text}");
    }
}

#[tokio::test]
async fn entries_that_collide_are_refused() {
    let storage = Storage::open().await;
    for entries in [
        vec![entry("a", b"1"), entry("a", b"2")],
        vec![entry("a", b"1"), entry("./a", b"2")],
        vec![entry("a", b"1"), entry("a/b", b"2")],
        vec![entry("a/b", b"1"), entry("a", b"2")],
        vec![entry("a", b"1"), entry("a/", b"")],
        vec![entry("d/", b"contents"), entry("x", b"")],
    ] {
        storage.refusal(zip(&entries)).await;
    }
}

#[tokio::test]
async fn headers_that_lie_are_refused() {
    let storage = Storage::open().await;
    let honest = entry("a", b"0123456789");
    let lies: [Entry; 9] = [
        Entry {
            size: 9,
            ..honest.clone()
        },
        Entry {
            size: 11,
            ..honest.clone()
        },
        Entry {
            size: u32::MAX - 1,
            ..honest.clone()
        },
        Entry {
            crc: 0,
            ..honest.clone()
        },
        Entry {
            compressed: 5,
            size: 5,
            ..honest.clone()
        },
        Entry {
            compressed: 1 << 20,
            ..honest.clone()
        },
        Entry {
            method: DEFLATED,
            ..honest.clone()
        },
        Entry {
            local_name: Some(b"b".to_vec()),
            ..honest.clone()
        },
        Entry {
            offset: Some(u32::MAX - 1),
            ..honest.clone()
        },
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let text = storage.refusal(zip(&[lie])).await;
        assert!(!text.is_empty(), "{number}");
    }
    for method in [1, 6, 9, 12, 14, 93, 95, 98, 99, 0xffff] {
        storage
            .refusal(zip(&[Entry {
                method,
                ..honest.clone()
            }]))
            .await;
    }
    let encrypted = Entry {
        flags: UTF8 | 1,
        ..honest.clone()
    };
    let text = storage.refusal(zip(&[encrypted])).await;
    assert!(text.contains("encrypted"), "{text}");

    // Two entries that share their bytes: a small zip that is many large files.
    let twin = Entry {
        name: b"b".to_vec(),
        local_name: Some(b"a".to_vec()),
        offset: Some(0),
        ..honest.clone()
    };
    storage.refusal(zip(&[honest.clone(), twin])).await;
    let mut shared = zip(std::slice::from_ref(&honest));
    shared.truncate(shared.len() - 22);
    let start = shared
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    central(
        &mut shared,
        &Entry {
            name: b"b".to_vec(),
            ..honest.clone()
        },
        0,
    );
    end(&mut shared, 2, start, b"");
    storage.refusal(shared).await;
}

#[tokio::test]
async fn ends_that_mislead_are_refused() {
    let storage = Storage::open().await;
    let good = zip(&[entry("a", b"x"), entry("b", b"y")]);
    let count_at = good.len() - 12;
    for count in [0_u16, 1, 3, u16::MAX] {
        let mut bad = good.clone();
        bad[count_at - 2..count_at].copy_from_slice(&count.to_le_bytes());
        bad[count_at..count_at + 2].copy_from_slice(&count.to_le_bytes());
        storage.refusal(bad).await;
    }
    let trailing = [&good[..], b"garbage"].concat();
    let text = storage.refusal(trailing).await;
    assert!(text.contains("bytes follow its end"), "{text}");
    for length in 0..good.len() {
        storage.refusal(good[..length].to_vec()).await;
    }
    // A second zip in the comment of the first: some readers see one, some the other.
    let inner = zip(&[entry("evil", b"e")]);
    let mut outer = good.clone();
    let length = outer.len();
    outer[length - 2..].copy_from_slice(&(inner.len() as u16).to_le_bytes());
    outer.extend(&inner);
    let folder = match storage.packages.put(outer.into()).await {
        Ok(package) => storage
            .packages
            .unpacked(&package)
            .await
            .unwrap()
            .path()
            .to_owned(),
        Err(CodeError::BadZip(_)) => PathBuf::new(),
        Err(other) => panic!("{other:?}"),
    };
    assert!(!(folder.join("evil").exists() && folder.join("a").exists()));
    for count in [0, 2, 131_073, u64::MAX] {
        storage.refusal(zip64(&[entry("a", b"x")], count)).await;
    }
}

#[tokio::test]
async fn empty_and_bombs_are_refused() {
    let storage = Storage::open().await;
    let text = storage.refusal(zip(&[])).await;
    assert_eq!(text, CodeError::EmptyZip.to_string());
    assert_eq!(storage.refusal(Vec::new()).await, text);
    let folder_only = Entry {
        mode: 0o040_755,
        ..entry("d/", b"")
    };
    assert_eq!(storage.refusal(zip(&[folder_only])).await, text);

    let zeros = vec![0; 16 << 20];
    let text = storage.refusal(deflated(&[("zeros", &zeros)])).await;
    assert!(text.contains("200 times"), "{text}");
    let many: Vec<(String, &[u8])> = (0..17).map(|n| (format!("z{n}"), &zeros[..])).collect();
    let many: Vec<_> = many
        .iter()
        .map(|(name, data)| (name.as_str(), *data))
        .collect();
    let text = storage.refusal(deflated(&many)).await;
    assert_eq!(text, CodeError::TooLarge.to_string());
    // The directory says little, the data is much.
    let mut lying = deflated(&[("zeros", &zeros[..0xabcdef])]);
    let real = 0xab_cdef_u32.to_le_bytes();
    for at in 0..lying.len() - 4 {
        if lying[at..at + 4] == real {
            lying[at..at + 4].copy_from_slice(&100_u32.to_le_bytes());
        }
    }
    let text = storage.refusal(lying).await;
    assert!(text.contains("the entry 'zeros'"), "{text}");
    // A small file may be all zeros.
    storage
        .folder(deflated(&[("zeros", &zeros[..1 << 20])]))
        .await;
}

/// xorshift64*: the same seed gives the same zips everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

#[tokio::test]
async fn whatever_is_done_to_a_zip_it_is_refused_or_stays_in_its_folder() {
    let storage = Storage::open().await;
    let honest = zip(&[
        entry("a.py", b"pass"),
        entry("d/e/f", b"0123456789"),
        link("d/l", "e/../../a.py"),
        Entry {
            mode: 0o040_755,
            ..entry("g/", b"")
        },
    ]);
    let packed = deflated(&[
        ("x/y", &b"some text, some text, some text".repeat(20)),
        ("z", b"z"),
    ]);
    let pieces: [&[u8]; 8] = [
        b"../",
        b"/",
        b"\0",
        b"PK\x05\x06",
        b"PK\x01\x02",
        b"PK\x03\x04",
        b"\xff\xff\xff\xff",
        b"..",
    ];
    let mut accepted = 0;
    for seed in 1..=3_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = if random.below(3) == 0 {
            packed.clone()
        } else {
            honest.clone()
        };
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.below(256) as u8,
                2 => {
                    let piece = pieces[random.below(pieces.len())];
                    let until = (at + piece.len()).min(bytes.len());
                    bytes.splice(at..until, piece.iter().copied());
                }
                3 => {
                    let until = (at + random.below(8)).min(bytes.len());
                    bytes.drain(at..until);
                }
                _ => {
                    let until = (at + random.below(40)).min(bytes.len());
                    let copy = bytes[at..until].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, copy);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        match storage.packages.check(Bytes::from(bytes.clone())).await {
            Err(CodeError::BadZip(_) | CodeError::EmptyZip | CodeError::TooLarge) => {}
            Err(other) => panic!("seed {seed}: {other:?}"),
            Ok(_) => {
                accepted += 1;
                let folder = storage.folder(bytes).await;
                for path in below(&folder) {
                    // Where a link leads to something, it leads to something inside.
                    if let Ok(real) = fs::canonicalize(&path) {
                        assert!(
                            real.starts_with(fs::canonicalize(&folder).unwrap()),
                            "seed {seed}: {path:?}"
                        );
                    }
                }
            }
        }
    }
    // Both ways were taken: some changes are to times and such.
    assert!(accepted > 20 && accepted < 2_000, "{accepted}");
    let around: Vec<_> = fs::read_dir(storage.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(around.len(), 2, "{around:?}");
}
