//! The files of one function's log: segments, named by ascending numbers, of which only the newest is written to.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::queue::{Lost, lock, waiting};
use super::record::{self, HEADER, Line, Record};

const EXTENSION: &str = "log";

/// The segments of one function, oldest first.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) segments: Vec<Segment>,
    /// The last segment was begun by this process and may be appended to. A segment of an earlier process never is: its
    /// end may be torn.
    open: bool,
    /// No segment gets a number below this.
    next: u64,
}

/// One file.
#[derive(Debug)]
pub(super) struct Segment {
    /// Its number: not below the time at which it was begun, in milliseconds since the UNIX epoch.
    pub(super) number: u64,
    /// Bytes of whole records with the header; of an earlier process's file that was not read yet, all bytes.
    pub(super) bytes: u64,
    /// When it was last written to.
    pub(super) written_ms: i64,
    /// What is in it, if that is known.
    pub(super) index: Option<Index>,
}

/// What is in a segment.
#[derive(Debug)]
pub(super) struct Index {
    /// Least timestamp of its lines.
    pub(super) first_ms: i64,
    /// Greatest timestamp of its lines.
    pub(super) last_ms: i64,
    /// Its streams, by id.
    pub(super) streams: Vec<Stream>,
    ids: HashMap<Arc<str>, u32>,
}

/// A stream in a segment.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) name: Arc<str>,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) ingestion_ms: i64,
    pub(super) bytes: u64,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            first_ms: i64::MAX,
            last_ms: i64::MIN,
            streams: Vec::new(),
            ids: HashMap::new(),
        }
    }
}

impl Index {
    fn id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    fn name_stream(&mut self, name: &str) -> u32 {
        let id = self.streams.len() as u32;
        let name: Arc<str> = name.into();
        self.ids.insert(name.clone(), id);
        self.streams.push(Stream {
            name,
            first_ms: i64::MAX,
            last_ms: i64::MIN,
            ingestion_ms: i64::MIN,
            bytes: 0,
        });
        id
    }

    fn count(&mut self, line: &Line<'_>) {
        self.first_ms = self.first_ms.min(line.timestamp_ms);
        self.last_ms = self.last_ms.max(line.timestamp_ms);
        if let Some(stream) = self.streams.get_mut(line.stream as usize) {
            stream.first_ms = stream.first_ms.min(line.timestamp_ms);
            stream.last_ms = stream.last_ms.max(line.timestamp_ms);
            stream.ingestion_ms = stream.ingestion_ms.max(line.ingestion_ms);
            stream.bytes += line.message.len() as u64;
        }
    }

    /// Reads all of a segment: what is in it, and how many bytes of it are whole records.
    fn scan(bytes: &[u8]) -> (Self, u64) {
        let mut index = Self::default();
        if !bytes.starts_with(HEADER) {
            return (index, 0);
        }
        let mut at = HEADER.len();
        while let Some((record, taken)) = record::next(&bytes[at..]) {
            match record {
                Record::Stream { id, name } => {
                    if id as usize != index.streams.len() {
                        break;
                    }
                    index.name_stream(name);
                }
                Record::Line(line) => index.count(&line),
            }
            at += taken;
        }
        (index, at as u64)
    }
}

impl Files {
    /// Finds the segments in `folder`; reads none of them.
    pub(super) fn find(folder: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(&format!(".{EXTENSION}")))
                .and_then(|number| u64::from_str_radix(number, 16).ok());
            let Some(number) = number else { continue };
            let metadata = entry.metadata()?;
            files.segments.push(Segment {
                number,
                bytes: metadata.len(),
                written_ms: metadata.modified().map_or(0, millis),
                index: None,
            });
        }
        files
            .segments
            .sort_unstable_by_key(|segment| segment.number);
        files.next = files.segments.last().map_or(0, |last| last.number + 1);
        Ok(files)
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends what waited, in a new segment if the last one has reached `rotate` bytes. Records are made in `out`, whatever
    /// is in it.
    ///
    /// # Errors
    /// When not all could be appended; the next append begins a new segment.
    pub(super) fn append(
        &mut self,
        folder: &Path,
        waited: (&[u8], Option<&Lost>),
        out: &mut Vec<u8>,
        now_ms: i64,
        rotate: u64,
    ) -> io::Result<()> {
        let full = self.segments.last().is_none_or(|last| last.bytes >= rotate);
        if full || !self.open {
            self.begin(now_ms);
        }
        self.open = false;
        let Some(segment) = self.segments.last_mut() else {
            return Ok(());
        };
        frame(segment, waited, out, now_ms);
        match write(folder, segment, out) {
            Ok(()) => {
                segment.bytes += out.len() as u64;
                segment.written_ms = now_ms;
                self.open = true;
                Ok(())
            }
            Err(error) if segment.bytes == 0 => {
                // What little is there, if anything, can't be read: its number is not used again.
                let _ = fs::remove_file(path(folder, segment.number));
                self.segments.pop();
                Err(error)
            }
            Err(error) => {
                // The index speaks of lines that may not be there: it is to be read from the file.
                segment.index = None;
                Err(error)
            }
        }
    }

    fn begin(&mut self, now_ms: i64) {
        let number = self.next.max(u64::try_from(now_ms).unwrap_or(0));
        self.next = number + 1;
        self.segments.push(Segment {
            number,
            bytes: 0,
            written_ms: now_ms,
            index: Some(Index::default()),
        });
    }

    /// The next append begins a new segment.
    pub(super) fn rotate(&mut self) {
        self.open = false;
    }

    /// Removes the oldest segment. Answers how many bytes went; `None` if there was none.
    pub(super) fn remove_oldest(&mut self, folder: &Path) -> io::Result<Option<u64>> {
        let Some(oldest) = self.segments.first() else {
            return Ok(None);
        };
        match fs::remove_file(path(folder, oldest.number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let oldest = self.segments.remove(0);
        if self.segments.is_empty() {
            self.open = false;
            // Fails if anything else lies there, which is then left alone.
            let _ = fs::remove_dir(folder);
        }
        Ok(Some(oldest.bytes))
    }
}

/// Calls `look` with a segment whose index is there, reading the file first if it must be; `None` if the segment is gone.
pub(super) fn with_segment<T>(
    files: &Mutex<Files>,
    folder: &Path,
    number: u64,
    look: impl FnOnce(&Segment, &Index) -> T,
) -> io::Result<Option<T>> {
    let mut scanned = None;
    loop {
        let mut files = lock(files);
        let Some(segment) = files
            .segments
            .iter_mut()
            .find(|segment| segment.number == number)
        else {
            return Ok(None);
        };
        if let (None, Some((index, bytes))) = (&segment.index, scanned.take()) {
            segment.index = Some(index);
            segment.bytes = bytes;
        }
        if let Some(index) = &segment.index {
            return Ok(Some(look(segment, index)));
        }
        // Not while the lock is held: the writer would wait, and lines be dropped.
        drop(files);
        scanned = match fs::read(path(folder, number)) {
            Ok(bytes) => Some(Index::scan(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
    }
}

/// Makes records of what waited, and counts them in the segment's index.
fn frame<'a>(
    segment: &mut Segment,
    (lines, lost): (&'a [u8], Option<&'a Lost>),
    out: &mut Vec<u8>,
    now_ms: i64,
) {
    out.clear();
    if segment.bytes == 0 {
        out.extend_from_slice(HEADER);
    }
    let index = segment.index.get_or_insert_default();
    // Lines come in runs of one stream: looking for its name costs more than comparing it.
    let mut last: Option<(&str, u32)> = None;
    let mut push = |name: &'a str, timestamp_ms: i64, message: &[u8]| {
        let stream = match last {
            Some((same, id)) if same == name => id,
            _ => index.id(name).unwrap_or_else(|| {
                let id = index.name_stream(name);
                record::push_stream(out, id, name);
                id
            }),
        };
        last = Some((name, stream));
        let line = Line {
            stream,
            timestamp_ms,
            ingestion_ms: now_ms,
            message,
        };
        record::push_line(out, line);
        index.count(&line);
    };
    for line in waiting(lines) {
        push(line.stream, line.timestamp_ms, line.message);
    }
    if let Some(lost) = lost {
        let text = format!(
            "[hearth] {} log lines dropped: they came faster than they could be stored",
            lost.lines
        );
        push(&lost.stream, lost.at.as_millis(), text.as_bytes());
    }
}

fn write(folder: &Path, segment: &Segment, out: &[u8]) -> io::Result<()> {
    let path = path(folder, segment.number);
    let new = segment.bytes == 0;
    let mut options = fs::OpenOptions::new();
    options.append(true).create(new);
    let mut file = match options.open(&path) {
        // The folder of a log that is new, or was removed.
        Err(error) if error.kind() == io::ErrorKind::NotFound && new => {
            fs::create_dir_all(folder)?;
            options.open(&path)?
        }
        other => other?,
    };
    file.write_all(out)
}

/// Reads the bytes `from..to` of a segment; fewer if it has fewer, none if it is gone.
pub(super) fn read_range(folder: &Path, number: u64, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match fs::File::open(path(folder, number)) {
        Ok(mut file) => {
            file.seek(SeekFrom::Start(from))?;
            file.take(to.saturating_sub(from)).read_to_end(&mut bytes)?;
            Ok(bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(bytes),
        Err(error) => Err(error),
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.{EXTENSION}"))
}

/// Milliseconds since the UNIX epoch.
pub(super) fn millis(time: std::time::SystemTime) -> i64 {
    hearth_types::time::Timestamp::from(time).as_millis()
}
