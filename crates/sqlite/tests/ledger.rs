//! A ledger on the store: opened, added to, closed, opened again; and the same bytes as on the file store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{TempDir, everything, open};
use countersign_core::entry::Head;
use countersign_core::event::{ResourceRegistered, Tier};
use countersign_core::id::Resource;
use countersign_ledger::testing::{self, ManualClock};
use countersign_ledger::{Ledger, Recorder};
use countersign_store::conformance::Author;
use countersign_store::{AppendError, Durability, EntryBytes, FileStore, Store, StoreError};

const STATEMENTS: u64 = 20;

/// Records the same statements at the same times, with a reopening in the middle.
async fn record<S: Store + Clone>(open: impl Fn() -> S) -> S {
    let clock = ManualClock::new("2026-01-05T09:00:00.000Z".parse().unwrap());
    let recorder = || {
        Recorder::new(testing::key("service:recorder")).clock(clock.clone()).accepting(Durability::LocalSync)
    };
    let (genesis, [ada, ben, _]) = testing::genesis("acme", &clock);
    let ledger = Ledger::open(open(), recorder()).await.unwrap();
    ledger.submit(genesis).await.unwrap();
    let id = ledger.ledger_id().unwrap();
    let [ada, ben] = [ada, ben].map(|author| author.joined(id.clone()).clock(clock.clone()));
    let statement = |number: u64| {
        let event = ResourceRegistered {
            environment: None,
            governed_by: None,
            process: None,
            resource: Resource::new(&format!("db:acme/{number}")).unwrap(),
            tier: Tier::Low,
        };
        ada.state(event).cosigned_by([&ben]).sign().unwrap()
    };
    for number in 0..STATEMENTS / 2 {
        ledger.submit(statement(number)).await.unwrap();
    }
    ledger.close().await.unwrap();
    drop(ledger);
    let ledger = Ledger::open(open(), recorder()).await.unwrap();
    assert_eq!(ledger.head().size, 1 + STATEMENTS / 2);
    for number in STATEMENTS / 2..STATEMENTS {
        let receipt = ledger.submit(statement(number)).await.unwrap();
        assert_eq!(receipt.seq, number + 1);
    }
    ledger.close().await.unwrap();
    drop(ledger);
    open()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_on_sqlite_has_the_bytes_and_the_checkpoint_of_one_on_files() {
    let dir = TempDir::new("ledger");
    let database = record(|| open(&dir.file())).await;
    // It is locked for as long as a task of the first ledger is about to end.
    let files = FileStore::open(dir.path().join("access.ledger")).unwrap();
    let files = record(|| files.clone()).await;
    let mut lines: Vec<EntryBytes> = Vec::new();
    while let Some(read) =
        Some(files.read(lines.len() as u64, 100).await.unwrap()).filter(|read| !read.is_empty())
    {
        lines.extend(read);
    }
    assert_eq!(lines.len() as u64, 1 + STATEMENTS);
    assert_eq!(everything(&database).await, lines);
    let checkpoint = database.checkpoint().await.unwrap();
    assert!(checkpoint.is_some());
    assert_eq!(checkpoint, files.checkpoint().await.unwrap());
}

/// What a file system does that was shut down under a sync which it let succeed: the next read of the file fails (F-24).
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f24_a_commit_behind_which_the_log_can_not_be_read_is_an_unknown_outcome() {
    let dir = TempDir::new("log");
    let store = open(&dir.file());
    let mut author = Author::new(1);
    let first = author.batch(Head::EMPTY, 2);
    assert_eq!(store.append(first.clone()).await.unwrap(), first.head());
    let [log, aside] = ["access.db-wal", "aside"].map(|name| dir.path().join(name));
    std::fs::rename(&log, &aside).unwrap();
    let second = author.batch(first.head(), 3);
    let answer = store.append(second.clone()).await;
    assert!(matches!(answer, Err(AppendError::OutcomeUnknown(_))), "{answer:?}");
    std::fs::rename(&aside, &log).unwrap();
    let next = store.append(second.clone()).await;
    assert!(matches!(next, Err(AppendError::NotStored(StoreError::Poisoned))), "{next:?}");
    drop(store);
    // Opened anew, the same batch says what it came to.
    let store = open(&dir.file());
    assert_eq!(store.append(second.clone()).await.unwrap(), second.head());
    assert_eq!(everything(&store).await.len(), 5);
}
