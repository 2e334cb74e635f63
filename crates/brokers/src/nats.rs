//! Streams of NATS JetStream, by a durable consumer of the mapping's own.
//!
//! What was handed out and is not acknowledged in time is the server's to hand out again. Whoever works on a message for
//! longer tells the server so, again and again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::message::{AckKind, Acker, Message};
use async_nats::jetstream::stream::Stream;
use async_nats::{Client, ConnectOptions, Event};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use hearth_types::source::Start;
use hearth_types::time::Timestamp;
use hearth_types::wire::broker_event::{BrokerRecord, CloudEvent};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::connection::{ANSWER, Connection, Delivery, End, Room, Tag, answered};
use crate::error::BrokerError;
use crate::payload;
use crate::server::Server;
use crate::tls;

/// After what time without a word a message is handed out again: a killed node's messages come again that much later, and a
/// node that stands still for longer gets them twice.
const ACK_WAIT: Duration = Duration::from_secs(15);
/// How often the server is told that messages are worked on: two words may be lost.
const PROGRESS: Duration = Duration::from_secs(5);
/// How long one question for a message waits at the server.
const WAIT: Duration = Duration::from_secs(20);
/// Longest that messages which wait are waited for: the server answers when it has given what there is.
const FETCH: Duration = Duration::from_secs(5);

pub(crate) struct Nats {
    server: Arc<Server>,
    arn: String,
    client: Client,
    stream: Stream,
    consumer: Consumer<Config>,
    state: Arc<State>,
    progress: JoinHandle<()>,
}

/// What is shared with whoever tells of the connection and of progress.
struct State {
    is_alive: AtomicBool,
    lost: Notify,
    next: AtomicU64,
    /// Messages that are not settled.
    open: Mutex<HashMap<u64, Arc<Acker>>>,
}

impl State {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Acker>>> {
        // Nothing in here can panic half-way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn progress(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PROGRESS).await;
            let open: Vec<_> = self.open().values().cloned().collect();
            for acker in open {
                if acker.ack_with(AckKind::Progress).await.is_err() {
                    break;
                }
            }
        }
    }
}

impl Nats {
    pub(crate) async fn connect(
        server: &Arc<Server>,
        arn: &str,
        stream: &str,
        start: Start,
        mapping: &str,
    ) -> Result<Self, BrokerError> {
        let state = Arc::new(State {
            is_alive: AtomicBool::new(true),
            lost: Notify::new(),
            next: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let client = client(server, stream, Arc::clone(&state)).await?;
        let context = async_nats::jetstream::new(client.clone());
        let found = answered(server, "find the stream of", context.get_stream(stream)).await?;
        let name = consumer_name(mapping);
        let configuration = Config {
            durable_name: Some(name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            deliver_policy: match start {
                Start::TrimHorizon => DeliverPolicy::All,
                Start::Latest => DeliverPolicy::New,
            },
            // The mapping bounds what it has.
            max_ack_pending: -1,
            ..Config::default()
        };
        let consumer = found.get_or_create_consumer(&name, configuration);
        let consumer = answered(server, "make a consumer of", consumer).await?;
        let progress = tokio::spawn(Arc::clone(&state).progress());
        Ok(Self {
            server: Arc::clone(server),
            arn: arn.to_owned(),
            client,
            stream: found,
            consumer,
            state,
            progress,
        })
    }

    fn delivery(&self, message: Message) -> Result<Delivery, BrokerError> {
        let info = message
            .info()
            .map_err(|error| self.server.failed("read a message of", error))?;
        let sequence = info.stream_sequence.to_string();
        let time = jiff::Timestamp::from_nanosecond(info.published.unix_timestamp_nanos()).ok();
        let deliveries = u32::try_from(info.delivered).ok();
        let (message, acker) = message.split();
        let (kind, data, data_base64) = payload::data(&message.payload);
        let tag = self.state.next.fetch_add(1, Ordering::Relaxed);
        self.state.open().insert(tag, Arc::new(acker));
        Ok(Delivery {
            id: sequence.clone(),
            bytes: message.length,
            group: None,
            time: time.map(|time| Timestamp::from_millis(time.as_millisecond())),
            tag: Tag::Number(tag),
            record: BrokerRecord::Cloud(Box::new(CloudEvent {
                specversion: "1.0".to_owned(),
                id: sequence,
                source: self.arn.clone(),
                kind: CloudEvent::NATS.to_owned(),
                subject: Some(message.subject.to_string()),
                time: time.map(|time| time.to_string()),
                datacontenttype: kind.map(str::to_owned),
                data,
                data_base64,
                deliveries,
            })),
        })
    }
}

fn consumer_name(mapping: &str) -> String {
    format!("hearth-{mapping}")
}

async fn client(server: &Server, stream: &str, state: Arc<State>) -> Result<Client, BrokerError> {
    let mut options = ConnectOptions::new()
        .name(format!("hearth: {stream}"))
        .connection_timeout(ANSWER)
        // Who loses the connection makes another, with what the files hold then.
        .max_reconnects(1)
        .event_callback(move |event| {
            let state = Arc::clone(&state);
            async move {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    state.is_alive.store(false, Ordering::Relaxed);
                    state.lost.notify_one();
                }
            }
        });
    match (&server.username, server.password().await?) {
        (Some(username), Some(password)) => {
            options = options.user_and_password(username.clone(), password);
        }
        (None, Some(token)) => options = options.token(token),
        (Some(_), None) => {
            return Err(server.bad("a username needs a password".to_owned()));
        }
        (None, None) => {}
    }
    if server.url.scheme() == "tls" {
        options = options
            .require_tls(true)
            .tls_client_config(tls::configuration(server).await?);
    }
    answered(server, "connect to", options.connect(server.url.as_str())).await
}

#[async_trait]
impl Connection for Nats {
    async fn next(&self) -> Result<Delivery, BrokerError> {
        loop {
            let batch = self.consumer.batch().max_messages(1).expires(WAIT);
            let mut messages = answered(&self.server, "wait for", batch.messages()).await?;
            let message = tokio::select! {
                message = tokio::time::timeout(WAIT + ANSWER, messages.next()) => message,
                () = self.state.lost.notified() => {
                    return Err(self.server.failed("wait for", "the connection was lost"));
                }
            };
            match message {
                Err(_) => return Err(self.server.failed("wait for", "no answer")),
                Ok(None) => {}
                Ok(Some(Err(error))) => return Err(self.server.failed("wait for", error)),
                Ok(Some(Ok(message))) => return self.delivery(message),
            }
        }
    }

    async fn more(&self, room: Room) -> Result<Vec<Delivery>, BrokerError> {
        let fetch = self
            .consumer
            .fetch()
            .max_messages(room.messages)
            .max_bytes(room.bytes)
            .expires(FETCH);
        let mut messages = answered(&self.server, "fetch from", fetch.messages()).await?;
        let mut taken = Vec::new();
        // An error says that the next one is larger than the room that is left, or that the connection is lost: what was
        // taken is worked on, and the next question finds out.
        while let Ok(Some(Ok(message))) =
            tokio::time::timeout(FETCH + ANSWER, messages.next()).await
        {
            taken.push(self.delivery(message)?);
        }
        Ok(taken)
    }

    async fn settle(&self, tags: Vec<Tag>, end: End) -> Result<(), BrokerError> {
        let tags = tags.iter().filter_map(Tag::number);
        let settled = async {
            for tag in tags {
                let acker = self.state.open().remove(&tag);
                let Some(acker) = acker else { continue };
                acker
                    .ack_with(match end {
                        End::Done => AckKind::Ack,
                        End::Again => AckKind::Nak(None),
                        End::Never => AckKind::Term,
                    })
                    .await?;
            }
            self.client.flush().await.map_err(async_nats::Error::from)
        };
        answered(&self.server, "settle messages of", settled).await
    }

    async fn waiting(&self) -> Result<Option<u64>, BrokerError> {
        let name = &self.consumer.cached_info().name;
        let info = self.stream.consumer_info(name);
        let info = answered(&self.server, "ask for the lag of", info).await?;
        Ok(Some(info.num_pending))
    }

    fn is_alive(&self) -> bool {
        self.state.is_alive.load(Ordering::Relaxed)
    }

    async fn forget(&self) -> Result<(), BrokerError> {
        let name = self.consumer.cached_info().name.clone();
        let delete = self.stream.delete_consumer(&name);
        answered(&self.server, "remove the consumer of", delete)
            .await
            .map(|_| ())
    }
}

impl Drop for Nats {
    /// What is in hand is given back at once.
    fn drop(&mut self) {
        self.progress.abort();
        let open: Vec<_> = self.state.open().drain().map(|(_, acker)| acker).collect();
        if let (false, Ok(runtime)) = (open.is_empty(), tokio::runtime::Handle::try_current()) {
            let client = self.client.clone();
            runtime.spawn(async move {
                for acker in open {
                    if acker.ack_with(AckKind::Nak(None)).await.is_err() {
                        return;
                    }
                }
                let _ = client.flush().await;
            });
        }
    }
}
