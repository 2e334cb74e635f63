//! Which messages of a mapping are with a function, and which wait to be given again, where a broker does not say.
//!
//! It outlives connections and pollers of the mapping: a batch that runs while they are replaced is not given twice. What a
//! node that was killed had is the broker's to tell.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The shelves of all mappings.
#[derive(Debug, Default)]
pub(crate) struct Shelves(Mutex<HashMap<String, Weak<Shelf>>>);

/// The shelf of one mapping.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    taken: HashSet<EntryId>,
    again: BTreeSet<EntryId>,
}

/// The identifier of a stream's entry: milliseconds and a number. They rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId {
    /// Milliseconds since 1970, by the broker's clock.
    pub(crate) millis: u64,
    pub(crate) number: u64,
}

impl EntryId {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (millis, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            millis: millis.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl Shelves {
    /// The shelf of a mapping, for as long as somebody has it.
    pub(crate) fn of(&self, mapping: &str) -> Arc<Shelf> {
        // Nothing in here can panic half-way.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shelf) = all.get(mapping).and_then(Weak::upgrade) {
            return shelf;
        }
        all.retain(|_, shelf| shelf.strong_count() > 0);
        let shelf = Arc::<Shelf>::default();
        all.insert(mapping.to_owned(), Arc::downgrade(&shelf));
        shelf
    }
}

impl Shelf {
    fn content(&self) -> MutexGuard<'_, Content> {
        // Nothing in here can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the broker says was handed out: what is not with a function is to be given again.
    pub(crate) fn found(&self, ids: impl IntoIterator<Item = EntryId>) {
        let mut content = self.content();
        for id in ids {
            if !content.taken.contains(&id) {
                content.again.insert(id);
            }
        }
    }

    /// The first that are to be given again.
    pub(crate) fn first(&self, most: usize) -> Vec<EntryId> {
        self.content().again.iter().take(most).copied().collect()
    }

    /// How many are to be given again.
    pub(crate) fn waiting(&self) -> usize {
        self.content().again.len()
    }

    /// It is with a function, until the claim is dropped.
    pub(crate) fn take(self: &Arc<Self>, id: EntryId) -> Arc<Claim> {
        let mut content = self.content();
        content.again.remove(&id);
        content.taken.insert(id);
        Arc::new(Claim {
            id,
            shelf: Arc::clone(self),
        })
    }

    /// It is gone.
    pub(crate) fn forget(&self, id: EntryId) {
        let mut content = self.content();
        content.again.remove(&id);
        content.taken.remove(&id);
    }
}

/// An entry that was taken. Dropped, it is to be given again, unless it is gone.
#[derive(Debug)]
pub struct Claim {
    pub(crate) id: EntryId,
    shelf: Arc<Shelf>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut content = self.shelf.content();
        if content.taken.remove(&self.id) {
            content.again.insert(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_is_its_mappings_while_somebody_has_it() {
        let shelves = Shelves::default();
        let id = |number| EntryId { millis: 7, number };
        let shelf = shelves.of("a");
        let one = shelf.take(id(1));
        assert!(Arc::ptr_eq(&shelf, &shelves.of("a")));
        // The broker tells of what is with a function as of what was left behind.
        shelf.found([id(1), id(2), id(3)]);
        assert_eq!(shelf.first(9), [id(2), id(3)]);
        let two = shelf.take(id(2));
        shelf.forget(id(2));
        drop((one, two));
        assert_eq!(shelf.first(1), [id(1)]);
        assert_eq!(shelf.waiting(), 2);
        drop(shelf);
        assert_eq!(shelves.of("a").waiting(), 0);
    }

    #[test]
    fn identifiers_are_in_the_brokers_order() {
        let read = |text: &str| EntryId::parse(text.as_bytes()).unwrap();
        assert!(read("9-10") < read("10-2") && read("10-2") < read("10-10"));
        assert_eq!(read("1700000000000-7").to_string(), "1700000000000-7");
        for bad in ["", "1", "-", "a-1", "1-2-3"] {
            assert_eq!(EntryId::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
