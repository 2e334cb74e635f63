//! What one worker may have besides computing, and what of the node it has it from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize};

use bytes::Bytes;
use hearth_egress::Egress;
use hearth_store::KeyValueStore;
use hearth_store::key_value::BucketId;
use hearth_types::arn::FunctionRef;
use hearth_types::invoke::{Body, BoxFuture};
use hearth_types::name::FunctionKey;
use hearth_types::network::Hosts;
use http::{Request, Response};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::assets::Assets;

/// Requests of one worker to the outside at the same time; more wait. A quarter of what all functions have.
const REQUESTS_PER_WORKER: usize = 128;

/// What one worker may have. Everything that is not granted is denied.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    /// Hosts that outgoing requests may go to; empty: none.
    pub hosts: Hosts,
    /// Key-value stores, by the names of their bindings.
    pub keyvalue: BTreeMap<String, BucketId>,
    /// Other functions, by the names of their bindings.
    pub services: BTreeMap<String, Service>,
    /// Queues that it may send to, by the names of their bindings.
    pub queues: BTreeMap<String, SendTo>,
    /// The package's own files, and the binding to them if there is one.
    pub assets: Option<(Arc<Assets>, Option<String>)>,
}

/// Another function that a worker may ask.
#[derive(Clone, Debug)]
pub struct Service {
    /// Who asks.
    pub caller: FunctionKey,
    /// Who is asked: of the caller's account.
    pub service: FunctionRef,
}

/// A queue that a worker may send to.
#[derive(Clone, Debug)]
pub struct SendTo {
    /// Who sends.
    pub sender: FunctionKey,
    /// The name of the queue: one of the sender's account and region.
    pub queue: String,
}

/// A message of a worker's to a queue.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its text.
    pub text: String,
    /// What the text is: `json`, `text`, or `bytes` in base64.
    pub content_type: String,
    /// When it may be delivered, seconds from now; `None`: as the queue says.
    pub delay_seconds: Option<i64>,
}

/// Sends messages: all of them, or an error that says why, a sentence for the worker's author. Some may have been sent then.
pub type Enqueue =
    Arc<dyn Fn(&SendTo, Vec<Message>) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Asks another function. Dropping the future, or the response's body, gives up.
pub type Ask =
    Arc<dyn Fn(&Service, Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// What workers' grants lead to. Cheap to clone.
#[derive(Clone)]
pub struct Means {
    /// The way to the outside.
    pub egress: Arc<Egress>,
    /// Where what workers keep is.
    pub keyvalue: Arc<dyn KeyValueStore>,
    /// Asks other functions.
    pub ask: Ask,
    /// Sends to queues.
    pub enqueue: Enqueue,
}

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Means")
            .field("egress", &self.egress)
            .finish_non_exhaustive()
    }
}

/// A worker as an engine's door knows it.
#[derive(Debug)]
pub(crate) struct Known {
    /// What the dispatcher makes its isolate of.
    pub(crate) json: Bytes,
    pub(crate) grants: Grants,
    /// Its turns to send requests to the outside.
    pub(crate) turns: Arc<Semaphore>,
    /// Requests since engines were started to link workers.
    pub(crate) asked: AtomicU32,
    /// Requests that run.
    pub(crate) running: AtomicUsize,
}

impl Known {
    pub(crate) fn new(json: Bytes, grants: Grants) -> Arc<Self> {
        Arc::new(Self {
            json,
            grants,
            turns: Arc::new(Semaphore::new(REQUESTS_PER_WORKER)),
            asked: AtomicU32::new(0),
            running: AtomicUsize::new(0),
        })
    }
}
