//! Deliverers: how the end of an event, and what an event source mapping gave up, reach whoever is to be told.
//!
//! ```text
//! dispatcher, mapping ─▶ tell ─▶ message ─┬▶ function: an event of its own, accepted by the store
//!                                         ├▶ queue: a message
//!                                         ├▶ topic: a signed request to each webhook
//!                                         └▶ bucket: an object
//! ```
//!
//! - [`Deliverers`]: the handle, which the dispatcher of events knows as [`Destinations`], and mappings as
//!   [`mappings::Destinations`]. It says when what was told is safe, and leaves when to try again to whoever asks.
//! - `message`: what is told, and what tells it apart from everything else that is.
//! - `functions`, `queues`, `webhooks`, `buckets`: one kind of destination each; `signature`: what receivers of webhooks verify.
//! - `outside`: which addresses a webhook may be at. `memory`: who was told already.
//!
//! Nobody here decides who is told, or whether an event has ended or a message was given up.

mod buckets;
mod functions;
mod memory;
mod message;
mod outside;
mod queues;
mod signature;
mod webhooks;

pub use outside::{Loopback, Outside};

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_events::Clock;
use hearth_events::destinations::{Destinations, Told};
use hearth_mappings as mappings;
use hearth_queues::Queues;
use hearth_registry::Registry;
use hearth_store::EventStore;
use hearth_types::destination::Destination;
use hearth_types::event_invoke::DestinationArn;
use hearth_types::invoke::BoxFuture;
use hearth_types::name::BucketName;
use object_store::ObjectStore;

use crate::memory::Memory;
use crate::message::Message;
use crate::webhooks::Webhooks;

/// What the node decides for its deliverers.
pub struct Options {
    /// Where webhooks may be.
    pub outside: Outside,
    /// Where buckets are.
    pub buckets: BTreeMap<BucketName, Arc<dyn ObjectStore>>,
    /// Tells the time.
    pub clock: Clock,
}

/// Tells destinations.
pub struct Deliverers {
    registry: Registry,
    events: Arc<dyn EventStore>,
    queues: Queues,
    webhooks: Webhooks,
    buckets: BTreeMap<BucketName, Arc<dyn ObjectStore>>,
    told: Memory,
    clock: Clock,
}

impl Deliverers {
    /// Deliverers to functions by way of `events`, to `queues`, and to the topics of `registry`.
    ///
    /// # Errors
    /// If no HTTP client can be made: the host has no certificates that could be trusted.
    pub fn new(
        options: Options,
        registry: Registry,
        events: Arc<dyn EventStore>,
        queues: Queues,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            registry,
            events,
            queues,
            webhooks: Webhooks::new(options.outside)?,
            buckets: options.buckets,
            told: Memory::default(),
            clock: options.clock,
        })
    }

    /// Delivers what was not delivered already: of several that are told of one end, the others may be in the way.
    async fn deliver(&self, whom: &DestinationArn, message: Message) -> Result<(), String> {
        let (id, whom) = (message.id.as_str(), whom.as_str());
        if self.told.has(id, whom) {
            return Ok(());
        }
        self.send(whom, &message).await?;
        self.told.add(id, whom);
        Ok(())
    }

    async fn send(&self, whom: &str, message: &Message) -> Result<(), String> {
        let destination = whom.parse::<Destination>();
        let destination = destination.map_err(|error| format!("{error}."))?;
        let now = (self.clock)();
        match destination {
            Destination::Function { key, qualifier } => {
                functions::invoke(&*self.events, key, qualifier, message, now).await
            }
            Destination::Topic(id) => match self.registry.topic(&id) {
                Some(topic) => self.webhooks.tell(&topic, message, now).await,
                None => Err("There is no such topic any more.".to_owned()),
            },
            Destination::Bucket(name) => match self.buckets.get(&name) {
                Some(bucket) => buckets::put(&**bucket, message).await,
                None => {
                    Err("The node's configuration does not name that bucket any more.".to_owned())
                }
            },
            Destination::Queue(id) => queues::send(&self.queues, &id, message).await,
        }
    }
}

impl Destinations for Deliverers {
    fn tell<'a>(&'a self, told: Told<'a>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.deliver(told.destination, Message::of_end(told)?).await })
    }
}

impl mappings::Destinations for Deliverers {
    fn tell<'a>(&'a self, told: mappings::Told<'a>) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.deliver(told.destination, Message::of_batch(told)))
    }
}
