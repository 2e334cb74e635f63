//! What Kafka has handed out on a connection: what waits, what is with a function, and up to where each partition is done.
//!
//! A consumer group stores one number for a partition: all records below it are done (the protocol's `OffsetCommit`). A record
//! that is done before one that comes earlier waits for it. What is given back is given again from here, before what comes
//! later; and while a function has records of a partition, nobody else is given others of it, so that a partition stays in
//! order however many batches run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use krafka::consumer::ConsumerRecord;
use tokio::sync::watch;

use crate::connection::Room;

/// A record that is given to somebody.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) hold: Arc<Hold>,
    pub(crate) record: ConsumerRecord,
}

/// Who has a record. Dropped, it is to be given again, unless it is done.
pub struct Hold {
    number: u64,
    of: Arc<Ledger>,
}

impl std::fmt::Debug for Hold {
    /// Without the ledger, which has everybody's records.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hold")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.of.give_back(self.number);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    content: Mutex<Content>,
    /// Told when the broker has answered, when something was given back or is done, and when the connection has ended.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Content {
    next: u64,
    /// Records that are not done, by the order in which they came: of a partition, that of the offsets.
    open: BTreeMap<u64, ConsumerRecord>,
    /// Those that are the node's now.
    partitions: BTreeMap<i32, Partition>,
    /// Those of which the batch that is being gathered has records.
    gathered: BTreeSet<i32>,
    /// How much is to be waiting before no more is read.
    wanted: Option<Room>,
    /// How often the broker was asked, and had nothing.
    quiet: u64,
    ended: Option<String>,
}

#[derive(Debug)]
struct Partition {
    /// Its records that are not done.
    open: BTreeSet<u64>,
    /// Those of them that nobody has.
    waiting: BTreeSet<u64>,
    waiting_bytes: usize,
    /// The offset after the last record that came.
    end: i64,
    /// What the group has stored.
    committed: i64,
    /// Set when it is about to be somebody else's: nothing more of it is given.
    leaves: bool,
}

impl Partition {
    fn is_with_nobody(&self) -> bool {
        self.open.len() == self.waiting.len()
    }
}

/// Bytes of a record, as far as they are its sender's to choose.
pub(crate) fn bytes(record: &ConsumerRecord) -> usize {
    let headers = record.headers.iter();
    let headers = headers.map(|(name, value)| name.len() + value.as_ref().map_or(0, |v| v.len()));
    record.serialized_key_size().unwrap_or_default()
        + record.serialized_value_size().unwrap_or_default()
        + headers.sum::<usize>()
}

impl Content {
    /// Partitions of which records may be given to the batch that is being gathered.
    fn free(&self) -> impl Iterator<Item = (i32, &Partition)> {
        let all = self.partitions.iter();
        all.filter(|(number, partition)| {
            !partition.leaves && (partition.is_with_nobody() || self.gathered.contains(number))
        })
        .map(|(number, partition)| (*number, partition))
    }

    /// Removes a record that is done, or nobody's here any more.
    fn remove(&mut self, number: u64) {
        let Some(record) = self.open.remove(&number) else {
            return;
        };
        if let Some(partition) = self.partitions.get_mut(&record.partition) {
            partition.open.remove(&number);
            if partition.waiting.remove(&number) {
                partition.waiting_bytes -= bytes(&record);
            }
        }
    }

    /// Up to where a partition is done: all below it is.
    fn done(&self, partition: &Partition) -> i64 {
        let first = partition.open.first();
        let first = first.and_then(|number| self.open.get(number));
        first.map_or(partition.end, |record| record.offset)
    }
}

impl Ledger {
    fn content(&self) -> MutexGuard<'_, Content> {
        // Nothing in here can panic half-way.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_replace(());
    }

    /// A partition is the node's from now on; its group has stored `committed`.
    pub(crate) fn assign(&self, partition: i32, committed: i64) {
        let fresh = Partition {
            open: BTreeSet::new(),
            waiting: BTreeSet::new(),
            waiting_bytes: 0,
            end: committed,
            committed,
            leaves: false,
        };
        self.content().partitions.insert(partition, fresh);
    }

    /// Partitions are about to be somebody else's: nothing more of them is given.
    pub(crate) fn begin_revoke(&self, partitions: &[i32]) {
        let mut content = self.content();
        for number in partitions {
            if let Some(partition) = content.partitions.get_mut(number) {
                partition.leaves = true;
            }
        }
    }

    /// Partitions are somebody else's from now on: nothing that was given of them counts any more.
    pub(crate) fn revoke(&self, partitions: &[i32]) {
        let mut content = self.content();
        for number in partitions {
            if let Some(partition) = content.partitions.remove(number) {
                for record in partition.open {
                    content.open.remove(&record);
                }
            }
            content.gathered.remove(number);
        }
        drop(content);
        self.tell();
    }

    /// Whether somebody has records of one of the partitions.
    pub(crate) fn is_with_somebody(&self, partitions: &[i32]) -> bool {
        let content = self.content();
        let mut known = partitions
            .iter()
            .filter_map(|number| content.partitions.get(number));
        known.any(|partition| !partition.is_with_nobody())
    }

    /// The broker has answered, with records of each partition in order.
    pub(crate) fn add(&self, records: Vec<ConsumerRecord>) {
        let mut content = self.content();
        if records.is_empty() {
            content.quiet += 1;
        }
        for record in records {
            let number = content.next;
            // Of a partition that was revoked meanwhile it is nobody's here.
            let Some(partition) = content.partitions.get_mut(&record.partition) else {
                continue;
            };
            partition.open.insert(number);
            partition.waiting.insert(number);
            partition.waiting_bytes += bytes(&record);
            partition.end = record.offset.saturating_add(1);
            content.next += 1;
            content.open.insert(number, record);
        }
        drop(content);
        self.tell();
    }

    /// Gives the first record of the next batch, if one waits that may be given.
    pub(crate) fn give_first(self: &Arc<Self>) -> Option<Given> {
        self.content().gathered.clear();
        self.give()
    }

    /// Gives the rest of the batch, as much as there is room for.
    pub(crate) fn give_rest(self: &Arc<Self>, room: Room) -> Vec<Given> {
        let (mut taken, mut taken_bytes) = (Vec::new(), 0);
        while taken.len() < room.messages && taken_bytes < room.bytes {
            let Some(given) = self.give() else { break };
            taken_bytes += bytes(&given.record);
            taken.push(given);
        }
        self.content().gathered.clear();
        taken
    }

    /// Gives the record that came first of those that may be given.
    fn give(self: &Arc<Self>) -> Option<Given> {
        let mut content = self.content();
        let firsts = content.free();
        let number = firsts.filter_map(|(_, partition)| partition.waiting.first());
        let number = *number.min()?;
        let record = content.open.get(&number)?.clone();
        if let Some(partition) = content.partitions.get_mut(&record.partition) {
            partition.waiting.remove(&number);
            partition.waiting_bytes -= bytes(&record);
        }
        content.gathered.insert(record.partition);
        drop(content);
        let of = Arc::clone(self);
        let hold = Arc::new(Hold { number, of });
        Some(Given { hold, record })
    }

    /// Records that were given are done.
    pub(crate) fn settle<'h>(&self, holds: impl IntoIterator<Item = &'h Hold>) {
        let mut content = self.content();
        holds
            .into_iter()
            .for_each(|hold| content.remove(hold.number));
        drop(content);
        self.tell();
    }

    fn give_back(&self, number: u64) {
        let mut content = self.content();
        // One that is done is not there.
        if let Some(record) = content.open.get(&number) {
            let (partition, bytes) = (record.partition, bytes(record));
            if let Some(partition) = content.partitions.get_mut(&partition)
                && partition.waiting.insert(number)
            {
                partition.waiting_bytes += bytes;
            }
            drop(content);
            self.tell();
        }
    }

    /// Offsets that the group is to store, by partition.
    pub(crate) fn due(&self) -> Vec<(i32, i64)> {
        let content = self.content();
        let due = content.partitions.iter().map(|(number, partition)| {
            let done = content.done(partition);
            // It is smaller where a topic was made anew.
            (done != partition.committed).then_some((*number, done))
        });
        due.flatten().collect()
    }

    /// The group has stored an offset.
    pub(crate) fn committed(&self, partition: i32, offset: i64) {
        if let Some(partition) = self.content().partitions.get_mut(&partition) {
            partition.committed = offset;
        }
    }

    /// The first offset of each partition that nobody was given.
    pub(crate) fn positions(&self) -> Vec<(i32, i64)> {
        let content = self.content();
        let position = |(number, partition): (&i32, &Partition)| {
            let first = partition.waiting.first();
            let first = first.and_then(|number| content.open.get(number));
            (*number, first.map_or(partition.end, |record| record.offset))
        };
        content.partitions.iter().map(position).collect()
    }

    /// How much is to be waiting before no more is read; without it nothing is read.
    pub(crate) fn want(&self, room: Option<Room>) {
        self.content().wanted = room;
    }

    /// Whether more is to be read.
    pub(crate) fn has_room(&self) -> bool {
        let content = self.content();
        let waiting = content.free();
        let (messages, bytes) = waiting.fold((0, 0), |(messages, bytes), (_, partition)| {
            let waits = partition.waiting.len();
            (messages + waits, bytes + partition.waiting_bytes)
        });
        let wanted = content.wanted;
        wanted.is_some_and(|room| messages < room.messages && bytes < room.bytes)
    }

    /// Partitions of which more is to be read.
    pub(crate) fn wanted(&self) -> BTreeSet<i32> {
        if self.has_room() {
            self.content().free().map(|(number, _)| number).collect()
        } else {
            BTreeSet::new()
        }
    }

    /// How often the broker was asked, and had nothing.
    pub(crate) fn quiet(&self) -> u64 {
        self.content().quiet
    }

    /// The connection has ended.
    pub(crate) fn end(&self, why: String) {
        self.content().ended.get_or_insert(why);
        self.tell();
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        self.content().ended.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64) -> ConsumerRecord {
        ConsumerRecord::new("t", partition, offset, None, Some("value".into()))
    }

    fn ledger(partitions: &[i32]) -> Arc<Ledger> {
        let ledger = Arc::<Ledger>::default();
        for partition in partitions {
            ledger.assign(*partition, 5);
        }
        ledger
    }

    fn room(messages: usize) -> Room {
        let bytes = 1_000;
        Room { messages, bytes }
    }

    fn names(given: &[Given]) -> Vec<(i32, i64)> {
        let names = given.iter();
        names
            .map(|given| (given.record.partition, given.record.offset))
            .collect()
    }

    #[test]
    fn an_offset_is_due_when_all_below_it_is_done() {
        let ledger = ledger(&[0, 1]);
        ledger.add(vec![record(0, 5), record(1, 5), record(0, 6), record(0, 9)]);
        let mut given = ledger.give_rest(room(9));
        assert_eq!(names(&given), [(0, 5), (1, 5), (0, 6), (0, 9)]);
        assert!(ledger.due().is_empty());
        let settle = |given: Given| ledger.settle([&*given.hold]);
        // The later one of a partition waits for the earlier ones; the other partition does not.
        settle(given.pop().unwrap());
        assert!(ledger.due().is_empty());
        settle(given.remove(1));
        assert_eq!(ledger.due(), [(1, 6)]);
        settle(given.remove(0));
        assert_eq!(ledger.due(), [(0, 6), (1, 6)]);
        ledger.committed(1, 6);
        settle(given.remove(0));
        assert_eq!(ledger.due(), [(0, 10)]);
        ledger.committed(0, 10);
        assert!(ledger.due().is_empty() && ledger.content().open.is_empty());
    }

    #[test]
    fn what_is_given_back_comes_again_before_what_is_newer() {
        let ledger = ledger(&[0]);
        ledger.add(vec![record(0, 5), record(0, 6)]);
        let given = ledger.give_rest(room(2));
        ledger.add(vec![record(0, 7)]);
        // Nobody is given what comes after records that somebody has.
        assert!(ledger.give_first().is_none());
        ledger.settle([&*given[0].hold]);
        assert!(ledger.give_first().is_none());
        drop(given);
        let first = ledger.give_first().unwrap();
        assert_eq!(first.record.offset, 6);
        // The batch goes on with the partition that it has begun with.
        let rest = ledger.give_rest(room(2));
        assert_eq!(names(&rest), [(0, 7)]);
        assert_eq!(ledger.due(), [(0, 6)]);
    }

    #[test]
    fn a_partition_is_with_one_batch_at_a_time() {
        let ledger = ledger(&[0, 1]);
        ledger.add(vec![record(0, 5), record(0, 6), record(1, 5)]);
        let first = ledger.give_first().unwrap();
        let rest = ledger.give_rest(room(1));
        assert_eq!(names(&rest), [(0, 6)]);
        ledger.add(vec![record(0, 7)]);
        let other = ledger.give_first().unwrap();
        assert_eq!((other.record.partition, other.record.offset), (1, 5));
        assert!(ledger.give_rest(room(9)).is_empty());
        ledger.settle([&*first.hold, &*rest[0].hold]);
        drop((first, rest));
        assert_eq!(names(&ledger.give_rest(room(9))), [(0, 7)]);
    }

    #[test]
    fn a_partition_that_leaves_takes_nothing_with_it() {
        let ledger = ledger(&[0, 1]);
        ledger.add(vec![record(0, 5), record(0, 6)]);
        let given = ledger.give_rest(room(1));
        ledger.begin_revoke(&[0]);
        assert!(ledger.is_with_somebody(&[0]) && !ledger.is_with_somebody(&[1]));
        ledger.settle(given.iter().map(|given| &*given.hold));
        drop(given);
        assert!(!ledger.is_with_somebody(&[0]) && ledger.give_first().is_none());
        assert_eq!(ledger.due(), [(0, 6)]);
        ledger.revoke(&[0]);
        assert!(ledger.due().is_empty() && ledger.content().open.is_empty());
        // What came on the way is nobody's.
        ledger.add(vec![record(0, 6)]);
        assert!(ledger.give_first().is_none());
        // Given once more, its old records count for nothing.
        ledger.assign(0, 6);
        ledger.add(vec![record(0, 6)]);
        let stale = ledger.give_first().unwrap();
        ledger.revoke(&[0]);
        ledger.assign(0, 6);
        ledger.settle([&*stale.hold]);
        assert!(ledger.due().is_empty());
    }

    #[test]
    fn nothing_is_read_that_nobody_wants() {
        let ledger = ledger(&[0, 1]);
        assert!(ledger.wanted().is_empty());
        ledger.want(Some(room(2)));
        assert_eq!(ledger.wanted(), [0, 1].into());
        ledger.add(vec![record(0, 5)]);
        let held = ledger.give_first();
        assert_eq!(ledger.wanted(), [0, 1].into());
        // Of a partition that a batch has, nothing more is read.
        ledger.give_rest(room(0));
        assert_eq!(ledger.wanted(), [1].into());
        ledger.add(vec![record(1, 5), record(1, 6)]);
        assert!(ledger.wanted().is_empty());
        assert_eq!(ledger.positions(), [(0, 6), (1, 5)]);
        drop(held);
        assert_eq!(ledger.positions(), [(0, 5), (1, 5)]);
    }
}
