//! A guest's log on its way out of the process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use bytes::BytesMut;

use super::frame::{self, Kind};
use crate::call::{Output, OutputStream};

/// What waits of one call's log, bytes. A guest does not wait for its log: while the node reads nothing, because nobody
/// reads the response, more than this is lost, and the log says so.
const MOST_WAITING: usize = 256 << 10;

/// What one call has logged and the node has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct CallLog(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    frames: BytesMut,
    lost_bytes: u64,
    reader: Option<Waker>,
}

impl CallLog {
    /// Moves what waits into `buffer`; the task is woken when there is more.
    pub(crate) fn take(&self, buffer: &mut BytesMut, cx: &Context<'_>) {
        let mut waiting = self.lock();
        if !waiting.frames.is_empty() {
            buffer.unsplit(waiting.frames.split());
        }
        if waiting.lost_bytes > 0 {
            let note = format!("[{} bytes of log were lost]\n", waiting.lost_bytes);
            frame::put(buffer, Kind::Stderr, note.as_bytes());
            waiting.lost_bytes = 0;
        }
        match &waiting.reader {
            Some(reader) if reader.will_wake(cx.waker()) => {}
            _ => waiting.reader = Some(cx.waker().clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Each change is whole: a panic elsewhere leaves it sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output for CallLog {
    fn write(&self, stream: OutputStream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let kind = match stream {
            OutputStream::Stdout => Kind::Stdout,
            OutputStream::Stderr => Kind::Stderr,
        };
        let reader = {
            let mut waiting = self.lock();
            if waiting.frames.len() + bytes.len() > MOST_WAITING {
                waiting.lost_bytes += bytes.len() as u64;
            } else {
                frame::put(&mut waiting.frames, kind, bytes);
            }
            waiting.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::process::frame::Decoder;

    #[test]
    fn a_flood_is_cut_and_says_so() {
        let (log, mut buffer) = (CallLog::default(), BytesMut::new());
        let block = [b'x'; 1000];
        for _ in 0..1000 {
            log.write(OutputStream::Stdout, &block);
        }
        log.take(&mut buffer, &Context::from_waker(Waker::noop()));
        assert!(buffer.len() < MOST_WAITING + 100);

        let (mut decoder, mut kept, mut note) = (Decoder::default(), 0, String::new());
        decoder.feed(Bytes::from(buffer));
        while let Some((kind, content)) = decoder.next().expect("frames") {
            match kind {
                Kind::Stdout => kept += content.len(),
                _ => note.push_str(&String::from_utf8_lossy(&content)),
            }
        }
        assert_eq!(
            note,
            format!("[{} bytes of log were lost]\n", 1_000_000 - kept)
        );
    }
}
