//! Topics and their webhooks.

use super::samples::{topic, topic_id};
use super::{Home, commit, load, open, refused};
use crate::contract::Change;

fn put(name: &str, tag: u64, expected: Option<u64>) -> Change {
    Change::PutTopic {
        record: topic(name, tag),
        expected: expected.map(|tag| format!("revision-{tag}")),
    }
}

fn delete(name: &str, tag: u64) -> Change {
    Change::DeleteTopic {
        id: topic_id(name),
        expected: format!("revision-{tag}"),
    }
}

pub(super) async fn topics_read_back<H: Home>(home: &H) {
    let store = open(home).await;
    let first = vec![put("b", 1, None), put("a", 2, None), put("c", 3, None)];
    commit(&store, first).await;
    let expected = [topic("a", 2), topic("b", 1), topic("c", 3)];
    assert_eq!(load(&store).await.topics, expected);
    commit(&store, vec![put("a", 4, Some(2)), delete("b", 1)]).await;
    home.close(store).await;
    let topics = load(&open(home).await).await.topics;
    assert_eq!(topics, [topic("a", 4), topic("c", 3)]);
}

pub(super) async fn what_was_not_seen_is_a_conflict<H: Home>(home: &H) {
    let store = open(home).await;
    commit(&store, vec![put("a", 1, None)]).await;
    for (change, why) in [
        (put("a", 2, None), "a topic is there"),
        (put("a", 2, Some(7)), "another revision"),
        (put("b", 2, Some(1)), "no topic to replace"),
        (delete("a", 2), "another revision to remove"),
        (delete("b", 1), "no topic to remove"),
    ] {
        refused(&store, vec![change], why).await;
    }
}
