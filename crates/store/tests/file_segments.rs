//! Segments: how they meet, how they are found, and what is between them.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{TempDir, batch, bytes, entries, everything, lines, note};
use countersign_core::entry::Entry;
use countersign_store::file::{FileReader, FileStore, LineFault, OpenError, Options, inspect};
use countersign_store::{KeptSnapshot, SnapshotSet, Store as _, StoreError};

/// A ledger of one entry a segment.
async fn ledger(name: &str, entries: &[Entry]) -> TempDir {
    let dir = TempDir::new(name);
    let store = Options::new().segment_size(0).open(dir.ledger()).unwrap();
    for entry in entries {
        store.append(batch(std::slice::from_ref(entry))).await.unwrap();
    }
    dir
}

/// Segments of `per` entries as they stand on the disk, without a word of the writer.
fn write(name: &str, entries: &[Entry], per: usize) -> TempDir {
    let dir = TempDir::new(name);
    fs::create_dir_all(dir.ledger().join("entries")).unwrap();
    for part in entries.chunks(per) {
        fs::write(dir.segment(part[0].seq()), lines(part)).unwrap();
    }
    dir
}

#[tokio::test]
async fn f06_a_roll_that_was_cut_off_leaves_an_empty_segment_that_is_used() {
    let all = entries(4);
    let dir = ledger("rolled", &all[..3]).await;
    fs::write(dir.segment(3), b"").unwrap();
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!(everything(&store).await, bytes(&all[..3]));
    store.append(batch(&all[3..])).await.unwrap();
    assert_eq!(fs::read(dir.segment(3)).unwrap(), lines(&all[3..]));
}

#[tokio::test]
async fn f06_a_hole_an_extra_or_a_renamed_segment_refuses() {
    let all = entries(5);
    type Change = fn(&TempDir);
    let cases: [(&str, Change, u64); 8] = [
        ("the first is gone", |dir| fs::remove_file(dir.segment(0)).unwrap(), 0),
        ("one between is gone", |dir| fs::remove_file(dir.segment(2)).unwrap(), 2),
        ("one between is empty", |dir| fs::write(dir.segment(2), b"").unwrap(), 2),
        (
            "one between is torn",
            |dir| {
                let bytes = fs::read(dir.segment(2)).unwrap();
                fs::write(dir.segment(2), &bytes[..bytes.len() - 1]).unwrap();
            },
            2,
        ),
        ("renamed", |dir| fs::rename(dir.segment(2), dir.segment(9)).unwrap(), 2),
        (
            "two have each other's names",
            |dir| {
                fs::rename(dir.segment(1), dir.path().join("held")).unwrap();
                fs::rename(dir.segment(2), dir.segment(1)).unwrap();
                fs::rename(dir.path().join("held"), dir.segment(2)).unwrap();
            },
            1,
        ),
        ("twice", |dir| fs::copy(dir.segment(2), dir.segment(3)).map(drop).unwrap(), 3),
        ("an extra one far behind", |dir| fs::write(dir.segment(70), b"").unwrap(), 5),
    ];
    for (name, change, place) in cases {
        let dir = ledger("hole", &all).await;
        change(&dir);
        for options in [Options::new(), Options::new().cut_unproven()] {
            match options.open(dir.ledger()) {
                Err(OpenError::Damaged { seq, .. }) => assert_eq!(seq, place, "case: {name}"),
                other => panic!("case: {name}: {other:?}"),
            }
        }
        let report = inspect(dir.ledger()).unwrap();
        assert!(matches!(report.damage, Some(OpenError::Damaged { .. })), "case: {name}");
        assert_eq!(report.entries, place, "case: {name}");
    }
}

#[tokio::test]
async fn f06_a_segment_that_does_not_link_to_the_one_before_refuses() {
    let all = entries(4);
    for changed in 1..4 {
        let dir = write("unlinked", &all, 1);
        let other = common::entries_of(2, all[changed - 1].head(), 1, 1);
        fs::write(dir.segment(changed as u64), lines(&other)).unwrap();
        match FileStore::open(dir.ledger()) {
            // As the last of all it is as good as another.
            Ok(store) => assert_eq!((changed, store.head_now().size), (3, 4)),
            Err(OpenError::Damaged { seq, fault: LineFault::Unlinked, .. }) => {
                assert_eq!(seq, changed as u64 + 1);
            }
            Err(OpenError::Unproven { seq, fault: LineFault::Unlinked, .. }) => {
                assert_eq!((changed, seq), (2, 3));
            }
            Err(error) => panic!("{changed}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn f06_nothing_in_the_place_of_what_only_helps_keeps_anybody_from_the_entries() {
    let all = entries(4);
    let set = SnapshotSet {
        size: 4,
        snapshots: vec![KeptSnapshot {
            name: "a".into(),
            note: b"note".to_vec().into(),
            payload: b"state".to_vec().into(),
        }],
    };
    let elsewhere = TempDir::new("elsewhere");
    for name in ["index", "snapshots"] {
        for odd in ["a file", "a link that leads to a directory", "a link that leads nowhere"] {
            let dir = ledger("odd", &all[..3]).await;
            let place = dir.ledger().join(name);
            let _ = fs::remove_dir_all(&place);
            match odd {
                "a file" => fs::write(&place, "x").unwrap(),
                "a link that leads nowhere" => std::os::unix::fs::symlink("nowhere", &place).unwrap(),
                _ => std::os::unix::fs::symlink(elsewhere.path(), &place).unwrap(),
            }
            let case = format!("{odd} is `{name}`");
            assert_eq!(inspect(dir.ledger()).unwrap().foreign, std::slice::from_ref(&place), "{case}");
            let store = Options::new().segment_size(0).open(dir.ledger()).unwrap();
            assert_eq!(store.recovery().foreign, std::slice::from_ref(&place), "{case}");
            store.append(batch(&all[3..])).await.unwrap();
            let digest = all[0].signed().digest();
            assert_eq!(store.find(digest).await.unwrap().map(|found| found.seq), Some(0), "{case}");
            let put = store.put_snapshots(set.clone()).await;
            assert_eq!(put.is_ok(), name == "index", "{case}: {put:?}");
            let reader = FileReader::open(dir.ledger()).unwrap();
            assert_eq!(reader.foreign(), std::slice::from_ref(&place), "{case}");
            assert_eq!(everything(&reader).await, bytes(&all), "{case}");
            assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "{case}: links are not followed");
        }
    }
}

#[tokio::test]
async fn f09_a_snapshot_far_longer_than_the_entries_is_neither_kept_nor_read() {
    let all = entries(2);
    let dir = ledger("sparse", &all).await;
    let store = FileStore::open(dir.ledger()).unwrap();
    let set = |payload: usize| SnapshotSet {
        size: 2,
        snapshots: vec![KeptSnapshot {
            name: "a".into(),
            note: b"note".to_vec().into(),
            payload: vec![7; payload].into(),
        }],
    };
    let entries: usize = bytes(&all).iter().map(|entry| entry.len() + 1).sum();
    let most = (64 << 20) + 4 * entries;
    assert!(store.put_snapshots(set(most + 1)).await.is_err());
    assert_eq!(store.snapshots(2).await.unwrap(), None);
    store.put_snapshots(set(most)).await.unwrap();
    assert!(store.snapshots(2).await.unwrap().is_some_and(|found| found == set(most)));
    // A file of terabytes, of which the disk has one block.
    let path = dir.ledger().join("snapshots").join(format!("{:020}.a.snapshot", 2));
    let header = format!("countersign-kept-snapshot/v1 1 4 {}\n", 8_u64 << 40);
    fs::write(&path, format!("{header}note")).unwrap();
    let file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    if file.set_len(header.len() as u64 + 4 + (8 << 40)).is_ok() {
        assert_eq!(store.snapshots(2).await.unwrap(), None);
    }
}

#[tokio::test]
async fn f06_what_does_not_belong_is_reported_and_keeps_a_writer_out_of_the_segments() {
    let all = entries(2);
    let dir = ledger("foreign", &all).await;
    let (notes, among) = (dir.ledger().join("notes.txt"), dir.ledger().join("entries/notes.txt"));
    fs::write(&notes, "x").unwrap();
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!(store.recovery().foreign, std::slice::from_ref(&notes));
    drop(store);
    let strange = ["notes.txt", "00000000000000000002.jsonl~", "2.jsonl", "00000000000000000002.jsonl.gz"];
    for name in strange {
        let path = dir.ledger().join("entries").join(name);
        fs::write(&path, "x").unwrap();
        match FileStore::open(dir.ledger()) {
            Err(OpenError::UnknownName { path: found }) => assert_eq!(found, path),
            other => panic!("case: {name}: {other:?}"),
        }
        // A reader has no harm to do there.
        let reader = FileReader::open(dir.ledger()).unwrap();
        assert_eq!(reader.foreign(), [notes.clone(), path.clone()]);
        assert_eq!(everything(&reader).await, bytes(&all));
        assert_eq!(inspect(dir.ledger()).unwrap().foreign, [notes.clone(), path.clone()]);
        fs::remove_file(path).unwrap();
    }
    std::os::unix::fs::symlink(dir.segment(0), &among).unwrap();
    assert!(matches!(FileStore::open(dir.ledger()), Err(OpenError::UnknownName { .. })));
    fs::rename(&among, dir.segment(2)).unwrap();
    assert!(
        matches!(FileStore::open(dir.ledger()), Err(OpenError::UnknownName { .. })),
        "links are not followed"
    );
}

#[test]
fn a_folder_of_something_else_is_no_ledger_and_stays_as_it_is() {
    let dir = TempDir::new("else");
    fs::create_dir(dir.ledger()).unwrap();
    fs::write(dir.ledger().join("photo.jpg"), "x").unwrap();
    assert!(matches!(FileStore::open(dir.ledger()), Err(OpenError::NotALedger { .. })));
    assert!(matches!(FileReader::open(dir.ledger()), Err(OpenError::NotALedger { .. })));
    assert_eq!(fs::read_dir(dir.ledger()).unwrap().count(), 1);
    fs::remove_file(dir.ledger().join("photo.jpg")).unwrap();
    drop(FileStore::open(dir.ledger()).unwrap());
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(FileStore::open(file).is_err());
}

#[tokio::test]
async fn thousands_of_segments_are_opened_without_being_read() {
    const SEGMENTS: usize = 3_000;
    let all = entries(SEGMENTS as u64 * 3);
    let dir = write("many", &all, 3);
    fs::write(dir.ledger().join("checkpoint"), note(&all)).unwrap();
    // The middle line of each but the last is rubbish of the same length: whoever reads it will notice.
    for part in all.chunks(3).take(SEGMENTS - 1) {
        let mut bytes = lines(part);
        let (start, end) = (lines(&part[..1]).len(), lines(&part[..2]).len() - 1);
        bytes[start..end].fill(b'x');
        fs::write(dir.segment(part[0].seq()), bytes).unwrap();
    }
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!(store.head_now(), all[all.len() - 1].head());
    let last = store.read(all.len() as u64 - 3, 10).await.unwrap();
    assert_eq!(last, bytes(&all[all.len() - 3..]));
    // Looking for what is nowhere goes through all of them.
    let absent = common::statement(9, 1, 1).digest();
    assert!(matches!(store.find(absent).await, Err(StoreError::Damaged { seq: 1, .. })));
}

#[tokio::test]
async fn entries_of_sealed_segments_are_found_by_indexes_that_nobody_trusts() {
    let all = entries(30);
    let dir = TempDir::new("index");
    {
        let store = Options::new().segment_size(5_000).open(dir.ledger()).unwrap();
        for part in all.chunks(5) {
            store.append(batch(part)).await.unwrap();
        }
    }
    let place = dir.ledger().join("index");
    let files = || {
        let mut paths: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let made: Vec<_> = files().iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(made.len() > 2, "there are sealed segments");
    let absent = common::statement(9, 1, 1).digest();
    let all_found = async || {
        let store = Options::new().segment_size(5_000).open(dir.ledger()).unwrap();
        let reader = FileReader::open(dir.ledger()).unwrap();
        for entry in &all {
            let digest = entry.signed().digest();
            for found in [store.find(digest).await, reader.find(digest).await] {
                let found = found.unwrap().unwrap();
                assert_eq!((found.seq, &found.bytes), (entry.seq(), entry.bytes()));
            }
        }
        assert_eq!(store.find(absent).await.unwrap(), None);
        let again: Vec<_> = files().iter().map(|path| fs::read(path).unwrap()).collect();
        assert_eq!(again, made, "they are made again as they were");
    };
    all_found().await;
    fs::remove_dir_all(&place).unwrap();
    all_found().await;
    fs::write(&files()[0], &made[1]).unwrap();
    all_found().await;
    for (path, bytes) in files().iter().zip(&made).take(2) {
        // Cut anywhere, or any byte changed: it hides nothing and invents nothing.
        for at in (0..bytes.len()).step_by(bytes.len() / 9) {
            fs::write(path, &bytes[..at]).unwrap();
            all_found().await;
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            fs::write(path, flipped).unwrap();
            all_found().await;
        }
    }
}

#[tokio::test]
async fn damage_in_a_sealed_segment_is_named_when_it_is_read() {
    let all = entries(9);
    let dir = write("sealed", &all, 3);
    fs::write(dir.ledger().join("checkpoint"), note(&all)).unwrap();
    // A line too few, between two that are right.
    let bytes = [lines(&all[..1]), lines(&all[2..3])].concat();
    fs::write(dir.segment(0), bytes).unwrap();
    let store = FileStore::open(dir.ledger()).unwrap();
    assert!(matches!(store.read(0, 10).await, Err(StoreError::Damaged { .. })));
    assert_eq!(store.read(3, 3).await.unwrap(), common::bytes(&all[3..6]));
}

// What is read named the damage, and what is found said that the entry is not there.
#[tokio::test]
async fn lines_that_a_sealed_segment_has_too_many_are_named_when_an_entry_is_looked_for() {
    let all = entries(4);
    let dir = write("too-many", &all, 2);
    fs::write(dir.segment(0), lines(&[&all[..3], &all[1..2]].concat())).unwrap();
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!(store.head_now(), all[3].head());
    for entry in &all {
        let found = store.find(entry.signed().digest()).await;
        assert!(matches!(found, Err(StoreError::Damaged { seq: 2, .. })), "{found:?}");
    }
    assert!(matches!(store.read(0, 1).await, Err(StoreError::Damaged { seq: 2, .. })));
}

#[tokio::test]
async fn inspect_tells_what_is_durable_anchored_cut_torn_and_foreign() {
    let all = entries(7);
    let dir = TempDir::new("inspect");
    {
        let store = Options::new().segment_size(2_000).open(dir.ledger()).unwrap();
        for entry in &all[..6] {
            store.append(batch(std::slice::from_ref(entry))).await.unwrap();
        }
        store.put_checkpoint(4, note(&all[..4])).await.unwrap();
    }
    let sound = inspect(dir.ledger()).unwrap();
    assert!(sound.damage.is_none() && sound.torn.is_none() && sound.foreign.is_empty());
    assert_eq!((sound.entries, sound.anchored), (6, Some(4)));
    assert_eq!(sound.durable.map(|(size, _)| size), Some(6));
    let last = sound.segments.last().unwrap().clone();
    let torn = &lines(&all[6..])[..100];
    fs::write(&last.path, [&fs::read(&last.path).unwrap(), torn].concat()).unwrap();
    let report = inspect(dir.ledger()).unwrap();
    let torn = report.torn.unwrap();
    assert_eq!((torn.segment, torn.offset, torn.size), (last.path.clone(), last.size, 100));
    assert!(report.damage.is_none() && report.kept.is_empty());
    drop(FileStore::open(dir.ledger()).unwrap());
    let report = inspect(dir.ledger()).unwrap();
    assert_eq!(report.kept.iter().map(|kept| kept.size).collect::<Vec<_>>(), [100]);
    assert!(report.torn.is_none());
    fs::write(&last.path, lines(&all[..1])).unwrap();
    assert!(inspect(dir.ledger()).unwrap().damage.is_some());
}
