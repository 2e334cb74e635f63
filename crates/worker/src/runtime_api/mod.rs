//! The Lambda Runtime API of one environment: HTTP/1.1 on the listening socket that its sandbox handed out.
//!
//! On the request's way: the environment's task offers an invocation to the [`Session`]; the connection on which the
//! runtime waits at `next` writes it; the same connection later reads the answer and tells the environment's task. A
//! runtime may send its answer and its question for the next invocation in one write.
//!
//! The peer is the function (INV-8). A connection holds at most one request's head ([`HEAD_BYTES`]); there are at most
//! [`CONNECTIONS`] and one more for each further place; one answer to each invocation is read at a time, up to its limit,
//! or passed on as fast as it is taken; what never ends is ended by the deadline of the invocation or of Init: with the
//! environment and all its connections, or, where others run beside it, by refusing the answer.

mod body;
mod handout;
mod hold;
mod reply;
mod session;

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hearth_types::limits::{RESPONSE_PAYLOAD_BYTES, STREAMED_RESPONSE_BYTES};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::reply::Beginning;
use body::{Passed, Received};
pub(crate) use handout::handout;
use hold::{Hold, Stream};
pub(crate) use session::{Answer, Event, Place, Session, Ticket};
use session::{Handout, Receipt, Refusal};

/// Connections at once of an environment with one place. A runtime has one for each, most tools a handful.
const CONNECTIONS: usize = 16;

/// Bytes of a request's head, and of a connection's read buffer.
const HEAD_BYTES: usize = 32 * 1024;

/// The error type that a runtime gives is cut to this many characters: it goes into the log.
const ERROR_TYPE_CHARS: usize = 128;

const PREFIX: &str = "/2018-06-01/runtime/";
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";

/// Serves the runtime until it is dropped. Cancel safe: all connections end with it.
pub(crate) async fn serve(listener: TcpListener, session: Session) {
    let room = Arc::new(Semaphore::new(CONNECTIONS + session.places() - 1));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        // Further connections wait in the listener's own bounded queue.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "accept a runtime's connection");
                // Out of descriptors, most likely: others need a moment to give some back.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        // Without it an answer in two parts waits for the peer's delayed acknowledgement, 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "set TCP_NODELAY");
        }
        let session = session.clone();
        connections.spawn(async move {
            let _permit = permit;
            let hold = Hold::default();
            let stream = Stream::new(stream, hold.clone());
            let service = service_fn(move |request| {
                let (session, hold) = (session.clone(), hold.clone());
                async move { Ok::<_, Infallible>(route(&session, &hold, request).await) }
            });
            let served = http1::Builder::new()
                .max_buf_size(HEAD_BYTES)
                // Of trailers too: an error with its stack stands in them.
                .max_header_size(HEAD_BYTES)
                .auto_date_header(false)
                // Answers to requests that came together leave together.
                .pipeline_flush(true)
                // As AWS writes them: bootstraps in shell script look for the exact spelling.
                .title_case_headers(true)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::trace!(%error, "a runtime's connection ended");
            }
        });
    }
}

async fn route(session: &Session, hold: &Hold, request: Request<Incoming>) -> Handout {
    let Some(path) = request.uri().path().strip_prefix(PREFIX) else {
        return reply::not_found();
    };
    let get = request.method() == Method::GET;
    let post = request.method() == Method::POST;
    match path {
        "invocation/next" if get => match session.next() {
            // The other end is dropped when the environment goes.
            Ok(waiting) => {
                let _held = hold.begin();
                waiting.await.unwrap_or_else(|_| reply::gone())
            }
            Err(refusal) => reply::refused(refusal),
        },
        "init/error" if post => init_error(session, request).await,
        // Restoring is for environments that come from a snapshot; these do not.
        "restore/next" | "restore/error" => reply::refused(Refusal::InvalidStateTransition {
            from: "Started",
            to: "Restoring",
        }),
        "invocation/next" | "init/error" => reply::method_not_allowed(),
        _ => {
            let Some((id, call)) = path
                .strip_prefix("invocation/")
                .and_then(|rest| rest.split_once('/'))
            else {
                return reply::not_found();
            };
            match call {
                "response" | "error" if !post => reply::method_not_allowed(),
                "response" => {
                    let id = id.to_owned();
                    response(session, &id, request).await
                }
                "error" => {
                    let id = id.to_owned();
                    invocation_error(session, &id, request).await
                }
                _ => reply::not_found(),
            }
        }
    }
}

async fn response(session: &Session, id: &str, request: Request<Incoming>) -> Handout {
    let streaming = match request
        .headers()
        .get(RESPONSE_MODE)
        .map(http::HeaderValue::as_bytes)
    {
        None | Some(b"buffered") => false,
        Some(b"streaming") => true,
        Some(_) => return reply::invalid_response_mode(),
    };
    let receipt = match session.begin_answer(id, "InvocationResponse") {
        Ok(receipt) => receipt,
        Err(refusal) => return refuse(session, refusal, request).await,
    };
    if streaming && receipt.streams() {
        return stream(receipt, request).await;
    }
    match read(session, request).await {
        Received::Whole(body, trailers) => {
            let failed = trailers
                .filter(|_| streaming)
                .and_then(|trailers| error_in(&trailers));
            reply::taken(receipt.answer(failed.unwrap_or(Answer::Response(body))))
        }
        Received::TooLarge(rest) => too_large(receipt, Answer::TooLarge, rest).await,
        Received::Broken => reply::closing(reply::truncated()),
    }
}

/// Passes a response on as it comes.
async fn stream(mut receipt: Receipt<'_>, request: Request<Incoming>) -> Handout {
    let (head, body) = request.into_parts();
    let (beginning, pieces) = Beginning::new(head.headers.get(CONTENT_TYPE).cloned());
    let cut = receipt.begin(beginning);
    let passing = body::pass_on(body, STREAMED_RESPONSE_BYTES, pieces);
    match cut.run_until_cancelled(passing).await {
        // The runtime learns of it before it has made a response that nobody takes.
        None => reply::closing(reply::refused(Refusal::Overdue)),
        Some(Passed::Whole(trailers)) => {
            let failed = trailers.and_then(|trailers| error_in(&trailers));
            reply::taken(receipt.answer(failed.unwrap_or(Answer::Streamed)))
        }
        Some(Passed::TooLarge(rest)) => too_large(receipt, Answer::StreamTooLarge, rest).await,
        Some(Passed::Broken) => reply::closing(match receipt.answer(Answer::Truncated) {
            Ok(()) => reply::truncated(),
            Err(refusal) => reply::refused(refusal),
        }),
    }
}

async fn invocation_error(session: &Session, id: &str, request: Request<Incoming>) -> Handout {
    let kind = error_type(request.headers());
    let receipt = match session.begin_answer(id, "InvocationErrorResponse") {
        Ok(receipt) => receipt,
        Err(refusal) => return refuse(session, refusal, request).await,
    };
    match read(session, request).await {
        Received::Whole(body, _) => reply::taken(receipt.answer(Answer::Error { kind, body })),
        Received::TooLarge(rest) => too_large(receipt, Answer::TooLarge, rest).await,
        Received::Broken => reply::closing(reply::truncated()),
    }
}

async fn init_error(session: &Session, request: Request<Incoming>) -> Handout {
    if let Err(refusal) = session.check_init() {
        return refuse(session, refusal, request).await;
    }
    let kind = error_type(request.headers());
    let (answer, reply) = match read(session, request).await {
        Received::Whole(body, _) => (Answer::Error { kind, body }, reply::accepted()),
        Received::TooLarge(rest) => (Answer::TooLarge, discard(rest).await),
        Received::Broken => return reply::closing(reply::truncated()),
    };
    match session.fail_init(answer) {
        Ok(()) => reply,
        Err(refusal) => reply::refused(refusal),
    }
}

/// Reads an answer that is handed on as a whole.
async fn read(session: &Session, request: Request<Incoming>) -> Received {
    let turns = session.large_answers();
    body::read(request.into_body(), RESPONSE_PAYLOAD_BYTES, turns).await
}

/// Ends an invocation whose answer is larger than it may be.
async fn too_large(receipt: Receipt<'_>, answer: Answer, rest: body::Rest) -> Handout {
    match receipt.answer(answer) {
        Ok(()) => discard(rest).await,
        Err(refusal) => reply::closing(reply::refused(refusal)),
    }
}

/// Refuses a request whose body has not been read yet: a small one is read, so that its connection can go on.
async fn refuse(session: &Session, refusal: Refusal, request: Request<Incoming>) -> Handout {
    let read = match body::read(request.into_body(), 0, session.large_answers()).await {
        Received::Whole(..) => true,
        Received::TooLarge(rest) => rest.discard().await,
        Received::Broken => false,
    };
    if read {
        reply::refused(refusal)
    } else {
        reply::closing(reply::refused(refusal))
    }
}

async fn discard(rest: body::Rest) -> Handout {
    if rest.discard().await {
        reply::too_large()
    } else {
        reply::closing(reply::too_large())
    }
}

fn error_type(headers: &HeaderMap) -> String {
    headers.get(ERROR_TYPE).map_or(String::new(), |kind| {
        String::from_utf8_lossy(kind.as_bytes())
            .chars()
            .take(ERROR_TYPE_CHARS)
            .map(|c| if c.is_control() { '?' } else { c })
            .collect()
    })
}

/// The error that a streaming response ended with, if it did: its type, and its object in base64.
fn error_in(trailers: &HeaderMap) -> Option<Answer> {
    if !trailers.contains_key(ERROR_TYPE) {
        return None;
    }
    let body = trailers
        .get(ERROR_BODY)
        .and_then(|body| STANDARD.decode(body.as_bytes()).ok())
        .map_or_else(Bytes::new, Bytes::from);
    Some(Answer::Error {
        kind: error_type(trailers),
        body,
    })
}
