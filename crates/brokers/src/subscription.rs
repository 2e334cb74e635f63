//! One mapping's share of a broker: a connection that is made when it is needed, and the message that is in hand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_types::source::{BrokerSource, Origin};

use crate::connection::{self, Connection, Delivery, End, Room, Tag};
use crate::error::BrokerError;
use crate::server::Server;
use crate::shelf::Shelf;

/// One mapping's share of a broker. Whoever drops it, and all that was taken of it, gives back what was not settled.
pub struct Subscription {
    server: Arc<Server>,
    source: BrokerSource,
    mapping: String,
    shelf: Arc<Shelf>,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    connection: Option<Arc<dyn Connection>>,
    /// A message of the connection that nobody has taken yet.
    held: Option<Delivery>,
}

/// Messages that were taken, and the connection that they are settled on.
pub struct Taken {
    /// The messages, in the broker's order.
    pub deliveries: Vec<Delivery>,
    connection: Arc<dyn Connection>,
}

impl Taken {
    /// Settles messages that were taken together.
    ///
    /// # Errors
    /// [`BrokerError`]; the broker gives again what it has not heard of.
    pub async fn settle(&self, tags: Vec<Tag>, end: End) -> Result<(), BrokerError> {
        if tags.is_empty() {
            return Ok(());
        }
        self.connection.settle(tags, end).await
    }
}

impl Subscription {
    pub(crate) fn new(
        server: Arc<Server>,
        source: BrokerSource,
        mapping: String,
        shelf: Arc<Shelf>,
    ) -> Self {
        Self {
            server,
            source,
            mapping,
            shelf,
            live: Mutex::default(),
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        // Nothing in here can panic half-way.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects, if there is no connection.
    ///
    /// # Errors
    /// [`BrokerError`]; the next call tries again.
    pub async fn connect(&self) -> Result<(), BrokerError> {
        self.connected().await.map(|_| ())
    }

    /// Waits until a message is in hand, and connects first if that is needed. One caller at a time; who drops this must
    /// drop the subscription.
    ///
    /// # Errors
    /// [`BrokerError`]; the next call connects anew.
    pub async fn first(&self) -> Result<(), BrokerError> {
        if self.live().held.is_some() {
            return Ok(());
        }
        let connection = self.connected().await?;
        let delivery = self.kept(&connection, connection.next().await)?;
        self.live().held = Some(delivery);
        Ok(())
    }

    /// Takes the message in hand and what waits behind it: up to `messages`, and no more once they have `bytes`.
    ///
    /// # Errors
    /// [`BrokerError`]; nothing was taken, and the next call connects anew.
    pub async fn take(&self, messages: usize, bytes: usize) -> Result<Taken, BrokerError> {
        let connection = self.connected().await?;
        let held = self.live().held.take();
        let mut deliveries: Vec<_> = held.into_iter().collect();
        let has: usize = deliveries.iter().map(|delivery| delivery.bytes).sum();
        let room = Room {
            messages: messages.saturating_sub(deliveries.len()),
            bytes: bytes.saturating_sub(has),
        };
        if room.messages > 0 && room.bytes > 0 {
            deliveries.extend(self.kept(&connection, connection.more(room).await)?);
        }
        Ok(Taken {
            deliveries,
            connection,
        })
    }

    /// Messages that wait at the broker, if there is a connection and the broker says.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn waiting(&self) -> Result<Option<u64>, BrokerError> {
        let connection = self.live().connection.clone();
        match connection {
            Some(connection) => connection.waiting().await,
            None => Ok(None),
        }
    }

    /// Removes what the broker keeps for the mapping, which nobody polls any more.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn forget(&self) -> Result<(), BrokerError> {
        match self.source.origin {
            Origin::RabbitMq { .. } | Origin::Sqs { .. } => Ok(()),
            Origin::Redis { .. } | Origin::Nats { .. } | Origin::Mqtt { .. } | Origin::Kafka(_) => {
                self.connected().await?.forget().await
            }
        }
    }

    async fn connected(&self) -> Result<Arc<dyn Connection>, BrokerError> {
        {
            let mut live = self.live();
            if let Some(connection) = &live.connection {
                if connection.is_alive() {
                    return Ok(Arc::clone(connection));
                }
                // What is in hand came from it, and is the broker's again.
                *live = Live::default();
            }
        }
        let shelf = Arc::clone(&self.shelf);
        let connection =
            connection::connect(&self.server, &self.source, &self.mapping, shelf).await?;
        tracing::debug!(broker = %self.source.broker, "connected");
        self.live().connection = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Lets go of a connection that gave an error.
    fn kept<T>(
        &self,
        of: &Arc<dyn Connection>,
        result: Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        if result.is_err() {
            let mut live = self.live();
            let is_current = |connection: &Arc<dyn Connection>| Arc::ptr_eq(connection, of);
            if live.connection.as_ref().is_some_and(is_current) {
                *live = Live::default();
            }
        }
        result
    }
}
