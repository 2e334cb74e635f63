//! How lines lie in a segment file: a header, then records, each with its length and checksum, so that a record that a
//! crash cut short is found and everything before it stands.
//!
//! ```text
//! record   length u32 | CRC-32 of the body u32 | body
//! stream   0 u8 | id u32 | name                                    once per segment, before its first line
//! line     1 u8 | stream id u32 | timestamp i64 | ingestion i64 | message
//! ```
//! Numbers are little-endian. Timestamps are milliseconds since the UNIX epoch.

/// The first bytes of a segment: what it is, and the version of this form.
pub(super) const HEADER: &[u8; 8] = b"HLOG\0\0\0\x01";
/// Bytes before a record's body.
const FRAME: usize = 8;
const STREAM: u8 = 0;
const LINE: u8 = 1;
/// Bytes of a line's body before the message.
const LINE_HEAD: usize = 1 + 4 + 8 + 8;

/// A record as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// From here on, lines with this id belong to the stream of this name.
    Stream { id: u32, name: &'a str },
    /// A line.
    Line(Line<'a>),
}

/// A line as it lies in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) stream: u32,
    pub(super) timestamp_ms: i64,
    pub(super) ingestion_ms: i64,
    pub(super) message: &'a [u8],
}

/// Appends the record that names a stream.
pub(super) fn push_stream(out: &mut Vec<u8>, id: u32, name: &str) {
    push(out, |out| {
        out.push(STREAM);
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    });
}

/// Appends the record of a line.
pub(super) fn push_line(out: &mut Vec<u8>, line: Line<'_>) {
    push(out, |out| {
        out.push(LINE);
        out.extend_from_slice(&line.stream.to_le_bytes());
        out.extend_from_slice(&line.timestamp_ms.to_le_bytes());
        out.extend_from_slice(&line.ingestion_ms.to_le_bytes());
        out.extend_from_slice(line.message);
    });
}

fn push(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME]);
    body(out);
    let (length, checksum) = {
        let body = &out[start + FRAME..];
        (body.len() as u32, crc32fast::hash(body))
    };
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + FRAME].copy_from_slice(&checksum.to_le_bytes());
}

/// Reads the record at the start of `bytes`, and how many bytes it takes. `None` if there is none, or only a part of
/// one, or one that is not as it was written: nothing that follows can be trusted then.
pub(super) fn next(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let checksum = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(FRAME..FRAME.checked_add(length)?)?;
    if crc32fast::hash(body) != checksum {
        return None;
    }
    let id = || Some(u32::from_le_bytes(*body.get(1..)?.first_chunk()?));
    let record = match *body.first()? {
        STREAM => Record::Stream {
            id: id()?,
            name: std::str::from_utf8(body.get(5..)?).ok()?,
        },
        LINE => Record::Line(Line {
            stream: id()?,
            timestamp_ms: i64::from_le_bytes(*body.get(5..)?.first_chunk()?),
            ingestion_ms: i64::from_le_bytes(*body.get(13..)?.first_chunk()?),
            message: body.get(LINE_HEAD..)?,
        }),
        _ => return None,
    };
    Some((record, FRAME + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_no_byte_of_them_can_change_unseen() {
        let line = Line {
            stream: 3,
            timestamp_ms: -1,
            ingestion_ms: i64::MAX,
            message: b"hello \xff",
        };
        let mut bytes = Vec::new();
        push_stream(&mut bytes, 3, "2026/01/02/[$LATEST]é");
        let first = bytes.len();
        push_line(&mut bytes, line);
        let (record, taken) = next(&bytes).unwrap();
        assert_eq!(
            (record, taken),
            (
                Record::Stream {
                    id: 3,
                    name: "2026/01/02/[$LATEST]é"
                },
                first
            )
        );
        assert_eq!(
            next(&bytes[taken..]),
            Some((Record::Line(line), bytes.len() - first))
        );
        assert_eq!(next(&[]), None);

        let good = &bytes[first..];
        for at in 0..good.len() {
            assert_eq!(next(&good[..at]), None, "cut at {at}");
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert_eq!(next(&bad), None, "byte {at}");
        }
    }
}
