//! `wasi:keyvalue@0.2.0-draft2`.

use wasmtime::component::{Linker, Resource};

use super::{Bucket, Buckets, Cas, Error, HasBuckets, buckets};
use crate::state::State;

#[allow(missing_docs, unreachable_pub, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/keyvalue-draft2",
        world: "imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::host::keyvalue::Bucket,
            "wasi:keyvalue/atomics.cas": crate::host::keyvalue::Cas,
        },
        trappable_error_type: { "wasi:keyvalue/store.error" => crate::host::keyvalue::Error },
        require_store_data_send: true,
    });
}

use bindings::wasi::keyvalue::{atomics, batch, store};

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasBuckets>(linker, buckets)?;
    atomics::add_to_linker::<_, HasBuckets>(linker, buckets)?;
    batch::add_to_linker::<_, HasBuckets>(linker, buckets)
}

impl store::Host for Buckets<'_> {
    async fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, Error> {
        self.open_bucket(&identifier)
    }

    fn convert_error(&mut self, error: Error) -> wasmtime::Result<store::Error> {
        Ok(said(error))
    }
}

fn said(error: Error) -> store::Error {
    match error {
        Error::AccessDenied => store::Error::AccessDenied,
        Error::Other(why) => store::Error::Other(why),
    }
}

impl store::HostBucket for Buckets<'_> {
    async fn get(
        &mut self,
        handle: Resource<Bucket>,
        key: String,
    ) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.bucket(&handle)?.get(key).await?.map(Vec::from))
    }

    async fn set(
        &mut self,
        handle: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        self.bucket(&handle)?.set(vec![(key, value)]).await
    }

    async fn delete(&mut self, handle: Resource<Bucket>, key: String) -> Result<(), Error> {
        self.bucket(&handle)?.delete(vec![key]).await
    }

    async fn exists(&mut self, handle: Resource<Bucket>, key: String) -> Result<bool, Error> {
        self.bucket(&handle)?.exists(key).await
    }

    async fn list_keys(
        &mut self,
        handle: Resource<Bucket>,
        cursor: Option<String>,
    ) -> Result<store::KeyResponse, Error> {
        let cursor = cursor
            .map(|text| text.parse())
            .transpose()
            .map_err(|_| Error::Other("the cursor is not one that a list has given".to_owned()))?;
        let (keys, cursor) = self.bucket(&handle)?.list(cursor).await?;
        Ok(store::KeyResponse {
            keys,
            cursor: cursor.map(|cursor| cursor.to_string()),
        })
    }

    async fn drop(&mut self, handle: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl atomics::Host for Buckets<'_> {
    async fn increment(
        &mut self,
        handle: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Result<i64, Error> {
        self.bucket(&handle)?.increment(key, delta).await
    }

    async fn swap(
        &mut self,
        handle: Resource<Cas>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), atomics::CasError>> {
        Ok(match self.swap_seen(handle, value).await {
            Ok(None) => Ok(()),
            Ok(Some(now)) => Err(atomics::CasError::CasFailed(now)),
            Err(error) => Err(atomics::CasError::StoreError(said(error))),
        })
    }
}

impl atomics::HostCas for Buckets<'_> {
    async fn new(&mut self, handle: Resource<Bucket>, key: String) -> Result<Resource<Cas>, Error> {
        let bucket = self.bucket(&handle)?;
        self.look(bucket, key).await
    }

    async fn current(&mut self, handle: Resource<Cas>) -> Result<Option<Vec<u8>>, Error> {
        self.seen(&handle)
    }

    async fn drop(&mut self, handle: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl batch::Host for Buckets<'_> {
    async fn get_many(
        &mut self,
        handle: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, Error> {
        let values = self.bucket(&handle)?.get_many(keys.clone()).await?;
        Ok(keys
            .into_iter()
            .zip(values)
            .map(|(key, value)| (key, value.map(Vec::from)))
            .collect())
    }

    async fn set_many(
        &mut self,
        handle: Resource<Bucket>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Error> {
        self.bucket(&handle)?.set(entries).await
    }

    async fn delete_many(
        &mut self,
        handle: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<(), Error> {
        self.bucket(&handle)?.delete(keys).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use bytes::Bytes;
    use wasmtime::component::ResourceTable;

    use super::store::{Host as _, HostBucket as _};
    use super::*;
    use crate::call::{Output, OutputStream};
    use crate::host::{KeyValue, KeyValueError, KeyValueGrant};

    /// One key, whatever it is called.
    #[derive(Default)]
    struct One(Mutex<Option<Bytes>>);

    #[async_trait]
    impl KeyValue for One {
        async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, KeyValueError> {
            Ok(vec![self.0.lock().expect("a value").clone(); keys.len()])
        }

        async fn exists(&self, _: String) -> Result<bool, KeyValueError> {
            Ok(self.0.lock().expect("a value").is_some())
        }

        async fn set(&self, entries: Vec<(String, Bytes)>) -> Result<(), KeyValueError> {
            *self.0.lock().expect("a value") = entries.into_iter().next().map(|(_, value)| value);
            Ok(())
        }

        async fn delete(&self, _: Vec<String>) -> Result<(), KeyValueError> {
            Err(KeyValueError::Unavailable)
        }

        async fn list(
            &self,
            cursor: Option<u64>,
        ) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
            Ok((Vec::new(), cursor.map(|cursor| cursor + 1)))
        }

        async fn increment(&self, _: String, delta: i64) -> Result<i64, KeyValueError> {
            Ok(delta)
        }

        async fn swap(
            &self,
            _: String,
            current: Option<Bytes>,
            new: Bytes,
        ) -> Result<bool, KeyValueError> {
            let mut value = self.0.lock().expect("a value");
            let same = *value == current;
            if same {
                *value = Some(new);
            }
            Ok(same)
        }
    }

    struct Silent;

    impl Output for Silent {
        fn write(&self, _: OutputStream, _: &[u8]) {}
    }

    fn key() -> String {
        "k".to_owned()
    }

    #[tokio::test]
    async fn a_swap_that_fails_gives_what_is_there_to_try_again() {
        let grant = KeyValueGrant {
            buckets: BTreeMap::from([(String::new(), Arc::new(One::default()) as _)]),
        };
        let mut table = ResourceTable::new();
        let mut guest = Buckets {
            table: &mut table,
            grant: Some(&grant),
            log: &(Arc::new(Silent) as Arc<dyn Output>),
        };
        let bucket = guest.open(String::new()).await.expect("a bucket");
        let bucket = || Resource::new_borrow(bucket.rep());
        let seen = |cas: &Resource<Cas>| Resource::new_borrow(cas.rep());

        let cas = atomics::HostCas::new(&mut guest, bucket(), key())
            .await
            .expect("a look");
        let current = atomics::HostCas::current(&mut guest, seen(&cas)).await;
        assert_eq!(current.expect("what was seen"), None);
        guest
            .set(bucket(), key(), b"other".to_vec())
            .await
            .expect("somebody else writes");

        let swapped = atomics::Host::swap(&mut guest, cas, b"mine".to_vec()).await;
        let Err(atomics::CasError::CasFailed(cas)) = swapped.expect("an answer") else {
            panic!("it was not as it was seen");
        };
        let current = atomics::HostCas::current(&mut guest, seen(&cas)).await;
        assert_eq!(current.expect("what is there"), Some(b"other".to_vec()));
        let swapped = atomics::Host::swap(&mut guest, cas, b"mine".to_vec()).await;
        assert!(matches!(swapped.expect("an answer"), Ok(())));
        let there = guest.get(bucket(), key()).await.expect("a value");
        assert_eq!(there, Some(b"mine".to_vec()));
    }

    #[tokio::test]
    async fn cursors_are_texts_that_lists_gave() {
        let grant = KeyValueGrant {
            buckets: BTreeMap::from([(String::new(), Arc::new(One::default()) as _)]),
        };
        let mut table = ResourceTable::new();
        let mut guest = Buckets {
            table: &mut table,
            grant: Some(&grant),
            log: &(Arc::new(Silent) as Arc<dyn Output>),
        };
        let bucket = guest.open(String::new()).await.expect("a bucket");
        let bucket = || Resource::new_borrow(bucket.rep());
        let page = guest.list_keys(bucket(), Some("41".to_owned())).await;
        assert_eq!(page.expect("a page").cursor.as_deref(), Some("42"));
        for text in ["", "-1", "k", "18446744073709551616"] {
            let page = guest.list_keys(bucket(), Some(text.to_owned())).await;
            assert!(matches!(page, Err(Error::Other(_))), "{text}");
        }
    }
}
