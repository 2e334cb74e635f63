//! A response's body on its way from a server to the caller. Its end is the end of the request's stay.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hearth_types::invoke::BodyError;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use super::exchange;
use super::server::Connection;
use super::visit::{Leaving, Visit};
use crate::failure::Failure;

/// The body. Dropping it before its end cuts the request's connection.
pub(super) struct Download {
    from: Origin,
    /// Wakes whoever reads when the stay is over.
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    held: Option<(Visit, Connection)>,
    /// Whether the request has been sent whole.
    uploaded: Arc<AtomicBool>,
}

/// Where it comes from.
enum Origin {
    Response(Incoming),
    /// The connection has become another protocol's, and is somebody else's: there is no body, and no end before the
    /// stay's.
    Upgrade,
}

impl Download {
    pub(super) fn new(
        incoming: Incoming,
        upgraded: bool,
        visit: Visit,
        connection: Connection,
        uploaded: Arc<AtomicBool>,
    ) -> Self {
        let over = visit.over.clone().cancelled_owned();
        let closing = visit.server.upgraded.clone().cancelled_owned();
        Self {
            from: if upgraded {
                Origin::Upgrade
            } else {
                Origin::Response(incoming)
            },
            over: if upgraded {
                Box::pin(async {
                    tokio::select! {
                        () = over => {}
                        () = closing => {}
                    }
                })
            } else {
                Box::pin(over)
            },
            held: Some((visit, connection)),
            uploaded,
        }
    }

    /// Ends the stay badly.
    pub(super) fn fail(mut self, failure: Failure) {
        self.finish(Leaving::Badly(failure));
    }

    fn finish(&mut self, how: Leaving) {
        let Some((visit, connection)) = self.held.take() else {
            return;
        };
        let clean = matches!(how, Leaving::Well)
            && matches!(self.from, Origin::Response(_))
            && self.uploaded.load(Ordering::Acquire)
            && visit.line.take().is_some();
        if clean {
            visit.server.keep(connection);
        } else {
            connection.cut.cancel();
        }
        visit.leave(how);
    }
}

impl hyper::body::Body for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Origin::Response(incoming) = &mut this.from {
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if incoming.is_end_stream() {
                        this.finish(Leaving::Well);
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(None) => {
                    this.finish(Leaving::Well);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    this.finish(Leaving::Badly(exchange::failure(&error)));
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Pending => {}
            }
        }
        if this.held.is_some() && this.over.as_mut().poll(cx).is_ready() {
            // Whoever ended the stay knows how; a switched connection ends well with its node.
            this.finish(match this.from {
                Origin::Upgrade => Leaving::Well,
                Origin::Response(_) => Leaving::Badly(Failure::Abandoned),
            });
            return Poll::Ready(Some(Err("the request's time is up".into())));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            Origin::Response(incoming) => incoming.is_end_stream(),
            Origin::Upgrade => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            Origin::Response(incoming) => incoming.size_hint(),
            Origin::Upgrade => SizeHint::default(),
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let whole = match &self.from {
            Origin::Response(incoming) => incoming.is_end_stream(),
            Origin::Upgrade => true,
        };
        self.finish(if whole {
            Leaving::Well
        } else {
            Leaving::Badly(Failure::Abandoned)
        });
    }
}
