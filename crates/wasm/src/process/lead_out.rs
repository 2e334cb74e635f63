//! In the node: where a process's way out leads. The process is not trusted: every request is held against the grants of
//! the function that it names, which is one of the account's own, as if its guest ran here.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hearth_egress::Egress;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi_http::{Error, RequestOptions};

use super::call_body::CallBody;
use super::head;
use super::message::{BucketOrder, NoAnswer, Operation, Outcome, Value};
use super::rest::Rest;
use super::wire::{
    self, CONNECTION_WINDOW, KEY_VALUE, MAX_WAYS_OUT, OUTGOING, STREAM_WINDOW, TIMES,
};
use crate::call::{Output, OutputStream};
use crate::grants::Grants;
use crate::host::{KeyValue, KeyValueError, Outgoing};

/// Largest operation on a bucket, bytes of JSON: more than a bucket takes in one, with base64 around it.
const MAX_OPERATION: usize = 32 << 20;

/// What the functions of a process may ask for, by their numbers there.
#[derive(Default)]
pub(super) struct WaysOut(Mutex<HashMap<u64, Granted>>);

/// What one function may ask for.
#[derive(Clone)]
pub(super) struct Granted {
    pub(super) grants: Arc<Grants>,
    pub(super) egress: Arc<Egress>,
}

impl WaysOut {
    pub(super) fn insert(&self, number: u64, granted: Granted) {
        self.table().insert(number, granted);
    }

    pub(super) fn remove(&self, number: u64) {
        let _ = self.table().remove(&number);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, Granted>> {
        // Each change is whole: a panic elsewhere leaves it sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a process until it hangs up.
///
/// # Errors
/// If the line breaks, or what comes is not HTTP/2.
pub(super) async fn lead(
    line: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ways: Arc<WaysOut>,
) -> hyper::Result<()> {
    http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_WAYS_OUT)
        // A guest that ends drops what it has asked for.
        .max_pending_accept_reset_streams(MAX_WAYS_OUT as usize)
        .auto_date_header(false)
        .serve_connection(
            TokioIo::new(line),
            service_fn(move |request| {
                let ways = Arc::clone(&ways);
                async move { Ok::<_, Infallible>(ways.answer(request).await) }
            }),
        )
        .await
}

type Reply = Response<CallBody>;

impl WaysOut {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let Some((number, what)) = wire::parse_path(head.uri.path()) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let granted = self.table().get(&number).cloned();
        let (Some(granted), Method::POST) = (granted, head.method) else {
            return empty(StatusCode::NOT_FOUND);
        };
        match what {
            OUTGOING => granted.outgoing(&head.headers, body).await,
            KEY_VALUE => granted.key_value(body).await,
            _ => empty(StatusCode::NOT_FOUND),
        }
    }
}

impl Granted {
    async fn outgoing(self, headers: &HeaderMap, body: Incoming) -> Reply {
        let Ok(request) = Rest::of_request(body).await else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let request =
            request.map(|rest| rest.map_err(|_| Error::ConnectionTerminated).boxed_unsync());
        let log = Arc::new(Said::default());
        let mut outgoing = Outgoing::new(self.egress, self.grants, Arc::clone(&log) as _);
        let sent = Box::into_pin(outgoing.send(request, Some(options(headers))));
        match sent.await {
            Ok((response, _)) => {
                let (head, body) = response.into_parts();
                Response::new(CallBody::with_rest(head::response_with_length(&head), body))
            }
            Err(error) => {
                let said = NoAnswer {
                    error: error.into(),
                    log: log.text(),
                };
                let mut reply = json(&said);
                *reply.status_mut() = StatusCode::BAD_GATEWAY;
                reply
            }
        }
    }

    async fn key_value(self, body: Incoming) -> Reply {
        let Ok(order) = Limited::new(body, MAX_OPERATION).collect().await else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let Ok(order) = serde_json::from_slice::<BucketOrder>(&order.to_bytes()) else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let granted = self.grants.keyvalue.as_ref();
        let Some(bucket) = granted.and_then(|grant| grant.buckets.get(&order.bucket)) else {
            return empty(StatusCode::FORBIDDEN);
        };
        let outcome = match operate(&**bucket, order.operation).await {
            Ok(outcome) => outcome,
            Err(KeyValueError::Refused(why)) => Outcome::Refused(why),
            Err(KeyValueError::Unavailable) => Outcome::Unavailable,
        };
        json(&outcome)
    }
}

async fn operate(bucket: &dyn KeyValue, operation: Operation) -> Result<Outcome, KeyValueError> {
    Ok(match operation {
        Operation::Get(keys) => {
            let values = bucket.get(keys).await?;
            Outcome::Values(values.into_iter().map(|value| value.map(Value)).collect())
        }
        Operation::Exists(key) => Outcome::Truth(bucket.exists(key).await?),
        Operation::Set(entries) => {
            let entries = entries.into_iter().map(|(key, Value(value))| (key, value));
            bucket.set(entries.collect()).await?;
            Outcome::Done
        }
        Operation::Delete(keys) => {
            bucket.delete(keys).await?;
            Outcome::Done
        }
        Operation::List(cursor) => {
            let (keys, next) = bucket.list(cursor).await?;
            Outcome::Page(keys, next)
        }
        Operation::Increment(key, delta) => Outcome::Number(bucket.increment(key, delta).await?),
        Operation::Swap(key, current, Value(new)) => {
            let current = current.map(|Value(current)| current);
            Outcome::Truth(bucket.swap(key, current, new).await?)
        }
    })
}

fn options(headers: &HeaderMap) -> RequestOptions {
    let [connect_timeout, first_byte_timeout, between_bytes_timeout] = TIMES.map(|name| {
        let microseconds = headers.get(name)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_micros(microseconds))
    });
    RequestOptions {
        connect_timeout,
        first_byte_timeout,
        between_bytes_timeout,
    }
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(CallBody::whole(Bytes::new()));
    *reply.status_mut() = status;
    reply
}

fn json(value: &impl serde::Serialize) -> Reply {
    // Numbers and strings always have a JSON form.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    Response::new(CallBody::whole(bytes.into()))
}

/// What the function's log is told.
#[derive(Default)]
struct Said(Mutex<Vec<u8>>);

impl Said {
    fn text(&self) -> String {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Output for Said {
    fn write(&self, _: OutputStream, bytes: &[u8]) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(bytes);
    }
}
