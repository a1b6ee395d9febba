//! The file store keeps the contract, over segments of every size.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{TempDir, batch, bytes, entries, everything, lines};
use countersign_store::conformance::{Kit, Outcome};
use countersign_store::file::{FileStore, Options};
use countersign_store::{Durability, Store as _};

/// A kit for stores with segments of a size, and the directories that they are in.
fn kit(segment_size: u64) -> (Kit<FileStore>, Arc<TempDir>) {
    let dir = Arc::new(TempDir::new("kit"));
    let options = Options::new().segment_size(segment_size);
    let number = std::sync::atomic::AtomicU64::new(0);
    let (place, again) = (dir.clone(), options.clone());
    let make = move || {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let opened = options.clone().open(place.path().join(number.to_string()));
        async move { opened.unwrap() }
    };
    let kit = Kit::new(make).claiming(Durability::LocalSync).reopening(move |store: Arc<FileStore>| {
        let options = again.clone();
        async move {
            let dir = store.dir().to_owned();
            drop(store);
            options.open(dir).unwrap()
        }
    });
    (kit, dir)
}

#[tokio::test]
async fn the_file_store_keeps_the_contract() {
    for segment_size in [0, 4_000, 64 << 20] {
        let (kit, _dir) = kit(segment_size);
        let report = kit.run().await;
        report.assert_conforms();
        assert!(!report.outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Skipped(_))));
    }
}

#[tokio::test]
async fn segments_are_the_exact_bytes_named_by_their_first_entry() {
    let (dir, entries) = (TempDir::new("layout"), entries(10));
    let store = Options::new().segment_size(1_500).open(dir.ledger()).unwrap();
    for entry in &entries {
        store.append(batch(std::slice::from_ref(entry))).await.unwrap();
    }
    drop(store);
    let per_segment = 1_500 / (entries[0].bytes().len() + 1);
    assert!(per_segment > 1);
    for (index, part) in entries.chunks(per_segment).enumerate() {
        let first = (index * per_segment) as u64;
        assert_eq!(std::fs::read(dir.segment(first)).unwrap(), lines(part), "segment {first}");
    }
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!(everything(&store).await, bytes(&entries));
}
