//! What both ends of the line agree on: paths, names and sizes.
//!
//! One connection carries HTTP/2 with the node as the client: `PUT` and `DELETE` tell the process of functions, each
//! `POST` is one call. Its request is the head of the guest's request, as [`super::head`] writes it, and the body; its
//! response is [`super::frame`]s. Back-pressure is the stream's window, and a call that nobody waits for any more is a
//! stream that is reset.
//!
//! A second connection leads the way out, with the process as the client: requests to the outside, and buckets.

/// Before the number of a function in a path.
pub(crate) const FUNCTIONS: &str = "/functions/";

/// After it: a call of an HTTP component.
pub(crate) const REQUEST: &str = "/request";

/// After it: a call of a command, whose input is the body.
pub(crate) const COMMAND: &str = "/command";

/// After it, on the way out: a request to the outside, as [`super::head`] writes it, and its body; the response likewise.
pub(crate) const OUTGOING: &str = "/outgoing";

/// After it, on the way out: an [`Operation`](super::message::Operation) on a bucket.
pub(crate) const KEY_VALUE: &str = "/key-value";

/// Headers of a request to the outside: how long it may wait, microseconds.
pub(crate) const TIMES: [&str; 3] = ["connect-us", "first-byte-us", "between-bytes-us"];

/// Header of a call: until its deadline, microseconds.
pub(crate) const DEADLINE: &str = "deadline-us";

/// Calls of one process at the same time. More than its instances serve and let wait, so that it is the wall that says
/// that there is no room.
pub(crate) const MAX_CALLS: u32 = 4096;

/// Requests to the outside and operations on buckets of one process at the same time; more wait.
pub(crate) const MAX_WAYS_OUT: u32 = 256;

/// What the receiver of one body buffers, bytes: a guest's own body chunks are smaller, and a body as fast as a local
/// connection waits for its reader rarely.
pub(crate) const STREAM_WINDOW: u32 = 256 << 10;

/// What the receiver of all bodies buffers, bytes: as much as HTTP/2 can say, so that bodies that nobody reads hold no
/// other body up. [`STREAM_WINDOW`] and [`MAX_CALLS`] bound it.
pub(crate) const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// The path of a function.
pub(crate) fn path(function: u64, what: &str) -> String {
    format!("{FUNCTIONS}{function}{what}")
}

/// Takes such a path apart.
pub(crate) fn parse_path(path: &str) -> Option<(u64, &str)> {
    let rest = path.strip_prefix(FUNCTIONS)?;
    let (number, what) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    Some((number.parse().ok()?, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_back() {
        for what in ["", REQUEST, COMMAND] {
            assert_eq!(parse_path(&path(7, what)), Some((7, what)));
        }
        assert_eq!(parse_path("/functions/x"), None);
        assert_eq!(parse_path("/"), None);
    }
}
