//! Who was told already: those who were must not be told again because somebody else could not be.
//!
//! It is a help, not a promise: it is bounded, and ends with the process. What is told again has the same identifier.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// Deliveries that are remembered; each takes some 50 bytes.
const MOST: usize = 65_536;

/// A delivery: 128 bits of a hash, so that no two are ever taken for one.
type Key = [u8; 16];

#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    keys: HashSet<Key>,
    /// Oldest first.
    order: VecDeque<Key>,
}

impl Memory {
    pub(crate) fn has(&self, id: &str, whom: &str) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.keys.contains(&key(id, whom))
    }

    pub(crate) fn add(&self, id: &str, whom: &str) {
        let key = key(id, whom);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.keys.insert(key) {
            return;
        }
        known.order.push_back(key);
        if known.order.len() > MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.keys.remove(&oldest);
        }
    }
}

fn key(id: &str, whom: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update((id.len() as u64).to_le_bytes());
    hash.update(id);
    hash.update(whom);
    let hash: [u8; 32] = hash.finalize().into();
    let mut first = Key::default();
    first.copy_from_slice(&hash[..16]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_forgotten() {
        let memory = Memory::default();
        memory.add("first", "a");
        assert!(memory.has("first", "a"));
        assert!(!memory.has("first", "b") && !memory.has("firsta", ""));
        for n in 0..MOST {
            memory.add(&n.to_string(), "a");
        }
        assert!(!memory.has("first", "a"));
        assert!(memory.has("0", "a"));
        assert_eq!(memory.0.lock().unwrap().keys.len(), MOST);
    }
}
