//! The suite of `hearth_store::conformance`, run on each implementation.

use hearth_store::conformance::{Home, check};
use hearth_store::{SqliteStore, StoreError};
use tempfile::TempDir;

struct SqliteHome(TempDir);

impl Home for SqliteHome {
    type Store = SqliteStore;

    async fn open(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(self.0.path().join("hearth.db"))
    }

    async fn close(&self, store: SqliteStore) {
        drop(store);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    check(|| SqliteHome(TempDir::new().unwrap())).await;
}
