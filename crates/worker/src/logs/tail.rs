//! The last 4 KB of an invocation's log: `LogType=Tail`.

use bytes::Bytes;
use hearth_types::limits::LOG_TAIL_BYTES;

/// Collects lines and keeps the newest bytes. Holds at most twice [`LOG_TAIL_BYTES`] and one line.
#[derive(Debug, Default)]
pub(super) struct Tail {
    text: Vec<u8>,
}

impl Tail {
    /// Adds a line, given without its line feed.
    pub(super) fn push(&mut self, line: &[u8]) {
        let line = &line[line.len().saturating_sub(LOG_TAIL_BYTES)..];
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        if self.text.len() > 2 * LOG_TAIL_BYTES {
            self.trim();
        }
    }

    /// The tail.
    pub(super) fn into_bytes(mut self) -> Bytes {
        self.trim();
        self.text.into()
    }

    fn trim(&mut self) {
        let excess = self.text.len().saturating_sub(LOG_TAIL_BYTES);
        self.text.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_are_kept() {
        let mut tail = Tail::default();
        for n in 0..10_000 {
            tail.push(format!("line {n}").as_bytes());
        }
        let bytes = tail.into_bytes();
        assert_eq!(bytes.len(), LOG_TAIL_BYTES);
        assert!(bytes.ends_with(b"line 9998\nline 9999\n"));
    }

    #[test]
    fn a_long_line_is_cut_in_front() {
        let mut tail = Tail::default();
        tail.push(&[b'x'; 100_000]);
        tail.push(b"END");
        let bytes = tail.into_bytes();
        assert_eq!(bytes.len(), LOG_TAIL_BYTES);
        assert!(bytes.ends_with(b"xxx\nEND\n"));
    }
}
