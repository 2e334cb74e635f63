//! One process of the engine, as requests see it: connections into its sandbox.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_sandbox::Sandbox;
use hearth_types::invoke::{Body, BodyError};
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, UPGRADE};
use http::uri::PathAndQuery;
use http::{Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::runtime::{self, Handle};
use tokio_util::sync::CancellationToken;

use crate::config::{FAILED, ORDER, PORT};
use crate::door::Room;
use crate::failure::{Failure, Thrown};
use crate::grants::Known;

/// Bytes of a response's head, and of what is read ahead of a body: as much as a client may send in a head.
const HEAD_BYTES: usize = 64 * 1024;

/// Fields of a response's head, as many as a request may have.
const HEADERS: usize = 100;

/// Connections that are kept while nothing is sent, in all places: an engine has 1,024 descriptors.
const KEPT: usize = 256;

/// What the dispatcher may say of an error; messages are the worker's own.
const THROWN_BYTES: usize = 1 << 20;

/// How long after a connection broke the news of the engine's end may take to come.
const NEWS: Duration = Duration::from_secs(2);

/// Where a connection is: its task's runtime, for what another one's has to do wakes a thread, and the engine's port.
type Place = (runtime::Id, u16);

/// A process of the engine.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) number: u64,
    pub(crate) sandbox: Sandbox,
    pub(crate) room: Arc<Room>,
    /// The ports of workers that are parts of its configuration: for requests; the next one is for orders.
    linked: HashMap<String, u16>,
    idle: Mutex<HashMap<Place, Vec<SendRequest<Upload>>>>,
    /// Requests that run.
    running: AtomicUsize,
    /// When the last of them ended, milliseconds since `began`.
    last: AtomicU64,
    began: Instant,
    /// It gets no more requests.
    pub(crate) retired: AtomicBool,
    /// Why it was, or is to be, ended.
    end: OnceLock<End>,
    /// It is to be ended for that reason.
    pub(crate) condemned: CancellationToken,
    /// It has ended.
    pub(crate) gone: CancellationToken,
}

/// How an engine ended.
#[derive(Clone, Debug)]
struct End {
    why: String,
    /// One request alone was running.
    alone: bool,
    /// Whose requests were.
    running: Vec<Arc<str>>,
}

/// Whom a request is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct To<'a> {
    /// The name of the code.
    pub(crate) id: &'a str,
    pub(crate) worker: &'a Arc<Known>,
    /// What the dispatcher is told.
    pub(crate) order: &'a HeaderValue,
    /// The order says nothing else than the name.
    pub(crate) plain: bool,
}

/// Why a request failed.
pub(crate) enum Unsent {
    /// Nothing of it was sent: it comes back.
    Whole(Box<Request<Body>>),
    /// It may have been worked on.
    Failed(Failure),
}

impl Engine {
    pub(crate) fn new(
        number: u64,
        sandbox: Sandbox,
        room: Arc<Room>,
        linked: HashMap<String, u16>,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            sandbox,
            room,
            linked,
            idle: Mutex::default(),
            running: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            began: Instant::now(),
            retired: AtomicBool::new(false),
            end: OnceLock::new(),
            condemned: CancellationToken::new(),
            gone: CancellationToken::new(),
        })
    }

    /// Asks for nothing, which is answered as soon as the engine's thread is free.
    pub(crate) async fn ping(&self) -> io::Result<()> {
        let place = (Handle::current().id(), PORT);
        let mut sender = match self.kept(place) {
            Some(sender) => sender,
            None => self.open(PORT).await?,
        };
        let mut request = Request::new(Upload(empty()));
        request.headers_mut().insert(HOST, LOCALHOST);
        sender.ready().await.map_err(io::Error::other)?;
        let answer = sender.send_request(request).await;
        answer.map_err(io::Error::other)?;
        self.keep(place, sender);
        Ok(())
    }

    /// Has it ended for this reason, of which none of the requests that still run is to blame, but perhaps `suspect`, who
    /// has left.
    pub(crate) fn condemn_for(&self, suspect: &Arc<str>, why: String) {
        self.end.get_or_init(|| {
            let mut running = self.room.running();
            if !running.contains(suspect) {
                running.push(Arc::clone(suspect));
            }
            End {
                why,
                alone: false,
                running,
            }
        });
        self.condemned.cancel();
    }

    /// Has it ended for this reason.
    pub(crate) fn condemn(&self, why: String) {
        self.ends(why);
        self.condemned.cancel();
    }

    /// Notes why it ends, if that is not known yet.
    pub(crate) fn ends(&self, why: String) {
        let alone = self.running.load(Ordering::SeqCst) == 1;
        self.end.get_or_init(|| End {
            why,
            alone,
            running: self.room.running(),
        });
    }

    /// Whose requests were running when it was condemned, or ended.
    pub(crate) fn suspects(&self) -> &[Arc<str>] {
        self.end.get().map_or(&[], |end| &end.running)
    }

    /// Why it was condemned, or has ended.
    pub(crate) fn why(&self) -> Option<&str> {
        self.end.get().map(|end| end.why.as_str())
    }

    /// For how long no request has run; `None` while one does.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        if self.running.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let last = Duration::from_millis(self.last.load(Ordering::SeqCst));
        Some(self.began.elapsed().saturating_sub(last))
    }

    /// Whether a worker is a part of its configuration.
    pub(crate) fn links(&self, id: &str) -> bool {
        self.linked.contains_key(id)
    }

    /// Sends a request to a worker.
    ///
    /// # Errors
    /// Why there is no response.
    pub(crate) async fn send(
        self: &Arc<Self>,
        to: To<'_>,
        mut request: Request<Body>,
    ) -> Result<Response, Unsent> {
        let linked = self.linked.get(to.id).copied();
        let (port, order) = match linked {
            Some(port) if to.plain => (port, None),
            Some(port) => (port + 1, Some(to.order)),
            None => (PORT, Some(to.order)),
        };
        prepare(&mut request, order);
        let asks_to_switch = request.headers().contains_key(UPGRADE);
        let stay = Stay::new(self, to.worker);
        let place = (Handle::current().id(), port);
        loop {
            let kept = self.kept(place);
            let used = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => match self.open(port).await {
                    Ok(sender) => sender,
                    Err(error) => {
                        self.ended(error.to_string()).await;
                        return Err(Unsent::Whole(Box::new(request)));
                    }
                },
            };
            // The end of what was answered before may not have been noted yet.
            if sender.ready().await.is_err() {
                if used {
                    continue;
                }
                return Err(Unsent::Whole(Box::new(request)));
            }
            let sent = self
                .gone
                .run_until_cancelled(sender.try_send_request(request.map(Upload)));
            match sent.await {
                Some(Ok(response)) => {
                    if says(&response, &FAIL, to.id) {
                        let failure = failure(response).await;
                        self.keep(place, sender);
                        return Err(Unsent::Failed(failure));
                    }
                    if linked.is_some() && is_of_the_engine(&response) {
                        return Err(Unsent::Failed(Failure::hung()));
                    }
                    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                    if switched && !asks_to_switch {
                        return Err(Unsent::Failed(Failure::unasked()));
                    }
                    return Ok(response.map(|body| Answer {
                        body,
                        switched,
                        lent: Some((place, sender)),
                        stay,
                    }));
                }
                Some(Err(mut error)) => match error.take_message() {
                    Some(unsent) if used => request = unsent.map(|upload| upload.0),
                    Some(unsent) => {
                        return Err(Unsent::Whole(Box::new(unsent.map(|upload| upload.0))));
                    }
                    // An engine that ends takes its connections' tasks with it, which looks the same.
                    None if error.error().is_user() && self.why().is_none() => {
                        return Err(Unsent::Failed(Failure::Cancelled));
                    }
                    None => {
                        return Err(Unsent::Failed(self.ended(error.error().to_string()).await));
                    }
                },
                None => return Err(Unsent::Failed(self.crashed("it was ended"))),
            }
        }
    }

    /// A connection broke: waits for the news of why.
    async fn ended(&self, error: String) -> Failure {
        let _ = tokio::time::timeout(NEWS, self.gone.cancelled()).await;
        self.crashed(&format!("a connection to it broke: {error}"))
    }

    fn crashed(&self, otherwise: &str) -> Failure {
        let end = self.end.get();
        Failure::Crashed {
            why: end.map_or_else(|| otherwise.to_owned(), |end| end.why.clone()),
            alone: end.is_some_and(|end| end.alone),
        }
    }

    async fn open(&self, port: u16) -> io::Result<SendRequest<Upload>> {
        let stream = self.sandbox.connect(port).await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let connection = connection.with_upgrades();
        let gone = self.gone.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = gone.run_until_cancelled(connection).await {
                tracing::trace!(%error, "a connection to an engine ended");
            }
        });
        Ok(sender)
    }

    fn kept(&self, place: Place) -> Option<SendRequest<Upload>> {
        let mut idle = self.lock();
        let idle = idle.get_mut(&place)?;
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, place: Place, sender: SendRequest<Upload>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        if idle.values().map(Vec::len).sum::<usize>() >= KEPT
            && let Some(most) = idle.values_mut().max_by_key(|kept| kept.len())
        {
            most.remove(0);
        }
        // The one that was used last is taken first.
        idle.entry(place).or_default().push(sender);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Vec<SendRequest<Upload>>>> {
        // Whole between any two operations.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LOCALHOST: HeaderValue = HeaderValue::from_static("localhost");
const ORDERS: HeaderName = HeaderName::from_static(ORDER);
const FAIL: HeaderName = HeaderName::from_static(FAILED);

/// Whether a response's head has this field with this value.
fn says<B>(response: &http::Response<B>, field: &HeaderName, value: &str) -> bool {
    let said = response.headers().get(field);
    said.is_some_and(|said| said.as_bytes() == value.as_bytes())
}

/// Whether the engine has made a response in the worker's place, as it does when the worker's promise can't settle any
/// more: everything else that goes wrong, the worker's entry says.
fn is_of_the_engine<B>(response: &http::Response<B>) -> bool {
    response.status() == StatusCode::INTERNAL_SERVER_ERROR
        && says(response, &CONNECTION, "close")
        && !response.headers().contains_key(CONTENT_TYPE)
}

/// Makes a request one for the engine: its own path, HTTP/1.1, a host, and the order if there is one.
fn prepare(request: &mut Request<Body>, order: Option<&HeaderValue>) {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.entry(HOST).or_insert(LOCALHOST);
    // The front door lets nothing of the kind in but a WebSocket's handshake.
    if !headers.contains_key(UPGRADE) {
        headers.remove(CONNECTION);
    }
    headers.remove(ORDERS);
    if let Some(order) = order {
        headers.insert(ORDERS, order.clone());
    }
}

/// A body without anything.
pub(crate) fn empty() -> Body {
    http_body_util::Empty::new()
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A request's body on its way to a worker.
#[derive(Debug)]
struct Upload(Body);

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Reads what the dispatcher says of an error.
async fn failure(response: http::Response<Incoming>) -> Failure {
    let body = Limited::new(response.into_body(), THROWN_BYTES)
        .collect()
        .await;
    let read = body
        .ok()
        .and_then(|body| serde_json::from_slice::<Thrown>(&body.to_bytes()).ok());
    Failure::of(read.unwrap_or_else(|| Thrown {
        name: "Error".to_owned(),
        message: "An error of more than 1 MiB was thrown.".to_owned(),
        stack: None,
    }))
}

/// A request that runs.
#[derive(Debug)]
struct Stay(Arc<Engine>, Arc<Known>);

impl Stay {
    fn new(engine: &Arc<Engine>, worker: &Arc<Known>) -> Self {
        engine.running.fetch_add(1, Ordering::SeqCst);
        worker.running.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(engine), Arc::clone(worker))
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(now, Ordering::SeqCst);
        self.1.running.fetch_sub(1, Ordering::SeqCst);
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A worker's response. Its head is hostile.
pub type Response = http::Response<Answer>;

/// The body of a response. Dropping it cancels the request.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    /// The connection has become another protocol's, and is somebody else's: there is no body, and no end.
    switched: bool,
    lent: Option<(Place, SendRequest<Upload>)>,
    stay: Stay,
}

impl Answer {
    /// Whether the connection has become another protocol's.
    pub fn is_switched(&self) -> bool {
        self.switched
    }

    /// The connection is free again.
    fn give_back(&mut self) {
        if !self.switched
            && let Some((place, sender)) = self.lent.take()
        {
            self.stay.0.keep(place, sender);
        }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.switched {
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.give_back(),
            Some(Ok(_)) if self.body.is_end_stream() => self.give_back(),
            Some(Ok(_)) => {}
            // Not to be used again.
            Some(Err(_)) => drop(self.lent.take()),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        !self.switched && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.switched {
            return SizeHint::default();
        }
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // A body of no bytes may never be polled.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}
