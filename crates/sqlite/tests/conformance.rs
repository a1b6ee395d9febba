//! The contract, on real files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{TempDir, name, open};
use countersign_sqlite::SqliteStore;
use countersign_store::Durability;
use countersign_store::conformance::Kit;

/// A copy of the files as they lie there, in place of a process that is killed: nothing is closed first.
fn killed(store: &SqliteStore, to: PathBuf) -> PathBuf {
    let from = store.path();
    std::fs::create_dir_all(&to).unwrap();
    let file = to.join("access.db");
    for suffix in ["", "-wal"] {
        let side = |path: &std::path::Path| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(side(from), side(&file)).unwrap();
    }
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_store_keeps_the_contract() {
    let dir = Arc::new(TempDir::new("kit"));
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let next = move || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        dir.path().join(number.to_string())
    };
    let again = next.clone();
    Kit::new(move || {
        let place = next();
        async move {
            std::fs::create_dir_all(&place).unwrap();
            open(&place.join("access.db"))
        }
    })
    .claiming(Durability::LocalSync)
    .reopening(move |store: Arc<SqliteStore>| {
        let file = killed(&store, again());
        async move { open(&file) }
    })
    .spawning(|task| drop(tokio::spawn(task)))
    .run()
    .await
    .assert_conforms();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledgers_that_share_a_file_keep_the_contract_each() {
    let dir = Arc::new(TempDir::new("kit-shared"));
    let file = dir.file();
    let beside = SqliteStore::open(&file, &name("beside")).unwrap();
    let count = std::sync::atomic::AtomicU64::new(0);
    Kit::new(move || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = file.clone();
        async move { SqliteStore::open(&file, &name(&format!("ledger-{number}"))).unwrap() }
    })
    .spawning(|task| drop(tokio::spawn(task)))
    .run()
    .await
    .assert_conforms();
    drop(beside);
}
