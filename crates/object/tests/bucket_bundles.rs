//! Bundles: fewer requests for those who read, and never another ledger.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::{Arc, Mutex};

use common::everything;
use common::service::{Call, Fault, Service};
use countersign_core::entry::{Entry, Head};
use countersign_object::object_store::memory::InMemory;
use countersign_object::object_store::path::Path;
use countersign_object::object_store::{ObjectStore, ObjectStoreExt as _};
use countersign_object::{BucketStore, Options};
use countersign_store::conformance::{Author, Kit};
use countersign_store::{EntryBytes, Store as _, StoreError};
use futures_util::TryStreamExt as _;

/// Of two objects each, and nothing kept in memory.
fn options() -> Options {
    Options::new().bundle(2).keep(0)
}

async fn open(objects: &Arc<dyn ObjectStore>) -> BucketStore {
    options().open(objects.clone(), "acme").await.unwrap()
}

/// So many objects, of one and two entries in turn, and their bundles.
async fn recorded(objects: &Arc<dyn ObjectStore>, count: usize) -> Vec<Entry> {
    let store = Options::new().open(objects.clone(), "acme").await.unwrap();
    let (mut author, mut entries) = (Author::new(1), Vec::new());
    for number in 0..count {
        let batch = author.batch(entries.last().map_or(Head::EMPTY, Entry::head), 1 + number % 2);
        store.append(batch.clone()).await.unwrap();
        entries.extend_from_slice(batch.entries());
    }
    open(objects).await;
    entries
}

async fn names(objects: &dyn ObjectStore, folder: &str) -> Vec<Path> {
    let listed = objects.list(Some(&format!("acme/{folder}").into()));
    let mut names: Vec<_> = listed.map_ok(|object| object.location).try_collect().await.unwrap();
    names.sort();
    names
}

async fn bundles(objects: &dyn ObjectStore) -> Vec<Path> {
    let mut names = names(objects, "bundles").await;
    names.retain(|name| name.as_ref().ends_with(".jsonl"));
    names
}

fn bytes(entries: &[Entry]) -> Vec<EntryBytes> {
    entries.iter().map(|entry| entry.bytes().clone()).collect()
}

fn bucket() -> (Arc<InMemory>, Arc<dyn ObjectStore>) {
    let bucket = Arc::new(InMemory::new());
    (bucket.clone(), bucket)
}

/// Everything there is, found by its digest too, as each kind of reader has it.
async fn assert_whole(objects: &Arc<dyn ObjectStore>, entries: &[Entry]) {
    for opened in [
        options().open_read_only(objects.clone(), "acme").await.unwrap(),
        Options::new().open(objects.clone(), "acme").await.unwrap(),
    ] {
        assert_eq!(opened.head().await.unwrap(), entries.last().unwrap().head());
        assert_eq!(everything(&opened).await, bytes(entries));
        for entry in entries {
            let found = opened.find(entry.signed().digest()).await.unwrap().unwrap();
            assert_eq!((found.seq, &found.bytes), (entry.seq(), entry.bytes()));
        }
        assert_eq!(opened.find(Author::new(9).statement().digest()).await.unwrap(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_with_bundles_keeps_the_contract() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let next = std::sync::atomic::AtomicU64::new(0);
    let again = objects.clone();
    Kit::new(move || {
        let prefix = format!("kit/{}", next.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let objects = objects.clone();
        async move { options().open(objects, &prefix).await.unwrap() }
    })
    .reopening(move |store: Arc<BucketStore>| {
        let objects = again.clone();
        async move { options().open(objects, store.prefix().as_ref()).await.unwrap() }
    })
    .spawning(|task| drop(tokio::spawn(task)))
    .run()
    .await
    .assert_conforms();
}

#[tokio::test]
async fn bundles_are_the_entries_of_the_objects_that_stay() {
    let (bucket, objects) = bucket();
    let entries = recorded(&objects, 9).await;
    assert_eq!(names(&*objects, "entries").await.len(), 9);
    let bundles = bundles(&*objects).await;
    assert_eq!(bundles.len(), 4, "the last object is in none: {bundles:?}");
    let mut joined = Vec::new();
    for bundle in &bundles {
        joined.extend(bucket.get(bundle).await.unwrap().bytes().await.unwrap().to_vec());
    }
    let lines: Vec<u8> =
        entries[..12].iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect();
    assert_eq!(joined, lines);
    assert_eq!(bundles[0].as_ref(), format!("acme/bundles/{:020}-{:020}-{}.jsonl", 0, 3, entries[2].leaf()));
    assert_whole(&objects, &entries).await;
}

#[tokio::test]
async fn opening_gets_what_is_behind_the_last_bundle_alone() {
    let service = Arc::new(Service::new());
    let objects: Arc<dyn ObjectStore> = service.clone();
    let writer = Options::new().bundle(100).open(objects.clone(), "acme").await.unwrap();
    let (mut author, mut head) = (Author::new(1), Head::EMPTY);
    for _ in 0..1_030 {
        head = writer.append(author.batch(head, 1)).await.unwrap();
        // The task that makes bundles has its turn.
        tokio::task::yield_now().await;
    }
    assert_eq!(bundles(&*service.inner()).await.len(), 10);
    let (puts, gets, lists) = service.counts();
    let reader = Options::new().open_read_only(objects.clone(), "acme").await.unwrap();
    assert_eq!(service.counts(), (puts, gets + 30, lists + 3));
    assert_eq!(everything(&reader).await.len(), 1_030);
    // Ten bundles, and a look for what comes behind the last object.
    assert_eq!(service.counts(), (puts, gets + 30 + 11, lists + 3));
}

#[tokio::test]
async fn bundles_that_are_gone_or_spoilt_cost_time_and_nothing_else() {
    for spoilt in ["gone", "cut", "empty", "another history", "an entry changed", "without its end"] {
        let (bucket, objects) = bucket();
        let entries = recorded(&objects, 9).await;
        let bundles = bundles(&*objects).await;
        let early = options().open_read_only(objects.clone(), "acme").await.unwrap();
        for bundle in &bundles[1..3] {
            let whole = bucket.get(bundle).await.unwrap().bytes().await.unwrap().to_vec();
            let other = Author::new(5).batch(Head::EMPTY, 3);
            let contents = match spoilt {
                "cut" => whole[..whole.len() - 5].to_vec(),
                "empty" => Vec::new(),
                "another history" => {
                    other.entries().iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect()
                }
                "an entry changed" => {
                    String::from_utf8(whole).unwrap().replacen("\"x\":\"x\"", "\"x\":\"y\"", 1).into()
                }
                "without its end" => {
                    let end = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
                    whole[..=end].to_vec()
                }
                _ => {
                    bucket.delete(bundle).await.unwrap();
                    continue;
                }
            };
            bucket.put(bundle, contents.into()).await.unwrap();
        }
        // Whoever had it open, and whoever opens it then.
        assert_eq!(everything(&early).await, bytes(&entries), "case: {spoilt}");
        assert_whole(&objects, &entries).await;
    }
}

#[tokio::test]
async fn an_index_that_is_gone_or_spoilt_costs_time_and_nothing_else() {
    for spoilt in [None, Some(Vec::new()), Some(vec![7; 3 * 36 + 32])] {
        let (bucket, objects) = bucket();
        let entries = recorded(&objects, 9).await;
        for name in names(&*objects, "bundles").await {
            if name.as_ref().ends_with(".index") {
                match &spoilt {
                    Some(contents) => drop(bucket.put(&name, contents.clone().into()).await.unwrap()),
                    None => bucket.delete(&name).await.unwrap(),
                }
            }
        }
        assert_whole(&objects, &entries).await;
        for bundle in bundles(&*objects).await {
            bucket.delete(&bundle).await.unwrap();
        }
        assert_whole(&objects, &entries).await;
    }
}

/// Whoever could put bundles of another history there is told by the objects: these are the ledger.
#[tokio::test]
async fn bundles_of_another_history_are_not_believed() {
    let (bucket, objects) = bucket();
    let entries = recorded(&objects, 9).await;
    let forged: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = Options::new().open(forged.clone(), "acme").await.unwrap();
    let mut head = Head::EMPTY;
    let mut author = Author::new(8);
    for number in 0..9 {
        head = store.append(author.batch(head, 1 + number % 2)).await.unwrap();
    }
    open(&forged).await;
    for instead in [false, true] {
        if instead {
            for name in names(&*objects, "bundles").await {
                bucket.delete(&name).await.unwrap();
            }
        }
        for name in names(&*forged, "bundles").await {
            let contents = forged.get(&name).await.unwrap().bytes().await.unwrap();
            bucket.put(&name, contents.into()).await.unwrap();
        }
        assert_whole(&objects, &entries).await;
        // More of them would help nobody.
        let before = names(&*objects, "bundles").await;
        open(&objects).await;
        assert_eq!(names(&*objects, "bundles").await, before);
    }
    // Where no object stands behind them, nothing holds them to the ledger.
    let (bucket, objects) = self::bucket();
    for name in names(&*forged, "bundles").await {
        let contents = forged.get(&name).await.unwrap().bytes().await.unwrap();
        bucket.put(&name, contents.into()).await.unwrap();
    }
    assert!(Options::new().open_read_only(objects, "acme").await.unwrap_err().is_absent());
}

#[tokio::test]
async fn what_is_damaged_in_the_objects_is_told_where_no_bundle_has_it() {
    let (bucket, objects) = bucket();
    let entries = recorded(&objects, 9).await;
    let reader = options().open_read_only(objects.clone(), "acme").await.unwrap();
    let bundle = bundles(&*objects).await[1].clone();
    bucket.delete(&bundle).await.unwrap();
    bucket.delete(&"acme/entries/00000000000000000003.jsonl".into()).await.unwrap();
    let read = reader.read(4, 9).await;
    assert!(matches!(read, Err(StoreError::Damaged { seq: 3, .. })), "{read:?}");
    assert_eq!(reader.read(0, 3).await.unwrap(), bytes(&entries[..3]));
    // Bundles end at the gap now, and behind it the objects do not stand where the bundles end.
    let refused = Options::new().open_read_only(objects, "acme").await.unwrap_err();
    assert!(refused.is_damage(), "{refused:?}");
}

#[tokio::test]
async fn objects_that_were_exchanged_under_a_bundle_are_told_where_it_is_gone() {
    let (bucket, objects) = bucket();
    let entries = recorded(&objects, 9).await;
    let reader = options().open_read_only(objects.clone(), "acme").await.unwrap();
    let other = Author::new(7).batch(entries[2].head(), 3);
    for (first, range) in [(3, 0..1), (4, 1..3)] {
        let lines: Vec<u8> =
            other.entries()[range].iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect();
        bucket.put(&format!("acme/entries/{first:020}.jsonl").into(), lines.into()).await.unwrap();
    }
    assert_eq!(everything(&reader).await, bytes(&entries), "nobody needs them");
    let reader = options().open_read_only(objects.clone(), "acme").await.unwrap();
    bucket.delete(&bundles(&*objects).await[1]).await.unwrap();
    let read = reader.read(3, 9).await;
    assert!(matches!(read, Err(StoreError::Damaged { seq: 3, .. })), "{read:?}");
}

#[tokio::test]
async fn a_bundle_that_can_not_be_made_is_made_later() {
    let broken = Arc::new(Mutex::new(false));
    let plan = broken.clone();
    let service = Arc::new(Service::new().failing(move |call, kind| {
        (kind == Call::Put && call % 3 == 0 && *plan.lock().unwrap()).then_some(Fault::Lost)
    }));
    let objects: Arc<dyn ObjectStore> = service.clone();
    let entries = recorded(&objects, 9).await;
    for name in names(&*objects, "bundles").await {
        service.inner().delete(&name).await.unwrap();
    }
    *broken.lock().unwrap() = true;
    for _ in 0..20 {
        let _ = options().open(objects.clone(), "acme").await;
    }
    *broken.lock().unwrap() = false;
    open(&objects).await;
    assert_eq!(bundles(&*objects).await.len(), 4);
    assert_whole(&objects, &entries).await;
}

#[tokio::test]
async fn two_who_make_bundles_beside_each_other_do_no_harm() {
    let (_, objects) = bucket();
    let (one, other) = (options().bundle(3), options());
    let mut entries: Vec<Entry> = Vec::new();
    let mut author = Author::new(1);
    for round in 0..12 {
        let options = if round % 2 == 0 { &one } else { &other };
        let store = options.open(objects.clone(), "acme").await.unwrap();
        let batch = author.batch(entries.last().map_or(Head::EMPTY, Entry::head), 1 + round % 2);
        store.append(batch.clone()).await.unwrap();
        entries.extend_from_slice(batch.entries());
        assert_whole(&objects, &entries).await;
    }
}

#[tokio::test]
async fn a_name_among_the_bundles_that_is_none_is_named() {
    let (bucket, objects) = bucket();
    recorded(&objects, 5).await;
    bucket.put(&"acme/bundles/notes.txt".into(), "x".into()).await.unwrap();
    let refused = Options::new().open_read_only(objects, "acme").await.unwrap_err();
    assert!(refused.is_damage() && refused.to_string().contains("notes.txt"), "{refused:?}");
}
