//! What an engine may ask of the node, through the door of its sandbox: code of its account, and what the account's
//! workers were granted. Every request names a worker, and is held against that worker's grants.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hearth_types::invoke::Body;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::grants::{Known, Means};
use crate::keyvalue::{self, Asked};
use crate::linked::Linked;
use crate::outside;
use crate::queue;

/// Connections of an engine at the same time; it opens one for each request to the outside and call of a binding that
/// is on its way.
const CONNECTIONS: usize = 1_024;

/// An answer through the door.
pub(crate) type Reply = Response<Body>;

/// What is behind the door.
#[derive(Debug)]
pub(crate) struct Room {
    /// The account's workers that the engine was told of, by the names of their code.
    known: Mutex<HashMap<String, Arc<Known>>>,
    means: Means,
    /// Room for values on their way between workers and the store.
    values: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new(means: Means) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            means,
            values: keyvalue::room(),
        })
    }

    /// Gives a worker into it. Gives how many there are now.
    pub(crate) fn put(&self, id: &str, worker: &Arc<Known>) -> usize {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(id.to_owned(), Arc::clone(worker));
        known.len()
    }

    /// The workers in it that were asked, and how often.
    pub(crate) fn asked(&self) -> Vec<(u32, Linked)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = |(id, worker): (&String, &Arc<Known>)| {
            let asked = worker.asked.load(Ordering::Relaxed);
            let worker = Arc::clone(worker);
            (asked > 0).then(|| {
                (
                    asked,
                    Linked {
                        id: id.clone(),
                        worker,
                    },
                )
            })
        };
        known.iter().filter_map(asked).collect()
    }

    /// The workers of which requests run.
    pub(crate) fn running(&self) -> Vec<Arc<str>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let running = known
            .iter()
            .filter(|(_, worker)| worker.running.load(Ordering::SeqCst) > 0);
        running.map(|(id, _)| Arc::from(id.as_str())).collect()
    }

    fn known(&self, id: &str) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).cloned()
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
        let room = Arc::new(Semaphore::new(CONNECTIONS));
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

    async fn answer(&self, mut request: Request<Incoming>) -> Result<Reply, Infallible> {
        let uri = request.uri().clone();
        if uri.scheme().is_some() {
            let id = request.headers_mut().remove(outside::FUNCTION);
            let id = id.as_ref().and_then(|id| id.to_str().ok());
            let (id, binding) = match id.and_then(|id| id.split_once('/')) {
                Some((id, binding)) => (id, Some(binding)),
                None => (id.unwrap_or_default(), None),
            };
            return Ok(match (self.known(id), binding) {
                (Some(known), Some(binding)) => {
                    outside::by_binding(&self.means, &known, binding, request).await
                }
                (Some(known), None) => outside::send(&self.means, &known, request).await,
                (None, _) => said(StatusCode::NOT_FOUND, String::new()),
            });
        }
        let path: Vec<&str> = uri.path().trim_start_matches('/').split('/').collect();
        Ok(match (request.method(), path.as_slice()) {
            (&Method::GET, ["code", id]) => match self.known(id) {
                Some(known) => Response::new(whole(known.json.clone())),
                None => said(StatusCode::NOT_FOUND, String::new()),
            },
            (_, ["keyvalue", id, binding, what]) => {
                let known = self.known(id);
                let bucket = known
                    .as_ref()
                    .and_then(|known| known.grants.keyvalue.get(*binding));
                match bucket {
                    Some(bucket) => {
                        let asked = Asked {
                            store: &*self.means.keyvalue,
                            bucket,
                            room: &self.values,
                        };
                        asked.answer(what, request).await
                    }
                    None => said(StatusCode::FORBIDDEN, "no such binding".to_owned()),
                }
            }
            (&Method::POST, ["queue", id, binding]) => {
                let known = self.known(id);
                let to = known
                    .as_ref()
                    .and_then(|known| known.grants.queues.get(*binding));
                match to {
                    Some(to) => queue::answer(&self.means.enqueue, to, request).await,
                    None => said(StatusCode::FORBIDDEN, "no such binding".to_owned()),
                }
            }
            _ => said(StatusCode::NOT_FOUND, String::new()),
        })
    }
}

/// An answer of words.
pub(crate) fn said(status: StatusCode, words: String) -> Reply {
    let mut reply = Response::new(whole(words.into()));
    *reply.status_mut() = status;
    reply
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}
