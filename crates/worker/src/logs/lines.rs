//! Bytes of a pipe cut into lines.

/// The longest line that is kept in one piece, bytes: CloudWatch Logs' long-standing bound of an event (256 KiB).
pub(super) const LONGEST_LINE: usize = 256 * 1024;

/// Joins what arrives in pieces. Holds at most [`LONGEST_LINE`] bytes.
#[derive(Debug, Default)]
pub(super) struct LineSplitter {
    partial: Vec<u8>,
}

impl LineSplitter {
    /// Takes bytes and hands every complete line to `line`, without its line feed. Lines above [`LONGEST_LINE`] come
    /// in pieces of that size.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            if self.partial.is_empty() && head.len() <= LONGEST_LINE {
                line(head);
            } else {
                self.hold(head, &mut line);
                line(&self.partial);
                self.clear();
            }
        }
        self.hold(bytes, &mut line);
    }

    /// Hands over what is left without a line feed, if anything.
    pub(super) fn flush(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
            self.clear();
        }
    }

    fn hold(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&[u8])) {
        loop {
            let room = LONGEST_LINE - self.partial.len();
            if bytes.len() <= room {
                self.partial.extend_from_slice(bytes);
                return;
            }
            let (head, rest) = bytes.split_at(room);
            self.partial.extend_from_slice(head);
            line(&self.partial);
            self.partial.clear();
            bytes = rest;
        }
    }

    fn clear(&mut self) {
        // One long line must not keep its memory for the rest of the environment's life.
        if self.partial.capacity() > 16 * 1024 {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.push(piece, |line| lines.push(line.to_vec()));
        }
        splitter.flush(|line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let expected: Vec<Vec<u8>> = vec![
            b"one".to_vec(),
            b"".to_vec(),
            b"two".to_vec(),
            b"three".to_vec(),
        ];
        assert_eq!(split(&[b"one\n\ntwo\nthree"]), expected);
        let text = b"one\n\ntwo\nthree";
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(split(&bytes), expected);
    }

    #[test]
    fn a_line_without_end_comes_in_bounded_pieces_and_loses_nothing() {
        let long = vec![b'x'; LONGEST_LINE * 2 + 5];
        for piece in [1000, LONGEST_LINE, LONGEST_LINE * 3] {
            let pieces: Vec<&[u8]> = long.chunks(piece).collect();
            let lines = split(&pieces);
            assert!(lines.iter().all(|line| line.len() <= LONGEST_LINE));
            assert_eq!(lines.concat(), long);
        }
        let mut ended = long.clone();
        ended.push(b'\n');
        assert_eq!(split(&[&ended]).concat(), long);
    }
}
