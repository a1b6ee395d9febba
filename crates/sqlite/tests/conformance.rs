//! The contract, on real files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::sync::Arc;

use common::{TempDir, name, open};
use countersign_sqlite::SqliteStore;
use countersign_store::conformance::Kit;
use countersign_store::{Batch, Durability, Store as _};
use rusqlite::Connection;

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

/// A transaction that somebody else began, with whatever program, and leaves open.
fn begun(store: &SqliteStore) -> Connection {
    let other = Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN").unwrap();
    other.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, i64>(0)).unwrap();
    other
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sqlite_store_keeps_the_contract() {
    let dir = Arc::new(TempDir::new("kit"));
    let count = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let next = move || {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        dir.path().join(number.to_string())
    };
    let (again, torn) = (next.clone(), next.clone());
    let report = Kit::new(move || {
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
    .tearing(move |store: Arc<SqliteStore>, batch: Batch| {
        let to = torn();
        async move {
            store.append(batch).await.unwrap();
            let file = killed(&store, to);
            // The last page of its commit is not whole.
            let log = OpenOptions::new().write(true).open(format!("{}-wal", file.display())).unwrap();
            log.set_len(log.metadata().unwrap().len() - 100).unwrap();
            open(&file)
        }
    })
    .beside(async |store: Arc<SqliteStore>| begun(&store))
    .spawning(|task| drop(tokio::spawn(task)))
    .run()
    .await;
    report.assert_conforms();
    assert_eq!(report.skipped(), [""; 0]);
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
    .beside(async |store: Arc<SqliteStore>| begun(&store))
    .spawning(|task| drop(tokio::spawn(task)))
    .run()
    .await
    .assert_conforms();
    drop(beside);
}
