//! In the node: what a process answers to one call, checked (INV-8).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::frame::{Decoder, Kind};
use super::head;
use super::link::Broken;
use super::message::EndingMessage;
use crate::call::{Output, OutputStream};

/// How long after the deadline the process may still say that it ended a guest. Guests are ended within milliseconds;
/// the rest is for a busy machine.
const GRACE: Duration = Duration::from_secs(5);

/// What a call comes to, its log left out.
pub(super) enum Event {
    Head(Box<Response<()>>),
    Data(Bytes),
    BodyEnd,
    Ending(EndingMessage),
}

/// Reads a call's frames and hands its log on. Dropping it drops the call.
pub(super) struct Reader {
    incoming: Incoming,
    decoder: Decoder,
    output: Arc<dyn Output>,
    deadline: Instant,
    /// Set while nothing comes.
    late: Option<Pin<Box<Sleep>>>,
    /// How far the call has come.
    stage: Stage,
    /// What may still come of the body, bytes.
    room: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Of a request: neither head nor body have come.
    Head,
    Body,
    /// Of a command, or after the body.
    Ending,
    Ended,
}

/// What was called.
#[derive(Clone, Copy)]
pub(super) enum Called {
    Request,
    Command,
}

impl Reader {
    /// Of a call whose body or result may have `room` bytes.
    pub(super) fn new(
        incoming: Incoming,
        called: Called,
        output: Arc<dyn Output>,
        deadline: Instant,
        room: u64,
    ) -> Self {
        Self {
            incoming,
            decoder: Decoder::default(),
            output,
            deadline,
            late: None,
            stage: match called {
                Called::Request => Stage::Head,
                Called::Command => Stage::Body,
            },
            room,
        }
    }

    /// The next event, in an order that makes sense; nothing must be asked for after an ending or an error.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Broken>> {
        loop {
            let next = self.decoder.next();
            let next = next.map_err(|_| Broken::Protocol("what it sent are not frames"))?;
            if let Some((kind, content)) = next {
                match self.take(kind, content)? {
                    Some(event) => return Poll::Ready(Ok(event)),
                    None => continue,
                }
            }
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.late = None;
                    // Trailers say nothing here.
                    if let Ok(chunk) = frame.into_data() {
                        self.decoder.feed(chunk);
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Broken::Gone)),
                Poll::Ready(None) => {
                    return Poll::Ready(Err(Broken::Protocol("a call without an ending")));
                }
                Poll::Pending => {
                    // From when nothing comes: whoever does not read does not make the process late.
                    let until = self.deadline.max(Instant::now()) + GRACE;
                    let late = self
                        .late
                        .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until.into())));
                    ready!(late.as_mut().poll(cx));
                    return Poll::Ready(Err(Broken::Late));
                }
            }
        }
    }

    pub(super) async fn event(&mut self) -> Result<Event, Broken> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    fn take(&mut self, kind: Kind, content: Bytes) -> Result<Option<Event>, Broken> {
        let stage = self.stage;
        Ok(Some(match (kind, stage) {
            (Kind::Stdout, _) => {
                self.output.write(OutputStream::Stdout, &content);
                return Ok(None);
            }
            (Kind::Stderr, _) => {
                self.output.write(OutputStream::Stderr, &content);
                return Ok(None);
            }
            (Kind::Head, Stage::Head) => {
                self.stage = Stage::Body;
                let head = head::read_guest_response(&content);
                Event::Head(Box::new(head.map_err(|_| {
                    Broken::Protocol("a response that HTTP can't carry")
                })?))
            }
            (Kind::Data, Stage::Body) => {
                let left = self.room.checked_sub(content.len() as u64);
                self.room = left.ok_or(Broken::Protocol("more output than was granted"))?;
                Event::Data(content)
            }
            (Kind::BodyEnd, Stage::Body) => {
                self.stage = Stage::Ending;
                Event::BodyEnd
            }
            (Kind::Ending, Stage::Head | Stage::Body | Stage::Ending) => {
                self.stage = Stage::Ended;
                let message = serde_json::from_slice(&content);
                Event::Ending(
                    message.map_err(|_| Broken::Protocol("an ending that can't be read"))?,
                )
            }
            (Kind::Head | Kind::Data | Kind::BodyEnd | Kind::Ending, _) => {
                return Err(Broken::Protocol("frames out of order"));
            }
        }))
    }
}
