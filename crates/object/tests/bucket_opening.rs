//! What is opened and what is refused; what is damaged is told, with its place.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::everything;
use common::service::Service;
use countersign_core::checkpoint::Checkpoint;
use countersign_core::entry::{Entry, Head};
use countersign_core::key::SecretKey;
use countersign_core::merkle::Tree;
use countersign_object::object_store::memory::InMemory;
use countersign_object::object_store::path::Path;
use countersign_object::object_store::{ObjectStore as _, ObjectStoreExt as _};
use countersign_object::{BucketStore, OpenError, Options};
use countersign_store::conformance::Author;
use countersign_store::{AppendError, NoteBytes, Store as _, StoreError};
use futures_util::TryStreamExt as _;

fn note(entries: &[Entry]) -> NoteBytes {
    let tree: Tree = entries.iter().map(Entry::leaf).collect();
    let checkpoint = Checkpoint::new("kit", tree.size(), tree.root()).unwrap();
    checkpoint.sign(&SecretKey::from_seed(&[1; 32])).unwrap().to_string().into_bytes().into()
}

/// Three objects of 3, 1 and 4 entries.
async fn recorded() -> (Arc<InMemory>, BucketStore, Vec<Entry>) {
    let bucket = Arc::new(InMemory::new());
    let store = Options::new().keep(0).open(bucket.clone(), "acme").await.unwrap();
    let (mut author, mut entries) = (Author::new(1), Vec::new());
    for count in [3, 1, 4] {
        let batch = author.batch(entries.last().map_or(Head::EMPTY, Entry::head), count);
        store.append(batch.clone()).await.unwrap();
        entries.extend_from_slice(batch.entries());
    }
    (bucket, store, entries)
}

fn object(first: u64) -> Path {
    format!("acme/entries/{first:020}.jsonl").into()
}

async fn bytes(bucket: &InMemory, name: &Path) -> Vec<u8> {
    bucket.get(name).await.unwrap().bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn the_objects_joined_in_order_of_their_names_are_the_ledger_file() {
    let (bucket, _, entries) = recorded().await;
    let listed = bucket.list(Some(&"acme".into()));
    let mut names: Vec<_> = listed.map_ok(|object| object.location).try_collect().await.unwrap();
    names.sort();
    assert_eq!(names, [object(0), object(3), object(4)]);
    let mut joined = Vec::new();
    for name in &names {
        joined.extend(bytes(&bucket, name).await);
    }
    let lines: Vec<u8> = entries.iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect();
    assert_eq!(joined, lines);
}

#[tokio::test]
async fn what_was_changed_in_a_bucket_is_damage_with_its_place() {
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let cases: [(&str, u64, Change, u64); 6] = [
        ("cut within a line", 4, |bytes| bytes[..bytes.len() - 10].to_vec(), 4),
        ("without its last line feed", 0, |bytes| bytes[..bytes.len() - 1].to_vec(), 0),
        ("empty", 3, |_| Vec::new(), 3),
        ("an empty line more", 0, |bytes| [bytes, b"\n".to_vec()].concat(), 3),
        ("no entries", 3, |_| b"{}\n".to_vec(), 3),
        ("far too long", 3, |_| vec![b'x'; 9 << 20], 3),
    ];
    for (name, first, change, wanted) in cases {
        let (bucket, store, _) = recorded().await;
        let changed = change(bytes(&bucket, &object(first)).await);
        bucket.put(&object(first), changed.into()).await.unwrap();
        let refused = Options::new().open_read_only(bucket.clone(), "acme").await.unwrap_err();
        let told = matches!(refused, OpenError::Store(StoreError::Damaged { seq, .. }) if seq == wanted);
        assert!(told && refused.is_damage(), "case: {name}: {refused:?}");
        // Not even taken in.
        assert_eq!(refused.to_string().ends_with("too long"), name == "far too long", "{refused}");
        // Whoever has it open, and nothing of it in memory, finds out as he reads.
        let read = store.read(first, 9).await;
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "case: {name}: {read:?}");
    }
}

#[tokio::test]
async fn an_object_that_is_not_on_the_chain_of_names_is_named() {
    let (bucket, _, entries) = recorded().await;
    let behind = Author::new(2).batch(entries[7].head(), 1);
    let line = |entry: &Entry| [&entry.bytes()[..], b"\n"].concat();
    let cases = [
        ("within another object", object(5), line(&entries[5]), 5),
        ("behind a gap", object(9), line(&behind.entries()[0]), 8),
        ("another history behind the last", object(8), line(&entries[4]), 8),
        ("no name of ours", "acme/entries/8.jsonl".into(), line(&behind.entries()[0]), 0),
        ("a file of somebody", "acme/entries/notes.txt".into(), b"x".to_vec(), 0),
    ];
    for (name, path, contents, wanted) in cases {
        bucket.put(&path, contents.into()).await.unwrap();
        for opened in [
            Options::new().open(bucket.clone(), "acme").await,
            Options::new().open_read_only(bucket.clone(), "acme").await,
        ] {
            let refused = opened.unwrap_err();
            let told = matches!(refused, OpenError::Store(StoreError::Damaged { seq, .. }) if seq == wanted);
            assert!(told, "case: {name}: {refused:?}");
        }
        bucket.delete(&path).await.unwrap();
    }
    for first in [0, 3] {
        let (bucket, store, _) = recorded().await;
        bucket.delete(&object(first)).await.unwrap();
        let refused = Options::new().open(bucket.clone(), "acme").await.unwrap_err();
        let told = matches!(refused, OpenError::Store(StoreError::Damaged { seq, .. }) if seq == first);
        assert!(told, "case: without {first}: {refused:?}");
        let read = store.read(first, 9).await;
        assert!(matches!(read, Err(StoreError::Damaged { seq, .. }) if seq == first), "{read:?}");
    }
}

#[tokio::test]
async fn an_object_that_was_exchanged_for_another_is_noticed_by_who_has_read_it() {
    let (bucket, store, entries) = recorded().await;
    let other = Author::new(7).batch(entries[3].head(), 4);
    let lines: Vec<u8> =
        other.entries().iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect();
    bucket.put(&object(4), lines.into()).await.unwrap();
    let read = store.read(4, 9).await;
    assert!(matches!(read, Err(StoreError::Damaged { seq: 4, .. })), "{read:?}");
}

#[tokio::test]
async fn fewer_entries_than_the_checkpoint_is_over_are_refused() {
    let (bucket, store, entries) = recorded().await;
    for size in [7, 9] {
        let refused = store.put_checkpoint(size, note(&entries)).await;
        let wanted =
            matches!(refused, Err(StoreError::Checkpoint { size: named, entries: 8 }) if named == size);
        assert!(wanted, "{refused:?}");
    }
    store.put_checkpoint(3, note(&entries[..3])).await.unwrap();
    store.put_checkpoint(8, note(&entries)).await.unwrap();
    let listed = bucket.list(Some(&"acme/checkpoints".into()));
    let names: Vec<_> = listed.map_ok(|object| object.location).try_collect().await.unwrap();
    assert_eq!(names, ["acme/checkpoints/00000000000000000008.checkpoint".into()]);
    bucket.delete(&object(4)).await.unwrap();
    let refused = Options::new().open(bucket.clone(), "acme").await.unwrap_err();
    assert!(matches!(refused, OpenError::BelowFloor { entries: 4, floor: 8 }), "{refused:?}");
    assert!(refused.is_damage());
}

#[tokio::test]
async fn a_checkpoint_that_is_none_or_over_another_number_is_damage() {
    let (bucket, store, entries) = recorded().await;
    let name = "acme/checkpoints/00000000000000000008.checkpoint".into();
    for contents in [b"x".to_vec(), note(&entries[..3]).to_vec(), vec![b'x'; 10 << 20]] {
        bucket.put(&name, contents.into()).await.unwrap();
        let found = store.checkpoint().await;
        assert!(matches!(found, Err(StoreError::Damaged { seq: 8, .. })), "{found:?}");
    }
}

#[tokio::test]
async fn the_checkpoint_over_most_entries_counts_whoever_put_it() {
    let (bucket, store, entries) = recorded().await;
    let other = Options::new().open(bucket.clone(), "acme").await.unwrap();
    store.put_checkpoint(3, note(&entries[..3])).await.unwrap();
    other.put_checkpoint(8, note(&entries)).await.unwrap();
    store.put_checkpoint(4, note(&entries[..4])).await.unwrap();
    for store in [&store, &other] {
        assert_eq!(store.checkpoint().await.unwrap(), Some(note(&entries)));
    }
}

#[tokio::test]
async fn who_reads_changes_nothing_and_sees_what_others_append() {
    let (bucket, store, entries) = recorded().await;
    let reader =
        Options::new().poll(Duration::from_millis(5)).open_read_only(bucket.clone(), "acme").await.unwrap();
    let next = Author::new(2).batch(entries[7].head(), 2);
    let set = countersign_store::SnapshotSet { size: 8, snapshots: Vec::new() };
    assert!(matches!(reader.append(next.clone()).await, Err(AppendError::NotStored(StoreError::ReadOnly))));
    assert!(matches!(reader.put_checkpoint(8, note(&entries)).await, Err(StoreError::ReadOnly)));
    assert!(matches!(reader.put_snapshots(set).await, Err(StoreError::ReadOnly)));
    store.append(next.clone()).await.unwrap();
    // It polls by itself while somebody waits.
    tokio::time::timeout(Duration::from_secs(20), reader.wait(8)).await.unwrap();
    assert_eq!(reader.read(8, 9).await.unwrap().len(), 2);
    assert_eq!(reader.head().await.unwrap(), next.head());
    assert_eq!(everything(&reader).await.len(), 10);
}

#[tokio::test]
async fn ledgers_of_one_bucket_do_not_touch_each_other() {
    let bucket = Arc::new(InMemory::new());
    let mut stores = Vec::new();
    for (prefix, count) in [("acme", 1), ("acme/access", 2), ("acme-2", 3), ("entries", 4)] {
        let store = Options::new().open(bucket.clone(), prefix).await.unwrap();
        store.append(Author::new(count as u8).batch(Head::EMPTY, count)).await.unwrap();
        stores.push((prefix, count));
    }
    for (prefix, count) in stores {
        let store = Options::new().existing().open(bucket.clone(), prefix).await.unwrap();
        assert_eq!(everything(&store).await.len(), count, "case: {prefix}");
    }
    for prefix in ["a//b", "a/../b", "a\u{1}"] {
        let refused = Options::new().open(bucket.clone(), prefix).await.unwrap_err();
        assert!(matches!(refused, OpenError::Prefix { .. }), "case: {prefix:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_set_of_snapshots_that_can_not_be_read_is_passed_over() {
    let (bucket, store, _) = recorded().await;
    let set = |size| countersign_store::SnapshotSet {
        size,
        snapshots: vec![countersign_store::KeptSnapshot {
            name: "governance".to_owned(),
            note: b"note\n".as_slice().into(),
            payload: b"payload".as_slice().into(),
        }],
    };
    store.put_snapshots(set(3)).await.unwrap();
    store.put_snapshots(set(8)).await.unwrap();
    let name = "acme/snapshots/00000000000000000008.snapshots".into();
    let whole = bytes(&bucket, &name).await;
    bucket.put(&name, whole[..whole.len() - 1].to_vec().into()).await.unwrap();
    assert_eq!(store.snapshots(9).await.unwrap(), Some(set(3)));
}

#[tokio::test]
async fn opening_gets_each_object_once_and_lists_three_times() {
    let service = Arc::new(Service::new());
    let store = Options::new().open(service.clone(), "acme").await.unwrap();
    let mut head = Head::EMPTY;
    let mut author = Author::new(1);
    for _ in 0..40 {
        head = store.append(author.batch(head, 2)).await.unwrap();
    }
    let (puts, gets, lists) = service.counts();
    let reader = Options::new().open_read_only(service.clone(), "acme").await.unwrap();
    assert_eq!(service.counts(), (puts, gets + 40, lists + 3));
    assert_eq!(everything(&reader).await.len(), 80);
}
