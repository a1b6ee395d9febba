//! The file store keeps the contract, over segments of every size.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use common::{TempDir, batch, bytes, entries, everything, lines, note};
use countersign_store::conformance::Kit;
use countersign_store::file::{FileStore, OpenError, Options};
use countersign_store::{Batch, Durability, KeptSnapshot, SnapshotSet, Store as _, StoreError};

/// A kit for stores with segments of a size, and the directories that they are in.
fn kit(segment_size: u64) -> (Kit<FileStore>, Arc<TempDir>) {
    let dir = Arc::new(TempDir::new("kit"));
    let options = Options::new().segment_size(segment_size);
    let number = std::sync::atomic::AtomicU64::new(0);
    let (place, again, torn) = (dir.clone(), options.clone(), options.clone());
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
    let kit = kit.tearing(move |store: Arc<FileStore>, batch: Batch| {
        let options = torn.clone();
        async move {
            let dir = store.dir().to_owned();
            drop(store);
            let half = lines(batch.entries());
            let newest =
                std::fs::read_dir(dir.join("entries")).unwrap().map(|found| found.unwrap().path()).max();
            let mut segment = std::fs::OpenOptions::new().append(true).open(newest.unwrap()).unwrap();
            std::io::Write::write_all(&mut segment, &half[..half.len() - half.len() / 3]).unwrap();
            options.open(dir).unwrap()
        }
    });
    (kit.beside(async |_| ()), dir)
}

#[tokio::test]
async fn the_file_store_keeps_the_contract() {
    for segment_size in [0, 4_000, 64 << 20] {
        let (kit, _dir) = kit(segment_size);
        let report = kit.run().await;
        report.assert_conforms();
        assert_eq!(report.skipped(), [""; 0]);
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

/// The kit where each opening anew is after a loss of power that left nothing of what was not synced.
#[cfg(feature = "testing")]
#[tokio::test]
async fn the_file_store_keeps_the_contract_through_losses_of_power() {
    use countersign_store::vfs::sim::SimVfs;
    let machine = |store: &FileStore<SimVfs>| store.vfs().clone();
    for segment_size in [0, 64 << 20] {
        let open = move |vfs| Options::new().segment_size(segment_size).open_in(vfs, "/ledger").unwrap();
        let kit = Kit::new(move || async move { open(SimVfs::new()) })
            .claiming(Durability::LocalSync)
            .reopening(move |store: Arc<FileStore<SimVfs>>| async move {
                let vfs = machine(&store);
                drop(store);
                vfs.cut_power();
                let (_, disk) = vfs.aftermath().disks().next().unwrap();
                open(disk)
            });
        kit.run().await.assert_conforms();
    }
}

#[tokio::test]
async fn a_wake_up_comes_with_the_append_and_leaves_nothing_behind_when_dropped() {
    let (dir, entries) = (TempDir::new("wait"), entries(3));
    let store = FileStore::open(dir.ledger()).unwrap();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.wait(1).await }
    });
    tokio::task::yield_now().await;
    store.append(batch(&entries[..1])).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    store.append(batch(&entries[1..2])).await.unwrap();
    waiting.await.unwrap();
    store.wait(1).await;
    let mut dropped = Box::pin(store.wait(2));
    assert!(std::future::poll_fn(|context| Poll::Ready(dropped.as_mut().poll(context).is_pending())).await);
    drop(dropped);
    store.append(batch(&entries[2..])).await.unwrap();
}

/// Dropped by the very waker that the writer calls: it must not wait for itself.
#[tokio::test]
async fn the_last_handle_may_be_dropped_on_the_thread_of_the_writer() {
    struct Last(Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>, tokio::sync::Notify);
    impl Wake for Last {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            self.1.notify_one();
        }
    }
    let (dir, entries) = (TempDir::new("last"), entries(1));
    let store = FileStore::open(dir.ledger()).unwrap();
    let last = Arc::new(Last(Mutex::new(None), tokio::sync::Notify::new()));
    let waker = Waker::from(last.clone());
    let waiter = store.clone();
    let mut waiting: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { waiter.wait(0).await });
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    *last.0.lock().unwrap() = Some(waiting);
    {
        let mut append = Box::pin(store.append(batch(&entries)));
        let _ = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    drop(store);
    last.1.notified().await;
    // It ends soon after, and gives the lock up.
    let store = loop {
        match FileStore::open(dir.ledger()) {
            Ok(store) => break store,
            Err(OpenError::Locked { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert_eq!(everything(&store).await, bytes(&entries));
}

#[tokio::test]
async fn one_read_returns_no_more_than_was_set_and_at_least_one() {
    let (dir, entries) = (TempDir::new("limit"), entries(9));
    let most = 2 * entries[0].bytes().len() + 10;
    for segment_size in [64 << 20, 0] {
        let options = Options::new().max_read_size(most).segment_size(segment_size);
        let store = options.open(dir.ledger()).unwrap();
        store.append(batch(&entries)).await.unwrap();
        assert_eq!(store.read(0, 9).await.unwrap(), bytes(&entries[..2]));
        assert_eq!(everything(&store).await, bytes(&entries));
        drop(store);
        let store = Options::new().max_read_size(1).open(dir.ledger()).unwrap();
        assert_eq!(store.read(3, 9).await.unwrap(), bytes(&entries[3..4]));
    }
}

#[tokio::test]
async fn a_note_that_is_no_checkpoint_over_what_is_there_is_refused() {
    let (dir, entries) = (TempDir::new("note"), entries(3));
    let store = FileStore::open(dir.ledger()).unwrap();
    store.append(batch(&entries[..2])).await.unwrap();
    let cases = [
        ("no note", 2, b"rubbish".to_vec()),
        ("over another size", 2, note(&entries[..1]).to_vec()),
        ("over more than there are", 3, note(&entries).to_vec()),
        ("cut off", 2, note(&entries[..2])[..40].to_vec()),
    ];
    for (name, size, bytes) in cases {
        let refused = store.put_checkpoint(size, bytes.into()).await;
        assert!(matches!(refused, Err(StoreError::Checkpoint { entries: 2, .. })), "case: {name}");
        assert_eq!(store.checkpoint().await.unwrap(), None, "case: {name}");
    }
    std::fs::write(dir.ledger().join("checkpoint"), "rubbish").unwrap();
    drop(store);
    assert!(matches!(FileStore::open(dir.ledger()), Err(OpenError::Checkpoint { .. })));
}

#[tokio::test]
async fn snapshots_that_are_damaged_are_passed_over_and_old_ones_forgotten() {
    let dir = TempDir::new("snapshots");
    let set = |size: u64| SnapshotSet {
        size,
        snapshots: vec![KeptSnapshot {
            name: "governance".into(),
            note: format!("note over {size}\n").into_bytes().into(),
            payload: vec![size as u8; 500].into(),
        }],
    };
    let store = FileStore::open(dir.ledger()).unwrap();
    for size in [1, 2, 3] {
        store.put_snapshots(set(size)).await.unwrap();
    }
    assert_eq!(store.snapshots(1).await.unwrap(), None, "forgotten");
    let place = dir.ledger().join("snapshots");
    let path = place.join(format!("{:020}.governance.snapshot", 3));
    let bytes = std::fs::read(&path).unwrap();
    let changes: [Vec<u8>; 5] = [
        vec![],
        bytes[..bytes.len() - 1].to_vec(),
        [&bytes[..], b"x"].concat(),
        [b"x", &bytes[..]].concat(),
        // Of a set of which the other is not there.
        bytes.iter().enumerate().map(|(at, byte)| if at == 29 { b'2' } else { *byte }).collect(),
    ];
    for changed in changes {
        std::fs::write(&path, changed).unwrap();
        assert_eq!(store.snapshots(9).await.unwrap(), Some(set(2)));
    }
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(store.snapshots(9).await.unwrap(), Some(set(3)));
    for name in ["", "Governance", "a/b", "..", &"x".repeat(65)] {
        let mut named = set(4);
        named.snapshots[0].name = name.to_owned();
        assert!(store.put_snapshots(named).await.is_err(), "name `{name}`");
    }
    // The one just made stays although it is older than two others, as after going back to an older copy.
    store.put_snapshots(set(1)).await.unwrap();
    assert_eq!(store.snapshots(1).await.unwrap(), Some(set(1)));
    std::fs::write(place.join("notes.txt"), "x").unwrap();
    std::fs::write(place.join(format!("{:020}.old.snapshot.new", 1)), "x").unwrap();
    drop(store);
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!(store.recovery().foreign, [place.join("notes.txt")]);
    store.put_snapshots(set(5)).await.unwrap();
    assert!(!place.join(format!("{:020}.old.snapshot.new", 1)).exists(), "cleared away");
}
