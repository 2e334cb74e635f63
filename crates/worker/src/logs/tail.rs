//! The last 4 KB of an invocation's log: `LogType=Tail`.

use bytes::Bytes;
use hearth_types::invoke::RequestId;
use hearth_types::limits::LOG_TAIL_BYTES;

/// The tails of the invocations that run in one environment and asked for one: no more than it has places.
#[derive(Debug, Default)]
pub(super) struct Tails(Vec<(RequestId, Tail)>);

impl Tails {
    /// Begins the tail of an invocation.
    pub(super) fn begin(&mut self, request_id: &RequestId) {
        self.0.push((*request_id, Tail::default()));
    }

    /// Adds a line to all, given without its line feed.
    pub(super) fn push(&mut self, line: &[u8]) {
        for (_, tail) in &mut self.0 {
            tail.push(line);
        }
    }

    /// Adds a line to the tail of one invocation, if it has one.
    pub(super) fn push_to(&mut self, request_id: &RequestId, line: &[u8]) {
        if let Some((_, tail)) = self.0.iter_mut().find(|(id, _)| id == request_id) {
            tail.push(line);
        }
    }

    /// Ends the tail of an invocation, if it has one.
    pub(super) fn end(&mut self, request_id: &RequestId) -> Option<Bytes> {
        let at = self.0.iter().position(|(id, _)| id == request_id)?;
        Some(self.0.swap_remove(at).1.into_bytes())
    }
}

/// Collects lines and keeps the newest bytes. Holds at most twice [`LOG_TAIL_BYTES`] and one line.
#[derive(Debug, Default)]
struct Tail {
    text: Vec<u8>,
}

impl Tail {
    /// Adds a line, given without its line feed.
    fn push(&mut self, line: &[u8]) {
        let line = &line[line.len().saturating_sub(LOG_TAIL_BYTES)..];
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        if self.text.len() > 2 * LOG_TAIL_BYTES {
            self.trim();
        }
    }

    /// The tail.
    fn into_bytes(mut self) -> Bytes {
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
    fn each_invocation_has_its_own_from_its_beginning_to_its_end() {
        let [first, second] = [1, 2].map(|byte| RequestId::from_random([byte; 16]));
        let mut tails = Tails::default();
        tails.push(b"nobody's");
        tails.begin(&first);
        tails.push(b"a");
        tails.begin(&second);
        tails.push(b"b");
        tails.push_to(&second, b"of the second");
        assert_eq!(tails.end(&first).as_deref(), Some(&b"a\nb\n"[..]));
        tails.push(b"c");
        assert_eq!(
            tails.end(&second).as_deref(),
            Some(&b"b\nof the second\nc\n"[..])
        );
        assert_eq!(tails.end(&second), None);
    }

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
