//! What an engine may ask of the node, through the door of its sandbox: code of its account, and to take traces.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use crate::trace::{Trace, Traces};

/// A body of traces: the engine keeps 256 KiB of what a request writes, which JSON makes up to six times longer.
const TRACE_BYTES: usize = 4 << 20;

/// Connections of an engine at the same time; it opens one for each trace that is on its way.
const CONNECTIONS: usize = 1_024;

/// What is behind the door.
#[derive(Debug, Default)]
pub(crate) struct Room {
    codes: Mutex<HashMap<String, Bytes>>,
    traces: Traces,
}

impl Room {
    pub(crate) fn new(traces: Traces) -> Arc<Self> {
        Arc::new(Self {
            codes: Mutex::default(),
            traces,
        })
    }

    /// Gives a worker's code into it. Gives how many there are now.
    pub(crate) fn put(&self, id: &str, code: &Bytes) -> usize {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.insert(id.to_owned(), code.clone());
        codes.len()
    }

    fn code(&self, id: &str) -> Option<Bytes> {
        let codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.get(id).cloned()
    }

    /// Serves an engine until it is `gone`.
    ///
    /// # Errors
    /// If the listener can't be watched.
    pub(crate) fn open(
        self: Arc<Self>,
        door: TcpListener,
        gone: CancellationToken,
    ) -> io::Result<()> {
        let door = tokio::net::TcpListener::from_std(door)?;
        let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
        tokio::spawn(gone.clone().run_until_cancelled_owned(async move {
            while let Ok(place) = Arc::clone(&room).acquire_owned().await
                && let Ok((stream, _)) = door.accept().await
            {
                let (room, gone) = (Arc::clone(&self), gone.clone());
                tokio::spawn(async move {
                    let _place = place;
                    // Answers are small, and the engine waits for each.
                    let _ = stream.set_nodelay(true);
                    let service = service_fn(|request| room.answer(request));
                    let served =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    if let Some(Err(error)) = gone.run_until_cancelled(served).await {
                        tracing::trace!(%error, "a connection from an engine ended");
                    }
                });
            }
        }));
        Ok(())
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let path = request.uri().path();
        if request.method() == Method::GET
            && let Some(code) = path.strip_prefix("/code/").and_then(|id| self.code(id))
        {
            return Ok(Response::new(Full::new(code)));
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = if request.method() == Method::POST && path == "/tail" {
            self.tail(request).await
        } else {
            StatusCode::NOT_FOUND
        };
        Ok(response)
    }

    async fn tail(&self, request: Request<Incoming>) -> StatusCode {
        let Ok(body) = Limited::new(request, TRACE_BYTES).collect().await else {
            return StatusCode::PAYLOAD_TOO_LARGE;
        };
        match serde_json::from_slice::<Vec<Trace>>(&body.to_bytes()) {
            Ok(traces) => {
                traces.into_iter().for_each(|trace| self.traces.came(trace));
                StatusCode::NO_CONTENT
            }
            Err(_) => StatusCode::BAD_REQUEST,
        }
    }
}
