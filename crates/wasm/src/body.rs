//! The body of a response while its guest goes on.
//!
//! Whoever polls the body polls the guest, too. Once the body is complete the guest has nobody who polls it: it goes on
//! in a task of its own up to its end or its deadline.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, StatusCode, header, response};
use http_body::{Body as _, Frame, SizeHint};
use wasmtime_wasi_http::WasiBody;

use crate::call::Failure;
use crate::failure::printable;
use crate::function::Shared;
use crate::gauge::Tell;
use crate::guest::Guest;
use crate::instance::Instance;
use crate::program::Shape;

/// Most frames that are taken before somebody asks for them: what the channel between guest and host holds, and one.
const AHEAD: usize = 8;

/// The body of a response of a guest that runs here, as it is produced.
pub(crate) struct LocalBody {
    shared: Arc<Shared>,
    source: Source,
    /// Frames that were there before anybody asked.
    ahead: VecDeque<Frame<Bytes>>,
    guest: Side,
    tell: Tell,
    /// Bytes that the guest may still send.
    room: u64,
    /// Bytes that are to come by what the head says.
    promised: Option<u64>,
    /// HTTP sends no body with this response: what the guest sends is thrown away.
    bodiless: bool,
}

/// Where frames come from.
enum Source {
    Guest(WasiBody),
    /// All are in `ahead`, or taken.
    Complete,
    /// It failed.
    Broken,
}

/// The guest behind a body.
pub(crate) enum Side {
    Runs(Guest),
    /// It ended well; kept until the body is complete.
    Ended(Box<Instance>),
    Gone,
}

impl LocalBody {
    /// The body behind `head`, with which `guest` answered `method`.
    pub(crate) fn new(
        shared: Arc<Shared>,
        method: &Method,
        head: &response::Parts,
        body: WasiBody,
        guest: Side,
        tell: Tell,
    ) -> Self {
        let bodiless = *method == Method::HEAD
            || head.status == StatusCode::NO_CONTENT
            || head.status == StatusCode::NOT_MODIFIED;
        let promised = head
            .headers
            .get(header::CONTENT_LENGTH)
            .filter(|_| !bodiless)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            room: shared.grants.output_bytes,
            shared,
            source: Source::Guest(body),
            ahead: VecDeque::new(),
            guest,
            tell,
            promised,
            bodiless,
        }
    }

    /// Takes what is there already. A short response is complete then: its length is known and it goes out in one piece.
    ///
    /// # Errors
    /// The guest's failure. Nothing of its response has been sent yet.
    pub(crate) fn look_ahead(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        // A guest of 0.3 never ends before its body was looked at; one of 0.2 did what it could.
        let drive = self.shared.program.shape() == Shape::Http03;
        while self.ahead.len() < AHEAD {
            match self.pull(cx, drive) {
                Poll::Ready(Ok(Some(frame))) => self.ahead.push_back(frame),
                Poll::Ready(Ok(None)) | Poll::Pending => break,
                Poll::Ready(Err(failure)) => return Err(self.fail(failure)),
            }
        }
        Ok(())
    }

    /// The next frame from the guest, `None` after the last. Lets the guest go on if it must for that and `drive` is set.
    fn pull(
        &mut self,
        cx: &mut Context<'_>,
        mut drive: bool,
    ) -> Poll<Result<Option<Frame<Bytes>>, Failure>> {
        loop {
            let Source::Guest(body) = &mut self.source else {
                return Poll::Ready(Ok(None));
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.count(&frame)?;
                    if self.bodiless {
                        continue;
                    }
                    return Poll::Ready(Ok(Some(frame)));
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(match self.tell.gauge().death() {
                        Some(death) => death.clone(),
                        None => Failure::BadResponse(printable(&format_args!(
                            "the function did not finish its body: {error}"
                        ))),
                    }));
                }
                Poll::Ready(None) => {
                    self.complete()?;
                    // Most guests end with their body.
                    if drive {
                        self.step(cx)?;
                    }
                    if let Side::Ended(_) = self.guest {
                        self.keep_instance();
                    }
                    return Poll::Ready(Ok(None));
                }
                Poll::Pending => {}
            }
            if let Side::Ended(_) = self.guest {
                // It left its body open: what it holds of it goes with its instance, and so the body ends.
                self.guest = Side::Gone;
                continue;
            }
            if !drive {
                return Poll::Pending;
            }
            self.step(cx)?;
            // One look at what it sent; then somebody else's turn.
            drive = matches!(self.guest, Side::Ended(_));
        }
    }

    /// Lets the guest go on.
    fn step(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if let Side::Runs(guest) = &mut self.guest
            && let Poll::Ready(end) = guest.poll(cx)
        {
            self.guest = Side::Gone;
            self.guest = Side::Ended(end?);
        }
        Ok(())
    }

    /// Counts a frame against what the guest may send and against what it promised.
    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), Failure> {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.room = self
            .room
            .checked_sub(bytes)
            .ok_or(Failure::OutputTooLarge)?;
        if let Some(promised) = &mut self.promised {
            *promised = promised.checked_sub(bytes).ok_or_else(|| {
                Failure::BadResponse(
                    "the function's body is longer than its content-length".to_owned(),
                )
            })?;
        }
        Ok(())
    }

    /// The guest's side of the body is gone: it was finished, or the guest died.
    fn complete(&mut self) -> Result<(), Failure> {
        if let Some(death) = self.tell.gauge().death() {
            return Err(death.clone());
        }
        if self.promised.is_some_and(|promised| promised > 0) {
            return Err(Failure::BadResponse(
                "the function's body is shorter than its content-length".to_owned(),
            ));
        }
        self.source = Source::Complete;
        Ok(())
    }

    fn keep_instance(&mut self) {
        if let Side::Ended(instance) = std::mem::replace(&mut self.guest, Side::Gone) {
            self.shared.keep(instance);
        }
    }

    /// All is taken, or nobody wants more.
    fn finish(&mut self) {
        match std::mem::replace(&mut self.guest, Side::Gone) {
            Side::Runs(guest) => {
                let rest = Rest {
                    guest,
                    body: match std::mem::replace(&mut self.source, Source::Complete) {
                        Source::Guest(body) => Some(body),
                        Source::Complete | Source::Broken => None,
                    },
                };
                let shared = Arc::clone(&self.shared);
                let mut tell = self.tell.take();
                self.shared.machine.runtime.spawn(async move {
                    match rest.await {
                        Ok(instance) => {
                            shared.keep(instance);
                            tell.end(None);
                        }
                        Err(failure) => tell.end(Some(failure)),
                    }
                });
            }
            Side::Ended(instance) => {
                self.shared.keep(instance);
                self.tell.end(None);
            }
            Side::Gone => self.tell.end(None),
        }
    }

    fn fail(&mut self, failure: Failure) -> Failure {
        self.source = Source::Broken;
        self.ahead.clear();
        self.guest = Side::Gone;
        self.tell.end(Some(failure.clone()));
        failure
    }

    /// Whether nothing more is to come from the guest: it said so, or all that it promised is here.
    fn is_complete(&self) -> bool {
        match &self.source {
            Source::Complete => true,
            Source::Guest(_) => self.bodiless || self.promised == Some(0),
            Source::Broken => false,
        }
    }
}

impl http_body::Body for LocalBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        if let Some(frame) = this.ahead.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if this.bodiless {
            this.finish();
            return Poll::Ready(None);
        }
        match this.pull(cx, true) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Ok(None)) => {
                if let Source::Complete = this.source {
                    this.finish();
                }
                Poll::Ready(None)
            }
            Poll::Ready(Err(failure)) => Poll::Ready(Some(Err(this.fail(failure)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && (self.bodiless || !matches!(self.source, Source::Guest(_)))
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self
            .ahead
            .iter()
            .filter_map(Frame::data_ref)
            .map(|data| data.len() as u64)
            .sum();
        let trailers = self.ahead.iter().any(Frame::is_trailers);
        match (&self.source, self.promised) {
            (Source::Guest(_), None) if self.bodiless => SizeHint::with_exact(0),
            (Source::Guest(_), Some(promised)) => SizeHint::with_exact(ahead + promised),
            (Source::Complete, _) if !trailers => SizeHint::with_exact(ahead),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for LocalBody {
    fn drop(&mut self) {
        if self.is_complete() {
            // Nobody need ask for the end: a client that was promised a length stops there.
            self.finish();
        } else if let Side::Ended(_) | Side::Gone = self.guest {
            // The guest had ended before the caller went. (A failure has been told.)
            self.tell.end(None);
        }
    }
}

impl std::fmt::Debug for LocalBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalBody")
            .field("ahead", &self.ahead.len())
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}

/// What is left of a guest whose response is complete. What it still sends is thrown away: an error would kill it.
struct Rest {
    guest: Guest,
    body: Option<WasiBody>,
}

impl Future for Rest {
    type Output = Result<Box<Instance>, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while let Some(body) = &mut this.body {
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => this.body = None,
                Poll::Pending => break,
            }
        }
        // What it sends while it runs wakes this task.
        this.guest.poll(cx)
    }
}
