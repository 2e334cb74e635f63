//! What a broker of MQTT has handed out on a connection: what waits, what is with a function, and what is acknowledged next.
//!
//! Packets are acknowledged in the order in which they came (MQTT 5, section 4.6): one that comes later and was taken waits
//! for those before it. A message that is given back is given again from here, since a broker hands it out again only to a
//! connection that is made anew.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mqtt_protocol_core::mqtt::ArcPayload;
use tokio::sync::Notify;

use crate::connection::{End, Room};

/// A message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: ArcPayload,
    /// What it is acknowledged by; none if the broker does not care.
    pub(crate) packet: Option<u16>,
    /// Whether the broker has handed it out before.
    pub(crate) is_again: bool,
}

impl Message {
    pub(crate) fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len()
    }
}

/// A message that is given to somebody.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) number: u64,
    pub(crate) message: Message,
    /// How often it was handed out, as far as is known.
    pub(crate) deliveries: u32,
}

#[derive(Default)]
pub(crate) struct Ledger {
    content: Mutex<Content>,
    /// Told when something came, and when the connection has ended.
    pub(crate) came: Notify,
}

#[derive(Default)]
struct Content {
    next: u64,
    /// Messages that are not settled, and how often each was given.
    open: HashMap<u64, (Message, u32)>,
    /// Those of them that nobody has.
    waiting: BTreeSet<u64>,
    waiting_bytes: usize,
    /// Packets that are not acknowledged, and whether each is settled.
    packets: VecDeque<(u64, u16, bool)>,
    /// How much is to be waiting before no more is read.
    wanted: Option<Room>,
    ended: Option<String>,
}

impl Ledger {
    fn content(&self) -> MutexGuard<'_, Content> {
        // Nothing in here can panic half-way.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message has come in.
    pub(crate) fn add(&self, message: Message) {
        let mut content = self.content();
        let number = content.next;
        content.next += 1;
        if let Some(packet) = message.packet {
            content.packets.push_back((number, packet, false));
        }
        content.waiting_bytes += message.bytes();
        content.waiting.insert(number);
        let before = message.is_again.into();
        content.open.insert(number, (message, before));
        drop(content);
        self.came.notify_one();
    }

    /// Gives the first message that waits.
    pub(crate) fn give(&self) -> Option<Given> {
        let mut content = self.content();
        let number = content.waiting.pop_first()?;
        let (message, deliveries) = content.open.get_mut(&number)?;
        *deliveries = deliveries.saturating_add(1);
        let given = Given {
            number,
            message: message.clone(),
            deliveries: *deliveries,
        };
        content.waiting_bytes -= given.message.bytes();
        Some(given)
    }

    /// Settles messages that were given, and says which packets are to be acknowledged now.
    pub(crate) fn settle(&self, numbers: impl IntoIterator<Item = u64>, end: End) -> Vec<u16> {
        let mut content = self.content();
        for number in numbers {
            if end == End::Again {
                let bytes = content
                    .open
                    .get(&number)
                    .map(|(message, _)| message.bytes());
                if let Some(bytes) = bytes.filter(|_| content.waiting.insert(number)) {
                    content.waiting_bytes += bytes;
                }
            } else if content.open.remove(&number).is_some()
                && let Ok(at) = content.packets.binary_search_by_key(&number, |one| one.0)
            {
                content.packets[at].2 = true;
            }
        }
        let mut due = Vec::new();
        while let Some((_, packet, true)) = content.packets.front() {
            due.push(*packet);
            content.packets.pop_front();
        }
        due
    }

    /// How much is to be waiting before no more is read; without it nothing is read.
    pub(crate) fn want(&self, room: Option<Room>) {
        self.content().wanted = room;
    }

    /// Whether more is to be read.
    pub(crate) fn has_room(&self) -> bool {
        let content = self.content();
        content.wanted.is_some_and(|room| {
            content.waiting.len() < room.messages && content.waiting_bytes < room.bytes
        })
    }

    /// The connection has ended.
    pub(crate) fn end(&self, why: String) {
        self.content().ended.get_or_insert(why);
        self.came.notify_one();
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.content().ended.clone()
    }
}

#[cfg(test)]
mod tests {
    use mqtt_protocol_core::mqtt::IntoPayload as _;

    use super::*;

    fn message(packet: Option<u16>) -> Message {
        Message {
            topic: "t".to_owned(),
            payload: "payload".into_payload(),
            packet,
            is_again: false,
        }
    }

    #[test]
    fn packets_are_acknowledged_in_the_order_in_which_they_came() {
        let ledger = Ledger::default();
        for packet in [Some(7), None, Some(3), Some(9)] {
            ledger.add(message(packet));
        }
        let numbers: Vec<_> = std::iter::from_fn(|| ledger.give())
            .map(|given| given.number)
            .collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert!(ledger.settle([1, 2], End::Done).is_empty());
        assert!(ledger.settle([0], End::Again).is_empty());
        let again = ledger.give().unwrap();
        assert_eq!((again.number, again.deliveries), (0, 2));
        assert_eq!(ledger.settle([0], End::Done), [7, 3]);
        assert_eq!(ledger.settle([3, 3, 99], End::Never), [9]);
        assert!(ledger.content().open.is_empty());
    }

    #[test]
    fn nothing_is_read_that_nobody_wants() {
        let ledger = Ledger::default();
        assert!(!ledger.has_room());
        let (messages, bytes) = (2, 100);
        ledger.want(Some(Room { messages, bytes }));
        ledger.add(message(Some(1)));
        assert!(ledger.has_room());
        ledger.add(message(None));
        assert!(!ledger.has_room());
        let given = ledger.give().unwrap();
        assert!(ledger.has_room());
        // What is given back waits as well.
        ledger.settle([given.number], End::Again);
        assert!(!ledger.has_room());
        ledger.want(Some(Room {
            messages,
            bytes: 16,
        }));
        assert!(ledger.give().is_some() && ledger.has_room());
    }
}
