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
