//! What a guest asks of the outside: decided by the node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use hearth_wasm::{KeyValue, KeyValueError, KeyValueGrant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::{Rig, exchange, text};

/// A bucket in memory, which takes no value longer than ten bytes.
#[derive(Default)]
struct Bucket(Mutex<BTreeMap<String, Bytes>>);

#[async_trait]
impl KeyValue for Bucket {
    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, KeyValueError> {
        let map = self.0.lock().expect("the bucket");
        Ok(keys.iter().map(|key| map.get(key).cloned()).collect())
    }

    async fn exists(&self, key: String) -> Result<bool, KeyValueError> {
        Ok(self.0.lock().expect("the bucket").contains_key(&key))
    }

    async fn set(&self, entries: Vec<(String, Bytes)>) -> Result<(), KeyValueError> {
        if entries.iter().any(|(_, value)| value.len() > 10) {
            return Err(KeyValueError::Refused("The value is too long.".to_owned()));
        }
        self.0.lock().expect("the bucket").extend(entries);
        Ok(())
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
        let mut map = self.0.lock().expect("the bucket");
        keys.iter().for_each(|key| drop(map.remove(key)));
        Ok(())
    }

    async fn list(&self, _: Option<u64>) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
        let map = self.0.lock().expect("the bucket");
        Ok((map.keys().cloned().collect(), None))
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, KeyValueError> {
        let mut map = self.0.lock().expect("the bucket");
        let old = map
            .get(&key)
            .and_then(|value| std::str::from_utf8(value).ok()?.parse::<i64>().ok());
        let sum = old.unwrap_or(0) + delta;
        map.insert(key, sum.to_string().into());
        Ok(sum)
    }

    async fn swap(
        &self,
        key: String,
        current: Option<Bytes>,
        new: Bytes,
    ) -> Result<bool, KeyValueError> {
        let mut map = self.0.lock().expect("the bucket");
        let same = map.get(&key) == current.as_ref();
        if same {
            map.insert(key, new);
        }
        Ok(same)
    }
}

#[tokio::test]
async fn buckets_are_the_nodes() {
    let rig = Rig::working().await;
    let bucket = Arc::new(Bucket::default());
    let store = rig
        .function("store.wasm", |grants| {
            let granted = Arc::clone(&bucket) as Arc<dyn KeyValue>;
            grants.keyvalue = Some(KeyValueGrant {
                buckets: BTreeMap::from([("mine".to_owned(), granted)]),
            });
        })
        .await;
    for (path, answer) in [
        ("/get?bucket=mine&key=a", "none"),
        ("/set?bucket=mine&key=a&value=b", "ok"),
        ("/get?bucket=mine&key=a", "some b"),
        ("/exists?bucket=mine&key=a", "true"),
        ("/increment?bucket=mine&key=n&value=7", "7"),
        ("/list?bucket=mine", "a n"),
        ("/delete?bucket=mine&key=a", "ok"),
        ("/get?bucket=mine&key=a", "none"),
    ] {
        assert_eq!(text(&store, path).await, answer, "{path}");
    }
    let refused = text(&store, "/fill?bucket=mine&key=a&bytes=11").await;
    assert!(refused.contains("too long"), "{refused}");
    let (answer, _, log) = exchange(&store, "/get?bucket=theirs&key=a").await;
    let answer = answer.expect("a response").into_body();
    assert_eq!(answer, "Error::AccessDenied");
    assert!(log.contains("\"theirs\""), "{log}");
    assert_eq!(
        bucket.get(vec!["n".to_owned()]).await,
        Ok(vec![Some("7".into())])
    );
}

#[tokio::test]
async fn requests_go_where_the_node_lets_them() {
    let rig = Rig::working().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let answer = b"HTTP/1.1 203 Some\r\ncontent-length: 5\r\n\r\nhello";
            let _ = stream.write_all(answer).await;
        }
    });
    let path = format!("/fetch?url=http://127.0.0.1:{port}/");

    let denied = rig.function("abuse.wasm", |_| {}).await;
    let (answer, _, log) = exchange(&denied, &path).await;
    let answer = answer.expect("a response").into_body();
    assert_eq!(answer, "error=ErrorCode::HttpRequestDenied\n");
    assert!(log.contains("was denied"), "{log}");

    let allowed = rig
        .function("abuse.wasm", |grants| {
            grants.hosts = format!("127.0.0.1:{port}").parse().expect("hosts");
        })
        .await;
    assert_eq!(text(&allowed, &path).await, "status=203\nbody=hello\n");
}
