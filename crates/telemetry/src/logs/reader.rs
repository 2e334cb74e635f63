//! Reading pages of a function's log. Blocks on files: meant for a thread for blocking work.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::files::{self, Files};
use super::query::{LogEvent, Order, Page, Position, Query};
use super::queue::{FunctionLog, lock};
use super::record::{self, HEADER, Line, Record};

/// Most events of a page (CloudWatch Logs: FilterLogEvents, GetLogEvents).
const PAGE_EVENTS: usize = 10_000;
/// Most bytes of messages of a page (CloudWatch Logs: 1 MB).
const PAGE_BYTES: usize = 1 << 20;

/// A segment, ready to be read.
struct View {
    number: u64,
    /// Where its whole records end.
    end: u64,
    /// Whether any of its lines can be in the time asked for.
    in_time: bool,
    /// Names of its streams by id, where they are asked for.
    streams: Vec<Wanted>,
}

struct Wanted {
    name: Arc<str>,
    wanted: bool,
}

/// Reads a page.
pub(super) fn page(log: &FunctionLog, folder: &Path, query: &Query) -> io::Result<Page> {
    let limit = match query.limit {
        0 => PAGE_EVENTS,
        limit => limit.min(PAGE_EVENTS),
    };
    match query.order {
        Order::Forward => forward(log, folder, query, limit),
        Order::Backward => backward(log, folder, query, limit),
    }
}

fn forward(log: &FunctionLog, folder: &Path, query: &Query, limit: usize) -> io::Result<Page> {
    let start = query.position.unwrap_or(Position::START);
    let mut page = Page {
        events: Vec::new(),
        before: start,
        after: start,
        more: false,
    };
    let mut bytes = 0;
    let numbers = numbers(&lock(&log.files));
    for number in numbers {
        if number < start.segment {
            continue;
        }
        let Some(view) = view(log, folder, number, query)? else {
            continue;
        };
        let from = if number == start.segment {
            start.offset
        } else {
            0
        }
        .max(HEADER.len() as u64);
        if view.in_time && from < view.end {
            let content = files::read_range(folder, number, from, view.end)?;
            for (offset, after, line) in lines(&content, from) {
                let Some(event) = event(&view, offset, &line, query) else {
                    page.after = Position {
                        segment: number,
                        offset: after,
                    };
                    continue;
                };
                let full = page.events.len() == limit || bytes + event.message.len() > PAGE_BYTES;
                if full && !page.events.is_empty() {
                    page.more = true;
                    return Ok(page);
                }
                bytes += event.message.len();
                page.events.push(event);
                page.after = Position {
                    segment: number,
                    offset: after,
                };
            }
        }
        page.after = page.after.max(Position {
            segment: number,
            offset: from.max(view.end),
        });
    }
    Ok(page)
}

fn backward(log: &FunctionLog, folder: &Path, query: &Query, limit: usize) -> io::Result<Page> {
    let end = query.position.unwrap_or(Position::END);
    let mut after = (end != Position::END).then_some(end);
    let mut before = end;
    let mut events: VecDeque<LogEvent> = VecDeque::new();
    let mut bytes = 0;
    let numbers = numbers(&lock(&log.files));
    for &number in numbers.iter().rev() {
        if number > end.segment {
            continue;
        }
        let Some(view) = view(log, folder, number, query)? else {
            continue;
        };
        let to = if number == end.segment {
            end.offset.min(view.end)
        } else {
            view.end
        };
        after.get_or_insert(Position {
            segment: number,
            offset: to,
        });
        if !view.in_time {
            before = Position {
                segment: number,
                offset: 0,
            };
            continue;
        }
        let content = files::read_range(folder, number, HEADER.len() as u64, to)?;
        // The last of this segment's events that still have room in the page, which holds the later ones already.
        let room = limit - events.len();
        let mut found: VecDeque<(u64, LogEvent)> = VecDeque::new();
        let mut found_bytes = 0;
        let mut cut = false;
        for (offset, _, line) in lines(&content, HEADER.len() as u64) {
            let Some(event) = event(&view, offset, &line, query) else {
                continue;
            };
            found_bytes += event.message.len();
            found.push_back((offset, event));
            while found.len() > room
                || (bytes + found_bytes > PAGE_BYTES && found.len() + events.len() > 1)
            {
                let Some((_, event)) = found.pop_front() else {
                    break;
                };
                found_bytes -= event.message.len();
                cut = true;
            }
        }
        bytes += found_bytes;
        before = match found.front() {
            Some((offset, _)) if cut => Position {
                segment: number,
                offset: *offset,
            },
            // Nothing of this segment had room: the page begins after it.
            None if cut => before.min(Position {
                segment: number,
                offset: to,
            }),
            _ => Position {
                segment: number,
                offset: 0,
            },
        };
        for (_, event) in found.into_iter().rev() {
            events.push_front(event);
        }
        if cut {
            return Ok(Page {
                events: events.into(),
                before,
                after: after.unwrap_or(before),
                more: true,
            });
        }
    }
    Ok(Page {
        events: events.into(),
        before: before.min(after.unwrap_or(Position::START)),
        after: after.unwrap_or(Position::START),
        more: false,
    })
}

fn numbers(files: &Files) -> Vec<u64> {
    files
        .segments
        .iter()
        .map(|segment| segment.number)
        .collect()
}

fn view(log: &FunctionLog, folder: &Path, number: u64, query: &Query) -> io::Result<Option<View>> {
    let wanted = |name: &str| {
        (query.streams.is_empty() || query.streams.iter().any(|stream| stream == name))
            && name.starts_with(&query.stream_prefix)
    };
    files::with_segment(&log.files, folder, number, |segment, index| View {
        number,
        end: segment.bytes,
        in_time: query.start_ms.is_none_or(|start| index.last_ms >= start)
            && query.end_ms.is_none_or(|end| index.first_ms < end),
        streams: index
            .streams
            .iter()
            .map(|stream| Wanted {
                name: stream.name.clone(),
                wanted: wanted(&stream.name),
            })
            .collect(),
    })
}

/// Lines in a part of a segment that begins at offset `from`: where each begins, where it ends, and itself.
fn lines(content: &[u8], from: u64) -> impl Iterator<Item = (u64, u64, Line<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at;
            let (record, taken) = record::next(content.get(at..)?)?;
            at += taken;
            if let Record::Line(line) = record {
                return Some((from + start as u64, from + at as u64, line));
            }
        }
    })
}

fn event(view: &View, offset: u64, line: &Line<'_>, query: &Query) -> Option<LogEvent> {
    let stream = view.streams.get(line.stream as usize)?;
    let in_time = query
        .start_ms
        .is_none_or(|start| line.timestamp_ms >= start)
        && query.end_ms.is_none_or(|end| line.timestamp_ms < end);
    if !stream.wanted || !in_time {
        return None;
    }
    let message = String::from_utf8_lossy(line.message);
    if !query.filter.matches(&message) {
        return None;
    }
    Some(LogEvent {
        timestamp_ms: line.timestamp_ms,
        ingestion_ms: line.ingestion_ms,
        stream: stream.name.to_string(),
        message: message.into_owned(),
        id: format!("{:020}{offset:012}", view.number),
    })
}
