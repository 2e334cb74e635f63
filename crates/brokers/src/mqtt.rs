//! Topics of MQTT, by a session of the mapping's own that the broker keeps.
//!
//! The protocol has no question for messages: the broker hands them out, as many as it lets be unacknowledged. So they are read
//! from the connection when they are wanted, and not before.

use std::sync::Arc;

use async_trait::async_trait;
use hearth_types::wire::broker_event::{BrokerRecord, CloudEvent};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::connection::{Connection, Delivery, End, Room, Tag, answered};
use crate::error::BrokerError;
use crate::mqtt_ledger::{Given, Ledger};
use crate::mqtt_packets::Client;
use crate::mqtt_session::{Order, Session};
use crate::payload;
use crate::server::Server;

/// Orders that wait for a session; who gives one more waits as well.
const ORDERS: usize = 16;

pub(crate) struct Mqtt {
    server: Arc<Server>,
    arn: String,
    mapping: String,
    ledger: Arc<Ledger>,
    orders: mpsc::Sender<Order>,
    session: JoinHandle<()>,
    /// What names messages, which have no names of their own: when the connection was made.
    since: i64,
}

impl Mqtt {
    pub(crate) async fn connect(
        server: &Arc<Server>,
        arn: &str,
        filter: &str,
        mapping: &str,
    ) -> Result<Self, BrokerError> {
        let ledger = Arc::<Ledger>::default();
        let client = client(server, mapping, false).await?;
        let mut session = Session::connect(server, &client, &ledger).await?;
        session.subscribe(server, filter).await?;
        let (orders, waiting) = mpsc::channel(ORDERS);
        Ok(Self {
            server: Arc::clone(server),
            arn: arn.to_owned(),
            mapping: mapping.to_owned(),
            ledger,
            orders,
            session: tokio::spawn(session.run(waiting)),
            since: jiff::Timestamp::now().as_microsecond(),
        })
    }

    async fn order(&self, order: Order) -> Result<(), BrokerError> {
        let sent = self.orders.send(order);
        answered(&self.server, "reach", async {
            sent.await.map_err(|_| self.why())
        })
        .await
    }

    fn why(&self) -> String {
        let ended = self.ledger.ended();
        ended.unwrap_or_else(|| "the connection was lost".to_owned())
    }

    fn delivery(&self, given: Given) -> Delivery {
        let Given {
            number,
            message,
            deliveries,
        } = given;
        let id = format!("{}-{number}", self.since);
        let (kind, data, data_base64) = payload::data(message.payload.as_slice());
        Delivery {
            id: id.clone(),
            bytes: message.bytes(),
            group: None,
            // Publishers don't say.
            time: None,
            tag: Tag::Number(number),
            record: BrokerRecord::Cloud(Box::new(CloudEvent {
                specversion: "1.0".to_owned(),
                id,
                source: self.arn.clone(),
                kind: CloudEvent::MQTT.to_owned(),
                subject: Some(message.topic),
                time: None,
                datacontenttype: kind.map(str::to_owned),
                data,
                data_base64,
                deliveries: Some(deliveries),
            })),
        }
    }
}

async fn client(server: &Server, mapping: &str, is_last: bool) -> Result<Client, BrokerError> {
    Ok(Client {
        id: format!("hearth-{mapping}"),
        username: server.username.clone(),
        password: server.password().await?,
        is_last,
    })
}

#[async_trait]
impl Connection for Mqtt {
    async fn next(&self) -> Result<Delivery, BrokerError> {
        self.ledger.want(Some(Room {
            messages: 1,
            // One message may pass it.
            bytes: 1,
        }));
        self.order(Order::Read).await?;
        let given = loop {
            if let Some(given) = self.ledger.give() {
                break given;
            }
            if let Some(why) = self.ledger.ended() {
                return Err(self.server.failed("wait for", why));
            }
            self.ledger.came.notified().await;
        };
        self.ledger.want(None);
        Ok(self.delivery(given))
    }

    async fn more(&self, room: Room) -> Result<Vec<Delivery>, BrokerError> {
        self.ledger.want(Some(room));
        let (done, caught_up) = oneshot::channel();
        self.order(Order::CatchUp(done)).await?;
        let full = async {
            while self.ledger.has_room() {
                self.ledger.came.notified().await;
            }
            Ok(())
        };
        let there = async {
            tokio::select! {
                caught_up = caught_up => caught_up.map_err(|_| self.why()),
                full = full => full,
            }
        };
        answered(&self.server, "read from", there).await?;
        self.ledger.want(None);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < room.messages && bytes < room.bytes {
            let Some(given) = self.ledger.give() else {
                break;
            };
            bytes += given.message.bytes();
            taken.push(self.delivery(given));
        }
        Ok(taken)
    }

    async fn settle(&self, tags: Vec<Tag>, end: End) -> Result<(), BrokerError> {
        let numbers = tags.iter().filter_map(Tag::number);
        let due = self.ledger.settle(numbers, end);
        if due.is_empty() {
            return Ok(());
        }
        let (done, told) = oneshot::channel();
        self.order(Order::Acknowledge(due, done)).await?;
        let told = async { told.await.map_err(|_| self.why()) };
        answered(&self.server, "settle messages of", told).await
    }

    /// The protocol has no question for it.
    async fn waiting(&self) -> Result<Option<u64>, BrokerError> {
        Ok(None)
    }

    fn is_alive(&self) -> bool {
        self.ledger.ended().is_none()
    }

    async fn forget(&self) -> Result<(), BrokerError> {
        let client = client(&self.server, &self.mapping, true).await?;
        let mut last = Session::connect(&self.server, &client, &Arc::default()).await?;
        last.disconnect(&self.server).await
    }
}

impl Drop for Mqtt {
    /// The broker keeps what is in hand for the next connection.
    fn drop(&mut self) {
        self.session.abort();
    }
}
