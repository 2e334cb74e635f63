//! Layers: numbers that only grow.

use super::samples::{layer_arn, layer_version};
use super::{Home, commit, load, open, refused};
use crate::contract::{Change, LayerCounter};

fn publish(layer: &str, number: u64) -> Change {
    Change::CreateLayerVersion(layer_version(layer_arn(layer, number)))
}

fn counter(layer: &str, last: u64) -> LayerCounter {
    let arn = layer_arn(layer, last);
    LayerCounter {
        account: arn.account,
        region: arn.region,
        layer: arn.layer,
        last,
    }
}

pub(super) async fn numbers_count_from_one<H: Home>(home: &H) {
    let store = open(home).await;
    for number in 1..=12 {
        commit(&store, vec![publish("base", number)]).await;
    }
    let contents = load(&store).await;
    let numbers: Vec<u64> = contents
        .layer_versions
        .iter()
        .map(|v| v.arn.version)
        .collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>(), "in order of number");
    assert_eq!(contents.layer_counters, vec![counter("base", 12)]);
    assert_eq!(
        contents.layer_versions[2],
        layer_version(layer_arn("base", 3))
    );
}

pub(super) async fn numbers_are_never_used_again<H: Home>(home: &H) {
    let store = open(home).await;
    commit(&store, vec![publish("base", 1), publish("base", 2)]).await;
    commit(
        &store,
        vec![
            Change::DeleteLayerVersion(layer_arn("base", 2)),
            Change::DeleteLayerVersion(layer_arn("base", 1)),
        ],
    )
    .await;
    let contents = load(&store).await;
    assert!(contents.layer_versions.is_empty());
    assert_eq!(
        contents.layer_counters,
        vec![counter("base", 2)],
        "the counter outlives them"
    );
    home.close(store).await;
    let store = open(home).await;
    for number in [1, 2] {
        refused(&store, vec![publish("base", number)], "the number was used").await;
    }
    commit(&store, vec![publish("base", 3)]).await;
}

pub(super) async fn layers_are_apart<H: Home>(home: &H) {
    let store = open(home).await;
    let mut elsewhere = layer_version(layer_arn("base", 1));
    elsewhere.arn.region = "eu-west-1".parse().expect("a region");
    let mut anothers = layer_version(layer_arn("base", 1));
    anothers.arn.account = "000000000001".parse().expect("an account");
    commit(
        &store,
        vec![
            publish("base", 1),
            publish("Base", 1),
            Change::CreateLayerVersion(elsewhere.clone()),
            Change::CreateLayerVersion(anothers),
            publish("base", 2),
        ],
    )
    .await;
    commit(&store, vec![Change::DeleteLayerVersion(elsewhere.arn)]).await;
    let contents = load(&store).await;
    assert_eq!(contents.layer_counters.len(), 4);
    assert!(contents.layer_versions.is_sorted_by(|a, b| a.arn < b.arn));
    assert_eq!(contents.layer_versions.len(), 4);
}
