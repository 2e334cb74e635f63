//! How events are handled.

use super::samples::{alias, event_invoke, function, key};
use super::{Home, commit, load, open, refused};
use crate::contract::Change;

fn put(qualifier: &str, tag: u64, expected: Option<u64>) -> Change {
    Change::PutEventInvoke {
        key: key("f"),
        record: event_invoke(qualifier, tag),
        expected: expected.map(|tag| format!("revision-{tag}")),
    }
}

fn delete(qualifier: &str) -> Change {
    Change::DeleteEventInvoke(key("f"), event_invoke(qualifier, 0).qualifier)
}

pub(super) async fn configurations_read_back<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    let first = vec![
        Change::CreateFunction(function(&key, 1, 0)),
        Change::CreateAlias(key, alias("live", 0)),
        put("live", 0, None),
        put("1", 1, None),
        put("$LATEST", 2, None),
    ];
    commit(&store, first).await;
    let stored = load(&store).await.functions.remove(0).event_invokes;
    let expected = [
        event_invoke("$LATEST", 2),
        event_invoke("1", 1),
        event_invoke("live", 0),
    ];
    assert_eq!(stored, expected);
    commit(&store, vec![put("live", 3, Some(0)), delete("1")]).await;
    home.close(store).await;
    let store = open(home).await;
    let stored = load(&store).await.functions.remove(0).event_invokes;
    assert_eq!(
        stored,
        [event_invoke("$LATEST", 2), event_invoke("live", 3)]
    );
}

pub(super) async fn what_was_not_seen_is_a_conflict<H: Home>(home: &H) {
    let store = open(home).await;
    refused(&store, vec![put("$LATEST", 0, None)], "no function").await;
    let create = Change::CreateFunction(function(&key("f"), 1, 0));
    commit(&store, vec![create, put("$LATEST", 0, None)]).await;
    for (change, why) in [
        (put("$LATEST", 1, None), "there already"),
        (put("$LATEST", 1, Some(7)), "another revision"),
        (put("live", 1, Some(0)), "nothing to replace"),
        (delete("live"), "nothing to remove"),
    ] {
        refused(&store, vec![change], why).await;
    }
}

pub(super) async fn a_function_takes_them_along<H: Home>(home: &H) {
    let store = open(home).await;
    let all = || {
        vec![
            Change::CreateFunction(function(&key("f"), 1, 0)),
            put("$LATEST", 0, None),
        ]
    };
    commit(&store, all()).await;
    let delete = Change::DeleteFunction {
        key: key("f"),
        generation: 1,
    };
    commit(&store, vec![delete]).await;
    // Nothing of it is left behind that a new function of the same name would meet.
    commit(&store, all()).await;
}
