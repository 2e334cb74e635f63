//! What is done with messages, each within one transaction.

use std::collections::HashSet;

use hearth_types::time::Timestamp;

use super::QueueBounds;
use super::rows::{self, Place};
use super::task::Work;
use crate::contract::StoreError;
use crate::queues::{
    DEDUPLICATION_MS, Delivered, Delta, Fate, MOST_IN_FLIGHT, MOST_SWEPT, NewMessage, Queue,
    QueueKey, QueueStoreError, RECEIVE_BYTES, Receipt, Received, Sent,
};
use crate::sqlite::statement;

/// Longest that one delivery of a message may be in flight (SQS: 12 hours), milliseconds.
const IN_FLIGHT_MS: i64 = 12 * 3_600_000;

/// Messages that one receive gives up at most, before it lets others go on.
const MOST_GIVEN_UP: usize = 100;

/// What a task answers: a refusal has changed nothing, and lets the transaction go on.
pub(super) type Answer<T> = Result<Result<T, QueueStoreError>, StoreError>;

fn after(at: Timestamp, seconds: u32) -> Timestamp {
    Timestamp::from_millis(at.as_millis().saturating_add(i64::from(seconds) * 1000))
}

impl Place {
    fn delta(&self, comes: bool) -> Delta {
        Delta {
            heap: self.heap,
            due: self.due,
            held: self.held,
            bytes: self.bytes,
            comes,
        }
    }
}

impl Work<'_> {
    /// A message is where it was not, or is there in another way.
    fn put(&mut self, place: &Place) -> Result<(), StoreError> {
        rows::put_place(self.connection, place)?;
        self.count(place.delta(true));
        Ok(())
    }

    /// A message is gone.
    fn remove(&mut self, place: &Place) -> Result<(), StoreError> {
        rows::remove(self.connection, place.message)?;
        self.count(place.delta(false));
        Ok(())
    }

    pub(super) fn regroup(&self, place: &Place) -> Result<(), StoreError> {
        match &place.group {
            None => Ok(()),
            Some(group) => rows::regroup(self.connection, place.heap, group, self.now),
        }
    }

    /// Changes a message's place.
    pub(super) fn replace(&mut self, old: &Place, new: &Place) -> Result<(), StoreError> {
        self.count(old.delta(false));
        self.put(new)
    }

    /// Moves a message to the queue of those that were received too often.
    fn give_up(&mut self, from: &Queue, place: &Place, to: &Queue) -> Result<(), StoreError> {
        let moved = Place {
            heap: to.heap,
            due: self.now,
            held: false,
            came_from: Some(from.key.name.clone()),
            ..place.clone()
        };
        self.replace(place, &moved)?;
        self.regroup(place)?;
        self.regroup(&moved)?;
        self.wake(to.number);
        Ok(())
    }
}

/// Takes messages in, all or none.
pub(super) fn send(
    work: &mut Work<'_>,
    key: &QueueKey,
    messages: &[NewMessage],
    bounds: QueueBounds,
) -> Answer<Vec<Sent>> {
    let Some(queue) = rows::queue(work.connection, key)? else {
        return Ok(Err(QueueStoreError::Missing));
    };
    let tallies = &work.state.tallies;
    let bytes: u64 = messages.iter().map(NewMessage::bytes).sum();
    let count = messages.len() as u64;
    if tallies.messages_of(queue.heap) + count > bounds.queue_messages
        || tallies.messages + count > bounds.messages
        || tallies.bytes + bytes > bounds.bytes
    {
        return Ok(Err(QueueStoreError::Full));
    }
    let mut sent = Vec::with_capacity(messages.len());
    for message in messages {
        let fifo = queue.settings.fifo;
        let scope = match &message.group {
            Some(group) if fifo.is_some_and(|fifo| fifo.by_group) => group.as_str(),
            _ => "",
        };
        let known = message.deduplication.as_deref();
        let known = known
            .filter(|_| fifo.is_some())
            .map(|id| (queue.number, scope, id));
        if let Some(known) = known
            && let Some((number, id)) = rows::duplicate(work.connection, known, work.now)?
        {
            sent.push(Sent { id, number });
            continue;
        }
        let number = work.number()?;
        rows::insert_message(work.connection, number, message, work.now)?;
        let delay = message
            .delay_seconds
            .unwrap_or(queue.settings.delay_seconds);
        let place = Place {
            message: number,
            heap: queue.heap,
            due: after(work.now, delay),
            sent: work.now,
            bytes: message.bytes(),
            received: 0,
            held: false,
            first: None,
            last: None,
            group: message.group.clone().filter(|_| fifo.is_some()),
            came_from: None,
        };
        work.put(&place)?;
        work.regroup(&place)?;
        if let Some(known) = known {
            let expires = work.now.as_millis() + DEDUPLICATION_MS;
            rows::remember(work.connection, known, (number, &message.id), expires)?;
        }
        work.wake(queue.number);
        sent.push(Sent {
            id: message.id.clone(),
            number,
        });
    }
    Ok(Ok(sent))
}

/// One receive on its way.
struct Receive<'a> {
    queue: &'a Queue,
    /// Where those go that were received often enough, and how often that is.
    target: Option<(Queue, i64)>,
    until: Timestamp,
    most: usize,
    taken: Vec<Delivered>,
    bytes: u64,
    given_up: usize,
}

impl Receive<'_> {
    fn is_full(&self) -> bool {
        self.taken.len() >= self.most || self.given_up >= MOST_GIVEN_UP
    }

    /// Delivers a message that is due, or gives it up. Says whether there is room for more.
    fn visit(&mut self, work: &mut Work<'_>, place: &Place) -> Result<bool, StoreError> {
        if self.is_full() || (self.bytes > 0 && self.bytes + place.bytes > RECEIVE_BYTES) {
            return Ok(false);
        }
        let kept = self.queue.settings.retention_seconds;
        if after(place.sent, kept) <= work.now {
            self.given_up += 1;
            work.remove(place)?;
            return Ok(true);
        }
        if let Some((target, most)) = &self.target
            && place.received >= *most
        {
            self.given_up += 1;
            work.give_up(self.queue, place, target)?;
            return Ok(true);
        }
        let Some(message) = rows::message(work.connection, place.message)? else {
            tracing::error!(queue = %self.queue.key.name, message = place.message, "a message is damaged: it is not delivered");
            self.given_up += 1;
            // It stays where it can be looked at, until its time is over.
            let away = Place {
                due: after(place.sent, kept),
                held: true,
                ..place.clone()
            };
            work.replace(place, &away)?;
            return Ok(true);
        };
        let delivered = Place {
            due: self.until,
            received: place.received + 1,
            held: true,
            first: place.first.or(Some(work.now)),
            last: Some(work.now),
            ..place.clone()
        };
        work.replace(place, &delivered)?;
        self.bytes += place.bytes;
        self.taken.push(Delivered {
            receipt: Receipt {
                queue: self.queue.number,
                message: place.message,
                delivery: delivered.received,
            },
            message,
            sent: place.sent,
            first: place.first.unwrap_or(work.now),
            came_from: place.came_from.clone(),
        });
        Ok(true)
    }
}

/// Delivers up to `most` messages that are due.
pub(super) fn receive(
    work: &mut Work<'_>,
    key: &QueueKey,
    most: usize,
    visibility_seconds: Option<u32>,
) -> Answer<Received> {
    let Some(queue) = rows::queue(work.connection, key)? else {
        return Ok(Err(QueueStoreError::Missing));
    };
    let counts = work.state.tallies.counts(queue.heap, work.now);
    if counts.in_flight >= MOST_IN_FLIGHT {
        return Ok(Err(QueueStoreError::InFlight));
    }
    let target = match &queue.settings.redrive {
        None => None,
        Some(redrive) => {
            let key = QueueKey {
                name: redrive.target.clone(),
                ..key.clone()
            };
            // While there is none, messages stay where they are.
            rows::queue(work.connection, &key)?
                .map(|target| (target, i64::from(redrive.most_receives)))
        }
    };
    let visibility = visibility_seconds.unwrap_or(queue.settings.visibility_seconds);
    let mut receive = Receive {
        queue: &queue,
        target,
        until: after(work.now, visibility),
        most,
        taken: Vec::new(),
        bytes: 0,
        given_up: 0,
    };
    if queue.settings.fifo.is_some() {
        for group in rows::due_groups(work.connection, queue.heap, work.now, most)? {
            let places = rows::of_group(work.connection, queue.heap, &group, most)?;
            for place in places {
                // A message that is not due holds up those behind it.
                if place.due > work.now || !receive.visit(work, &place)? {
                    break;
                }
            }
            rows::regroup(work.connection, queue.heap, &group, work.now)?;
        }
    } else {
        let mut seen = HashSet::new();
        loop {
            let places = rows::due(work.connection, queue.heap, work.now, most)?;
            // What is delivered for no time at all is due again.
            let mut new = false;
            for place in places.iter().filter(|place| seen.insert(place.message)) {
                new |= receive.visit(work, place)?;
            }
            if !new || receive.is_full() {
                break;
            }
        }
    }
    let messages = receive.taken;
    let next = rows::next_due(work.connection, &queue)?;
    Ok(Ok(Received { messages, next }))
}

/// The place of the message that a receipt is for, if it is the last delivery's.
fn held(
    work: &Work<'_>,
    queue: &Queue,
    receipt: Receipt,
) -> Result<Result<Place, Fate>, StoreError> {
    if receipt.queue != queue.number {
        return Ok(Err(Fate::Foreign));
    }
    let place = rows::place_of(work.connection, receipt.message)?;
    let own = |place: &Place| place.heap == queue.heap && place.received == receipt.delivery;
    Ok(place.filter(own).ok_or(Fate::Stale))
}

/// Removes messages that were delivered.
pub(super) fn delete(
    work: &mut Work<'_>,
    key: &QueueKey,
    receipts: &[Receipt],
) -> Answer<Vec<Fate>> {
    let Some(queue) = rows::queue(work.connection, key)? else {
        return Ok(Err(QueueStoreError::Missing));
    };
    let mut fates = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        fates.push(match held(work, &queue, *receipt)? {
            Err(fate) => fate,
            Ok(place) => {
                work.remove(&place)?;
                if place.group.is_some() {
                    work.regroup(&place)?;
                    work.wake(queue.number);
                }
                Fate::Done
            }
        });
    }
    Ok(Ok(fates))
}

/// Says for how long from now on messages are in flight.
pub(super) fn change_visibility(
    work: &mut Work<'_>,
    key: &QueueKey,
    changes: &[(Receipt, u32)],
) -> Answer<Vec<Fate>> {
    let Some(queue) = rows::queue(work.connection, key)? else {
        return Ok(Err(QueueStoreError::Missing));
    };
    let mut fates = Vec::with_capacity(changes.len());
    for (receipt, seconds) in changes {
        let place = match held(work, &queue, *receipt)? {
            Err(fate) => {
                fates.push(fate);
                continue;
            }
            Ok(place) => place,
        };
        let due = after(work.now, *seconds);
        let last = place.last.unwrap_or(work.now);
        fates.push(if !place.held || place.due <= work.now {
            Fate::Visible
        } else if due.as_millis() > last.as_millis() + IN_FLIGHT_MS {
            Fate::TooLong
        } else {
            let changed = Place {
                due,
                ..place.clone()
            };
            work.replace(&place, &changed)?;
            work.regroup(&changed)?;
            work.wake(queue.number);
            Fate::Done
        });
    }
    Ok(Ok(fates))
}

/// Removes a part of what is there without need, and says whether there may be more.
pub(super) fn sweep(work: &mut Work<'_>) -> Result<bool, StoreError> {
    let mut left = MOST_SWEPT;
    left -= rows::forget_duplicates(work.connection, work.now, left)?;
    let emptied: Vec<i64> = statement::collect(
        work.connection,
        "SELECT heap FROM emptied LIMIT 16",
        (),
        |row| row.get(0),
    )?;
    for heap in emptied {
        let end = Timestamp::from_millis(i64::MAX);
        let places = rows::older(work.connection, heap, end, left)?;
        left -= places.len();
        for place in &places {
            work.remove(place)?;
        }
        if left == 0 {
            return Ok(true);
        }
        let done = [
            "DELETE FROM groups WHERE heap = ?1",
            "DELETE FROM emptied WHERE heap = ?1",
        ];
        for statement in done {
            statement::execute(work.connection, statement, (heap,))?;
        }
    }
    let mut last = i64::MIN;
    while let Some((number, key)) = rows::queue_after(work.connection, last)? {
        last = number;
        let Some(queue) = rows::queue(work.connection, &key)? else {
            continue;
        };
        let kept = i64::from(queue.settings.retention_seconds) * 1000;
        let before = Timestamp::from_millis(work.now.as_millis() - kept);
        let places = rows::older(work.connection, queue.heap, before, left)?;
        left -= places.len();
        for place in &places {
            work.remove(place)?;
            work.regroup(place)?;
        }
        if left == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
