//! What comes out of the process for one call: frames, each a kind (1 byte), a length (4 bytes, big-endian) and as many
//! bytes.
//!
//! Log, body and ending of a call go through one stream, so that they keep their order and a slow reader of the body
//! holds the guest up. The reader is the node: whatever it reads may be hostile (INV-8), so that [`Decoder`] checks every
//! kind and length, and gathers no more than [`MAX_GATHERED`].

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Bytes before a frame's content.
const HEADER_BYTES: usize = 5;

/// Longest frame that is passed on in the pieces in which it comes: a guard against nonsense, as nobody holds it.
const MAX_STREAMED: u32 = 16 << 20;

/// Longest frame that is gathered before it is read. A response head that a guest can make has 64 KiB of names and
/// values as the host counts them.
const MAX_GATHERED: u32 = 256 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The head of the response, once at most.
    Head = 1,
    /// A part of the response's body or of a command's standard output.
    Data = 2,
    /// A part of the log.
    Stdout = 3,
    /// A part of the log.
    Stderr = 4,
    /// The body is complete, the guest goes on.
    BodyEnd = 5,
    /// The guest's end; nothing follows.
    Ending = 6,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let kinds = [
            Self::Head,
            Self::Data,
            Self::Stdout,
            Self::Stderr,
            Self::BodyEnd,
            Self::Ending,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Whether it can be read only as a whole.
    fn gathered(self) -> bool {
        matches!(self, Self::Head | Self::BodyEnd | Self::Ending)
    }
}

/// Writes a frame's first bytes.
pub(crate) fn put_header(buffer: &mut BytesMut, kind: Kind, length: usize) {
    buffer.put_u8(kind as u8);
    // Nothing as long as 4 GiB is ever one frame: bodies come in chunks.
    buffer.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// Writes a frame.
pub(crate) fn put(buffer: &mut BytesMut, kind: Kind, content: &[u8]) {
    buffer.reserve(HEADER_BYTES + content.len());
    put_header(buffer, kind, content.len());
    buffer.put_slice(content);
}

/// Why bytes are not frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a frame of no known kind")]
    Kind,
    #[error("a frame of no possible length")]
    Length,
}

/// Takes frames out of the chunks in which they come.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    chunk: Bytes,
    header: [u8; HEADER_BYTES],
    /// Bytes of `header` that are there.
    header_bytes: usize,
    /// The frame whose content comes, with what is missing.
    content: Option<(Kind, usize)>,
    /// The beginning of content that is read as a whole.
    gathered: BytesMut,
}

impl Decoder {
    /// Takes the next chunk. Must be called only when [`Decoder::next`] has given `None`.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty());
        self.chunk = chunk;
    }

    /// The next frame; of a streamed one the next piece, never empty. `None`: more chunks are needed.
    ///
    /// # Errors
    /// If what was fed are not frames; final.
    pub(crate) fn next(&mut self) -> Result<Option<(Kind, Bytes)>, Malformed> {
        let (kind, missing) = match self.content {
            Some(content) => content,
            None => match self.begin()? {
                Some(content) => content,
                None => return Ok(None),
            },
        };
        let part = self.chunk.split_to(missing.min(self.chunk.len()));
        let missing = missing - part.len();
        if kind.gathered() {
            if missing == 0 && self.gathered.is_empty() {
                self.content = None;
                return Ok(Some((kind, part)));
            }
            self.gathered.put(part);
            self.content = (missing > 0).then_some((kind, missing));
            return Ok((missing == 0).then(|| (kind, self.gathered.split().freeze())));
        }
        self.content = (missing > 0).then_some((kind, missing));
        Ok((!part.is_empty()).then_some((kind, part)))
    }

    /// Whether all that was fed were whole frames.
    #[cfg(test)]
    pub(crate) fn is_between_frames(&self) -> bool {
        self.header_bytes == 0 && self.content.is_none() && self.chunk.is_empty()
    }

    fn begin(&mut self) -> Result<Option<(Kind, usize)>, Malformed> {
        let wanted = &mut self.header[self.header_bytes..];
        let there = wanted.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut wanted[..there]);
        self.header_bytes += there;
        if self.header_bytes < HEADER_BYTES {
            return Ok(None);
        }
        self.header_bytes = 0;
        let [kind, length @ ..] = self.header;
        let kind = Kind::of(kind).ok_or(Malformed::Kind)?;
        let length = u32::from_be_bytes(length);
        let possible = match kind {
            Kind::BodyEnd => 0..=0,
            Kind::Head | Kind::Ending => 1..=MAX_GATHERED,
            Kind::Data | Kind::Stdout | Kind::Stderr => 1..=MAX_STREAMED,
        };
        if !possible.contains(&length) {
            return Err(Malformed::Length);
        }
        self.content = Some((kind, length as usize));
        Ok(self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All frames of chunks, the pieces of one kind joined.
    fn decode(chunks: &[&[u8]]) -> Result<Vec<(Kind, Vec<u8>)>, Malformed> {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::<(Kind, Vec<u8>)>::new());
        for chunk in chunks {
            decoder.feed(Bytes::copy_from_slice(chunk));
            while let Some((kind, content)) = decoder.next()? {
                match frames.last_mut() {
                    Some((last, joined)) if *last == kind => joined.extend_from_slice(&content),
                    _ => frames.push((kind, content.to_vec())),
                }
            }
        }
        assert!(decoder.is_between_frames());
        Ok(frames)
    }

    #[test]
    fn frames_come_out_however_they_are_cut() {
        let mut bytes = BytesMut::new();
        put(&mut bytes, Kind::Stderr, b"a line\n");
        put(&mut bytes, Kind::Head, b"the head");
        put(&mut bytes, Kind::Data, b"0123456789");
        put(&mut bytes, Kind::BodyEnd, b"");
        put(&mut bytes, Kind::Ending, b"{}");
        let expected = [
            (Kind::Stderr, b"a line\n".to_vec()),
            (Kind::Head, b"the head".to_vec()),
            (Kind::Data, b"0123456789".to_vec()),
            (Kind::BodyEnd, Vec::new()),
            (Kind::Ending, b"{}".to_vec()),
        ];
        for size in 1..=bytes.len() {
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(decode(&chunks).as_deref(), Ok(&expected[..]), "{size}");
        }
    }

    #[test]
    fn what_no_frame_can_be_is_refused_before_its_content_comes() {
        for (header, error) in [
            ([0, 0, 0, 0, 1], Malformed::Kind),
            ([7, 0, 0, 0, 1], Malformed::Kind),
            ([Kind::Head as u8, 0, 4, 0, 1], Malformed::Length),
            ([Kind::Ending as u8, 0, 0, 0, 0], Malformed::Length),
            ([Kind::BodyEnd as u8, 0, 0, 0, 1], Malformed::Length),
            ([Kind::Data as u8, 0, 0, 0, 0], Malformed::Length),
            (
                [Kind::Stdout as u8, 0xff, 0xff, 0xff, 0xff],
                Malformed::Length,
            ),
        ] {
            assert_eq!(decode(&[&header]), Err(error), "{header:?}");
        }
    }
}
