//! In the process: what one call answers, as frames. Polling it is what lets the guest run; dropping it ends the guest.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::Frame;
use tokio::sync::oneshot;

use super::frame::{self, Kind};
use super::head;
use super::log::CallLog;
use super::message::EndingMessage;
use crate::body::LocalBody;
use crate::call::{CommandEnd, Ending, Failure};

/// Bytes that are gathered before they are sent though there is more.
const ENOUGH: usize = 16 << 10;

/// Longest part of a body that is copied, to be sent together with what precedes and follows it.
const COPIED: usize = 4 << 10;

/// A future of a guest's.
pub(crate) type Running<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

/// What one call answers.
pub(crate) struct Answer {
    state: State,
    log: Arc<CallLog>,
    ended: oneshot::Receiver<Ending>,
    buffer: BytesMut,
    /// Follows the buffer.
    large: Option<Bytes>,
}

enum State {
    Request(Running<Response<LocalBody>>),
    Command(Running<CommandEnd>),
    Body(Box<LocalBody>),
    /// The guest goes on, or has failed so.
    Ending(Option<Failure>, Option<u8>),
    Ended,
}

impl Answer {
    pub(crate) fn of_request(
        running: Running<Response<LocalBody>>,
        log: Arc<CallLog>,
        ended: oneshot::Receiver<Ending>,
    ) -> Self {
        Self::new(State::Request(running), log, ended)
    }

    pub(crate) fn of_command(
        running: Running<CommandEnd>,
        log: Arc<CallLog>,
        ended: oneshot::Receiver<Ending>,
    ) -> Self {
        Self::new(State::Command(running), log, ended)
    }

    fn new(state: State, log: Arc<CallLog>, ended: oneshot::Receiver<Ending>) -> Self {
        Self {
            state,
            log,
            ended,
            buffer: BytesMut::new(),
            large: None,
        }
    }

    /// Takes one step. Whatever the guest wrote to its log in it precedes what came of it.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = match &mut self.state {
            State::Request(running) => match running.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(response)) => {
                    let (head, body) = response.into_parts();
                    self.log.take(&mut self.buffer, cx);
                    frame::put(&mut self.buffer, Kind::Head, &head::response(&head));
                    self.state = State::Body(Box::new(body));
                    Poll::Ready(())
                }
                Poll::Ready(Err(failure)) => {
                    self.state = State::Ending(Some(failure), None);
                    Poll::Ready(())
                }
            },
            State::Command(running) => match running.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(end)) => {
                    self.log.take(&mut self.buffer, cx);
                    self.data(end.stdout);
                    self.state = State::Ending(None, Some(end.exit_code));
                    Poll::Ready(())
                }
                Poll::Ready(Err(failure)) => {
                    self.state = State::Ending(Some(failure), None);
                    Poll::Ready(())
                }
            },
            State::Body(body) => match http_body::Body::poll_frame(Pin::new(&mut **body), cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(frame))) => {
                    self.log.take(&mut self.buffer, cx);
                    if let Ok(data) = frame.into_data() {
                        self.data(data);
                    }
                    Poll::Ready(())
                }
                Poll::Ready(Some(Err(failure))) => {
                    self.state = State::Ending(Some(failure), None);
                    Poll::Ready(())
                }
                Poll::Ready(None) => {
                    self.log.take(&mut self.buffer, cx);
                    frame::put(&mut self.buffer, Kind::BodyEnd, b"");
                    self.state = State::Ending(None, None);
                    Poll::Ready(())
                }
            },
            State::Ending(failure, exit_code) => match Pin::new(&mut self.ended).poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(told) => {
                    let mut ending = told.unwrap_or_default();
                    ending.failure = ending.failure.or(failure.take());
                    let message = EndingMessage::new(ending, *exit_code);
                    self.log.take(&mut self.buffer, cx);
                    // Numbers and strings always have a JSON form.
                    let message = serde_json::to_vec(&message).unwrap_or_default();
                    frame::put(&mut self.buffer, Kind::Ending, &message);
                    self.state = State::Ended;
                    Poll::Ready(())
                }
            },
            State::Ended => return Poll::Pending,
        };
        if polled.is_pending() {
            self.log.take(&mut self.buffer, cx);
        }
        polled
    }

    fn data(&mut self, data: Bytes) {
        if data.is_empty() {
        } else if data.len() <= COPIED {
            frame::put(&mut self.buffer, Kind::Data, &data);
        } else {
            frame::put_header(&mut self.buffer, Kind::Data, data.len());
            self.large = Some(data);
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        while this.large.is_none() && this.buffer.len() < ENOUGH && this.step(cx).is_ready() {}
        let next = if this.buffer.is_empty() {
            this.large.take()
        } else {
            Some(this.buffer.split().freeze())
        };
        match next {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None if matches!(this.state, State::Ended) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended) && self.buffer.is_empty() && self.large.is_none()
    }
}
