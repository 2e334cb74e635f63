//! A file, or a part of it, as a body.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hearth_types::invoke::{Body, BodyError};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::mpsc;

use crate::door::said;

/// What is read at once.
const PIECE: usize = 64 << 10;

/// Pieces that wait for a client.
const WAITING: usize = 2;

/// Which part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Whole,
    /// From the first byte to the last, both of it.
    Part(u64, u64),
    /// One that is not there.
    Beyond,
}

/// The part that a request asks for: one range of bytes; of several all is given, as it may be (RFC 9110, section 14.2).
pub(super) fn range(headers: &HeaderMap, tag: &HeaderValue, length: u64) -> Range {
    if headers.get(IF_RANGE).is_some_and(|known| known != tag) {
        return Range::Whole;
    }
    let asked = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let Some((first, last)) = asked
        .and_then(|range| range.strip_prefix("bytes="))
        .filter(|range| !range.contains(','))
        .and_then(|range| range.split_once('-'))
    else {
        return Range::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>();
    let end = length.saturating_sub(1);
    let (first, last) = match (number(first), number(last)) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(end)),
        (Ok(first), Err(_)) if last.trim().is_empty() => (first, end),
        (Err(_), Ok(0)) if first.trim().is_empty() => return Range::Beyond,
        (Err(_), Ok(most)) if first.trim().is_empty() => (length.saturating_sub(most), end),
        _ => return Range::Whole,
    };
    if first < length {
        Range::Part(first, last)
    } else {
        Range::Beyond
    }
}

/// A file of `length` bytes, or a part of it.
pub(super) async fn open(
    path: &Path,
    length: u64,
    range: Range,
    status: StatusCode,
    method: &Method,
) -> Response<Body> {
    let (first, left, status) = match range {
        Range::Whole => (0, length, status),
        Range::Part(first, last) => (first, last - first + 1, StatusCode::PARTIAL_CONTENT),
        Range::Beyond => {
            let mut response = said(StatusCode::RANGE_NOT_SATISFIABLE, String::new());
            content_range(&mut response, format!("bytes */{length}"));
            return response;
        }
    };
    let mut response = if method == Method::HEAD {
        let mut response = said(status, String::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(left));
        response
    } else {
        match part(path, first, left).await {
            Ok(body) => {
                let mut response = Response::new(body.boxed_unsync());
                *response.status_mut() = status;
                response
            }
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "read a package's file");
                return said(StatusCode::INTERNAL_SERVER_ERROR, String::new());
            }
        }
    };
    if let Range::Part(first, last) = range {
        content_range(&mut response, format!("bytes {first}-{last}/{length}"));
    }
    response
}

fn content_range(response: &mut Response<Body>, text: String) {
    if let Ok(text) = HeaderValue::try_from(text) {
        response.headers_mut().insert(CONTENT_RANGE, text);
    }
}

async fn part(path: &Path, first: u64, left: u64) -> io::Result<Reading> {
    let mut file = File::open(path).await?;
    file.seek(SeekFrom::Start(first)).await?;
    let (sender, pieces) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut left = left;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            let mut piece = BytesMut::zeroed(most);
            let read = file.read_exact(&mut piece).await;
            left -= most as u64;
            let piece = read.map(|_| piece.freeze());
            let broken = piece.is_err();
            // The client went away.
            if sender.send(piece).await.is_err() || broken {
                return;
            }
        }
    });
    Ok(Reading { pieces, left })
}

/// A file that is read as the client takes it.
struct Reading {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl http_body::Body for Reading {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.pieces.poll_recv(cx)) {
            Some(Ok(piece)) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None => Some(Err("the file could not be read".into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parts_of_the_file() {
        let tag = HeaderValue::from_static("\"t\"");
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_static(text));
            range(&headers, &tag, 10)
        };
        for (text, part) in [
            ("bytes=0-0", Range::Part(0, 0)),
            ("bytes=2-5", Range::Part(2, 5)),
            ("bytes=2-", Range::Part(2, 9)),
            ("bytes=2-99", Range::Part(2, 9)),
            ("bytes=-3", Range::Part(7, 9)),
            ("bytes=-99", Range::Part(0, 9)),
            ("bytes=10-", Range::Beyond),
            ("bytes=-0", Range::Beyond),
            ("bytes=5-2", Range::Whole),
            ("bytes=0-1,3-4", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=-", Range::Whole),
            ("lines=1-2", Range::Whole),
        ] {
            assert_eq!(of(text), part, "{text}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=2-5"));
        headers.insert(IF_RANGE, HeaderValue::from_static("\"other\""));
        assert_eq!(range(&headers, &tag, 10), Range::Whole);
        assert_eq!(range(&HeaderMap::new(), &tag, 10), Range::Whole);
    }
}
