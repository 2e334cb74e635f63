//! Routes and their API keys.

use super::samples::{function, key, route, route_id, route_key};
use super::{Home, commit, load, open, refused};
use crate::contract::Change;

fn put(name: &str, tag: u64, expected: Option<u64>) -> Change {
    Change::PutRoute {
        record: route(name, tag),
        expected: expected.map(|tag| format!("revision-{tag}")),
    }
}

fn put_key(name: &str, tag: u64, expected: Option<u64>) -> Change {
    Change::PutRouteKey {
        record: route_key(name, tag),
        expected: expected.map(|tag| format!("revision-{tag}")),
    }
}

fn delete(name: &str, tag: u64) -> Change {
    Change::DeleteRoute {
        id: route_id(name),
        expected: format!("revision-{tag}"),
    }
}

fn delete_key(name: &str, tag: u64) -> Change {
    Change::DeleteRouteKey {
        id: route_id(name),
        expected: format!("revision-{tag}"),
    }
}

pub(super) async fn routes_and_keys_read_back<H: Home>(home: &H) {
    let store = open(home).await;
    let first = vec![
        put("b", 1, None),
        put("a", 2, None),
        put_key("b", 3, None),
        put_key("a", 4, None),
    ];
    commit(&store, first).await;
    let contents = load(&store).await;
    assert_eq!(contents.routes, [route("a", 2), route("b", 1)]);
    assert_eq!(contents.route_keys, [route_key("a", 4), route_key("b", 3)]);
    let then = vec![
        put("a", 5, Some(2)),
        delete("b", 1),
        put_key("b", 6, Some(3)),
        delete_key("a", 4),
    ];
    commit(&store, then).await;
    home.close(store).await;
    let contents = load(&open(home).await).await;
    assert_eq!(contents.routes, [route("a", 5)]);
    assert_eq!(contents.route_keys, [route_key("b", 6)]);
}

pub(super) async fn what_was_not_seen_is_a_conflict<H: Home>(home: &H) {
    let store = open(home).await;
    commit(&store, vec![put("a", 1, None), put_key("a", 1, None)]).await;
    for (change, why) in [
        (put("a", 2, None), "a route is there"),
        (put("a", 2, Some(7)), "another revision"),
        (put("b", 2, Some(1)), "no route to replace"),
        (delete("a", 2), "another revision to remove"),
        (delete("b", 1), "no route to remove"),
        (put_key("a", 2, None), "a key is there"),
        (put_key("a", 2, Some(7)), "another revision of a key"),
        (put_key("b", 2, Some(1)), "no key to replace"),
        (delete_key("a", 2), "another revision of a key to remove"),
        (delete_key("b", 1), "no key to remove"),
    ] {
        refused(&store, vec![change], why).await;
    }
}

pub(super) async fn routes_outlive_functions<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    let create = Change::CreateFunction(function(&key, 1, 0));
    commit(&store, vec![create, put("a", 1, None)]).await;
    let gone = Change::DeleteFunction { key, generation: 1 };
    commit(&store, vec![gone]).await;
    let contents = load(&store).await;
    assert_eq!((contents.functions.len(), contents.routes.len()), (0, 1));
}
