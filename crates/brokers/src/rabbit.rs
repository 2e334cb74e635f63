//! RabbitMQ, by AMQP 0-9-1.
//!
//! The protocol bounds what a consumer has in hand by number and not by bytes, and a message may have hundreds of
//! megabytes. So the consumer has room for one: it is how the broker tells that there is something. What waits behind it is
//! fetched one by one, for as long as there is room.

use std::sync::Arc;

use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use hearth_types::source::{SourceAccess, virtual_host};
use hearth_types::wire::broker_event::{BrokerRecord, RabbitRecord};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions,
    BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use lapin::{Channel, ConnectionBuilder, ConnectionProperties, Consumer};
use tokio::sync::Mutex;

use crate::connection::{Connection, Delivery, End, Room, Tag, answered};
use crate::error::BrokerError;
use crate::rabbit_properties::properties;
use crate::rabbit_stream::Connector;
use crate::server::Server;
use crate::tls;

/// Seconds after which a broker that says nothing is taken to be gone; half of RabbitMQ's own proposal.
const HEARTBEAT_S: u16 = 30;

pub(crate) struct Rabbit {
    server: Arc<Server>,
    queue: ShortString,
    channel: Channel,
    /// Set while the queue was empty when it was last looked at.
    consumer: Mutex<Option<Consumer>>,
    _connection: lapin::Connection,
}

impl Rabbit {
    pub(crate) async fn connect(
        server: &Arc<Server>,
        queue: &str,
        access: &[SourceAccess],
    ) -> Result<Self, BrokerError> {
        let uri: Result<AMQPUri, String> = server.url.as_str().parse();
        let mut uri = uri.map_err(|error| server.bad(error))?;
        let name = ShortString::try_new(queue);
        let name = name.map_err(|error| server.bad(error.to_string()))?;
        let host = ShortString::try_new(virtual_host(access));
        let host = host.map_err(|error| server.bad(error.to_string()))?;
        host.as_str().clone_into(&mut uri.vhost);
        uri.query.heartbeat = Some(HEARTBEAT_S);
        if let Some(username) = &server.username {
            uri.authority.userinfo.username.clone_from(username);
        }
        if let Some(password) = server.password().await? {
            uri.authority.userinfo.password = password;
        }
        let mut tls = None;
        if uri.scheme == AMQPScheme::AMQPS {
            tls = Some(tls::connector(server).await?);
            if server.username.is_none() && server.tls.own.is_some() {
                uri.query.auth_mechanism = Some(SASLMechanism::External);
            }
            // The stream speaks it.
            uri.scheme = AMQPScheme::AMQP;
        }
        let connector = Connector {
            tokio: Tokio::current(),
            tls,
        };
        let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), connector));
        let shown = format!("hearth: {queue}");
        let builder = ConnectionBuilder::new_with_runtime(runtime)
            .with_uri(uri)
            .with_properties(ConnectionProperties::default().with_connection_name(shown.into()));
        let connection = answered(server, "connect to", builder.connect()).await?;
        let channel = answered(server, "open a channel of", connection.create_channel()).await?;
        let qos = channel.basic_qos(1, BasicQosOptions::default());
        answered(server, "ask for single messages of", qos).await?;
        let rabbit = Self {
            server: Arc::clone(server),
            queue: name,
            channel,
            consumer: Mutex::default(),
            _connection: connection,
        };
        // So that a queue which is not there is said to be missing.
        rabbit.count().await?;
        Ok(rabbit)
    }

    async fn get(&self) -> Result<Option<Delivery>, BrokerError> {
        let get = self
            .channel
            .basic_get(self.queue.clone(), BasicGetOptions::default());
        let got = answered(&self.server, "get a message of", get).await?;
        Ok(got.map(|got| delivery(got.delivery)))
    }

    /// A consumer may be handed a message at any time: it is there only while nothing else is taken.
    async fn stop_consuming(&self, consumer: &Consumer) -> Result<(), BrokerError> {
        let cancel = self
            .channel
            .basic_cancel(consumer.tag(), BasicCancelOptions::default());
        answered(&self.server, "stop consuming from", cancel).await
    }

    async fn count(&self) -> Result<u64, BrokerError> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let name = self.queue.clone();
        let declare = self
            .channel
            .queue_declare(name, passive, FieldTable::default());
        let queue = answered(&self.server, "look at the queue of", declare).await?;
        Ok(queue.message_count().into())
    }
}

#[async_trait]
impl Connection for Rabbit {
    async fn next(&self) -> Result<Delivery, BrokerError> {
        if let Some(delivery) = self.get().await? {
            return Ok(delivery);
        }
        let mut slot = self.consumer.lock().await;
        let consume = self.channel.basic_consume(
            self.queue.clone(),
            // The broker makes one up.
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = slot.insert(answered(&self.server, "consume from", consume).await?);
        match consumer.next().await {
            Some(Ok(message)) => {
                if let Some(consumer) = slot.take() {
                    self.stop_consuming(&consumer).await?;
                }
                Ok(delivery(message))
            }
            Some(Err(error)) => Err(self.server.failed("consume from", error)),
            None => Err(self
                .server
                .failed("consume from", "it ended the consumer; is the queue gone?")),
        }
    }

    async fn more(&self, room: Room) -> Result<Vec<Delivery>, BrokerError> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < room.messages && bytes < room.bytes {
            let Some(delivery) = self.get().await? else {
                break;
            };
            bytes += delivery.bytes;
            taken.push(delivery);
        }
        Ok(taken)
    }

    async fn settle(&self, tags: Vec<Tag>, end: End) -> Result<(), BrokerError> {
        let tags = tags.iter().filter_map(Tag::number);
        let settled = tags.map(|tag| async move {
            match end {
                End::Done => {
                    self.channel
                        .basic_ack(tag, BasicAckOptions::default())
                        .await
                }
                // Given up, it goes to the queue's dead-letter exchange, if there is one.
                End::Again | End::Never => {
                    let options = BasicNackOptions {
                        multiple: false,
                        requeue: end == End::Again,
                    };
                    self.channel.basic_nack(tag, options).await
                }
            }
        });
        let settled = async { join_all(settled).await.into_iter().collect() };
        answered::<Vec<()>, _>(&self.server, "settle messages of", settled).await?;
        Ok(())
    }

    async fn waiting(&self) -> Result<Option<u64>, BrokerError> {
        self.count().await.map(Some)
    }

    fn is_alive(&self) -> bool {
        self.channel.status().connected()
    }

    /// The broker keeps nothing.
    async fn forget(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

fn delivery(message: lapin::message::Delivery) -> Delivery {
    let tag = message.delivery_tag;
    let id = tag.to_string();
    Delivery {
        bytes: message.data.len(),
        record: BrokerRecord::Rabbit(Box::new(RabbitRecord {
            basic_properties: properties(&message.properties, message.data.len()),
            redelivered: message.redelivered,
            data: STANDARD.encode(&message.data),
            delivery_tag: id.clone(),
        })),
        id,
        group: None,
        time: None,
        tag: Tag::Number(tag),
    }
}
