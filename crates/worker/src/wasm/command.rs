//! A component that is a command: the event on its standard input, the result on its standard output.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hearth_types::ApiError;
use hearth_types::invoke::{Invocation, Outcome};
use hearth_wasm::{CommandEnd, Output, OutputStream};
use serde::de::IgnoredAny;

use super::guest::Guest;
use super::invoke::{NoAnswer, bounded, lost, outcome};
use super::table::Components;
use super::turn::Turn;
use crate::failure::Failure;
use crate::logs::EnvironmentLog;

/// The most of a line of standard error that becomes part of an error, bytes.
const LAST_LINE_BYTES: usize = 1_000;

/// Runs a command with the event.
///
/// # Errors
/// Failures of the platform.
pub(super) async fn run(
    components: &Components,
    guest: Arc<Guest>,
    loading: Option<Duration>,
    invocation: Invocation,
) -> Result<Outcome, ApiError> {
    let turn = Turn::begin(
        components,
        Arc::clone(&guest),
        invocation.request_id,
        invocation.log_tail,
        loading,
    )?;
    let listener = Arc::new(Listener {
        log: turn.log(),
        last: Mutex::default(),
    });
    let (call, ended) = turn.into_awaited_call(Arc::clone(&listener) as Arc<dyn Output>);
    let answer = match guest.function.command(invocation.payload, call).await {
        Ok(CommandEnd {
            exit_code: 0,
            stdout,
        }) => bounded(result(stdout)),
        Ok(CommandEnd { exit_code, .. }) => Err(NoAnswer::Failure(Failure::ExitCode(
            exit_code,
            listener.last_line(),
        ))),
        Err(_) => Err(NoAnswer::AsEnded),
    };
    let (turn, ending) = ended.await.map_err(|_| lost())?;
    outcome(turn, &ending, answer)
}

/// What a command wrote, as JSON: as it is if it is JSON, else as a string; nothing is null.
fn result(stdout: Bytes) -> Bytes {
    if stdout.is_empty() {
        return Bytes::from_static(b"null");
    }
    let text = String::from_utf8_lossy(&stdout);
    // Skipping a value neither recurses nor allocates, but does not look into its strings: hence only what is UTF-8.
    if let Cow::Borrowed(text) = text
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
    {
        return stdout;
    }
    // A string always has a JSON form.
    serde_json::to_vec(&text)
        .map(Bytes::from)
        .unwrap_or_default()
}

/// Writes the log, and remembers the last line of standard error.
struct Listener {
    log: Arc<EnvironmentLog>,
    last: Mutex<LastLine>,
}

impl Listener {
    fn last_line(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.text()
    }
}

impl Output for Listener {
    fn write(&self, stream: OutputStream, bytes: &[u8]) {
        if stream == OutputStream::Stderr {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.push(bytes);
        }
        Output::write(&*self.log, stream, bytes);
    }
}

/// The last line that is not blank, as far as [`LAST_LINE_BYTES`].
#[derive(Default)]
struct LastLine {
    /// The one that is being written.
    open: Vec<u8>,
    whole: Vec<u8>,
}

impl LastLine {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LAST_LINE_BYTES.saturating_sub(self.open.len());
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.open.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < piece.len() {
                if !self.open.trim_ascii().is_empty() {
                    std::mem::swap(&mut self.open, &mut self.whole);
                }
                self.open.clear();
            }
        }
    }

    fn text(&self) -> String {
        let open = self.open.trim_ascii();
        let line = if open.is_empty() {
            self.whole.trim_ascii()
        } else {
            open
        };
        String::from_utf8_lossy(line).replace(char::is_control, " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_json() {
        let of = |text: &'static [u8]| result(Bytes::from_static(text));
        assert_eq!(of(b"{\"a\": 1}\n"), "{\"a\": 1}\n");
        assert_eq!(of(b"42"), "42");
        assert_eq!(of(b""), "null");
        assert_eq!(of(b"hello\n"), "\"hello\\n\"");
        assert_eq!(of(b"{} {}"), "\"{} {}\"");
        assert_eq!(of(b"\"\xff\""), "\"\\\"\u{fffd}\\\"\"");
    }

    #[test]
    fn the_last_line_is_kept_however_it_arrives() {
        let last = |pieces: &[&[u8]]| {
            let mut line = LastLine::default();
            pieces.iter().for_each(|piece| line.push(piece));
            line.text()
        };
        assert_eq!(last(&[]), "");
        assert_eq!(last(&[b"a\nb\n"]), "b");
        assert_eq!(last(&[b"a\nb"]), "b");
        assert_eq!(last(&[b"a", b"b\n", b"\n  \n"]), "ab");
        assert_eq!(last(&[b"a\tb\x1b[0m"]), "a b [0m");
        let long = vec![b'x'; 5_000];
        assert_eq!(last(&[&long, &long]).len(), LAST_LINE_BYTES);
    }
}
