//! `wasi:keyvalue` and `wasi:config`, as a guest sees them.

use std::collections::BTreeMap;

use hearth_wasm::{KeyValue, KeyValueError, KeyValueGrant};

use super::*;

/// A bucket in memory that lists one key a page.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Bytes>>);

impl Memory {
    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().expect("entries")
    }
}

#[wasmtime_wasi::async_trait]
impl KeyValue for Memory {
    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, KeyValueError> {
        let entries = self.entries();
        Ok(keys.iter().map(|key| entries.get(key).cloned()).collect())
    }

    async fn exists(&self, key: String) -> Result<bool, KeyValueError> {
        Ok(self.entries().contains_key(&key))
    }

    async fn set(&self, new: Vec<(String, Bytes)>) -> Result<(), KeyValueError> {
        if new.iter().any(|(_, value)| value == "unwanted") {
            return Err(KeyValueError::Refused("not this one".to_owned()));
        }
        if new.iter().any(|(_, value)| value == "unlucky") {
            return Err(KeyValueError::Unavailable);
        }
        self.entries().extend(new);
        Ok(())
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
        let mut entries = self.entries();
        for key in keys {
            entries.remove(&key);
        }
        Ok(())
    }

    async fn list(&self, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
        let at = cursor.unwrap_or(0);
        let entries = self.entries();
        let page: Vec<_> = entries.keys().skip(at as usize).take(1).cloned().collect();
        let more = (at as usize + 1) < entries.len();
        Ok((page, more.then_some(at + 1)))
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, KeyValueError> {
        let mut entries = self.entries();
        let there = entries
            .get(&key)
            .map_or("0", |value| std::str::from_utf8(value).expect("a number"));
        let sum = there.parse::<i64>().expect("a number") + delta;
        entries.insert(key, sum.to_string().into());
        Ok(sum)
    }

    async fn swap(&self, _: String, _: Option<Bytes>, _: Bytes) -> Result<bool, KeyValueError> {
        Err(KeyValueError::Unavailable)
    }
}

async fn keeping(buckets: &[(&str, &Arc<Memory>)]) -> Function {
    let buckets = buckets
        .iter()
        .map(|(name, memory)| ((*name).to_owned(), Arc::clone(memory) as Arc<dyn KeyValue>))
        .collect();
    let grant = KeyValueGrant { buckets };
    function("store.wasm", |grants| grants.keyvalue = Some(grant)).await
}

/// The text of a response whatever its status, with the guest's log.
async fn said(function: &Function, path: &str) -> (String, String) {
    let (answer, ending, log) = exchange(function, get(path), LONG).await;
    assert_eq!(ending.failure, None, "{}", log.text("stderr"));
    let body = answer.expect("a response").into_body().expect("a body");
    let text = String::from_utf8(body.to_vec()).expect("text");
    (text, log.text("stderr"))
}

#[test]
fn what_one_instance_keeps_another_finds() {
    run(async {
        let own = Arc::new(Memory::default());
        let function = keeping(&[("", &own)]).await;
        for (path, answer) in [
            ("/get?bucket=&key=k", "none"),
            ("/exists?bucket=&key=k", "false"),
            ("/set?bucket=&key=k&value=v", "ok"),
            ("/get?bucket=&key=k", "some v"),
            ("/exists?bucket=&key=k", "true"),
            ("/increment?bucket=&key=n&value=3", "3"),
            ("/increment?bucket=&key=n&value=4", "7"),
            ("/list?bucket=", "k n"),
            ("/delete?bucket=&key=k", "ok"),
            ("/list?bucket=", "n"),
        ] {
            assert_eq!(said(&function, path).await.0, answer, "{path}");
        }
        assert_eq!(own.entries().len(), 1);
    });
}

#[test]
fn buckets_are_those_that_were_granted() {
    run(async {
        let (own, shared) = (Arc::default(), Arc::new(Memory::default()));
        let one = keeping(&[("", &own), ("shared", &shared)]).await;
        let two = keeping(&[("shared", &shared)]).await;
        said(&one, "/set?bucket=&key=k&value=own").await;
        said(&one, "/set?bucket=shared&key=k&value=both").await;
        assert_eq!(said(&two, "/get?bucket=shared&key=k").await.0, "some both");
        for path in ["/get?bucket=&key=k", "/get?bucket=other&key=k"] {
            let (text, log) = said(&two, path).await;
            assert!(text.contains("AccessDenied"), "{path}: {text}");
            assert!(log.contains("hearth:keyvalue"), "{log}");
        }
        let nothing = function("store.wasm", |_| {}).await;
        let (text, _) = said(&nothing, "/get?bucket=&key=k").await;
        assert!(text.contains("AccessDenied"), "{text}");
    });
}

#[test]
fn what_the_store_says_reaches_the_guest() {
    run(async {
        let own = Arc::default();
        let function = keeping(&[("", &own)]).await;
        let (text, _) = said(&function, "/set?bucket=&key=k&value=unwanted").await;
        assert!(text.contains("not this one"), "{text}");
        let (text, _) = said(&function, "/set?bucket=&key=k&value=unlucky").await;
        assert!(text.contains("can't be used now"), "{text}");
        let (text, _) = said(
            &function,
            "/increment?bucket=&key=k&value=18446744073709551615",
        )
        .await;
        assert!(text.contains("does not fit"), "{text}");
    });
}

#[test]
fn configuration_is_the_environment() {
    run(async {
        let function = function("store.wasm", |grants| {
            grants.environment = vec![("COLOUR".to_owned(), "green".to_owned())];
        })
        .await;
        assert_eq!(
            text(&function, "/config?key=COLOUR").await,
            "Ok(Some(\"green\"))"
        );
        assert_eq!(text(&function, "/config?key=SIZE").await, "Ok(None)");
        assert_eq!(
            text(&function, "/configs").await,
            "Ok([(\"COLOUR\", \"green\")])"
        );
    });
}
