//! Connections to one web server.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_sandbox::Sandbox;
use hearth_types::invoke::{Body, BodyError};
use hearth_types::web::WebServer;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::runtime::{self, Handle};
use tokio_util::sync::CancellationToken;

use super::prompt::Prompt;

/// Bytes of a response's head, and of what is read ahead of a body: as much as a client may send in a head.
const HEAD_BYTES: usize = 64 * 1024;

/// Fields of a response's head, as many as a request may have.
const HEADERS: usize = 100;

/// How long a connection that was used may be idle and still get a request that can't be sent twice. Servers close idle
/// connections when they like (gunicorn after 2 s, Node.js and uvicorn after 5 s), perhaps just as a request is on its
/// way.
const SURE: Duration = Duration::from_secs(1);

/// A web server in its environment.
#[derive(Debug)]
pub(crate) struct Server {
    sandbox: Arc<Sandbox>,
    pub(super) settings: WebServer,
    /// Requests at the same time; connections that are kept, at most.
    places: usize,
    /// The one that was used last is the last one.
    idle: Mutex<Vec<(Instant, Connection)>>,
    /// Held by each connection, so that they can be counted.
    open: Arc<()>,
    /// Heads of responses that have come.
    heads: AtomicU64,
    /// It was ready once, and refuses connections now.
    deaf: AtomicBool,
    /// Ends the stays of requests whose connections have become another protocol's.
    pub(super) upgraded: CancellationToken,
    /// Cuts all connections.
    gone: CancellationToken,
}

/// A connection without a request, or with the one that it was taken for.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Upload>,
    /// Cuts it.
    pub(super) cut: CancellationToken,
    /// Whether a request has been answered on it.
    pub(super) used: bool,
    /// Where its task is.
    runtime: runtime::Id,
    _open: Seat,
}

/// Counts as an open connection.
#[derive(Debug)]
pub(super) struct Seat(#[expect(dead_code, reason = "it is there to be counted")] Arc<()>);

/// What a request gets.
pub(super) enum Taken {
    /// A connection that was kept.
    Kept(Connection),
    /// Leave to open one.
    Open(Seat),
}

impl Server {
    pub(crate) fn new(
        sandbox: Arc<Sandbox>,
        settings: WebServer,
        places: usize,
        upgraded: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            sandbox,
            settings,
            places,
            upgraded,
            idle: Mutex::default(),
            open: Arc::default(),
            heads: AtomicU64::new(0),
            deaf: AtomicBool::new(false),
            gone: CancellationToken::new(),
        })
    }

    /// It refused a connection after it had been ready: whatever listened there is gone.
    pub(super) fn deafened(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// Whether nobody listens any more.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    /// A new connection to a port of the server.
    ///
    /// # Errors
    /// If nobody accepts it.
    pub(super) async fn open(&self, port: u16, seat: Seat) -> io::Result<Connection> {
        let stream = self.sandbox.connect(port).await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .handshake(TokioIo::new(Prompt::new(stream)))
            .await
            .map_err(io::Error::other)?;
        let cut = self.gone.child_token();
        let until = cut.clone();
        tokio::spawn(async move {
            let ended = until.run_until_cancelled(connection.with_upgrades()).await;
            if let Some(Err(error)) = ended {
                tracing::trace!(%error, "a connection to a web server ended");
            }
        });
        Ok(Connection {
            sender,
            cut,
            used: false,
            runtime: Handle::current().id(),
            _open: seat,
        })
    }

    /// Leave to open a connection that is not for a request.
    pub(super) fn seat(&self) -> Seat {
        Seat(Arc::clone(&self.open))
    }

    /// A connection for a request: one that was kept, if its task is where the request's is, for waking another thread costs
    /// more than opening a connection once; or any that was kept, if there are as many as there may be. Some servers have time
    /// for no more. `repeatable` says whether the request could be sent once more if the server closes it meanwhile.
    pub(super) fn take(&self, repeatable: bool) -> Taken {
        let here = Handle::current().id();
        let mut idle = self.lock();
        loop {
            let own = idle.iter().rposition(|(_, kept)| kept.runtime == here);
            // The server's own count is not a connection's.
            let is_full = Arc::strong_count(&self.open) > self.places;
            let at = match own {
                None if is_full => idle.len().checked_sub(1),
                own => own,
            };
            match at {
                Some(at) if idle[at].1.sender.is_closed() => drop(idle.remove(at)),
                Some(at) if repeatable || idle[at].0.elapsed() < SURE => {
                    return Taken::Kept(idle.remove(at).1);
                }
                // All others like it are older still. There may be no room for one more.
                Some(at) if is_full => drop(idle.remove(at)),
                _ => return Taken::Open(self.seat()),
            }
        }
    }

    /// Keeps a connection whose exchange is over.
    pub(super) fn keep(&self, connection: Connection) {
        let mut idle = self.lock();
        if idle.len() >= self.places {
            idle.retain(|(_, connection)| !connection.sender.is_closed());
        }
        if idle.len() < self.places && !connection.sender.is_closed() {
            idle.push((Instant::now(), connection));
        }
    }

    /// Counts a head that has come: the server works.
    pub(super) fn head_came(&self) {
        self.heads.fetch_add(1, Ordering::Relaxed);
    }

    /// How many heads have come so far.
    pub(super) fn heads(&self) -> u64 {
        self.heads.load(Ordering::Relaxed)
    }

    /// Cuts every connection.
    pub(crate) fn end(&self) {
        self.gone.cancel();
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Connection)>> {
        // Whole between any two operations.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// A request's body on its way to a server. It says whether all of it was taken.
#[derive(Debug)]
pub(super) struct Upload {
    body: Body,
    whole: Arc<AtomicBool>,
}

impl Upload {
    pub(super) fn new(body: Body) -> Self {
        let whole = Arc::new(AtomicBool::new(body.is_end_stream()));
        Self { body, whole }
    }

    /// One without anything.
    pub(super) fn empty() -> Self {
        let body = http_body_util::Empty::new().map_err(|never| match never {});
        Self::new(body.boxed_unsync())
    }

    /// Becomes true when all of it was taken.
    pub(super) fn whole(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.whole)
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let ended = match &frame {
            None => true,
            // The last of a body whose length is known is not followed by another question.
            Some(Ok(_)) => self.body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if ended {
            self.whole.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
