//! In the process: the way out, which leads through the node. Nothing is decided here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::call_body::CallBody;
use super::head;
use super::message::{BucketOrder, NoAnswer, Operation, Outcome, Value};
use super::rest::Rest;
use super::wire::{self, CONNECTION_WINDOW, KEY_VALUE, OUTGOING, STREAM_WINDOW, TIMES};
use crate::call::{Output, OutputStream};
use crate::host::{Answer, KeyValue, KeyValueError, KeyValueGrant};

/// The way out of all guests of the process. Cheap to clone.
#[derive(Clone)]
pub(super) struct Line(SendRequest<CallBody>);

impl Line {
    /// Begins to speak with the node. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the line breaks.
    pub(super) async fn open(
        line: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Result<Self> {
        let (send, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(line))
            .await?;
        // The node ends the process when it breaks.
        tokio::spawn(connection);
        Ok(Self(send))
    }

    /// The way out of one function.
    pub(super) fn of_function(&self, number: u64) -> WayOut {
        WayOut {
            line: self.clone(),
            function: number,
        }
    }
}

/// The way out of one function of the process.
#[derive(Clone)]
pub struct WayOut {
    line: Line,
    function: u64,
}

impl WayOut {
    /// Sends a request to the outside, as [`crate::host::Outgoing::send`].
    pub(crate) async fn send(
        self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        log: Arc<dyn Output>,
    ) -> Result<Answer, Error> {
        let (head, body) = request.into_parts();
        let body = CallBody::with_rest(head::request_with_length(&head), body);
        let mut request = Request::post(wire::path(self.function, OUTGOING));
        for (name, time) in TIMES.into_iter().zip(times(options.unwrap_or_default())) {
            if let Some(time) = time {
                request = request.header(name, time.as_micros().to_string());
            }
        }
        let request = request
            .body(body)
            .map_err(|_| Error::HttpRequestUriInvalid)?;
        let reply = self.line.0.clone().send_request(request).await;
        let reply = reply.map_err(|_| Error::ConnectionTerminated)?;
        if reply.status() == StatusCode::OK {
            let response = Rest::of_response(reply.into_body()).await;
            let response = response.map_err(|_| Error::ConnectionTerminated)?;
            let response =
                response.map(|rest| rest.map_err(|_| Error::ConnectionTerminated).boxed_unsync());
            return Ok((response, Box::new(async { Ok(()) })));
        }
        let said = reply.into_body().collect().await;
        let said = said.map_err(|_| Error::ConnectionTerminated)?.to_bytes();
        let said: NoAnswer =
            serde_json::from_slice(&said).map_err(|_| Error::InternalError(None))?;
        log.write(OutputStream::Stderr, said.log.as_bytes());
        Err(said.error.into())
    }

    /// Buckets of these names.
    pub(super) fn buckets(&self, names: Vec<String>) -> KeyValueGrant {
        let bucket = |name: String| {
            let bucket = Bucket {
                way_out: self.clone(),
                name: name.clone(),
            };
            (name, Arc::new(bucket) as Arc<dyn KeyValue>)
        };
        KeyValueGrant {
            buckets: names.into_iter().map(bucket).collect(),
        }
    }
}

impl std::fmt::Debug for WayOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WayOut")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

fn times(options: RequestOptions) -> [Option<Duration>; 3] {
    [
        options.connect_timeout,
        options.first_byte_timeout,
        options.between_bytes_timeout,
    ]
}

/// A bucket, which the node has.
struct Bucket {
    way_out: WayOut,
    name: String,
}

impl Bucket {
    async fn ask(&self, operation: Operation) -> Result<Outcome, KeyValueError> {
        let order = BucketOrder {
            bucket: self.name.clone(),
            operation,
        };
        let asked = async {
            let body = serde_json::to_vec(&order).ok()?;
            let request = Request::post(wire::path(self.way_out.function, KEY_VALUE))
                .body(CallBody::whole(body.into()))
                .ok()?;
            let reply = self
                .way_out
                .line
                .0
                .clone()
                .send_request(request)
                .await
                .ok()?;
            let reply = reply.into_body().collect().await.ok()?;
            serde_json::from_slice(&reply.to_bytes()).ok()
        };
        match asked.await {
            Some(Outcome::Refused(why)) => Err(KeyValueError::Refused(why)),
            Some(Outcome::Unavailable) | None => Err(KeyValueError::Unavailable),
            Some(outcome) => Ok(outcome),
        }
    }
}

#[async_trait]
impl KeyValue for Bucket {
    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, KeyValueError> {
        match self.ask(Operation::Get(keys)).await? {
            Outcome::Values(values) => Ok(values
                .into_iter()
                .map(|value| value.map(|Value(bytes)| bytes))
                .collect()),
            _ => Err(KeyValueError::Unavailable),
        }
    }

    async fn exists(&self, key: String) -> Result<bool, KeyValueError> {
        match self.ask(Operation::Exists(key)).await? {
            Outcome::Truth(exists) => Ok(exists),
            _ => Err(KeyValueError::Unavailable),
        }
    }

    async fn set(&self, entries: Vec<(String, Bytes)>) -> Result<(), KeyValueError> {
        let entries = entries
            .into_iter()
            .map(|(key, value)| (key, Value(value)))
            .collect();
        self.ask(Operation::Set(entries)).await.map(|_| ())
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
        self.ask(Operation::Delete(keys)).await.map(|_| ())
    }

    async fn list(&self, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
        match self.ask(Operation::List(cursor)).await? {
            Outcome::Page(keys, next) => Ok((keys, next)),
            _ => Err(KeyValueError::Unavailable),
        }
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, KeyValueError> {
        match self.ask(Operation::Increment(key, delta)).await? {
            Outcome::Number(sum) => Ok(sum),
            _ => Err(KeyValueError::Unavailable),
        }
    }

    async fn swap(
        &self,
        key: String,
        current: Option<Bytes>,
        new: Bytes,
    ) -> Result<bool, KeyValueError> {
        let operation = Operation::Swap(key, current.map(Value), Value(new));
        match self.ask(operation).await? {
            Outcome::Truth(swapped) => Ok(swapped),
            _ => Err(KeyValueError::Unavailable),
        }
    }
}
