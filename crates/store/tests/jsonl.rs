//! A ledger in one file: what is written reads back, near misses are named and nothing is repaired.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{TempDir, entries, names, note};
use countersign_core::entry::{Entry, Head, MAX_ENTRY_LEN};
use countersign_core::time::Timestamp;
use countersign_store::jsonl::{self, Draft, JsonlError};
use countersign_store::{Batch, BatchError, MemoryStore, Store as _};

/// Where a ledger goes.
fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("ledger.jsonl")
}

fn store(entries: &[Entry]) -> MemoryStore {
    MemoryStore::from_entries(entries.iter().cloned()).unwrap()
}

#[tokio::test]
async fn what_is_saved_is_the_exact_bytes_and_loads_again() {
    let (dir, entries) = (TempDir::new("round"), entries(5));
    let saved = store(&entries);
    saved.put_checkpoint(4, note(&entries[..4])).await.unwrap();
    jsonl::save(&saved, &file(&dir)).unwrap();
    let wanted: Vec<u8> = entries.iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect();
    assert_eq!(fs::read(file(&dir)).unwrap(), wanted);
    assert_eq!(fs::read(jsonl::checkpoint_path(&file(&dir))).unwrap(), note(&entries[..4]).to_vec());
    let loaded = jsonl::load(&file(&dir)).unwrap();
    assert_eq!(loaded.head_now(), saved.head_now());
    assert_eq!(loaded.entries_now(), saved.entries_now());
    assert_eq!(loaded.checkpoint_now(), saved.checkpoint_now());
    let digest = entries[3].signed().digest();
    assert_eq!(loaded.find(digest).await.unwrap().map(|found| found.seq), Some(3));
    // No temporary file is left, and none of the others could be taken for a ledger.
    assert_eq!(names(dir.path()), ["ledger.jsonl", "ledger.jsonl.checkpoint"]);
}

#[test]
fn a_file_is_replaced_only_by_one_that_continues_it() {
    let (dir, all) = (TempDir::new("replace"), entries(4));
    jsonl::save(&store(&all[..2]), &file(&dir)).unwrap();
    jsonl::save(&store(&all[..2]), &file(&dir)).unwrap();
    jsonl::save(&store(&all), &file(&dir)).unwrap();
    let shorter = jsonl::save(&store(&all[..3]), &file(&dir));
    let length: usize = all[..3].iter().map(|entry| entry.bytes().len() + 1).sum();
    assert!(
        matches!(shorter, Err(JsonlError::OtherHistory { offset, .. }) if offset == length as u64),
        "{shorter:?}"
    );
    let mut changed = fs::read(file(&dir)).unwrap();
    changed[100] ^= 1;
    fs::write(file(&dir), &changed).unwrap();
    let other = jsonl::save(&store(&all), &file(&dir));
    assert!(matches!(other, Err(JsonlError::OtherHistory { offset: 100, .. })), "{other:?}");
    assert_eq!(fs::read(file(&dir)).unwrap(), changed);
    // What was given up leaves nothing behind, and an entry at a time tells how many stood there.
    assert_eq!(names(dir.path()), ["ledger.jsonl"]);
    changed[100] ^= 1;
    fs::write(file(&dir), &changed).unwrap();
    for kept in [4, 5] {
        let mut draft = Draft::new(&file(&dir)).unwrap();
        entries(5).iter().for_each(|entry| draft.push(entry.bytes()).unwrap());
        assert_eq!(draft.finish(None).unwrap(), kept);
    }
}

#[tokio::test]
async fn a_checkpoint_over_more_entries_stays() {
    let (dir, entries) = (TempDir::new("checkpoint"), entries(3));
    let saved = store(&entries);
    saved.put_checkpoint(2, note(&entries[..2])).await.unwrap();
    fs::write(jsonl::checkpoint_path(&file(&dir)), note(&entries)).unwrap();
    jsonl::save(&saved, &file(&dir)).unwrap();
    assert_eq!(fs::read(jsonl::checkpoint_path(&file(&dir))).unwrap(), note(&entries).to_vec());
    fs::write(jsonl::checkpoint_path(&file(&dir)), "no note").unwrap();
    assert!(matches!(jsonl::load(&file(&dir)), Err(JsonlError::Checkpoint)));
}

#[test]
fn a_file_that_is_cut_anywhere_is_torn_or_shorter() {
    let (dir, entries) = (TempDir::new("cut"), entries(3));
    jsonl::save(&store(&entries), &file(&dir)).unwrap();
    let whole = fs::read(file(&dir)).unwrap();
    for length in 0..whole.len() {
        fs::write(file(&dir), &whole[..length]).unwrap();
        let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        let start = whole[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        match jsonl::load(&file(&dir)) {
            Ok(store) => assert!(start == length && store.head_now().size == lines as u64),
            Err(JsonlError::TornTail { seq, offset }) => {
                assert_eq!((seq, offset), (lines as u64, start as u64), "cut at {length}");
            }
            Err(error) => panic!("cut at {length}: {error:?}"),
        }
        assert_eq!(fs::read(file(&dir)).unwrap(), whole[..length], "reading repairs nothing");
    }
}

#[test]
fn near_misses_of_a_file_are_named_with_place() {
    let (dir, entries) = (TempDir::new("near"), entries(3));
    let lines: Vec<Vec<u8>> = entries.iter().map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect();
    let second = lines[0].len() as u64;
    let long = [&lines[0][..], &vec![b' '; MAX_ENTRY_LEN + 1], b"\n"].concat();
    let longest = [&lines[0][..], &vec![b' '; MAX_ENTRY_LEN], b"\n"].concat();
    type Place = fn(&JsonlError) -> Option<(u64, u64)>;
    let cases: [(&str, Vec<u8>, Place); 7] = [
        ("empty line", [&lines[0][..], b"\n", &lines[1]].concat(), line),
        ("carriage return", [&lines[0][..], &lines[1][..lines[1].len() - 1], b"\r\n"].concat(), line),
        ("not an entry", [&lines[0][..], b"{}\n"].concat(), line),
        ("longest line", longest, line),
        ("too long", long, too_long),
        ("left out", [&lines[0][..], &lines[2]].concat(), unlinked),
        ("twice", [&lines[0][..], &lines[0]].concat(), unlinked),
    ];
    for (name, bytes, place) in cases {
        fs::write(file(&dir), bytes).unwrap();
        let error = jsonl::load(&file(&dir)).unwrap_err();
        assert_eq!(place(&error), Some((1, second)), "case: {name}: {error:?}");
    }
    fs::write(file(&dir), lines[1..].concat()).unwrap();
    let headless = jsonl::load(&file(&dir)).unwrap_err();
    assert_eq!(unlinked(&headless), Some((0, 0)), "{headless:?}");

    fn line(error: &JsonlError) -> Option<(u64, u64)> {
        if let JsonlError::Line { seq, offset, .. } = error { Some((*seq, *offset)) } else { None }
    }
    fn too_long(error: &JsonlError) -> Option<(u64, u64)> {
        if let JsonlError::LineTooLong { seq, offset } = error { Some((*seq, *offset)) } else { None }
    }
    fn unlinked(error: &JsonlError) -> Option<(u64, u64)> {
        if let JsonlError::Unlinked { seq, offset } = error { Some((*seq, *offset)) } else { None }
    }
}

#[cfg(unix)]
#[test]
fn links_and_directories_are_not_followed() {
    let dir = TempDir::new("links");
    let real = dir.path().join("real.jsonl");
    jsonl::save(&store(&entries(2)), &real).unwrap();
    std::os::unix::fs::symlink(&real, file(&dir)).unwrap();
    assert!(matches!(jsonl::load(&file(&dir)), Err(JsonlError::NotAFile { .. })));
    assert!(matches!(jsonl::save(&store(&entries(2)), &file(&dir)), Err(JsonlError::NotAFile { .. })));
    assert!(matches!(jsonl::load(dir.path()), Err(JsonlError::NotAFile { .. })));
    assert!(matches!(jsonl::load(&dir.path().join("none.jsonl")), Err(JsonlError::Io(_))));
}

#[test]
fn a_batch_is_chained_and_not_empty() {
    let entries = entries(4);
    assert_eq!(Batch::new(vec![]).unwrap_err(), BatchError::Empty);
    let gap = vec![entries[0].clone(), entries[2].clone()];
    assert_eq!(Batch::new(gap).unwrap_err(), BatchError::Unlinked { seq: 2 });
    let fork = Entry::seal(Head { size: 1, leaf: entries[1].leaf() }, Timestamp::MIN, entries[1].signed());
    let forked = vec![entries[0].clone(), fork.unwrap()];
    assert_eq!(Batch::new(forked).unwrap_err(), BatchError::Unlinked { seq: 1 });
    assert!(MemoryStore::from_entries(entries[1..].to_vec()).is_err());
    let batch = Batch::new(entries[1..].to_vec()).unwrap();
    assert_eq!((batch.expected(), batch.head()), (entries[0].head(), entries[3].head()));
}

#[tokio::test]
async fn a_wake_up_comes_with_the_append_and_leaves_nothing_behind_when_dropped() {
    let (entries, store) = (entries(3), MemoryStore::new());
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.wait(1).await }
    });
    tokio::task::yield_now().await;
    store.append(Batch::new(entries[..1].to_vec()).unwrap()).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    store.append(Batch::new(entries[1..2].to_vec()).unwrap()).await.unwrap();
    waiting.await.unwrap();
    store.wait(1).await;
    let mut dropped = Box::pin(store.wait(2));
    assert!(
        std::future::poll_fn(|context| std::task::Poll::Ready(dropped.as_mut().poll(context).is_pending()))
            .await
    );
    drop(dropped);
    store.append(Batch::new(entries[2..].to_vec()).unwrap()).await.unwrap();
}
