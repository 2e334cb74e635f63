//! What does not fit is refused, and changes nothing.

use hearth_types::name::Version;

use super::samples::{alias, configuration, function, key, layer_arn, layer_version, version};
use super::{Home, commit, load, open, refused};
use crate::contract::{Change, Store};

pub(super) async fn each_change_that_does_not_fit<H: Home>(home: &H) {
    let store = open(home).await;
    let (here, gone) = (key("here"), key("gone"));
    let one = Version::Number(1);
    commit(
        &store,
        vec![
            Change::CreateFunction(function(&here, 1, 0)),
            Change::UpdateFunction(function(&here, 2, 0)),
            Change::CreateVersion(here.clone(), version(one, 1)),
            Change::CreateAlias(here.clone(), alias("live", 1)),
            Change::CreateLayerVersion(layer_version(layer_arn("base", 1))),
        ],
    )
    .await;
    let delete = |key: &_, generation| Change::DeleteFunction {
        key: Clone::clone(key),
        generation,
    };
    let update_alias = |key: &_, name, expected: &str| Change::UpdateAlias {
        key: Clone::clone(key),
        record: alias(name, 2),
        expected: expected.to_owned(),
    };
    let two = Version::Number(2);
    let cases = [
        ("it is there", Change::CreateFunction(function(&here, 1, 9))),
        (
            "it does not start at 1",
            Change::CreateFunction(function(&gone, 2, 0)),
        ),
        (
            "it does not start at 0",
            Change::CreateFunction(function(&gone, 0, 0)),
        ),
        (
            "not there to update",
            Change::UpdateFunction(function(&gone, 2, 0)),
        ),
        (
            "the same generation",
            Change::UpdateFunction(function(&here, 2, 9)),
        ),
        (
            "an older generation",
            Change::UpdateFunction(function(&here, 1, 9)),
        ),
        (
            "generation 0",
            Change::UpdateFunction(function(&here, 0, 9)),
        ),
        (
            "a generation skipped",
            Change::UpdateFunction(function(&here, 4, 9)),
        ),
        (
            "the last generation",
            Change::UpdateFunction(function(&here, u64::MAX, 9)),
        ),
        ("not there to delete", delete(&gone, 1)),
        ("deleted at an older generation", delete(&here, 1)),
        ("deleted at a newer generation", delete(&here, 3)),
        (
            "version without function",
            Change::CreateVersion(gone.clone(), version(one, 1)),
        ),
        (
            "version is there",
            Change::CreateVersion(here.clone(), version(one, 1)),
        ),
        (
            "$LATEST is not published",
            Change::CreateVersion(here.clone(), version(Version::Latest, 1)),
        ),
        (
            "no version to update",
            Change::UpdateVersion(here.clone(), version(two, 1)),
        ),
        (
            "$LATEST is in its function",
            Change::UpdateVersion(here.clone(), version(Version::Latest, 0)),
        ),
        (
            "no function of that version",
            Change::UpdateVersion(gone.clone(), version(one, 1)),
        ),
        (
            "no version to delete",
            Change::DeleteVersion(here.clone(), two),
        ),
        (
            "$LATEST goes with its function",
            Change::DeleteVersion(here.clone(), Version::Latest),
        ),
        (
            "no function to delete from",
            Change::DeleteVersion(gone.clone(), one),
        ),
        (
            "alias without function",
            Change::CreateAlias(gone.clone(), alias("live", 1)),
        ),
        (
            "alias is there",
            Change::CreateAlias(here.clone(), alias("live", 2)),
        ),
        (
            "no alias to update",
            update_alias(&here, "test", "revision-1"),
        ),
        (
            "another revision",
            update_alias(&here, "live", "revision-2"),
        ),
        (
            "no function of that alias",
            update_alias(&gone, "live", "revision-1"),
        ),
        (
            "no alias to delete",
            Change::DeleteAlias(here.clone(), alias("test", 1).name),
        ),
        (
            "no function of the alias",
            Change::DeleteAlias(gone.clone(), alias("live", 1).name),
        ),
        (
            "layer number used",
            Change::CreateLayerVersion(layer_version(layer_arn("base", 1))),
        ),
        (
            "layer number skipped",
            Change::CreateLayerVersion(layer_version(layer_arn("base", 3))),
        ),
        (
            "layer starts at 1",
            Change::CreateLayerVersion(layer_version(layer_arn("new", 2))),
        ),
        (
            "layer has no version 0",
            Change::CreateLayerVersion(layer_version(layer_arn("new", 0))),
        ),
        (
            "no layer version to delete",
            Change::DeleteLayerVersion(layer_arn("base", 2)),
        ),
        (
            "no layer to delete from",
            Change::DeleteLayerVersion(layer_arn("new", 1)),
        ),
    ];
    for (why, change) in cases {
        refused(&store, vec![change.clone()], why).await;
        // The same behind a change that fits, and before one.
        let fits = || Change::CreateFunction(function(&key("fits"), 1, 0));
        refused(&store, vec![fits(), change.clone()], why).await;
        refused(&store, vec![change, fits()], why).await;
    }
}

pub(super) async fn records_that_can_not_be_kept<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    commit(&store, vec![Change::CreateFunction(function(&key, 1, 0))]).await;
    for share in [f64::NAN, f64::INFINITY] {
        let mut record = alias("live", 0);
        record.weighted = Some((Version::Number(2), share));
        refused(
            &store,
            vec![Change::CreateAlias(key.clone(), record)],
            "a share is a number",
        )
        .await;
    }
    let mut record = function(&key, 2, 0);
    record.latest.version = Version::Number(1);
    refused(
        &store,
        vec![Change::UpdateFunction(record)],
        "$LATEST is $LATEST",
    )
    .await;
}

pub(super) async fn nothing_is_half_applied<H: Home>(home: &H) {
    let store = open(home).await;
    let (a, b) = (key("a"), key("b"));
    commit(
        &store,
        vec![
            Change::CreateFunction(function(&a, 1, 0)),
            Change::CreateVersion(a.clone(), version(Version::Number(1), 0)),
            Change::CreateLayerVersion(layer_version(layer_arn("base", 1))),
        ],
    )
    .await;
    let bad = Change::DeleteAlias(a.clone(), alias("none", 0).name);
    let changes = vec![
        Change::UpdateFunction(function(&a, 2, 1)),
        Change::CreateFunction(function(&b, 1, 1)),
        Change::CreateAlias(b, alias("live", 1)),
        Change::CreateLayerVersion(layer_version(layer_arn("base", 2))),
        Change::DeleteLayerVersion(layer_arn("base", 1)),
        Change::DeleteFunction {
            key: a,
            generation: 2,
        },
    ];
    // The change that does not fit, at every place.
    for at in 0..changes.len() {
        let mut spoiled = changes.clone();
        spoiled.insert(at, bad.clone());
        refused(&store, spoiled, &format!("the change at {at} does not fit")).await;
    }
    commit(&store, changes).await;
    let contents = load(&store).await;
    assert_eq!(contents.functions.len(), 1);
    assert_eq!(contents.layer_versions.len(), 1);
}

pub(super) async fn changes_see_those_before_them<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    let create = || Change::CreateFunction(function(&key, 1, 0));
    let delete = |generation| Change::DeleteFunction {
        key: key.clone(),
        generation,
    };
    let version = || Change::CreateVersion(key.clone(), version(Version::Number(1), 0));
    refused(
        &store,
        vec![version(), create()],
        "the function comes after its version",
    )
    .await;
    refused(&store, vec![create(), create()], "created twice").await;
    refused(
        &store,
        vec![create(), delete(1), version()],
        "the function is gone again",
    )
    .await;
    commit(
        &store,
        vec![
            create(),
            version(),
            Change::UpdateFunction(function(&key, 2, 1)),
            delete(2),
            create(),
            version(),
            Change::UpdateFunction(function(&key, 2, 3)),
            Change::UpdateFunction(function(&key, 3, 4)),
        ],
    )
    .await;
    let functions = load(&store).await.functions;
    assert_eq!(functions[0].function, function(&key, 3, 4));
    assert_eq!(functions[0].versions.len(), 1);
}

pub(super) async fn a_published_configuration_never_changes<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    let published = version(Version::Number(1), 1);
    commit(
        &store,
        vec![
            Change::CreateFunction(function(&key, 1, 0)),
            Change::CreateVersion(key.clone(), published.clone()),
        ],
    )
    .await;
    let mut other = published.clone();
    other.configuration = configuration(2);
    refused(
        &store,
        vec![Change::UpdateVersion(key.clone(), other)],
        "INV-2",
    )
    .await;
    let mut other = published.clone();
    other
        .configuration
        .environment
        .insert("ONE".to_owned(), "more".to_owned());
    refused(
        &store,
        vec![Change::UpdateVersion(key.clone(), other)],
        "INV-2, deep inside",
    )
    .await;
    let mut other = published;
    other.revision = "another".to_owned();
    store
        .commit(vec![Change::UpdateVersion(key, other)])
        .await
        .expect("the rest may change");
}
