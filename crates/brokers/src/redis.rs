//! Streams of Redis, by a consumer group of the mapping's own.
//!
//! A group has one consumer, the node: what it was handed and has not acknowledged stays listed as its own, and is claimed
//! again after a failure, a lost connection or a kill, before anything newer. Entries are taken by a script, one by one and as
//! long as there is room: a single command would give any number of bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth_types::source::Start;
use hearth_types::time::Timestamp;
use hearth_types::wire::broker_event::{BrokerRecord, CloudEvent};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, FromRedisValue, IntoConnectionInfo as _,
    TlsCertificates, Value, cmd,
};
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::connection::{ANSWER, Connection, Delivery, End, Room, Tag, answered};
use crate::error::BrokerError;
use crate::server::Server;
use crate::shelf::{EntryId, Shelf};

/// The consumer of the group.
const CONSUMER: &str = "hearth";
/// How long one question for a new entry waits at the broker.
const BLOCK: Duration = Duration::from_secs(10);
/// How many entries that were handed out are listed with one command.
const PAGE: usize = 1_000;

/// Takes entries: first claims those that it is given, then reads new ones. Answers with entries and how often each was
/// handed out, and with those that were claimed and are not in the stream any more.
const TAKE: &str = r"
local key, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local messages, room = tonumber(ARGV[3]), tonumber(ARGV[4])
local taken, gone = {}, {}
local function add(entry)
  for _, text in ipairs(entry[2]) do room = room - #text end
  local pending = redis.call('XPENDING', key, group, entry[1], entry[1], 1)
  taken[#taken + 1] = {entry[1], entry[2], pending[1] and pending[1][4] or 1}
end
for at = 5, #ARGV do
  if #taken >= messages or room <= 0 then return {taken, gone} end
  local claimed = redis.call('XCLAIM', key, group, consumer, 0, ARGV[at])
  if claimed[1] and claimed[1][2] then
    add(claimed[1])
  else
    redis.call('XACK', key, group, ARGV[at])
    gone[#gone + 1] = ARGV[at]
  end
end
while #taken < messages and room > 0 do
  local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', key, '>')
  if not read or not read[1] then break end
  add(read[1][2][1])
end
return {taken, gone}
";

/// An entry: its identifier, names and values one after the other, and how often it was handed out.
type Entry = (Vec<u8>, Vec<Vec<u8>>, u32);

pub(crate) struct Redis {
    server: Arc<Server>,
    arn: String,
    stream: String,
    group: String,
    shelf: Arc<Shelf>,
    /// Waits for entries: what is asked behind waits as well.
    waiting: MultiplexedConnection,
    asking: MultiplexedConnection,
    is_alive: AtomicBool,
}

impl Redis {
    pub(crate) async fn connect(
        server: &Arc<Server>,
        arn: &str,
        stream: &str,
        start: Start,
        mapping: &str,
        shelf: Arc<Shelf>,
    ) -> Result<Self, BrokerError> {
        let client = client(server).await?;
        let configuration = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER))
            // Each question has its own.
            .set_response_timeout(None);
        let connect = || client.get_multiplexed_async_connection_with_config(&configuration);
        let redis = Self {
            server: Arc::clone(server),
            arn: arn.to_owned(),
            stream: stream.to_owned(),
            group: format!("hearth-{mapping}"),
            shelf,
            waiting: answered(server, "connect to", connect()).await?,
            asking: answered(server, "connect to", connect()).await?,
            is_alive: AtomicBool::new(true),
        };
        redis.make_group(start).await?;
        redis.list_pending().await?;
        Ok(redis)
    }

    async fn ask<T: FromRedisValue>(
        &self,
        what: &'static str,
        question: &Cmd,
    ) -> Result<T, BrokerError> {
        let mut asking = self.asking.clone();
        let answer = answered(&self.server, what, question.query_async(&mut asking)).await;
        if answer.is_err() {
            self.is_alive.store(false, Ordering::Relaxed);
        }
        answer
    }

    async fn make_group(&self, start: Start) -> Result<(), BrokerError> {
        let from = match start {
            Start::TrimHorizon => "0",
            Start::Latest => "$",
        };
        let mut create = cmd("XGROUP");
        create.arg(&["CREATE", &self.stream, &self.group, from, "MKSTREAM"]);
        let mut asking = self.asking.clone();
        let created = async {
            match create.query_async::<()>(&mut asking).await {
                // It was made before.
                Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
                other => other,
            }
        };
        answered(&self.server, "make a consumer group of", created).await
    }

    /// What a node that was killed, or a connection that was lost, has left behind.
    async fn list_pending(&self) -> Result<(), BrokerError> {
        let mut from = "-".to_owned();
        loop {
            let mut list = cmd("XPENDING");
            list.arg(&[&self.stream, &self.group, &from, "+"]).arg(PAGE);
            let page: Vec<(Vec<u8>, Vec<u8>, i64, i64)> = self
                .ask("list entries that were handed out of", &list)
                .await?;
            let ids: Vec<_> = page
                .iter()
                .filter_map(|(id, ..)| EntryId::parse(id))
                .collect();
            self.shelf.found(ids.iter().copied());
            match ids.last() {
                Some(last) if page.len() == PAGE => from = format!("({last}"),
                _ => return Ok(()),
            }
        }
    }

    async fn take(&self, room: Room) -> Result<Vec<Delivery>, BrokerError> {
        let mut take = cmd("EVAL");
        take.arg(TAKE)
            .arg(1)
            .arg(&[&self.stream, &self.group, CONSUMER])
            .arg(room.messages)
            .arg(room.bytes);
        for id in self.shelf.first(room.messages) {
            take.arg(id.to_string());
        }
        let (entries, gone): (Vec<Entry>, Vec<Vec<u8>>) =
            self.ask("take entries of", &take).await?;
        for id in gone.iter().filter_map(|id| EntryId::parse(id)) {
            self.shelf.forget(id);
        }
        Ok(entries
            .into_iter()
            .filter_map(|entry| self.delivery(entry))
            .collect())
    }

    /// Waits at the broker until there is a new entry, and takes it.
    async fn block(&self) -> Result<Option<Delivery>, BrokerError> {
        let mut read = cmd("XREADGROUP");
        read.arg(&["GROUP", &self.group, CONSUMER, "COUNT", "1", "BLOCK"])
            .arg(BLOCK.as_millis() as u64)
            .arg(&["STREAMS", &self.stream, ">"]);
        let mut waiting = self.waiting.clone();
        let answer = tokio::time::timeout(BLOCK + ANSWER, read.query_async(&mut waiting)).await;
        let answer = answer.map_err(|_| self.server.failed("wait for", "no answer"))?;
        type Read = Option<Vec<(Value, Vec<(Vec<u8>, Vec<Vec<u8>>)>)>>;
        let read: Read = answer.map_err(|error| self.server.failed("wait for", error))?;
        let entries = read.unwrap_or_default();
        let mut entries = entries.into_iter().flat_map(|(_, entries)| entries);
        Ok(entries
            .next()
            .and_then(|(id, fields)| self.delivery((id, fields, 1))))
    }

    /// An entry as a message; one whose identifier is none can't be.
    fn delivery(&self, (id, fields, deliveries): Entry) -> Option<Delivery> {
        let id = EntryId::parse(&id)?;
        let bytes = fields.iter().map(Vec::len).sum();
        let pairs = fields.chunks_exact(2);
        let data: serde_json::Map<_, _> = pairs
            .map(|pair| {
                let value = match std::str::from_utf8(&pair[1]) {
                    Ok(text) => json!(text),
                    Err(_) => json!({"base64": STANDARD.encode(&pair[1])}),
                };
                (String::from_utf8_lossy(&pair[0]).into_owned(), value)
            })
            .collect();
        let millis = i64::try_from(id.millis).ok();
        let time = millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        Some(Delivery {
            id: id.to_string(),
            bytes,
            group: None,
            time: millis.map(Timestamp::from_millis),
            tag: Tag::Entry(self.shelf.take(id)),
            record: BrokerRecord::Cloud(Box::new(CloudEvent {
                specversion: "1.0".to_owned(),
                id: id.to_string(),
                source: self.arn.clone(),
                kind: CloudEvent::REDIS.to_owned(),
                subject: Some(self.stream.clone()),
                time: time.map(|time| time.to_string()),
                datacontenttype: Some("application/json".to_owned()),
                data: to_raw_value(&data).ok(),
                data_base64: None,
                deliveries: Some(deliveries),
            })),
        })
    }
}

async fn client(server: &Server) -> Result<Client, BrokerError> {
    let bad = |error: redis::RedisError| server.bad(error.to_string());
    let info = server.url.as_str().into_connection_info().map_err(bad)?;
    let mut settings = info.redis_settings().clone();
    if let Some(username) = &server.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = server.password().await? {
        settings = settings.set_password(password);
    }
    let info = info.set_redis_settings(settings);
    if server.url.scheme() == "redis" {
        return Client::open(info).map_err(bad);
    }
    let files = server.certificates().await?;
    let certificates = TlsCertificates {
        client_tls: files.own.map(|(client_cert, client_key)| ClientTlsConfig {
            client_cert,
            client_key,
        }),
        root_cert: files.ca,
    };
    Client::build_with_tls(info, certificates).map_err(bad)
}

#[async_trait]
impl Connection for Redis {
    async fn next(&self) -> Result<Delivery, BrokerError> {
        loop {
            let room = Room {
                messages: 1,
                // One message may pass it.
                bytes: 1,
            };
            if let Some(delivery) = self.take(room).await?.pop() {
                return Ok(delivery);
            }
            if let Some(delivery) = self.block().await? {
                return Ok(delivery);
            }
        }
    }

    async fn more(&self, room: Room) -> Result<Vec<Delivery>, BrokerError> {
        self.take(room).await
    }

    async fn settle(&self, tags: Vec<Tag>, end: End) -> Result<(), BrokerError> {
        // Claims that are dropped are to be given again.
        if end == End::Again {
            return Ok(());
        }
        let ids = tags.iter().filter_map(|tag| match tag {
            Tag::Entry(claim) => Some(claim.id),
            Tag::Number(_) | Tag::Record(_) => None,
        });
        let ids: Vec<_> = ids.collect();
        let mut acknowledge = cmd("XACK");
        acknowledge.arg(&[&self.stream, &self.group]);
        for id in &ids {
            acknowledge.arg(id.to_string());
        }
        self.ask::<i64>("acknowledge entries of", &acknowledge)
            .await?;
        ids.into_iter().for_each(|id| self.shelf.forget(id));
        Ok(())
    }

    async fn waiting(&self) -> Result<Option<u64>, BrokerError> {
        let mut ask = cmd("XINFO");
        ask.arg(&["GROUPS", &self.stream]);
        let groups: Vec<std::collections::HashMap<String, Value>> =
            self.ask("ask for the lag of", &ask).await?;
        let is_own = |group: &&std::collections::HashMap<String, Value>| matches!(group.get("name"), Some(Value::BulkString(name)) if name == self.group.as_bytes());
        // Redis counts it from version 7 on, and not after entries were deleted from the middle.
        let lag = match groups
            .iter()
            .find(is_own)
            .and_then(|group| group.get("lag"))
        {
            Some(Value::Int(lag)) => u64::try_from(*lag).ok(),
            _ => None,
        };
        Ok(lag.map(|lag| lag + self.shelf.waiting() as u64))
    }

    fn is_alive(&self) -> bool {
        self.is_alive.load(Ordering::Relaxed)
    }

    async fn forget(&self) -> Result<(), BrokerError> {
        let mut destroy = cmd("XGROUP");
        destroy.arg(&["DESTROY", &self.stream, &self.group]);
        self.ask::<i64>("remove the consumer group of", &destroy)
            .await
            .map(|_| ())
    }
}
