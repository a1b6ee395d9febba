//! The store keeps the contract, on a real server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use countersign_postgres::PostgresStore;
use countersign_store::conformance::Kit;
use countersign_store::{AnyStore, Durability};
use support::{new_schema, open, options, pool, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_postgres_store_keeps_the_contract() {
    let Some(server) = server("the_postgres_store_keeps_the_contract") else { return };
    let pool = pool(server.url()).await;
    let schema = new_schema();
    let report = Kit::new(move || {
        // Many ledgers in one schema: none may see anything of another.
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let name = format!("kit-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let (pool, schema) = (pool.clone(), schema.clone());
        async move { Named { store: options(&schema).open(&pool, &name).await.unwrap(), schema, name } }
    })
    .claiming(Durability::LocalSync)
    .reopening(async |store: Arc<Named>| {
        let Named { store, schema, name } = &*store;
        let reopened = options(schema).open(store.pool(), name).await.unwrap();
        Named { store: reopened, schema: schema.clone(), name: name.clone() }
    })
    .beside(async |store: Arc<Named>| {
        // It reads, has an id of its own, and stays open.
        let mut other = store.store.pool().begin().await.unwrap();
        let sql = "SELECT txid_current(), count(*) FROM pg_class";
        sqlx::query(sql).execute(&mut *other).await.unwrap();
        other
    })
    .spawning(|task| drop(tokio::spawn(task)))
    .run()
    .await;
    report.assert_conforms();
    // What a crash leaves of a transaction is the server's.
    assert_eq!(report.skipped(), ["a_torn_append_leaves_whole_entries"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_chosen_at_run_time_keeps_the_contract() {
    let Some(server) = server("a_store_chosen_at_run_time_keeps_the_contract") else { return };
    let pool = pool(server.url()).await;
    let make = move || {
        let pool = pool.clone();
        async move { AnyStore::new(open(&pool, &new_schema()).await) }
    };
    Kit::new(make).polling(1_000).spawning(|task| drop(tokio::spawn(task))).run().await.assert_conforms();
}

/// A store, and what it takes to open it anew.
struct Named {
    store: PostgresStore,
    schema: countersign_postgres::SchemaName,
    name: String,
}

mod forward {
    use countersign_core::digest::StatementDigest;
    use countersign_core::entry::Head;
    use countersign_store::*;

    impl Store for super::Named {
        fn durability(&self) -> Durability {
            self.store.durability()
        }
        async fn head(&self) -> Result<Head, StoreError> {
            self.store.head().await
        }
        async fn append(&self, batch: Batch) -> Result<Head, AppendError> {
            self.store.append(batch).await
        }
        async fn read(&self, from: u64, max: usize) -> Result<Vec<EntryBytes>, StoreError> {
            self.store.read(from, max).await
        }
        async fn find(&self, digest: StatementDigest) -> Result<Option<Found>, StoreError> {
            self.store.find(digest).await
        }
        async fn checkpoint(&self) -> Result<Option<NoteBytes>, StoreError> {
            self.store.checkpoint().await
        }
        async fn put_checkpoint(&self, size: u64, note: NoteBytes) -> Result<(), StoreError> {
            self.store.put_checkpoint(size, note).await
        }
        async fn snapshots(&self, size: u64) -> Result<Option<SnapshotSet>, StoreError> {
            self.store.snapshots(size).await
        }
        async fn put_snapshots(&self, set: SnapshotSet) -> Result<(), StoreError> {
            self.store.put_snapshots(set).await
        }
    }
}
