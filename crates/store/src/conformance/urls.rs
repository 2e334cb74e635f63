//! Function URLs and policies.

use super::samples::{alias, function, function_url, key, policy};
use super::{Home, commit, load, open, refused};
use crate::contract::{Change, Store};

fn put(name: &str, tag: u64, expected: Option<u64>) -> Change {
    Change::PutPolicy {
        key: key("f"),
        record: policy(name, tag),
        expected: expected.map(|tag| format!("revision-{tag}")),
    }
}

pub(super) async fn urls_and_policies_read_back<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    commit(
        &store,
        vec![
            Change::CreateFunction(function(&key, 1, 0)),
            Change::CreateAlias(key.clone(), alias("live", 0)),
            Change::CreateFunctionUrl(key.clone(), function_url("live", 1, 0)),
            Change::CreateFunctionUrl(key.clone(), function_url("$LATEST", 1, 1)),
            put("live", 0, None),
            put("1", 1, None),
            put("$LATEST", 2, None),
        ],
    )
    .await;
    let stored = load(&store).await.functions.remove(0);
    assert_eq!(
        stored.urls,
        [function_url("$LATEST", 1, 1), function_url("live", 1, 0)]
    );
    assert_eq!(
        stored.policies,
        [policy("$LATEST", 2), policy("1", 1), policy("live", 0)]
    );
    commit(
        &store,
        vec![
            Change::UpdateFunctionUrl(key.clone(), function_url("live", 2, 3)),
            Change::DeleteFunctionUrl(key.clone(), function_url("$LATEST", 1, 1).qualifier),
            put("live", 4, Some(0)),
            Change::DeletePolicy(key.clone(), policy("1", 1).qualifier),
        ],
    )
    .await;
    let stored = load(&store).await.functions.remove(0);
    assert_eq!(stored.urls, [function_url("live", 2, 3)]);
    assert_eq!(stored.policies, [policy("$LATEST", 2), policy("live", 4)]);
}

pub(super) async fn what_does_not_fit_is_a_conflict<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    let url = |generation| function_url("$LATEST", generation, 0);
    for (change, why) in [
        (
            Change::CreateFunctionUrl(key.clone(), url(1)),
            "no function for a URL",
        ),
        (put("$LATEST", 0, None), "no function for a policy"),
    ] {
        refused(&store, vec![change], why).await;
    }
    commit(
        &store,
        vec![
            Change::CreateFunction(function(&key, 1, 0)),
            Change::CreateFunctionUrl(key.clone(), url(1)),
            put("$LATEST", 0, None),
        ],
    )
    .await;
    let mut other = url(2);
    other.id = hearth_types::function_url::UrlId::from_random([8; 20]);
    for (change, why) in [
        (
            Change::CreateFunctionUrl(key.clone(), url(1)),
            "a URL twice",
        ),
        (
            Change::CreateFunctionUrl(key.clone(), function_url("live", 2, 0)),
            "a URL that begins at generation 2",
        ),
        (
            Change::UpdateFunctionUrl(key.clone(), url(1)),
            "the generation that is stored",
        ),
        (
            Change::UpdateFunctionUrl(key.clone(), url(3)),
            "a generation after the next",
        ),
        (
            Change::UpdateFunctionUrl(key.clone(), other),
            "another identifier",
        ),
        (
            Change::UpdateFunctionUrl(key.clone(), function_url("live", 2, 0)),
            "a URL that is not there",
        ),
        (
            Change::DeleteFunctionUrl(key.clone(), function_url("live", 1, 0).qualifier),
            "no URL to remove",
        ),
        (put("$LATEST", 1, None), "a policy that is there already"),
        (put("$LATEST", 1, Some(7)), "another revision"),
        (put("live", 1, Some(0)), "a policy that is not there"),
        (
            Change::DeletePolicy(key.clone(), policy("live", 0).qualifier),
            "no policy to remove",
        ),
    ] {
        refused(&store, vec![change], why).await;
    }
}

pub(super) async fn a_function_takes_them_along<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    let all = || {
        vec![
            Change::CreateFunction(function(&key, 1, 0)),
            Change::CreateFunctionUrl(key.clone(), function_url("$LATEST", 1, 0)),
            put("$LATEST", 0, None),
        ]
    };
    commit(&store, all()).await;
    let delete = Change::DeleteFunction {
        key: key.clone(),
        generation: 1,
    };
    commit(&store, vec![delete]).await;
    assert!(load(&store).await.functions.is_empty());
    // Nothing of it is left behind that a new function of the same name would meet.
    store
        .commit(all())
        .await
        .expect("all of it can be made again");
}
