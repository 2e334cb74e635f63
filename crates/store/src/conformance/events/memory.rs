//! A store of events in memory: what other stores are compared with, and the store of simulations.
//!
//! It outlives its handles as a file outlives a process: [`MemoryEvents::open`] is the start of a node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hearth_types::invoke::RequestId;
use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;

use crate::contract::StoreError;
use crate::events::{
    Counts, DeadEvent, End, Event, EventError, EventPage, EventStore, Fault, FullQueue, Head,
    Lease, Leased, Listed, MOST_DEAD, MOST_LISTED, Position, Settled, State, Step, TAKE_BYTES,
    Taken, Tries, cut,
};
use crate::once::Once;
use crate::sqlite::EventOptions;
use crate::sqlite::events::news::News;

/// What is kept.
#[derive(Clone, Debug)]
pub struct MemoryEvents {
    options: EventOptions,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    events: BTreeMap<i64, Entry>,
    marks: BTreeMap<String, i64>,
    last_event: i64,
    last_token: i64,
}

#[derive(Clone, Debug)]
struct Entry {
    event: Event,
    tries: Tries,
    cause: Option<String>,
    end: Option<End>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting(Timestamp),
    Running(i64),
    Dead,
}

impl Entry {
    fn dead_bytes(&self) -> u64 {
        let end = self.end.as_ref().map_or(0, |end| {
            end.message.len() + end.response.as_ref().map_or(0, |response| response.len())
        });
        self.event.bytes() + end as u64
    }
}

/// A handle: what one process has open.
#[derive(Debug)]
pub struct MemoryEventStore {
    options: EventOptions,
    kept: Arc<Mutex<Kept>>,
    news: News,
    before: i64,
}

impl MemoryEvents {
    /// Nothing yet.
    pub fn new(options: EventOptions) -> Self {
        Self {
            options,
            kept: Arc::default(),
        }
    }

    /// The store as a process opens it.
    pub fn open(&self) -> MemoryEventStore {
        let store = MemoryEventStore {
            options: self.options,
            kept: Arc::clone(&self.kept),
            news: News::default(),
            before: lock(&self.kept).last_token,
        };
        for entry in lock(&self.kept).events.values() {
            if let Place::Waiting(due) = entry.place {
                store.news.tell(&entry.event.function, due);
            }
        }
        store
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    fn insert(&mut self, event: Event) {
        self.last_event += 1;
        let due = event.due;
        let entry = Entry {
            event,
            tries: Tries::default(),
            cause: None,
            end: None,
            place: Place::Waiting(due),
        };
        self.events.insert(self.last_event, entry);
    }

    fn is_noted(&self, once: &Once) -> bool {
        let mark = self.marks.get(&once.series);
        mark.is_some_and(|mark| *mark >= once.mark)
    }

    fn check_room(&self, options: &EventOptions, event: &Event) -> Result<(), FullQueue> {
        let (mut events, mut bytes, mut own, mut own_bytes) = (0, 0, 0, 0);
        for entry in self.events.values() {
            if entry.place == Place::Dead {
                continue;
            }
            events += 1;
            bytes += entry.event.bytes();
            if entry.event.function == event.function {
                own += 1;
                own_bytes += entry.event.bytes();
            }
        }
        if own >= options.function_events || own_bytes + event.bytes() > options.function_bytes {
            return Err(FullQueue::Function);
        }
        if events >= options.events || bytes + event.bytes() > options.bytes {
            return Err(FullQueue::Node);
        }
        Ok(())
    }

    /// Numbers of a function's waiting events, with when each is due, in that order.
    fn waiting(&self, function: &FunctionKey) -> Vec<(Timestamp, i64)> {
        let mut waiting: Vec<_> = self
            .events
            .iter()
            .filter(|(_, entry)| entry.event.function == *function)
            .filter_map(|(number, entry)| match entry.place {
                Place::Waiting(due) => Some((due, *number)),
                _ => None,
            })
            .collect();
        waiting.sort();
        waiting
    }

    /// Numbers of dead events, with when each died, in that order.
    fn dead(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<(Timestamp, i64)> {
        let mut dead: Vec<_> = self
            .events
            .iter()
            .filter(|(_, entry)| entry.place == Place::Dead && wanted(entry))
            .map(|(number, entry)| {
                (
                    entry
                        .end
                        .as_ref()
                        .map_or_else(Timestamp::default, |end| end.at),
                    *number,
                )
            })
            .collect();
        dead.sort();
        dead
    }

    fn dead_of(&self, function: &FunctionKey, which: Option<RequestId>) -> Vec<i64> {
        self.dead(|entry| {
            entry.event.function == *function && which.is_none_or(|id| id == entry.event.id)
        })
        .into_iter()
        .map(|(_, number)| number)
        .take(MOST_DEAD)
        .collect()
    }
}

#[async_trait]
impl EventStore for MemoryEventStore {
    async fn accept(&self, event: Event) -> Result<(), EventError> {
        let (function, due) = (event.function.clone(), event.due);
        {
            let mut kept = lock(&self.kept);
            kept.check_room(&self.options, &event)
                .map_err(EventError::Full)?;
            kept.insert(event);
        }
        self.news.tell(&function, due);
        Ok(())
    }

    async fn accept_once(&self, event: Event, once: Once) -> Result<bool, EventError> {
        let (function, due) = (event.function.clone(), event.due);
        {
            let mut kept = lock(&self.kept);
            if kept.is_noted(&once) {
                return Ok(false);
            }
            kept.check_room(&self.options, &event)
                .map_err(EventError::Full)?;
            kept.insert(event);
            kept.marks.insert(once.series, once.mark);
        }
        self.news.tell(&function, due);
        Ok(true)
    }

    async fn is_noted(&self, once: &Once) -> Result<bool, StoreError> {
        Ok(lock(&self.kept).is_noted(once))
    }

    async fn take(
        &self,
        function: &FunctionKey,
        now: Timestamp,
        most: usize,
    ) -> Result<Taken, StoreError> {
        let mut kept = lock(&self.kept);
        kept.last_token += 1;
        let token = kept.last_token;
        let mut events = Vec::new();
        let mut bytes = 0;
        for (due, number) in kept.waiting(function).into_iter().take(most) {
            let Some(entry) = kept.events.get_mut(&number) else {
                continue;
            };
            if due > now || (bytes > 0 && bytes + entry.event.bytes() > TAKE_BYTES as u64) {
                break;
            }
            bytes += entry.event.bytes();
            entry.place = Place::Running(token);
            entry.tries.begun += 1;
            events.push(Leased {
                lease: Lease {
                    event: number,
                    token,
                },
                event: entry.event.clone(),
                tries: entry.tries,
                cause: entry.cause.clone(),
                end: entry.end.clone(),
            });
        }
        let next = kept.waiting(function).first().map(|(due, _)| *due);
        Ok(Taken { events, next })
    }

    async fn settle(&self, lease: Lease, step: Step) -> Result<Settled, StoreError> {
        let mut kept = lock(&self.kept);
        let Some(entry) = kept
            .events
            .get_mut(&lease.event)
            .filter(|entry| entry.place == Place::Running(lease.token))
        else {
            return Ok(Settled::Stale);
        };
        let function = entry.event.function.clone();
        let mut waits = None;
        match step {
            Step::Done => {
                kept.events.remove(&lease.event);
            }
            Step::Again { due, fault, cause } => {
                match fault {
                    Fault::Function => {
                        entry.tries.failed += 1;
                        entry.tries.deferred = 0;
                    }
                    Fault::Platform => entry.tries.deferred += 1,
                }
                entry.cause = Some(cut(cause));
                entry.place = Place::Waiting(due);
                waits = Some(due);
            }
            Step::Tell { mut end, due } => {
                end.message = cut(end.message);
                entry.end = Some(end);
                entry.tries = Tries::default();
                entry.cause = None;
                entry.place = Place::Waiting(due);
                waits = Some(due);
            }
            Step::Dead(mut end) => {
                end.message = cut(end.message);
                entry.end = Some(end);
                entry.place = Place::Dead;
                let bound = self.options.dead_bytes;
                while kept
                    .dead(|_| true)
                    .iter()
                    .filter_map(|(_, number)| kept.events.get(number))
                    .map(Entry::dead_bytes)
                    .sum::<u64>()
                    > bound
                {
                    match kept.dead(|_| true).first() {
                        Some((_, oldest)) if *oldest != lease.event => {
                            kept.events.remove(oldest);
                        }
                        _ => break,
                    }
                }
            }
        }
        drop(kept);
        if let Some(due) = waits {
            self.news.tell(&function, due);
        }
        Ok(Settled::Yes)
    }

    async fn reclaim(
        &self,
        due: Box<dyn Fn(u32) -> Timestamp + Send + Sync>,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        for entry in lock(&self.kept).events.values_mut() {
            if matches!(entry.place, Place::Running(token) if token <= self.before) {
                entry.tries.lost += 1;
                let due = due(entry.tries.lost);
                entry.place = Place::Waiting(due);
                self.news.tell(&entry.event.function, due);
                count += 1;
            }
        }
        Ok(count)
    }

    async fn news(&self) -> Vec<Head> {
        self.news.wait().await
    }

    async fn counts(&self) -> Result<Vec<(FunctionKey, Counts)>, StoreError> {
        let mut counts: BTreeMap<FunctionKey, Counts> = BTreeMap::new();
        for entry in lock(&self.kept).events.values() {
            let counts = counts.entry(entry.event.function.clone()).or_default();
            match entry.place {
                Place::Waiting(_) if entry.tries.begun == 0 => counts.queued += 1,
                Place::Waiting(_) => counts.retrying += 1,
                Place::Running(_) => counts.running += 1,
                Place::Dead => counts.dead += 1,
            }
            if entry.place == Place::Dead {
                counts.dead_bytes += entry.dead_bytes();
            } else {
                counts.bytes += entry.event.bytes();
            }
        }
        Ok(counts.into_iter().collect())
    }

    async fn list(
        &self,
        function: &FunctionKey,
        state: State,
        after: Option<Position>,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let kept = lock(&self.kept);
        let all: Vec<(i64, i64)> = match state {
            State::Waiting => kept
                .waiting(function)
                .into_iter()
                .map(|(due, number)| (due.as_millis(), number))
                .collect(),
            State::Running => kept
                .events
                .iter()
                .filter(|(_, entry)| {
                    entry.event.function == *function && matches!(entry.place, Place::Running(_))
                })
                .map(|(number, _)| (0, *number))
                .collect(),
            State::Dead => kept
                .dead(|entry| entry.event.function == *function)
                .into_iter()
                .map(|(at, number)| (at.as_millis(), number))
                .collect(),
        };
        let after = after.map_or((i64::MIN, i64::MIN), |Position(a, b)| (a, b));
        let rest: Vec<_> = all.into_iter().filter(|place| *place > after).collect();
        let limit = limit.clamp(1, MOST_LISTED);
        let shown = &rest[..rest.len().min(limit)];
        let listed = |(_, number): &(i64, i64)| {
            let entry = &kept.events[number];
            let is_dead = entry.place == Place::Dead;
            let end = entry.end.as_ref().filter(|_| is_dead);
            Listed {
                id: entry.event.id,
                qualifier: entry.event.qualifier.clone(),
                accepted: entry.event.accepted,
                payload_bytes: entry.event.payload.len() as u64,
                due: match entry.place {
                    Place::Waiting(due) => Some(due),
                    _ => None,
                },
                tries: match end {
                    Some(end) => Tries {
                        begun: end.attempts,
                        ..Tries::default()
                    },
                    None => entry.tries,
                },
                cause: match end {
                    Some(end) => Some(end.message.clone()),
                    None => entry.cause.clone(),
                },
                ended: end.map(|end| (end.at, end.condition)),
            }
        };
        Ok(EventPage {
            events: shown.iter().map(listed).collect(),
            next: shown
                .last()
                .filter(|_| rest.len() > limit)
                .map(|(a, b)| Position(*a, *b)),
        })
    }

    async fn dead(&self, id: RequestId) -> Result<Option<DeadEvent>, StoreError> {
        let kept = lock(&self.kept);
        let found = kept.dead(|entry| entry.event.id == id);
        Ok(found.first().and_then(|(_, number)| {
            let entry = kept.events.get(number)?;
            Some(DeadEvent {
                event: entry.event.clone(),
                end: entry.end.clone()?,
            })
        }))
    }

    async fn redrive(
        &self,
        function: &FunctionKey,
        which: Option<RequestId>,
        now: Timestamp,
    ) -> Result<usize, EventError> {
        let mut moved = 0;
        {
            let mut kept = lock(&self.kept);
            for number in kept.dead_of(function, which) {
                let mut event = kept.events[&number].event.clone();
                if let Err(full) = kept.check_room(&self.options, &event) {
                    if moved > 0 {
                        break;
                    }
                    return Err(EventError::Full(full));
                }
                event.accepted = now;
                event.due = now;
                kept.events.remove(&number);
                kept.insert(event);
                moved += 1;
            }
        }
        if moved > 0 {
            self.news.tell(function, now);
        }
        Ok(moved)
    }

    async fn purge(
        &self,
        function: &FunctionKey,
        which: Option<RequestId>,
    ) -> Result<usize, StoreError> {
        let mut kept = lock(&self.kept);
        let found = kept.dead_of(function, which);
        for number in &found {
            kept.events.remove(number);
        }
        Ok(found.len())
    }

    async fn forget(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut kept = lock(&self.kept);
        let found: Vec<_> = kept
            .dead(|_| true)
            .into_iter()
            .filter(|(at, _)| *at < before)
            .take(MOST_DEAD)
            .collect();
        for (_, number) in &found {
            kept.events.remove(number);
        }
        Ok(found.len())
    }
}
