//! Functions, versions and aliases: what was written is what is read.

use hearth_types::name::Version;

use super::samples::{alias, configuration, function, key, key_in, version};
use super::{Home, commit, load, open, refused};
use crate::contract::{Change, Contents, Store, StoredFunction};

pub(super) async fn an_empty_store_has_nothing<H: Home>(home: &H) {
    let store = open(home).await;
    assert_eq!(load(&store).await, Contents::default());
    store
        .commit(Vec::new())
        .await
        .expect("no change is a fine commit");
    assert_eq!(load(&store).await, Contents::default());
}

pub(super) async fn create_and_update_read_back<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    for tag in 0..6 {
        let record = function(&key, tag + 1, tag);
        let change = if tag == 0 {
            Change::CreateFunction
        } else {
            Change::UpdateFunction
        };
        commit(&store, vec![change(record.clone())]).await;
        assert_eq!(load(&store).await.functions[0].function, record);
    }
}

pub(super) async fn versions_and_aliases_read_back<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    let mut published = version(Version::Number(1), 0);
    commit(
        &store,
        vec![
            Change::CreateFunction(function(&key, 1, 0)),
            Change::CreateVersion(key.clone(), published.clone()),
            Change::CreateVersion(key.clone(), version(Version::Number(2), 1)),
            Change::CreateAlias(key.clone(), alias("live", 0)),
            Change::CreateAlias(key.clone(), alias("test", 1)),
        ],
    )
    .await;
    published.state = hearth_types::function::State::Active;
    published.running = None;
    commit(
        &store,
        vec![
            Change::UpdateVersion(key.clone(), published.clone()),
            Change::DeleteVersion(key.clone(), Version::Number(2)),
            Change::UpdateAlias {
                key: key.clone(),
                record: alias("live", 3),
                expected: "revision-0".to_owned(),
            },
            Change::DeleteAlias(key.clone(), alias("test", 1).name),
        ],
    )
    .await;
    let expected = StoredFunction {
        function: function(&key, 1, 0),
        versions: vec![published],
        aliases: vec![alias("live", 3)],
        urls: Vec::new(),
        policies: Vec::new(),
        event_invokes: Vec::new(),
    };
    assert_eq!(load(&store).await.functions, vec![expected]);
}

pub(super) async fn keys_are_apart<H: Home>(home: &H) {
    let store = open(home).await;
    // Names that differ in case only, or whose parts run together, are different functions.
    let keys = [
        key_in("000000000000", "us-east-1", "F"),
        key_in("000000000000", "us-east-1", "f"),
        key_in("000000000000", "us-east-11", "f"),
        key_in("000000000000", "us-east-1", "1f"),
        key_in("000000000001", "us-east-1", "f"),
    ];
    for (key, tag) in keys.iter().zip(0..) {
        commit(
            &store,
            vec![
                Change::CreateFunction(function(key, 1, tag)),
                Change::CreateVersion(key.clone(), version(Version::Number(1), tag)),
                Change::CreateAlias(key.clone(), alias("a", tag)),
                Change::CreateAlias(key.clone(), alias("A", tag + 1)),
            ],
        )
        .await;
    }
    let mut found = load(&store).await.functions;
    assert_eq!(found.len(), keys.len());
    commit(
        &store,
        vec![Change::DeleteFunction {
            key: keys[1].clone(),
            generation: 1,
        }],
    )
    .await;
    found.retain(|f| f.function.key != keys[1]);
    assert_eq!(load(&store).await.functions, found, "only that one is gone");
}

pub(super) async fn deleting_a_function_takes_all_that_is_its_own<H: Home>(home: &H) {
    let store = open(home).await;
    let (gone, stays) = (key("gone"), key("stays"));
    for key in [&gone, &stays] {
        commit(
            &store,
            vec![
                Change::CreateFunction(function(key, 1, 0)),
                Change::CreateVersion(key.clone(), version(Version::Number(1), 0)),
                Change::CreateAlias(key.clone(), alias("live", 0)),
            ],
        )
        .await;
    }
    let delete = Change::DeleteFunction {
        key: gone.clone(),
        generation: 1,
    };
    commit(&store, vec![delete]).await;
    let left = load(&store).await.functions;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].function.key, stays);
    assert_eq!((left[0].versions.len(), left[0].aliases.len()), (1, 1));
    // The name is free again, and its second bearer inherits nothing.
    commit(&store, vec![Change::CreateFunction(function(&gone, 1, 5))]).await;
    let again = load(&store).await.functions.remove(0);
    assert_eq!(again.function, function(&gone, 1, 5));
    assert!(again.versions.is_empty() && again.aliases.is_empty());
    refused(
        &store,
        vec![Change::DeleteVersion(gone, Version::Number(1))],
        "its version went with it",
    )
    .await;
}

pub(super) async fn unicode_and_every_kind_of_text<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    let mut record = function(&key, 1, 0);
    // No form may be normalised, no character dropped: composed and decomposed, controls, NUL, astral, the
    // end of the basic plane, quotes of SQL and JSON.
    let texts = [
        "",
        "é",
        "e\u{301}",
        "\0",
        "a\0b",
        "\u{1}\u{7f}\u{85}",
        "👩‍🔬",
        "\u{ffff}\u{10ffff}\u{feff}",
        "'; DROP TABLE functions; --",
        "\\\"\r\n\t",
        "日本語",
    ];
    for (text, at) in texts.iter().zip(0..) {
        record
            .tags
            .insert(format!("{at}{text}"), (*text).to_owned());
        record
            .latest
            .configuration
            .environment
            .insert(format!("{at}{text}"), (*text).to_owned());
    }
    record.latest.configuration.description = texts.concat();
    commit(&store, vec![Change::CreateFunction(record.clone())]).await;
    assert_eq!(load(&store).await.functions[0].function, record);
}

pub(super) async fn large_records<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("large");
    // Far above what the registry lets through (an environment of 4 KiB).
    let mut record = function(&key, 1, 0);
    record.latest.configuration.description = "x".repeat(4 << 20);
    commit(&store, vec![Change::CreateFunction(record.clone())]).await;
    assert_eq!(load(&store).await.functions[0].function, record);
    record.generation = 2;
    record.latest.configuration.description = "small".to_owned();
    commit(&store, vec![Change::UpdateFunction(record.clone())]).await;
    assert_eq!(load(&store).await.functions[0].function, record);
}

pub(super) async fn shares_keep_every_bit<H: Home>(home: &H) {
    let store = open(home).await;
    let key = key("f");
    commit(&store, vec![Change::CreateFunction(function(&key, 1, 0))]).await;
    let shares = [
        0.0,
        1.0,
        0.1,
        1.0 / 3.0,
        0.1 + 0.2,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        1.0 - f64::EPSILON / 2.0,
    ];
    for (share, at) in shares.into_iter().zip(0..) {
        let mut record = alias(&format!("a{at}"), 0);
        record.weighted = Some((Version::Number(2), share));
        commit(&store, vec![Change::CreateAlias(key.clone(), record)]).await;
    }
    for (alias, share) in load(&store).await.functions[0].aliases.iter().zip(shares) {
        let (_, found) = alias.weighted.expect("it has a share");
        assert_eq!(found.to_bits(), share.to_bits(), "{share}");
    }
}

pub(super) async fn lists_are_in_order<H: Home>(home: &H) {
    let store = open(home).await;
    for name in ["b", "B", "a-1", "a", "a_1", "a1"] {
        commit(
            &store,
            vec![Change::CreateFunction(function(&key(name), 1, 0))],
        )
        .await;
    }
    let a = key("a");
    // By number, not by digits.
    for number in [10, 9, 100, 1] {
        let mut record = version(Version::Number(number), number);
        record.configuration = configuration(number);
        commit(&store, vec![Change::CreateVersion(a.clone(), record)]).await;
    }
    for name in ["z", "Z", "y"] {
        commit(&store, vec![Change::CreateAlias(a.clone(), alias(name, 1))]).await;
    }
    let functions = load(&store).await.functions;
    assert!(functions.is_sorted_by(|x, y| x.function.key < y.function.key));
    assert_eq!(functions.len(), 6);
    let a = functions
        .iter()
        .find(|f| f.function.key == a)
        .expect("it is there");
    let numbers: Vec<Version> = a.versions.iter().map(|v| v.version).collect();
    assert_eq!(numbers, [1, 9, 10, 100].map(Version::Number));
    assert!(a.aliases.is_sorted_by(|x, y| x.name < y.name));
    assert_eq!(a.aliases.len(), 3);
}
