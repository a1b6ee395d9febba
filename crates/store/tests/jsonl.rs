//! A ledger in one file: what is written reads back, near misses are named and nothing is repaired.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use countersign_core::checkpoint::Checkpoint;
use countersign_core::entry::{Entry, Head, MAX_ENTRY_LEN};
use countersign_core::event::Custom;
use countersign_core::id::{Label, LedgerName, LedgerRef, Namespace, Principal};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::merkle::CompactRange;
use countersign_core::statement::{Statement, Version};
use countersign_core::time::Timestamp;
use countersign_core::wire::{RawObject, Set};
use countersign_store::jsonl::{self, Draft, JsonlError};
use countersign_store::{Batch, BatchError, MemoryStore, Store as _};

/// A directory of one test, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-jsonl-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("ledger.jsonl")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn entries(count: u64) -> Vec<Entry> {
    let key = SecretKey::from_seed(&[9; 32]);
    let mut head = Head::EMPTY;
    let entry = |serial| {
        let statement = Statement {
            author: Principal::new("user:ann").unwrap(),
            cosigners: Set::default(),
            event: Custom {
                data: RawObject::new("{}").unwrap(),
                name: Label::new("noted").unwrap(),
                namespace: Namespace::new("example.org").unwrap(),
            }
            .into(),
            issued_at: Timestamp::MIN,
            key: key.public_key().key_id(),
            ledger: LedgerRef::Name(LedgerName::new("test").unwrap()),
            seen: None,
            serial,
            v: Version,
        };
        let entry = Entry::seal(head, Timestamp::MIN, &statement.sign(&key).unwrap()).unwrap();
        head = entry.head();
        entry
    };
    (1..=count).map(entry).collect()
}

fn store(entries: &[Entry]) -> MemoryStore {
    MemoryStore::from_entries(entries.iter().cloned()).unwrap()
}

fn note(entries: &[Entry]) -> Vec<u8> {
    let range: CompactRange = entries.iter().map(Entry::leaf).collect();
    let checkpoint = Checkpoint::new("test/00", range.size(), range.root()).unwrap();
    checkpoint.sign(&SecretKey::from_seed(&[8; 32])).unwrap().to_string().into_bytes()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_saved_is_the_exact_bytes_and_loads_again() {
    let (dir, entries) = (Dir::new("round"), entries(5));
    let saved = store(&entries);
    saved.put_checkpoint(4, note(&entries[..4]).into()).await.unwrap();
    jsonl::save(&saved, &dir.file()).unwrap();
    let wanted: Vec<u8> = entries.iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect();
    assert_eq!(fs::read(dir.file()).unwrap(), wanted);
    assert_eq!(fs::read(jsonl::checkpoint_path(&dir.file())).unwrap(), note(&entries[..4]));
    let loaded = jsonl::load(&dir.file()).unwrap();
    assert_eq!(loaded.head_now(), saved.head_now());
    assert_eq!(loaded.entries_now(), saved.entries_now());
    assert_eq!(loaded.checkpoint_now(), saved.checkpoint_now());
    let digest = entries[3].signed().digest();
    assert_eq!(loaded.find(digest).await.unwrap().map(|found| found.seq), Some(3));
    // No temporary file is left, and none of the others could be taken for a ledger.
    assert_eq!(names(&dir.0), ["ledger.jsonl", "ledger.jsonl.checkpoint"]);
}

#[test]
fn a_file_is_replaced_only_by_one_that_continues_it() {
    let (dir, all) = (Dir::new("replace"), entries(4));
    jsonl::save(&store(&all[..2]), &dir.file()).unwrap();
    jsonl::save(&store(&all[..2]), &dir.file()).unwrap();
    jsonl::save(&store(&all), &dir.file()).unwrap();
    let shorter = jsonl::save(&store(&all[..3]), &dir.file());
    let length: usize = all[..3].iter().map(|entry| entry.bytes().len() + 1).sum();
    assert!(
        matches!(shorter, Err(JsonlError::OtherHistory { offset, .. }) if offset == length as u64),
        "{shorter:?}"
    );
    let mut changed = fs::read(dir.file()).unwrap();
    changed[100] ^= 1;
    fs::write(dir.file(), &changed).unwrap();
    let other = jsonl::save(&store(&all), &dir.file());
    assert!(matches!(other, Err(JsonlError::OtherHistory { offset: 100, .. })), "{other:?}");
    assert_eq!(fs::read(dir.file()).unwrap(), changed);
    // What was given up leaves nothing behind, and an entry at a time tells how many stood there.
    assert_eq!(names(&dir.0), ["ledger.jsonl"]);
    changed[100] ^= 1;
    fs::write(dir.file(), &changed).unwrap();
    for kept in [4, 5] {
        let mut draft = Draft::new(&dir.file()).unwrap();
        entries(5).iter().for_each(|entry| draft.push(entry.bytes()).unwrap());
        assert_eq!(draft.finish(None).unwrap(), kept);
    }
}

#[tokio::test]
async fn a_checkpoint_over_more_entries_stays() {
    let (dir, entries) = (Dir::new("checkpoint"), entries(3));
    let saved = store(&entries);
    saved.put_checkpoint(2, note(&entries[..2]).into()).await.unwrap();
    fs::write(jsonl::checkpoint_path(&dir.file()), note(&entries)).unwrap();
    jsonl::save(&saved, &dir.file()).unwrap();
    assert_eq!(fs::read(jsonl::checkpoint_path(&dir.file())).unwrap(), note(&entries));
    fs::write(jsonl::checkpoint_path(&dir.file()), "no note").unwrap();
    assert!(matches!(jsonl::load(&dir.file()), Err(JsonlError::Checkpoint)));
}

#[test]
fn a_file_that_is_cut_anywhere_is_torn_or_shorter() {
    let (dir, entries) = (Dir::new("cut"), entries(3));
    jsonl::save(&store(&entries), &dir.file()).unwrap();
    let whole = fs::read(dir.file()).unwrap();
    for length in 0..whole.len() {
        fs::write(dir.file(), &whole[..length]).unwrap();
        let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        let start = whole[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        match jsonl::load(&dir.file()) {
            Ok(store) => assert!(start == length && store.head_now().size == lines as u64),
            Err(JsonlError::TornTail { seq, offset }) => {
                assert_eq!((seq, offset), (lines as u64, start as u64), "cut at {length}");
            }
            Err(error) => panic!("cut at {length}: {error:?}"),
        }
        assert_eq!(fs::read(dir.file()).unwrap(), whole[..length], "reading repairs nothing");
    }
}

#[test]
fn near_misses_of_a_file_are_named_with_place() {
    let (dir, entries) = (Dir::new("near"), entries(3));
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
        fs::write(dir.file(), bytes).unwrap();
        let error = jsonl::load(&dir.file()).unwrap_err();
        assert_eq!(place(&error), Some((1, second)), "case: {name}: {error:?}");
    }
    fs::write(dir.file(), lines[1..].concat()).unwrap();
    let headless = jsonl::load(&dir.file()).unwrap_err();
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
    let dir = Dir::new("links");
    let real = dir.0.join("real.jsonl");
    jsonl::save(&store(&entries(2)), &real).unwrap();
    std::os::unix::fs::symlink(&real, dir.file()).unwrap();
    assert!(matches!(jsonl::load(&dir.file()), Err(JsonlError::NotAFile { .. })));
    assert!(matches!(jsonl::save(&store(&entries(2)), &dir.file()), Err(JsonlError::NotAFile { .. })));
    assert!(matches!(jsonl::load(&dir.0), Err(JsonlError::NotAFile { .. })));
    assert!(matches!(jsonl::load(&dir.0.join("none.jsonl")), Err(JsonlError::Io(_))));
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
