//! What was answered stays.

use super::model::Model;
use super::random::Random;
use super::samples::{alias, function, key, layer_arn, layer_version};
use super::{Home, commit, load, open};
use crate::contract::{Change, Store, StoreError};

pub(super) async fn what_was_answered_is_there_after_reopening<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    commit(
        &store,
        vec![
            Change::CreateFunction(function(&key, 1, 0)),
            Change::CreateAlias(key.clone(), alias("live", 0)),
            Change::CreateLayerVersion(layer_version(layer_arn("base", 1))),
        ],
    )
    .await;
    let mut before = load(&store).await;
    home.close(store).await;
    for generation in 2..5 {
        let store = open(home).await;
        assert_eq!(load(&store).await, before);
        commit(
            &store,
            vec![Change::UpdateFunction(function(
                &key, generation, generation,
            ))],
        )
        .await;
        before = load(&store).await;
        home.close(store).await;
    }
    assert_eq!(load(&open(home).await).await, before);
}

pub(super) async fn random_changes_equal_the_model<H: Home>(home: &H) {
    // Enough for each kind of change to fit and to conflict many times.
    const COMMITS: u64 = 600;
    const REOPENED_EVERY: u64 = 100;
    let mut store = open(home).await;
    let mut model = Model::default();
    let mut random = Random::new(1);
    let mut fitting = 0;
    for n in 1..=COMMITS {
        let changes = random.changes(&model.contents());
        let expected = model.commit(&changes);
        match (store.commit(changes.clone()).await, expected) {
            (Ok(()), Ok(())) => fitting += 1,
            (Err(StoreError::Conflict(_)), Err(_)) => {}
            (answer, expected) => {
                panic!("commit {n}: {answer:?}, not {expected:?}, to {changes:#?}")
            }
        }
        if n % 20 == 0 {
            assert_eq!(load(&store).await, model.contents(), "after commit {n}");
        }
        if n % REOPENED_EVERY == 0 {
            home.close(store).await;
            store = open(home).await;
            assert_eq!(
                load(&store).await,
                model.contents(),
                "reopened after commit {n}"
            );
        }
    }
    assert!(
        fitting > COMMITS / 10,
        "only {fitting} of {COMMITS} commits fit: the sequence tests nothing"
    );
    assert!(
        fitting < COMMITS * 9 / 10,
        "{fitting} of {COMMITS} commits fit: conflicts are not tested"
    );
}
