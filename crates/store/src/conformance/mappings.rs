//! Event source mappings.

use super::samples::{mapping, mapping_id};
use super::{Home, commit, load, open, refused};
use crate::contract::Change;

fn put(n: u8, tag: u64, expected: Option<u64>) -> Change {
    Change::PutMapping {
        record: mapping(n, tag),
        expected: expected.map(|tag| format!("revision-{tag}")),
    }
}

fn delete(n: u8, tag: u64) -> Change {
    Change::DeleteMapping {
        id: mapping_id(n),
        expected: format!("revision-{tag}"),
    }
}

pub(super) async fn mappings_read_back<H: Home>(home: &H) {
    let store = open(home).await;
    let first = vec![put(2, 1, None), put(1, 2, None), put(3, 3, None)];
    commit(&store, first).await;
    let expected = [mapping(1, 2), mapping(2, 1), mapping(3, 3)];
    assert_eq!(load(&store).await.mappings, expected);
    commit(&store, vec![put(1, 4, Some(2)), delete(2, 1)]).await;
    home.close(store).await;
    let mappings = load(&open(home).await).await.mappings;
    assert_eq!(mappings, [mapping(1, 4), mapping(3, 3)]);
}

pub(super) async fn what_was_not_seen_is_a_conflict<H: Home>(home: &H) {
    let store = open(home).await;
    commit(&store, vec![put(1, 1, None)]).await;
    for (change, why) in [
        (put(1, 2, None), "a mapping is there"),
        (put(1, 2, Some(7)), "another revision"),
        (put(2, 2, Some(1)), "no mapping to replace"),
        (delete(1, 2), "another revision to remove"),
        (delete(2, 1), "no mapping to remove"),
    ] {
        refused(&store, vec![change], why).await;
    }
}
