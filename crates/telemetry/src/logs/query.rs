//! What is asked of a log, and what comes back.

use hearth_types::name::FunctionKey;

use super::filter::Filter;

/// A place in a function's log. It stays where it is while lines arrive and old ones are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

impl Position {
    /// Before everything that was ever written.
    pub const START: Self = Self {
        segment: 0,
        offset: 0,
    };
    /// After everything that will ever be written.
    pub const END: Self = Self {
        segment: u64::MAX,
        offset: u64::MAX,
    };
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{:016x}", self.segment, self.offset)
    }
}

/// Not a position: expected the text that an earlier answer gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token of an earlier answer")]
pub struct ParsePositionError;

impl std::str::FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let number = |digits: &str| u64::from_str_radix(digits, 16).map_err(|_| ParsePositionError);
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParsePositionError);
        }
        let (segment, offset) = text.split_at(16);
        Ok(Self {
            segment: number(segment)?,
            offset: number(offset)?,
        })
    }
}

/// From which end a page is taken. Events of a page are always oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The first events after the position ([`Position::START`] if none is given).
    #[default]
    Forward,
    /// The last events before the position ([`Position::END`] if none is given).
    Backward,
}

/// What is wanted of a function's log.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Names of streams; all if empty.
    pub streams: Vec<String>,
    /// How the names of streams begin; all if empty.
    pub stream_prefix: String,
    /// Least timestamp, inclusive, milliseconds since the UNIX epoch.
    pub start_ms: Option<i64>,
    /// Greatest timestamp, exclusive, milliseconds since the UNIX epoch.
    pub end_ms: Option<i64>,
    /// From which end.
    pub order: Order,
    /// Which messages.
    pub filter: Filter,
    /// Most events of a page, 1 to 10,000 (CloudWatch Logs' bound); 0 asks for as many as that.
    pub limit: usize,
    /// Where to go on: [`Page::after`] with [`Order::Forward`], [`Page::before`] with [`Order::Backward`].
    pub position: Option<Position>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// When the line was written, milliseconds since the UNIX epoch.
    pub timestamp_ms: i64,
    /// When it was stored, milliseconds since the UNIX epoch.
    pub ingestion_ms: i64,
    /// The stream.
    pub stream: String,
    /// The text; bytes that are not UTF-8 are replaced.
    pub message: String,
    /// Names the event within the function's log, for good: 32 decimal digits that grow along the log.
    pub id: String,
}

/// A page of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events, oldest first. May be fewer than asked for (at most 1 MiB of messages), even none, with `more` set.
    pub events: Vec<LogEvent>,
    /// Just before the page: a backward read goes on here.
    pub before: Position,
    /// Just after the page: a forward read goes on here, now or after more lines have come.
    pub after: Position,
    /// Whether there was more to read in this direction when the page was made.
    pub more: bool,
}

/// A function that has a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionLogSummary {
    /// The function. It may have been deleted: logs outlive it.
    pub key: FunctionKey,
    /// When the oldest stored line's file was made, milliseconds since the UNIX epoch.
    pub created_ms: i64,
    /// Bytes on disk.
    pub stored_bytes: u64,
}

/// A stream of a function's log: what one execution environment wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSummary {
    /// Its name.
    pub name: String,
    /// Least timestamp of a stored line, milliseconds since the UNIX epoch.
    pub first_ms: i64,
    /// Greatest timestamp of a stored line, milliseconds since the UNIX epoch.
    pub last_ms: i64,
    /// When the last line was stored, milliseconds since the UNIX epoch.
    pub last_ingestion_ms: i64,
    /// Bytes of its stored messages.
    pub stored_bytes: u64,
}
