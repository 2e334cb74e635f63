//! In the node: an account's process, as the node knows it. Who started it, and who ends it, is not known here.
//!
//! Nothing that comes from the process is trusted: what breaks the protocol condemns it, and whoever started it is told
//! so ([`Process::condemned`]).

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::call_body::CallBody;
use super::lead_out::{Granted, WaysOut, lead};
use super::message::FunctionOrder;
use super::wire::{self, CONNECTION_WINDOW, DEADLINE, STREAM_WINDOW};
use crate::call::Failure;
use crate::program::Program;

/// A process that answers nothing for so long, though calls wait for it, is asked whether it lives…
const PING_AFTER: Duration = Duration::from_secs(10);

/// …and has this long to say so, on a busy machine.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the process may take to make a function ready: to map a file, on a busy machine.
const PUT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest sentence that is read of a refusal, bytes.
const MAX_SENTENCE: usize = 4 << 10;

/// When the line breaks, how long it is waited for to be told why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// An account's process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    send: SendRequest<CallBody>,
    /// The folder that the process sees as [`super::ARTEFACTS`].
    artefacts: PathBuf,
    ways_out: Arc<WaysOut>,
    next_function: AtomicU64,
    calls: AtomicU32,
    idle_since: Mutex<Instant>,
    state: watch::Sender<State>,
    runtime: Handle,
}

enum State {
    Running,
    /// It must end, for this reason.
    Condemned(String),
    /// It has ended, for this reason.
    Ended(String),
}

/// How a stream of the process's ended before its call did.
#[derive(Clone, Copy, Debug)]
pub(super) enum Broken {
    /// It was cut off.
    Gone,
    /// What came is not what may come.
    Protocol(&'static str),
    /// Nothing came, long after the deadline.
    Late,
}

impl Process {
    /// Begins to speak with the process at the other end of `line`, which sees the folder `artefacts` of the host as
    /// [`super::ARTEFACTS`], and whose guests' way out is `way_out`: the connections that it dialled first and second. Must be
    /// called inside a tokio runtime.
    ///
    /// # Errors
    /// If the line breaks.
    pub async fn connect(
        line: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        way_out: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        artefacts: PathBuf,
    ) -> std::io::Result<Self> {
        let (send, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(line))
            .await
            .map_err(std::io::Error::other)?;
        let process = Self(Arc::new(Inner {
            send,
            artefacts,
            ways_out: Arc::default(),
            next_function: AtomicU64::new(1),
            calls: AtomicU32::new(0),
            idle_since: Mutex::new(Instant::now()),
            state: watch::Sender::new(State::Running),
            runtime: Handle::current(),
        }));
        // Ends with the last handle, or with the line.
        let state = process.0.state.clone();
        tokio::spawn(async move {
            let reason = match connection.await {
                Ok(()) => "it hung up".to_owned(),
                Err(error) => format!("its line broke: {error}"),
            };
            condemn(&state, reason);
        });
        // Ends with the process, which nobody keeps without its line.
        let (state, ways) = (process.0.state.clone(), Arc::clone(&process.0.ways_out));
        tokio::spawn(async move {
            let reason = match lead(way_out, ways).await {
                Ok(()) => "its way out hung up".to_owned(),
                Err(error) => format!("its way out broke: {error}"),
            };
            condemn(&state, reason);
        });
        Ok(process)
    }

    /// Waits until the process must be ended, and says why: it hung up, or did what it must not. Cancel safe.
    pub async fn condemned(&self) -> String {
        let mut state = self.0.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, State::Running));
        match state.await.as_deref() {
            Ok(State::Condemned(reason) | State::Ended(reason)) => reason.clone(),
            // The sender lives as long as this handle.
            Ok(State::Running) | Err(_) => String::new(),
        }
    }

    /// Tells those whose calls it took with it why it ended: a sentence for the function's owner.
    pub fn ended(&self, reason: String) {
        self.0.state.send_replace(State::Ended(reason));
    }

    /// Whether calls can be sent to it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Running) && !self.0.send.is_closed()
    }

    /// For how long it has had no call; `None` while it has one.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        let since = *self
            .0
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (self.0.calls.load(Ordering::Acquire) == 0).then(|| since.elapsed())
    }

    /// Whether both are handles of one process.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Counts a call until what is returned is dropped.
    pub(super) fn occupy(&self) -> Occupied {
        self.0.calls.fetch_add(1, Ordering::AcqRel);
        Occupied(self.clone())
    }

    /// Begins a call.
    pub(super) async fn call(
        &self,
        function: u64,
        what: &str,
        deadline: Instant,
        body: CallBody,
    ) -> Result<Incoming, Broken> {
        let left = deadline.saturating_duration_since(Instant::now());
        let request = Request::post(wire::path(function, what))
            .header(DEADLINE, left.as_micros().to_string())
            .body(body)
            .map_err(|_| Broken::Protocol("a call that HTTP can't carry"))?;
        let response = self.0.send.clone().send_request(request).await;
        let response = response.map_err(|_| Broken::Gone)?;
        if response.status() == StatusCode::OK {
            Ok(response.into_body())
        } else {
            Err(Broken::Protocol("it refused a call"))
        }
    }

    /// Makes a function ready in the process, and gives its number there.
    pub(super) async fn put(
        &self,
        program: &Arc<Program>,
        granted: &Granted,
    ) -> Result<u64, Failure> {
        let number = self.0.next_function.fetch_add(1, Ordering::Relaxed);
        let name = format!("{number}.cwasm");
        let path = self.0.artefacts.join(&name);
        let (shown, written) = (Arc::clone(program), path.clone());
        let write = move || shown.write_artefact(&written);
        let written = tokio::task::spawn_blocking(write).await;
        written
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(|error| {
                Failure::Internal(format!("show a component to its process: {error}"))
            })?;
        // What the process has mapped stays, whatever becomes of the name: it is there for as long as it takes.
        let _shown = Shown(path);
        let order = FunctionOrder::new(name, program.model, &granted.grants);
        // Numbers and strings always have a JSON form.
        let order = Bytes::from(serde_json::to_vec(&order).unwrap_or_default());
        let reply = self.order(Method::PUT, number, order);
        let (status, sentence) = match tokio::time::timeout(PUT_TIMEOUT, reply).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(broken)) => return Err(self.failure(broken).await),
            Err(_) => return Err(self.failure(Broken::Late).await),
        };
        if status.is_success() {
            self.0.ways_out.insert(number, granted.clone());
            return Ok(number);
        }
        Err(Failure::Internal(format!(
            "the account's process refused a component: {}",
            String::from_utf8_lossy(&sentence)
        )))
    }

    /// Forgets a function in the process. Does not wait.
    pub(super) fn delete(&self, number: u64) {
        self.0.ways_out.remove(number);
        if !self.is_usable() {
            return;
        }
        let process = self.clone();
        self.0.runtime.spawn(async move {
            // If it fails, the process is gone, and the function with it.
            let reply = process.order(Method::DELETE, number, Bytes::new());
            let _ = tokio::time::timeout(PUT_TIMEOUT, reply).await;
        });
    }

    async fn order(
        &self,
        method: Method,
        function: u64,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Broken> {
        let request = Request::builder()
            .method(method)
            .uri(wire::path(function, ""))
            .body(CallBody::whole(body))
            .map_err(|_| Broken::Protocol("an order that HTTP can't carry"))?;
        let reply = self.0.send.clone().send_request(request).await;
        let reply = reply.map_err(|_| Broken::Gone)?;
        let status = reply.status();
        let sentence = Limited::new(reply.into_body(), MAX_SENTENCE)
            .collect()
            .await;
        let sentence = sentence.map_err(|_| Broken::Protocol("a refusal without an end"))?;
        Ok((status, sentence.to_bytes()))
    }

    /// What a call is told whose stream broke. Condemns the process if it is to blame.
    pub(super) async fn failure(&self, broken: Broken) -> Failure {
        let because = match broken {
            Broken::Protocol(what) => format!("it broke the protocol: {what}"),
            Broken::Late => "it did not answer".to_owned(),
            Broken::Gone => "it cut a call off".to_owned(),
        };
        let mut state = self.0.state.subscribe();
        condemn(&self.0.state, because);
        let ended = state.wait_for(|state| matches!(state, State::Ended(_)));
        let reason = match tokio::time::timeout(LAST_WORDS, ended).await {
            Ok(Ok(state)) => match &*state {
                State::Ended(reason) => Some(reason.clone()),
                State::Running | State::Condemned(_) => None,
            },
            Ok(Err(_)) | Err(_) => None,
        };
        Failure::Crashed(
            reason.unwrap_or_else(|| {
                "the process that runs the account's components ended".to_owned()
            }),
        )
    }
}

/// The first reason counts.
fn condemn(state: &watch::Sender<State>, reason: String) {
    state.send_if_modified(|state| {
        let running = matches!(state, State::Running);
        if running {
            *state = State::Condemned(reason);
        }
        running
    });
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("artefacts", &self.0.artefacts)
            .field("calls", &self.0.calls)
            .finish_non_exhaustive()
    }
}

/// A call that the process has.
pub(super) struct Occupied(Process);

impl Occupied {
    pub(super) fn process(&self) -> &Process {
        &self.0
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let now = Instant::now();
        *self
            .0
            .0
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = now;
        self.0.0.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A file that the process can see until this is dropped.
struct Shown(PathBuf);

impl Drop for Shown {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "remove a component that a process has mapped");
        }
    }
}
