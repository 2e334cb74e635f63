//! The suite that every store of keys and values must pass: each sentence of [`crate::key_value`] has a case here.

use std::future::Future;
use std::sync::Arc;

use hearth_types::name::{AccountId, FunctionKey};
use hearth_types::time::Timestamp;

use crate::contract::StoreError;
use crate::key_value::{
    BucketId, KEY_BYTES, KeyValueError, KeyValueStore, METADATA_BYTES, MOST_KEYS, VALUE_BYTES,
    Value, Write,
};

/// What buckets hold in homes of this suite, bytes.
pub const BUCKET_BYTES: u64 = 64 << 20;

/// A place that keeps the state of one store while it is closed. Its buckets are bound to [`BUCKET_BYTES`].
pub trait Home: Send + Sync + 'static {
    /// The implementation.
    type Store: KeyValueStore;

    /// Opens the store: the first time it is empty, later it has what was kept. It is closed by dropping it.
    fn open(&self) -> impl Future<Output = Result<Self::Store, StoreError>> + Send;
}

/// Runs every case, each in a home that `fresh` makes empty for it.
///
/// # Panics
/// If the store breaks the contract.
pub async fn check<H: Home>(fresh: impl Fn() -> H) {
    macro_rules! cases {
        ($($case:ident)+) => {
            $(
                eprintln!("key-value conformance: {}", stringify!($case));
                $case(&fresh()).await;
            )+
        };
    }
    cases! {
        values_read_back buckets_are_apart what_can_not_be_kept_is_refused writes_are_all_or_none
            a_full_bucket_refuses_growth_alone lists_give_each_key_once
            lists_by_name_are_in_order numbers_add_up
            a_swap_needs_what_was_seen increments_of_many_callers_all_hold one_of_many_swaps_wins
            what_expired_is_not_there what_was_answered_is_there_after_reopening
    }
}

async fn open<H: Home>(home: &H) -> H::Store {
    home.open().await.expect("the store opens")
}

fn account(text: &str) -> AccountId {
    text.parse().expect("an account")
}

fn bucket(name: &str) -> BucketId {
    BucketId::shared(account("000000000000"), name)
}

fn set(key: &str, value: &str) -> Write {
    Write::Set {
        key: key.to_owned(),
        value: value.as_bytes().to_vec().into(),
    }
}

fn delete(key: &str) -> Write {
    Write::Delete {
        key: key.to_owned(),
    }
}

async fn get(store: &impl KeyValueStore, bucket: &BucketId, key: &str) -> Option<String> {
    let mut found = store
        .get(bucket, vec![key.to_owned()])
        .await
        .expect("a read");
    let value = found.pop().expect("one answer for one key")?;
    Some(String::from_utf8(value.bytes).expect("text"))
}

async fn write(store: &impl KeyValueStore, bucket: &BucketId, writes: Vec<Write>) {
    store.write(bucket, writes).await.expect("a write");
}

fn refused<T: std::fmt::Debug>(result: Result<T, KeyValueError>, why: &str) {
    match result {
        Err(KeyValueError::Refused(_)) => {}
        other => panic!("{why}: expected a refusal, got {other:?}"),
    }
}

async fn values_read_back<H: Home>(home: &H) {
    let store = open(home).await;
    let bucket = bucket("b");
    assert_eq!(get(&store, &bucket, "k").await, None);
    assert!(!store.exists(&bucket, "k".into()).await.expect("a read"));
    write(&store, &bucket, vec![set("k", "1")]).await;
    assert!(store.exists(&bucket, "k".into()).await.expect("a read"));
    write(
        &store,
        &bucket,
        vec![set("k", "2"), set("ключ", ""), set("gone", "x")],
    )
    .await;
    write(&store, &bucket, vec![delete("gone"), delete("never there")]).await;
    let full = Value {
        bytes: vec![0, 255, 0],
        metadata: Some("{\"a\":1}".to_owned()),
        expires: Some(Timestamp::from_millis(i64::MAX)),
    };
    let with_all = Write::Set {
        key: "full".to_owned(),
        value: full.clone(),
    };
    write(&store, &bucket, vec![with_all]).await;
    let keys = ["full", "gone", "ключ", "k", "k"]
        .map(str::to_owned)
        .to_vec();
    let found = store.get(&bucket, keys).await.expect("a read");
    let text = |text: &str| Some(Value::from(text.as_bytes().to_vec()));
    assert_eq!(found, [Some(full), None, text(""), text("2"), text("2")]);
    write(&store, &bucket, Vec::new()).await;
    assert_eq!(store.get(&bucket, Vec::new()).await.expect("a read"), []);
}

async fn buckets_are_apart<H: Home>(home: &H) {
    let store = open(home).await;
    let function = |name: &str| FunctionKey {
        account: account("000000000000"),
        region: "eu-central-1".parse().expect("a region"),
        name: name.parse().expect("a name"),
    };
    let buckets = [
        bucket("a"),
        bucket("b"),
        BucketId::shared(account("000000000001"), "a"),
        BucketId::of_function(&function("a")),
        BucketId::of_function(&function("b")),
        // As text it would be the bucket of a function.
        bucket("function:eu-central-1:a"),
    ];
    for (n, bucket) in buckets.iter().enumerate() {
        write(&store, bucket, vec![set("k", &n.to_string())]).await;
    }
    for (n, bucket) in buckets.iter().enumerate() {
        assert_eq!(get(&store, bucket, "k").await, Some(n.to_string()));
    }
    store.remove(&buckets[0]).await.expect("removed");
    store.remove(&buckets[0]).await.expect("nothing to remove");
    assert_eq!(get(&store, &buckets[0], "k").await, None);
    assert_eq!(get(&store, &buckets[1], "k").await, Some("1".to_owned()));
}

async fn what_can_not_be_kept_is_refused<H: Home>(home: &H) {
    let store = open(home).await;
    let bucket = bucket("b");
    for key in [
        "".to_owned(),
        "k".repeat(KEY_BYTES + 1),
        "é".repeat(KEY_BYTES),
    ] {
        refused(store.get(&bucket, vec![key.clone()]).await, "get");
        refused(store.exists(&bucket, key.clone()).await, "exists");
        refused(store.write(&bucket, vec![set(&key, "v")]).await, "set");
        refused(store.write(&bucket, vec![delete(&key)]).await, "delete");
        refused(store.increment(&bucket, key.clone(), 1).await, "increment");
        refused(store.swap(&bucket, key, None, vec![]).await, "swap");
    }
    let longest = "k".repeat(KEY_BYTES);
    write(&store, &bucket, vec![set(&longest, "v")]).await;
    assert_eq!(get(&store, &bucket, &longest).await, Some("v".to_owned()));

    let large = |bytes: usize| Write::Set {
        key: "large".to_owned(),
        value: vec![b'x'; bytes].into(),
    };
    refused(
        store.write(&bucket, vec![large(VALUE_BYTES + 1)]).await,
        "too large",
    );
    write(&store, &bucket, vec![large(VALUE_BYTES)]).await;
    let found = get(&store, &bucket, "large").await.expect("a value");
    assert_eq!(found.len(), VALUE_BYTES);
    let twice = vec!["large".to_owned(); 2];
    refused(
        store.get(&bucket, twice).await,
        "an answer that is too large",
    );

    let wordy = Write::Set {
        key: "k".to_owned(),
        value: Value {
            metadata: Some("m".repeat(METADATA_BYTES + 1)),
            ..Value::default()
        },
    };
    refused(store.write(&bucket, vec![wordy]).await, "metadata");
    let many = vec!["k".to_owned(); MOST_KEYS + 1];
    refused(store.get(&bucket, many).await, "too many keys");
    let many = vec![delete("k"); MOST_KEYS + 1];
    refused(store.write(&bucket, many).await, "too many writes");
}

async fn writes_are_all_or_none<H: Home>(home: &H) {
    let store = open(home).await;
    let bucket = bucket("b");
    write(&store, &bucket, vec![set("a", "1")]).await;
    refused(
        store
            .write(&bucket, vec![set("a", "2"), set("b", "2"), set("", "2")])
            .await,
        "one key is not one",
    );
    assert_eq!(get(&store, &bucket, "a").await, Some("1".to_owned()));
    assert_eq!(get(&store, &bucket, "b").await, None);
    write(
        &store,
        &bucket,
        vec![set("a", "3"), delete("a"), set("a", "4")],
    )
    .await;
    assert_eq!(get(&store, &bucket, "a").await, Some("4".to_owned()));
}

async fn a_full_bucket_refuses_growth_alone<H: Home>(home: &H) {
    let store = open(home).await;
    let (full, other) = (bucket("full"), bucket("other"));
    let filling = |key: &str| Write::Set {
        key: key.to_owned(),
        value: vec![b'x'; VALUE_BYTES].into(),
    };
    write(&store, &full, vec![filling("1")]).await;
    write(&store, &full, vec![filling("2")]).await;
    refused(
        store
            .write(&full, vec![set("small", "x"), filling("3")])
            .await,
        "more than the bucket holds",
    );
    assert_eq!(get(&store, &full, "small").await, None, "all or none");
    write(&store, &other, vec![filling("3")]).await;
    // What is replaced or removed makes room.
    write(&store, &full, vec![filling("2")]).await;
    write(&store, &full, vec![delete("1")]).await;
    write(&store, &full, vec![filling("3")]).await;
    store.remove(&full).await.expect("removed");
    write(&store, &full, vec![filling("4")]).await;
    write(&store, &full, vec![filling("5")]).await;
}

async fn lists_by_name_are_in_order<H: Home>(home: &H) {
    let store = open(home).await;
    let bucket = bucket("b");
    let ask = async |prefix: &str, after: Option<&str>, limit| {
        let after = after.map(str::to_owned);
        let page = store.list_by_name(&bucket, prefix.to_owned(), after, limit);
        let page = page.await.expect("a list");
        let keys: Vec<_> = page.keys.iter().map(|listed| listed.key.clone()).collect();
        (keys.join(" "), page.more)
    };
    assert_eq!(ask("", None, 10).await, (String::new(), false));
    for key in ["b", "a:2", "ä", "a:1", "a", "a:10", "a;", "B"] {
        write(&store, &bucket, vec![set(key, "v")]).await;
    }
    assert_eq!(
        ask("", None, 10).await,
        ("B a a:1 a:10 a:2 a; b ä".to_owned(), false)
    );
    assert_eq!(
        ask("a:", None, 10).await,
        ("a:1 a:10 a:2".to_owned(), false)
    );
    assert_eq!(ask("a:", None, 2).await, ("a:1 a:10".to_owned(), true));
    assert_eq!(ask("a:", Some("a:10"), 2).await, ("a:2".to_owned(), false));
    assert_eq!(ask("c", None, 2).await, (String::new(), false));
    let expires = Timestamp::from_millis(4_102_444_800_000);
    let value = Value {
        bytes: Vec::new(),
        metadata: Some("{}".to_owned()),
        expires: Some(expires),
    };
    let key = "kept".to_owned();
    write(&store, &bucket, vec![Write::Set { key, value }]).await;
    let page = store.list_by_name(&bucket, "kept".to_owned(), None, 10);
    let kept = page.await.expect("a list").keys.pop().expect("one key");
    assert_eq!(kept.metadata.as_deref(), Some("{}"));
    assert_eq!(kept.expires, Some(expires));
}

async fn lists_give_each_key_once<H: Home>(home: &H) {
    let store = open(home).await;
    let bucket = bucket("b");
    let empty = store.list(&bucket, None, 10).await.expect("a list");
    assert_eq!((empty.keys.len(), empty.next), (0, None));
    for n in 0..25 {
        write(&store, &bucket, vec![set(&format!("k{n}"), "v")]).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    let mut pages = 0;
    loop {
        let page = store.list(&bucket, after, 10).await.expect("a list");
        assert!(page.keys.len() <= 10);
        seen.extend(page.keys);
        pages += 1;
        // Between pages one that was listed is written again, one goes, and one comes that was there before.
        write(&store, &bucket, vec![set("k0", "w")]).await;
        write(
            &store,
            &bucket,
            vec![delete("k24"), set(&format!("new{pages}"), "v")],
        )
        .await;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    for n in 0..24 {
        let key = format!("k{n}");
        assert_eq!(seen.iter().filter(|seen| **seen == key).count(), 1, "{key}");
    }
    assert!(
        !seen.contains(&"k24".to_owned()),
        "it was gone when its page was read"
    );
    let beyond = store
        .list(&bucket, Some(u64::MAX), 10)
        .await
        .expect("a list");
    assert_eq!((beyond.keys.len(), beyond.next), (0, None));
    let exact = store.list(&bucket, None, MOST_KEYS).await.expect("a list");
    assert_eq!((exact.keys.len(), exact.next), (24 + pages, None));
}

async fn numbers_add_up<H: Home>(home: &H) {
    let store = open(home).await;
    let bucket = bucket("b");
    let add = async |delta| store.increment(&bucket, "n".to_owned(), delta).await;
    assert_eq!(add(5).await.expect("a sum"), 5);
    assert_eq!(add(-7).await.expect("a sum"), -2);
    assert_eq!(get(&store, &bucket, "n").await, Some("-2".to_owned()));
    write(&store, &bucket, vec![set("n", &i64::MAX.to_string())]).await;
    refused(add(1).await, "too large");
    assert_eq!(add(0).await.expect("a sum"), i64::MAX);
    for text in ["", "one", "1.5", " 1", "9223372036854775808"] {
        write(&store, &bucket, vec![set("n", text)]).await;
        refused(add(1).await, "not a number");
        assert_eq!(get(&store, &bucket, "n").await, Some(text.to_owned()));
    }
}

async fn a_swap_needs_what_was_seen<H: Home>(home: &H) {
    let store = open(home).await;
    let bucket = bucket("b");
    let swap = async |current: Option<&str>, new: &str| {
        let current = current.map(|text| text.as_bytes().to_vec());
        store
            .swap(&bucket, "k".to_owned(), current, new.as_bytes().to_vec())
            .await
            .expect("a swap")
    };
    assert!(!swap(Some(""), "1").await, "an empty value is not none");
    assert!(swap(None, "1").await);
    assert!(!swap(None, "2").await);
    assert!(!swap(Some("0"), "2").await);
    assert!(swap(Some("1"), "2").await);
    assert_eq!(get(&store, &bucket, "k").await, Some("2".to_owned()));
}

async fn increments_of_many_callers_all_hold<H: Home>(home: &H) {
    let store = Arc::new(open(home).await);
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut sums = Vec::new();
                for _ in 0..20 {
                    let sum = store.increment(&bucket("b"), "n".to_owned(), 1).await;
                    sums.push(sum.expect("a sum"));
                }
                sums
            })
        })
        .collect();
    let mut sums = Vec::new();
    for caller in callers {
        sums.extend(caller.await.expect("a caller"));
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=320).collect::<Vec<i64>>(), "each sum once");
}

async fn one_of_many_swaps_wins<H: Home>(home: &H) {
    let store = Arc::new(open(home).await);
    for round in 0..10 {
        let key = format!("k{round}");
        let callers: Vec<_> = (0..8u8)
            .map(|n| {
                let (store, key) = (Arc::clone(&store), key.clone());
                tokio::spawn(async move { store.swap(&bucket("b"), key, None, vec![n]).await })
            })
            .collect();
        let mut winners = Vec::new();
        for (n, caller) in callers.into_iter().enumerate() {
            if caller.await.expect("a caller").expect("a swap") {
                winners.push(n);
            }
        }
        let [winner] = winners[..] else {
            panic!("{winners:?}");
        };
        let there = get(&*store, &bucket("b"), &key).await.expect("a value");
        assert_eq!(usize::from(there.as_bytes()[0]), winner);
    }
}

async fn what_expired_is_not_there<H: Home>(home: &H) {
    let store = open(home).await;
    let bucket = bucket("b");
    let expired = |key: &str| Write::Set {
        key: key.to_owned(),
        value: Value {
            bytes: vec![b'x'; VALUE_BYTES],
            metadata: None,
            expires: Some(Timestamp::from_millis(1)),
        },
    };
    for key in ["1", "2", "3", "4"] {
        // More than the bucket holds, if they stayed.
        write(&store, &bucket, vec![expired(key)]).await;
    }
    assert_eq!(get(&store, &bucket, "1").await, None);
    assert!(!store.exists(&bucket, "4".into()).await.expect("a read"));
    let page = store.list(&bucket, None, 10).await.expect("a list");
    assert_eq!(page.keys.len(), 0);
    let swapped = store.swap(&bucket, "4".into(), None, b"1".to_vec()).await;
    assert!(swapped.expect("a swap"), "it is as if it had never been");
    assert_eq!(
        store
            .increment(&bucket, "4".into(), 1)
            .await
            .expect("a sum"),
        2
    );
}

async fn what_was_answered_is_there_after_reopening<H: Home>(home: &H) {
    let bucket = bucket("b");
    for round in 0..3 {
        let store = open(home).await;
        for earlier in 0..round {
            let there = get(&store, &bucket, &format!("k{earlier}")).await;
            assert_eq!(there, Some(earlier.to_string()));
        }
        write(
            &store,
            &bucket,
            vec![set(&format!("k{round}"), &round.to_string())],
        )
        .await;
        let sum = store
            .increment(&bucket, "n".to_owned(), 1)
            .await
            .expect("a sum");
        assert_eq!(sum, round + 1);
    }
}
