//! What is known of the queues without asking the database: how much each function has, so that bounds are held and
//! counts are shown without a scan. Made when the file is opened, and changed by the jobs that change the tables.

use std::collections::HashMap;

use hearth_types::name::FunctionKey;
use rusqlite::Connection;

use super::EventOptions;
use crate::contract::StoreError;
use crate::events::{Counts, FullQueue};
use crate::sqlite::fault::{corrupt, sql};

/// The books of one file.
#[derive(Debug)]
pub(super) struct Books {
    options: EventOptions,
    numbers: HashMap<FunctionKey, i64>,
    functions: HashMap<i64, Entry>,
    /// Over all functions.
    events: u64,
    bytes: u64,
    dead_bytes: u64,
    last_event: i64,
    last_function: i64,
}

#[derive(Debug)]
struct Entry {
    key: FunctionKey,
    counts: Counts,
    /// Those that are on disk, or who was told of an event would not find it there yet.
    committed: Counts,
}

impl Entry {
    fn new(key: FunctionKey) -> Self {
        Self {
            key,
            counts: Counts::default(),
            committed: Counts::default(),
        }
    }
}

/// What a job has changed in the books, so that it can be taken back: earlier counts, oldest first.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<(i64, Counts)>);

/// What an event counts as while it waits.
fn waiting(counts: &mut Counts, begun: u32) -> &mut u64 {
    if begun == 0 {
        &mut counts.queued
    } else {
        &mut counts.retrying
    }
}

impl Books {
    /// Reads the tables once: the small ones, not the events.
    pub(super) fn open(connection: &Connection, options: EventOptions) -> Result<Self, StoreError> {
        let mut books = Self {
            options,
            numbers: HashMap::new(),
            functions: HashMap::new(),
            events: 0,
            bytes: 0,
            dead_bytes: 0,
            last_event: 0,
            last_function: 0,
        };
        books.last_event = connection
            .query_row("SELECT coalesce(max(event), 0) FROM events", [], |row| {
                row.get(0)
            })
            .map_err(sql)?;
        let mut statement = connection
            .prepare("SELECT id, account, region, name FROM functions")
            .map_err(sql)?;
        let mut rows = statement.query([]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            let number: i64 = row.get(0).map_err(sql)?;
            let text = |at| row.get::<_, String>(at).map_err(sql);
            let damaged = |_| corrupt("it names a function that can't be");
            let key = FunctionKey {
                account: text(1)?.parse().map_err(damaged)?,
                region: text(2)?.parse().map_err(damaged)?,
                name: text(3)?.parse().map_err(damaged)?,
            };
            books.last_function = books.last_function.max(number);
            books.numbers.insert(key.clone(), number);
            books.functions.insert(number, Entry::new(key));
        }
        for (query, place) in [
            (
                "SELECT function, count(*), sum(bytes), sum(begun > 0) FROM waiting GROUP BY function",
                0,
            ),
            (
                "SELECT function, count(*), sum(bytes), 0 FROM running GROUP BY function",
                1,
            ),
            (
                "SELECT function, count(*), sum(bytes), 0 FROM dead GROUP BY function",
                2,
            ),
        ] {
            let mut statement = connection.prepare(query).map_err(sql)?;
            let mut rows = statement.query([]).map_err(sql)?;
            while let Some(row) = rows.next().map_err(sql)? {
                let number: i64 = row.get(0).map_err(sql)?;
                let (events, bytes): (u64, u64) =
                    (row.get(1).map_err(sql)?, row.get(2).map_err(sql)?);
                let retrying: u64 = row.get(3).map_err(sql)?;
                let mut counts = books
                    .functions
                    .get(&number)
                    .ok_or_else(|| corrupt("it has events of a function that it does not name"))?
                    .counts;
                match place {
                    0 => {
                        counts.queued += events - retrying.min(events);
                        counts.retrying += retrying;
                        counts.bytes += bytes;
                    }
                    1 => {
                        counts.running += events;
                        counts.bytes += bytes;
                    }
                    _ => {
                        counts.dead += events;
                        counts.dead_bytes += bytes;
                    }
                }
                books.set(number, counts);
            }
        }
        for entry in books.functions.values_mut() {
            entry.committed = entry.counts;
        }
        Ok(books)
    }

    fn set(&mut self, function: i64, counts: Counts) {
        let Some(entry) = self.functions.get_mut(&function) else {
            return;
        };
        let live = |counts: &Counts| counts.queued + counts.retrying + counts.running;
        self.events = self.events + live(&counts) - live(&entry.counts);
        self.bytes = self.bytes + counts.bytes - entry.counts.bytes;
        self.dead_bytes = self.dead_bytes + counts.dead_bytes - entry.counts.dead_bytes;
        entry.counts = counts;
    }

    fn change(&mut self, function: i64, changes: &mut Changes, edit: impl FnOnce(&mut Counts)) {
        let Some(entry) = self.functions.get(&function) else {
            return;
        };
        let mut counts = entry.counts;
        changes.0.push((function, counts));
        edit(&mut counts);
        self.set(function, counts);
    }

    /// Takes changes back. Those of later jobs must have been taken back before.
    pub(super) fn undo(&mut self, changes: &mut Changes) {
        while let Some((function, counts)) = changes.0.pop() {
            self.set(function, counts);
        }
    }

    /// Changes are on disk, and those of all jobs before them.
    pub(super) fn commit(&mut self, changes: &Changes) {
        for (function, _) in &changes.0 {
            if let Some(entry) = self.functions.get_mut(function) {
                entry.committed = entry.counts;
            }
        }
    }

    /// A function's number, if it has had events.
    pub(super) fn number(&self, function: &FunctionKey) -> Option<i64> {
        self.numbers.get(function).copied()
    }

    /// A function by its number.
    pub(super) fn key(&self, function: i64) -> Option<&FunctionKey> {
        self.functions.get(&function).map(|entry| &entry.key)
    }

    /// A function's number; the first time, `insert` puts it into the tables.
    pub(super) fn number_or_insert(
        &mut self,
        function: &FunctionKey,
        insert: impl FnOnce(i64) -> Result<(), StoreError>,
    ) -> Result<i64, StoreError> {
        if let Some(number) = self.number(function) {
            return Ok(number);
        }
        let number = self.last_function + 1;
        insert(number)?;
        self.last_function = number;
        self.numbers.insert(function.clone(), number);
        self.functions.insert(number, Entry::new(function.clone()));
        Ok(number)
    }

    /// Forgets a function that [`Books::number_or_insert`] has made in a transaction that was undone.
    pub(super) fn remove(&mut self, function: i64) {
        if let Some(entry) = self.functions.remove(&function) {
            self.numbers.remove(&entry.key);
        }
    }

    /// The number of the next event.
    pub(super) fn next_event(&mut self) -> i64 {
        self.last_event += 1;
        self.last_event
    }

    /// Whether one more event of `bytes` may be queued.
    pub(super) fn check_room(&self, function: &FunctionKey, bytes: u64) -> Result<(), FullQueue> {
        let number = self.number(function);
        let entry = number.and_then(|number| self.functions.get(&number));
        let counts = entry.map(|entry| entry.counts).unwrap_or_default();
        let own = counts.queued + counts.retrying + counts.running;
        if own >= self.options.function_events || counts.bytes + bytes > self.options.function_bytes
        {
            return Err(FullQueue::Function);
        }
        if self.events >= self.options.events || self.bytes + bytes > self.options.bytes {
            return Err(FullQueue::Node);
        }
        Ok(())
    }

    /// Whether the dead take more than they may.
    pub(super) fn too_many_dead(&self) -> bool {
        self.dead_bytes > self.options.dead_bytes
    }

    /// An event waits.
    pub(super) fn waits(&mut self, function: i64, begun: u32, bytes: u64, changes: &mut Changes) {
        self.change(function, changes, |counts| {
            *waiting(counts, begun) += 1;
            counts.bytes += bytes;
        });
    }

    /// An event waits no more.
    pub(super) fn waits_no_more(
        &mut self,
        function: i64,
        begun: u32,
        bytes: u64,
        changes: &mut Changes,
    ) {
        self.change(function, changes, |counts| {
            let waiting = waiting(counts, begun);
            *waiting = waiting.saturating_sub(1);
            counts.bytes = counts.bytes.saturating_sub(bytes);
        });
    }

    /// An event runs.
    pub(super) fn runs(&mut self, function: i64, bytes: u64, changes: &mut Changes) {
        self.change(function, changes, |counts| {
            counts.running += 1;
            counts.bytes += bytes;
        });
    }

    /// An event runs no more.
    pub(super) fn runs_no_more(&mut self, function: i64, bytes: u64, changes: &mut Changes) {
        self.change(function, changes, |counts| {
            counts.running = counts.running.saturating_sub(1);
            counts.bytes = counts.bytes.saturating_sub(bytes);
        });
    }

    /// An event is dead.
    pub(super) fn dies(&mut self, function: i64, bytes: u64, changes: &mut Changes) {
        self.change(function, changes, |counts| {
            counts.dead += 1;
            counts.dead_bytes += bytes;
        });
    }

    /// A dead event is there no more.
    pub(super) fn is_dead_no_more(&mut self, function: i64, bytes: u64, changes: &mut Changes) {
        self.change(function, changes, |counts| {
            counts.dead = counts.dead.saturating_sub(1);
            counts.dead_bytes = counts.dead_bytes.saturating_sub(bytes);
        });
    }

    /// Functions that have events, as it is on disk.
    pub(super) fn counts(&self) -> Vec<(FunctionKey, Counts)> {
        let mut counts: Vec<_> = self
            .functions
            .values()
            .filter(|entry| entry.committed != Counts::default())
            .map(|entry| (entry.key.clone(), entry.committed))
            .collect();
        counts.sort_by(|(a, _), (b, _)| a.cmp(b));
        counts
    }

    /// Functions with waiting events.
    pub(super) fn with_waiting(&self) -> Vec<(i64, FunctionKey)> {
        let waiting = |entry: &&Entry| entry.counts.queued + entry.counts.retrying > 0;
        self.functions
            .iter()
            .filter(|(_, entry)| waiting(entry))
            .map(|(number, entry)| (*number, entry.key.clone()))
            .collect()
    }
}
