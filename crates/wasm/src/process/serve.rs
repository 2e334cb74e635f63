//! In the process: its functions, and the calls that come for them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use super::answer::Answer;
use super::log::CallLog;
use super::message::FunctionOrder;
use super::rest::Rest;
use super::wire::{self, COMMAND, CONNECTION_WINDOW, DEADLINE, MAX_CALLS, REQUEST, STREAM_WINDOW};
use crate::call::{Call, Output};
use crate::function::LocalFunction;
use crate::program::Refusal;

/// Makes what the node ordered under a number.
pub(crate) type Make =
    Box<dyn Fn(u64, FunctionOrder) -> Result<LocalFunction, Refusal> + Send + Sync>;

/// The functions of the process, by the numbers that the node gave them.
pub(crate) struct Functions {
    make: Make,
    table: Mutex<HashMap<u64, LocalFunction>>,
}

/// What the process answers: frames to a call, a sentence or nothing to the rest.
type Reply = Response<Either<Answer, Full<Bytes>>>;

/// Serves the node until it hangs up.
///
/// # Errors
/// If the node breaks the line off, or HTTP/2's rules.
pub(crate) async fn serve(
    line: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    make: Make,
) -> hyper::Result<()> {
    let functions = Arc::new(Functions {
        make,
        table: Mutex::default(),
    });
    http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_CALLS)
        // The node may drop any number of calls at once: it is no attacker.
        .max_pending_accept_reset_streams(MAX_CALLS as usize)
        .max_local_error_reset_streams(None)
        .auto_date_header(false)
        .serve_connection(
            TokioIo::new(line),
            service_fn(move |request| {
                let functions = Arc::clone(&functions);
                async move { Ok::<_, Infallible>(functions.answer(request).await) }
            }),
        )
        .await
}

impl Functions {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let Some((number, what)) = wire::parse_path(head.uri.path()) else {
            return refusal(StatusCode::NOT_FOUND, "no such path");
        };
        match (head.method, what) {
            (Method::PUT, "") => self.put(number, body).await,
            (Method::DELETE, "") => {
                // What runs goes on to its end.
                let _ = self.table().remove(&number);
                nothing()
            }
            (Method::POST, what) => {
                let function = self.table().get(&number).cloned();
                let Some(function) = function else {
                    return refusal(StatusCode::NOT_FOUND, "no such function");
                };
                let Some(deadline) = deadline(&head.headers) else {
                    return refusal(StatusCode::BAD_REQUEST, "a call without a deadline");
                };
                match what {
                    REQUEST => call_request(function, deadline, body).await,
                    COMMAND => call_command(function, deadline, body).await,
                    _ => refusal(StatusCode::NOT_FOUND, "no such path"),
                }
            }
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "no such method"),
        }
    }

    async fn put(&self, number: u64, body: Incoming) -> Reply {
        let Ok(order) = body.collect().await else {
            return refusal(StatusCode::BAD_REQUEST, "an order that breaks off");
        };
        let Ok(order) = serde_json::from_slice(&order.to_bytes()) else {
            return refusal(StatusCode::BAD_REQUEST, "an order that can't be read");
        };
        // Maps a file, and takes a millisecond or two: other calls have other threads.
        match (self.make)(number, order) {
            Ok(function) => {
                self.table().insert(number, function);
                nothing()
            }
            Err(refusal_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &refusal_.to_string()),
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, LocalFunction>> {
        // Each change is whole: a panic elsewhere leaves it sound.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let microseconds = headers.get(DEADLINE)?.to_str().ok()?.parse().ok()?;
    Instant::now().checked_add(Duration::from_micros(microseconds))
}

/// What a call is given, and what hears of it.
fn call(deadline: Instant) -> (Call, Arc<CallLog>, oneshot::Receiver<crate::call::Ending>) {
    let log = Arc::new(CallLog::default());
    let (tell, told) = oneshot::channel();
    let call = Call {
        output: Arc::clone(&log) as Arc<dyn Output>,
        deadline,
        ended: Box::new(move |ending| {
            // Nobody listens any more when the node has dropped the call.
            let _ = tell.send(ending);
        }),
    };
    (call, log, told)
}

async fn call_request(function: LocalFunction, deadline: Instant, body: Incoming) -> Reply {
    let Ok(request) = Rest::of_request(body).await else {
        return refusal(StatusCode::BAD_REQUEST, "a request that can't be read");
    };
    let (call, log, told) = call(deadline);
    let running = Box::pin(async move { function.request(request, call).await });
    Response::new(Either::Left(Answer::of_request(running, log, told)))
}

async fn call_command(function: LocalFunction, deadline: Instant, body: Incoming) -> Reply {
    let Ok(input) = body.collect().await else {
        return refusal(StatusCode::BAD_REQUEST, "an input that breaks off");
    };
    let (call, log, told) = call(deadline);
    let running = Box::pin(async move { function.command(input.to_bytes(), call).await });
    Response::new(Either::Left(Answer::of_command(running, log, told)))
}

fn nothing() -> Reply {
    Response::new(Either::Right(Full::default()))
}

fn refusal(status: StatusCode, sentence: &str) -> Reply {
    let mut reply = Response::new(Either::Right(Full::from(sentence.to_owned())));
    *reply.status_mut() = status;
    reply
}
