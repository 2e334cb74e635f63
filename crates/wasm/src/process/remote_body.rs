//! In the node: the body of a response as it comes from the account's process.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::link::Broken;
use super::reader::{Event, Reader};
use super::remote::Metered;
use crate::call::Failure;

/// Most pieces that are taken before somebody asks for them.
const AHEAD: usize = 8;

/// The body of a response.
pub(crate) struct RemoteBody {
    source: Source,
    /// Pieces that were there before anybody asked.
    ahead: VecDeque<Bytes>,
    /// Bytes that are to come by what the head says.
    promised: Option<u64>,
}

enum Source {
    Process(Box<(Reader, Metered)>),
    /// It is found out why the stream broke.
    Breaking(Pin<Box<dyn Future<Output = Failure> + Send>>),
    /// All is in `ahead`, or taken.
    Complete,
    Failed,
}

impl RemoteBody {
    pub(super) fn new(
        method: &Method,
        head: &Response<()>,
        reader: Reader,
        metered: Metered,
    ) -> Self {
        let bodiless = *method == Method::HEAD
            || head.status() == StatusCode::NO_CONTENT
            || head.status() == StatusCode::NOT_MODIFIED;
        let promised = head
            .headers()
            .get(CONTENT_LENGTH)
            .filter(|_| !bodiless)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            source: Source::Process(Box::new((reader, metered))),
            ahead: VecDeque::new(),
            promised,
        }
    }

    /// Takes what is there already.
    ///
    /// # Errors
    /// How the guest failed: nothing of its response has been sent yet.
    pub(super) fn look_ahead(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        while self.ahead.len() < AHEAD {
            match self.pull(cx) {
                Poll::Ready(Ok(Some(data))) => self.ahead.push_back(data),
                Poll::Ready(Ok(None)) | Poll::Pending => break,
                Poll::Ready(Err(failure)) => return Err(failure),
            }
        }
        Ok(())
    }

    /// The next piece, `None` after the last.
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        loop {
            let (reader, metered) = match &mut self.source {
                Source::Process(source) => &mut **source,
                Source::Breaking(breaking) => {
                    let polled = breaking.as_mut().poll(cx);
                    if polled.is_ready() {
                        self.source = Source::Failed;
                    }
                    return polled.map(Err);
                }
                Source::Complete | Source::Failed => return Poll::Ready(Ok(None)),
            };
            match reader.poll_event(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Event::Data(data))) => {
                    let bytes = data.len() as u64;
                    match self.promised.map(|promised| promised.checked_sub(bytes)) {
                        Some(None) => {
                            self.break_off(Broken::Protocol("a body longer than its length"));
                        }
                        left => {
                            self.promised = left.flatten();
                            return Poll::Ready(Ok(Some(data)));
                        }
                    }
                }
                Poll::Ready(Ok(Event::BodyEnd)) => {
                    self.finish();
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Ok(Event::Ending(ending))) => {
                    let failure = metered.end(ending).unwrap_or_else(|| {
                        Failure::BadResponse("the function did not finish its body".to_owned())
                    });
                    self.source = Source::Failed;
                    return Poll::Ready(Err(failure));
                }
                Poll::Ready(Ok(Event::Head(_))) => {
                    self.break_off(Broken::Protocol("a second head"));
                }
                Poll::Ready(Err(broken)) => self.break_off(broken),
            }
        }
    }

    fn break_off(&mut self, broken: Broken) {
        if let Source::Process(source) = std::mem::replace(&mut self.source, Source::Failed) {
            let (reader, mut metered) = *source;
            drop(reader);
            self.source = Source::Breaking(Box::pin(async move { metered.broken(broken).await }));
        }
    }

    /// The body is complete; its guest may go on for a while.
    fn finish(&mut self) {
        let Source::Process(source) = std::mem::replace(&mut self.source, Source::Complete) else {
            return;
        };
        let (mut reader, mut metered) = *source;
        // The ending has mostly come along with the body.
        let polled = reader.poll_event(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Ok(Event::Ending(ending))) = polled {
            metered.end(ending);
            return;
        }
        // Without a runtime there is nobody left to tell.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            let mut polled = match polled {
                Poll::Ready(event) => event,
                Poll::Pending => reader.event().await,
            };
            loop {
                match polled {
                    Ok(Event::Ending(ending)) => {
                        metered.end(ending);
                        return;
                    }
                    Ok(Event::Data(_) | Event::BodyEnd) => polled = reader.event().await,
                    Ok(Event::Head(_)) => {
                        metered.broken(Broken::Protocol("a second head")).await;
                        return;
                    }
                    Err(broken) => {
                        metered.broken(broken).await;
                        return;
                    }
                }
            }
        });
    }
}

impl Body for RemoteBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(data) = self.ahead.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        self.pull(cx)
            .map(|pulled| pulled.map(|data| data.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && matches!(self.source, Source::Complete | Source::Failed)
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.iter().map(|data| data.len() as u64).sum::<u64>();
        match (&self.source, self.promised) {
            (Source::Complete, _) => SizeHint::with_exact(ahead),
            (Source::Process(_), Some(promised)) => SizeHint::with_exact(ahead + promised),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for RemoteBody {
    fn drop(&mut self) {
        // Nobody need ask for the end: a client that was promised a length stops there.
        if self.promised == Some(0) {
            self.finish();
        }
    }
}

impl std::fmt::Debug for RemoteBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteBody")
            .field("ahead", &self.ahead.len())
            .field("complete", &matches!(self.source, Source::Complete))
            .finish_non_exhaustive()
    }
}
