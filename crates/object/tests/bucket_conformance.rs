//! The contract, in memory and on the local file system.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::TempDir;
use countersign_object::object_store::ObjectStore;
use countersign_object::object_store::local::LocalFileSystem;
use countersign_object::object_store::memory::InMemory;
use countersign_object::{BucketStore, Options};
use countersign_store::conformance::Kit;
use countersign_store::{AnyStore, Durability};

/// Many ledgers in one bucket, each under a prefix: none may see anything of another.
async fn conforms(objects: Arc<dyn ObjectStore>, options: Options, claim: Durability) {
    let next = AtomicU64::new(0);
    let (again, reopening) = (objects.clone(), options.clone());
    let report = Kit::new(move || {
        let prefix = format!("kit/{}", next.fetch_add(1, Ordering::Relaxed));
        let (objects, options) = (objects.clone(), options.clone());
        async move { options.open(objects, &prefix).await.unwrap() }
    })
    .claiming(claim)
    .reopening(move |store: Arc<BucketStore>| {
        let (objects, options) = (again.clone(), reopening.clone());
        async move { options.open(objects, store.prefix().as_ref()).await.unwrap() }
    })
    .beside(async |_| ())
    .spawning(|task| drop(tokio::spawn(task)))
    .run()
    .await;
    report.assert_conforms();
    // An object is there, or it is not.
    assert_eq!(report.skipped(), ["a_torn_append_leaves_whole_entries"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_in_memory_keeps_the_contract() {
    let options = Options::new().acknowledging(Durability::Volatile);
    conforms(Arc::new(InMemory::new()), options, Durability::Volatile).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_which_nothing_is_kept_in_memory_keeps_the_contract() {
    conforms(Arc::new(InMemory::new()), Options::new().keep(0), Durability::Service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_on_the_local_file_system_keeps_the_contract() {
    let dir = TempDir::new("kit");
    let objects = LocalFileSystem::new_with_prefix(dir.path()).unwrap().with_fsync(true);
    let options = Options::new().acknowledging(Durability::LocalSync);
    conforms(Arc::new(objects), options, Durability::LocalSync).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_chosen_at_run_time_keeps_the_contract() {
    let make = async || AnyStore::new(Options::new().open(Arc::new(InMemory::new()), "").await.unwrap());
    Kit::new(make).spawning(|task| drop(tokio::spawn(task))).run().await.assert_conforms();
}
