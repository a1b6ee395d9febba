//! What is opened and what is refused; what is damaged is told, with its place.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{TempDir, everything, name, open};
use countersign_core::entry::{Entry, Head};
use countersign_core::time::Timestamp;
use countersign_sqlite::{APPLICATION_ID, OpenError, Options, SCHEMA_VERSION, SqliteStore, ledgers};
use countersign_store::conformance::Author;
use countersign_store::{AppendError, Batch, Store as _, StoreError};
use rusqlite::Connection;

fn refusal(path: &Path) -> OpenError {
    SqliteStore::open(path, &name("access")).unwrap_err()
}

/// A database with a ledger of so many entries.
async fn recorded(path: &Path, count: usize) -> Vec<Entry> {
    let store = open(path);
    let batch = Author::new(1).batch(Head::EMPTY, count);
    store.append(batch.clone()).await.unwrap();
    batch.entries().to_vec()
}

fn change(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn what_is_no_file_on_a_disk_is_refused() {
    for text in ["", ":memory:", "file:access.db?mode=memory"] {
        assert!(matches!(refusal(Path::new(text)), OpenError::NotAFileName { .. }), "case: {text}");
    }
    let dir = TempDir::new("names");
    assert!(matches!(refusal(dir.path()), OpenError::NotAFile { .. }));
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(dir.path().join("nothing.db"), &link).unwrap();
    assert!(matches!(refusal(&link), OpenError::NotAFile { .. }));
    assert!(!dir.path().join("nothing.db").exists());
}

#[tokio::test]
async fn a_link_leads_to_the_one_database_and_a_second_name_is_refused() {
    let dir = TempDir::new("links");
    let entries = recorded(&dir.file(), 2).await;
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(dir.file(), &link).unwrap();
    let (one, two) = (open(&link), open(&dir.file()));
    let next = Author::new(2).batch(entries[1].head(), 1);
    one.append(next.clone()).await.unwrap();
    assert_eq!(two.head().await.unwrap(), next.head());
    drop((one, two));
    fs::hard_link(dir.file(), dir.path().join("twin.db")).unwrap();
    assert!(matches!(refusal(&dir.file()), OpenError::Linked { links: 2, .. }));
}

#[tokio::test]
async fn the_files_of_others_are_refused_and_left_alone() {
    let dir = TempDir::new("foreign");
    let text = dir.path().join("notes.txt");
    fs::write(&text, "not a database, and longer than the header of one would have to be: ".repeat(40))
        .unwrap();
    assert!(matches!(refusal(&text), OpenError::NotADatabase { .. }));
    for (file, sql) in [
        ("table.db", "CREATE TABLE entries (seq INTEGER)"),
        ("id.db", "PRAGMA application_id = 7"),
        ("version.db", "PRAGMA user_version = 1"),
    ] {
        let path = dir.path().join(file);
        change(&path, sql);
        let before = fs::read(&path).unwrap();
        assert!(matches!(refusal(&path), OpenError::Foreign { .. }), "case: {file}");
        assert_eq!(fs::read(&path).unwrap(), before, "case: {file}");
    }
}

#[tokio::test]
async fn other_tables_than_were_made_are_refused() {
    let dir = TempDir::new("schema");
    recorded(&dir.file(), 1).await;
    change(&dir.file(), "CREATE TABLE reports (day TEXT); CREATE VIEW authors AS SELECT seq FROM entries");
    drop(open(&dir.file()));
    for (sql, undo, object) in [
        (
            "CREATE TRIGGER double AFTER INSERT ON entries BEGIN DELETE FROM entries WHERE seq = NEW.seq - 1; END",
            "DROP TRIGGER double",
            "double",
        ),
        (
            "ALTER TABLE checkpoints ADD COLUMN more TEXT",
            "ALTER TABLE checkpoints DROP COLUMN more",
            "checkpoints",
        ),
        ("DROP INDEX entries_by_digest", "", "entries_by_digest"),
    ] {
        change(&dir.file(), sql);
        let found = refusal(&dir.file());
        assert!(matches!(&found, OpenError::Altered { object: named, .. } if named == object), "{found:?}");
        change(&dir.file(), undo);
    }
    for version in [SCHEMA_VERSION + 1, SCHEMA_VERSION - 1] {
        change(&dir.file(), &format!("PRAGMA user_version = {version}"));
        let found = refusal(&dir.file());
        assert!(matches!(found, OpenError::Version { found, .. } if found == version), "{found:?}");
    }
    change(&dir.file(), "PRAGMA application_id = 0");
    assert!(matches!(refusal(&dir.file()), OpenError::Foreign { .. }));
    assert_ne!(APPLICATION_ID, 0);
}

#[tokio::test]
async fn a_database_that_its_writer_closed_last_is_one_file() {
    let dir = TempDir::new("closed");
    let entries = recorded(&dir.file(), 3).await;
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|found| found.unwrap().file_name()).collect();
    assert_eq!(names, ["access.db"]);
    let copy = dir.path().join("copy.db");
    fs::copy(dir.file(), &copy).unwrap();
    assert_eq!(everything(&open(&copy)).await.len(), entries.len());
}

#[tokio::test]
async fn what_is_not_there_is_made_only_by_who_may() {
    let dir = TempDir::new("missing");
    let (existing, access) = (Options::new().existing(), name("access"));
    for opened in [
        existing.clone().open(dir.file(), &access),
        existing.clone().open_read_only(dir.file(), &access),
        Options::new().open_read_only(dir.file(), &access),
    ] {
        assert!(matches!(opened, Err(OpenError::NotFound { .. })));
    }
    assert!(!dir.file().exists());
    drop(open(&dir.file()));
    for opened in
        [existing.open(dir.file(), &name("other")), Options::new().open_read_only(dir.file(), &name("other"))]
    {
        assert!(matches!(opened, Err(OpenError::NoLedger { .. })));
    }
    assert_eq!(ledgers(dir.file()).unwrap(), ["access"]);
}

#[tokio::test]
async fn who_reads_changes_nothing_and_sees_what_others_append() {
    let dir = TempDir::new("reader");
    let entries = recorded(&dir.file(), 3).await;
    let reader = Options::new().open_read_only(dir.file(), &name("access")).unwrap();
    let next = Author::new(2).batch(entries[2].head(), 2);
    assert!(matches!(reader.append(next.clone()).await, Err(AppendError::NotStored(StoreError::ReadOnly))));
    let writer = open(&dir.file());
    writer.append(next.clone()).await.unwrap();
    assert_eq!(reader.head().await.unwrap(), next.head());
    assert_eq!(everything(&reader).await.len(), 5);
}

#[tokio::test]
async fn what_was_changed_in_the_tables_is_damage_with_its_place() {
    let cases = [
        ("UPDATE entries SET leaf = zeroblob(32) WHERE seq = 2", 2),
        (
            "UPDATE entries SET bytes = CAST(replace(CAST(bytes AS TEXT), 'kit', 'kat') AS BLOB) WHERE seq = 2",
            2,
        ),
        ("DELETE FROM entries WHERE seq = 2", 2),
        ("UPDATE entries SET bytes = zeroblob(70000) WHERE seq = 2", 2),
        ("DELETE FROM entries WHERE seq < 2", 0),
    ];
    for (sql, wanted) in cases {
        let dir = TempDir::new("damage");
        recorded(&dir.file(), 5).await;
        change(&dir.file(), sql);
        let store = open(&dir.file());
        let found = store.read(0, 10).await;
        assert!(matches!(found, Err(StoreError::Damaged { seq, .. }) if seq == wanted), "{sql}: {found:?}");
    }
}

#[tokio::test]
async fn a_statement_that_is_kept_under_the_digest_of_another_is_damage() {
    let dir = TempDir::new("digest");
    let entries = recorded(&dir.file(), 3).await;
    let digest = entries[2].signed().digest();
    change(&dir.file(), "UPDATE entries SET digest = zeroblob(32) WHERE seq = 2");
    change(&dir.file(), &format!("UPDATE entries SET digest = x'{digest}' WHERE seq = 1"));
    let found = open(&dir.file()).find(digest).await;
    assert!(matches!(found, Err(StoreError::Damaged { seq: 1, .. })), "{found:?}");
}

#[tokio::test]
async fn a_last_entry_that_is_another_one_is_refused_at_opening() {
    let cases = [
        "UPDATE entries SET leaf = zeroblob(32) WHERE seq = 4",
        "UPDATE entries SET seq = 7 WHERE seq = 4",
        "UPDATE entries SET bytes = zeroblob(70000) WHERE seq = 4",
    ];
    for sql in cases {
        let dir = TempDir::new("last");
        recorded(&dir.file(), 5).await;
        change(&dir.file(), sql);
        assert!(matches!(refusal(&dir.file()), OpenError::Damaged { .. }), "{sql}");
    }
}

#[tokio::test]
async fn fewer_entries_than_the_checkpoint_is_over_are_refused() {
    let dir = TempDir::new("floor");
    let entries = recorded(&dir.file(), 5).await;
    let store = open(&dir.file());
    for size in [4, 6] {
        let refused = store.put_checkpoint(size, common::note(&entries)).await;
        let wanted =
            matches!(refused, Err(StoreError::Checkpoint { size: named, entries: 5 }) if named == size);
        assert!(wanted, "{refused:?}");
    }
    store.put_checkpoint(5, common::note(&entries)).await.unwrap();
    drop(store);
    change(&dir.file(), "DELETE FROM entries WHERE seq = 4");
    assert!(matches!(refusal(&dir.file()), OpenError::BelowFloor { entries: 4, floor: 5 }));
    change(&dir.file(), "UPDATE checkpoints SET note = x'78'");
    assert!(matches!(refusal(&dir.file()), OpenError::Checkpoint { .. }));
}

#[tokio::test]
async fn a_file_cut_anywhere_is_refused_or_shows_no_wrong_entry() {
    let dir = TempDir::new("cut");
    let entries = recorded(&dir.file(), 40).await;
    let whole = fs::read(dir.file()).unwrap();
    let cut = dir.path().join("cut.db");
    for length in (0..whole.len()).step_by(1_111).skip(1) {
        fs::write(&cut, &whole[..length]).unwrap();
        let Ok(store) = Options::new().existing().open(&cut, &name("access")) else { continue };
        let mut from = 0;
        while let Ok(read) = store.read(from, 7).await {
            if read.is_empty() {
                break;
            }
            for bytes in read {
                assert_eq!(bytes[..], entries[from as usize].bytes()[..]);
                from += 1;
            }
        }
    }
}

#[tokio::test]
async fn a_writer_whose_file_was_replaced_writes_nothing_more() {
    let dir = TempDir::new("replaced");
    let entries = recorded(&dir.file(), 2).await;
    let store = open(&dir.file());
    fs::rename(dir.file(), dir.path().join("moved.db")).unwrap();
    let next = Author::new(2).batch(entries[1].head(), 1);
    let refused = store.append(next.clone()).await;
    assert!(matches!(refused, Err(AppendError::NotStored(StoreError::Damaged { .. }))), "{refused:?}");
    let refused = store.append(next).await;
    assert!(matches!(refused, Err(AppendError::NotStored(StoreError::Poisoned))), "{refused:?}");
}

#[tokio::test]
async fn who_waits_in_vain_for_the_lock_stored_nothing() {
    let dir = TempDir::new("busy");
    let entries = recorded(&dir.file(), 2).await;
    let store = Options::new()
        .busy_timeout(std::time::Duration::from_millis(20))
        .open(dir.file(), &name("access"))
        .unwrap();
    let other = Connection::open(dir.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let next = Author::new(2).batch(entries[1].head(), 1);
    let refused = store.append(next.clone()).await;
    assert!(matches!(refused, Err(AppendError::NotStored(StoreError::Unavailable(_)))), "{refused:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.append(next.clone()).await.unwrap(), next.head());
}

#[tokio::test]
async fn a_repeated_statement_is_refused_with_all_of_its_batch() {
    let dir = TempDir::new("repeated");
    let entries = recorded(&dir.file(), 2).await;
    let store = open(&dir.file());
    let mut other = Author::new(2);
    let first = other.batch(entries[1].head(), 1);
    let again = Entry::seal(first.head(), Timestamp::MIN, entries[0].signed()).unwrap();
    let refused = store.append(Batch::new([first.entries(), &[again]].concat()).unwrap()).await;
    let digest = entries[0].signed().digest();
    let wanted = matches!(refused, Err(AppendError::NotStored(StoreError::Repeated { digest: named })) if named == digest);
    assert!(wanted, "{refused:?}");
    assert_eq!(store.head().await.unwrap(), entries[1].head());
    assert_eq!(store.find(first.entries()[0].signed().digest()).await.unwrap(), None);
    assert_eq!(store.append(first.clone()).await.unwrap(), first.head());
}

#[tokio::test]
async fn ledgers_of_one_file_do_not_touch_each_other() {
    let dir = TempDir::new("two");
    let entries = recorded(&dir.file(), 2).await;
    let (store, other) = (open(&dir.file()), SqliteStore::open(dir.file(), &name("other")).unwrap());
    assert_eq!(other.head().await.unwrap(), Head::EMPTY);
    assert_eq!(other.find(entries[0].signed().digest()).await.unwrap(), None);
    let batch = Author::new(2).batch(Head::EMPTY, 3);
    assert_eq!(other.append(batch.clone()).await.unwrap(), batch.head());
    assert_eq!(store.head().await.unwrap(), entries[1].head());
    assert_eq!(everything(&other).await.len(), 3);
    assert_eq!(ledgers(dir.file()).unwrap(), ["access", "other"]);
}
