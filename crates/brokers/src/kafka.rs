//! Topics of Kafka, by a consumer group.
//!
//! A group is one consumer of each mapping that names it. Kafka divides the topic's partitions among them, and stores for
//! each partition up to where it is done. A consumer has to say that it is there: a task does, and asks for records while
//! they are wanted.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth_types::source::KafkaTopic;
use hearth_types::time::Timestamp;
use hearth_types::wire::broker_event::{BrokerRecord, KafkaRecord};
use krafka::consumer::TimestampType;
use krafka::{CloseOptions, Kafka as Client};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::connection::{Connection, Delivery, End, Room, Tag, answered};
use crate::error::BrokerError;
use crate::kafka_client::{client, consumer, partitions};
use crate::kafka_ledger::{Given, Ledger, bytes};
use crate::kafka_session::{LAST, Listener, Session};
use crate::server::Server;

/// Longest that records which wait are waited for.
const FETCH: Duration = Duration::from_secs(5);
/// Longest that leaving the group may take: a group takes a member that says nothing to be gone after three times as long.
const LEAVE: Duration = Duration::from_secs(5);
/// How often a group is asked to go that has members who are leaving.
const FORGET_AGAIN: Duration = Duration::from_millis(250);

pub(crate) struct Kafka {
    client: Client,
    session: Arc<Session>,
    /// The group, if it is the mapping's own.
    own_group: Option<String>,
    /// The task that is the member, since the first record was asked for.
    member: OnceLock<JoinHandle<()>>,
}

impl Kafka {
    /// Connects and finds the topic. The group is joined by whoever asks for records.
    pub(crate) async fn connect(
        server: &Arc<Server>,
        topic: &KafkaTopic,
        mapping: &str,
    ) -> Result<Self, BrokerError> {
        let client = client(server, topic).await?;
        let group = topic.consumer_group(mapping);
        let listener = Listener::default();
        let builder = consumer(&client, group.clone()).rebalance_listener(listener.clone());
        let consumer = answered(server, "consume from", builder.build()).await?;
        let partitions = partitions(server, &consumer, &topic.topic).await?.len();
        let session = Arc::new(Session {
            server: Arc::clone(server),
            topic: topic.topic.clone(),
            partitions,
            begin: topic.begin,
            ledger: Arc::<Ledger>::default(),
            consumer,
            committing: Mutex::default(),
        });
        let _ = listener.0.set(Arc::downgrade(&session));
        Ok(Self {
            client,
            session,
            own_group: topic.group.is_none().then_some(group),
            member: OnceLock::new(),
        })
    }

    fn delivery(&self, given: Given) -> Delivery {
        let Given { hold, record } = given;
        let bytes = bytes(&record);
        let group = format!("{}-{}", self.session.topic, record.partition);
        let headers = record.headers.into_iter().map(|(name, value)| {
            let value = value.unwrap_or_default();
            BTreeMap::from([(name, value.to_vec())])
        });
        Delivery {
            id: KafkaRecord::id(&group, record.offset),
            group: Some(group),
            bytes,
            // -1, where producers of an early version said nothing.
            time: (record.timestamp >= 0).then(|| Timestamp::from_millis(record.timestamp)),
            tag: Tag::Record(hold),
            record: BrokerRecord::Kafka(Box::new(KafkaRecord {
                topic: self.session.topic.clone(),
                partition: record.partition,
                offset: record.offset,
                timestamp: record.timestamp,
                timestamp_type: match record.timestamp_type {
                    TimestampType::LogAppendTime => "LOG_APPEND_TIME".to_owned(),
                    _ => "CREATE_TIME".to_owned(),
                },
                key: record.key.map(|key| STANDARD.encode(key)),
                value: record.value.map(|value| STANDARD.encode(value)),
                headers: headers.collect(),
            })),
        }
    }
}

#[async_trait]
impl Connection for Kafka {
    async fn next(&self) -> Result<Delivery, BrokerError> {
        let ledger = &self.session.ledger;
        let run = || tokio::spawn(Arc::clone(&self.session).run());
        self.member.get_or_init(run);
        let mut changes = ledger.changes();
        ledger.want(Some(Room {
            messages: 1,
            // One message may pass it.
            bytes: 1,
        }));
        self.session.consumer.wakeup();
        let given = loop {
            if let Some(given) = ledger.give_first() {
                break given;
            }
            if let Some(why) = ledger.ended() {
                return Err(self.session.server.failed("consume from", why));
            }
            if changes.changed().await.is_err() {
                return Err(self.session.server.failed("consume from", "it ended"));
            }
        };
        ledger.want(None);
        Ok(self.delivery(given))
    }

    async fn more(&self, room: Room) -> Result<Vec<Delivery>, BrokerError> {
        let ledger = &self.session.ledger;
        let mut changes = ledger.changes();
        ledger.want(Some(room));
        // One question may be under way that was asked before.
        let quiet = ledger.quiet() + 2;
        if ledger.has_room() && !self.session.is_caught_up().await {
            self.session.consumer.wakeup();
        }
        let gathered = async {
            while ledger.has_room()
                && ledger.quiet() < quiet
                && ledger.ended().is_none()
                && !self.session.is_caught_up().await
            {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // What has come by then is worked on.
        let _ = tokio::time::timeout(FETCH, gathered).await;
        ledger.want(None);
        let given = ledger.give_rest(room).into_iter();
        Ok(given.map(|given| self.delivery(given)).collect())
    }

    async fn settle(&self, tags: Vec<Tag>, end: End) -> Result<(), BrokerError> {
        // Holds that are dropped are to be given again.
        if end == End::Again {
            return Ok(());
        }
        let holds = tags.iter().filter_map(|tag| match tag {
            Tag::Record(hold) => Some(&**hold),
            Tag::Number(_) | Tag::Entry(_) => None,
        });
        self.session.ledger.settle(holds);
        self.session.commit().await
    }

    async fn waiting(&self) -> Result<Option<u64>, BrokerError> {
        let positions = self.session.ledger.positions();
        if positions.is_empty() {
            return Ok(None);
        }
        let numbers = positions.iter().map(|(number, _)| *number).collect();
        let ends = self.session.offsets_at(&numbers, LAST).await?;
        let waiting = positions.iter().map(|(number, position)| {
            let end = ends.get(number).copied().unwrap_or_default();
            u64::try_from(end.saturating_sub(*position)).unwrap_or_default()
        });
        Ok(Some(waiting.sum()))
    }

    fn is_alive(&self) -> bool {
        self.session.ledger.ended().is_none()
    }

    async fn forget(&self) -> Result<(), BrokerError> {
        let Some(group) = &self.own_group else {
            return Ok(());
        };
        let server = &self.session.server;
        loop {
            let admin = self.client.admin();
            let removed = admin.delete_consumer_groups([group], Default::default());
            let removed = answered(server, "remove the consumer group of", removed).await?;
            match removed.into_values().next() {
                Some(Err(error)) if is_there_with_members(&error) => {
                    tokio::time::sleep(FORGET_AGAIN).await;
                }
                Some(Err(error)) if !is_not_there(&error) => {
                    return Err(server.failed("remove the consumer group of", error));
                }
                _ => return Ok(()),
            }
        }
    }
}

fn is_there_with_members(error: &krafka::KrafkaError) -> bool {
    use krafka::error::ErrorCode::NonEmptyGroup;
    matches!(error, krafka::KrafkaError::Broker { code, .. } if *code == NonEmptyGroup)
}

fn is_not_there(error: &krafka::KrafkaError) -> bool {
    use krafka::error::ErrorCode::GroupIdNotFound;
    matches!(error, krafka::KrafkaError::Broker { code, .. } if *code == GroupIdNotFound)
}

impl Drop for Kafka {
    /// The group is told, so that what is in hand is given to another member at once.
    fn drop(&mut self) {
        if let Some(member) = self.member.get() {
            member.abort();
        }
        self.session.ledger.end("it was let go".to_owned());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let session = Arc::clone(&self.session);
            runtime.spawn(async move {
                let leave = CloseOptions::new().timeout(LEAVE);
                let _ = session.consumer.close_with(leave).await;
            });
        }
    }
}
