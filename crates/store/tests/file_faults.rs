//! Failing disks, full disks and flipped bits, call by call, on the simulated machine.

#![cfg(all(unix, feature = "testing"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{batch, bytes, entries, everything, lines, note};
use countersign_core::entry::Entry;
use countersign_store::file::{FileReader, FileStore, OpenError, Options};
use countersign_store::vfs::sim::{CallKind, Fault, SimVfs};
use countersign_store::vfs::{Access, Vfs as _, VfsDir as _, VfsFile as _};
use countersign_store::{AppendError, KeptSnapshot, SnapshotSet, Store as _, StoreError};

const DIR: &str = "/ledger";

fn open(vfs: &SimVfs) -> Result<FileStore<SimVfs>, OpenError> {
    Options::new().open_in(vfs.clone(), DIR)
}

/// A machine with a ledger of these entries, and the open store.
async fn ledger(entries: &[Entry]) -> (SimVfs, FileStore<SimVfs>) {
    let vfs = SimVfs::new();
    let store = open(&vfs).unwrap();
    if !entries.is_empty() {
        store.append(batch(entries)).await.unwrap();
    }
    (vfs, store)
}

/// The calls that an append makes.
async fn calls_of_an_append(before: &[Entry], appended: &[Entry]) -> Vec<CallKind> {
    let (vfs, store) = ledger(before).await;
    let start = vfs.call_count();
    store.append(batch(appended)).await.unwrap();
    vfs.calls()[start..].iter().map(|call| call.kind).collect()
}

fn segment(vfs: &SimVfs) -> Vec<u8> {
    let path = Path::new(DIR).join("entries").join(format!("{:020}.jsonl", 0));
    vfs.tree().remove(&path).unwrap().unwrap()
}

#[tokio::test]
async fn an_append_is_one_write_and_one_sync() {
    let all = entries(10);
    let calls = calls_of_an_append(&all[..2], &all[2..]).await;
    let count = |kind| calls.iter().filter(|call| **call == kind).count();
    // The second write is the line of `head`, which is not synced.
    assert_eq!(
        (count(CallKind::Append), count(CallKind::Sync), count(CallKind::SyncDir)),
        (2, 1, 0),
        "{calls:?}"
    );
}

#[tokio::test]
async fn f03_a_failed_sync_is_unknown_and_nothing_is_tried_again_before_the_directory_is_opened_anew() {
    let all = entries(6);
    let sync =
        calls_of_an_append(&all[..2], &all[2..4]).await.iter().position(|call| *call == CallKind::Sync);
    for fault in [Fault::Io, Fault::IoAfter, Fault::NoSpace, Fault::Interrupted] {
        let (vfs, store) = ledger(&all[..2]).await;
        let failing = vfs.call_count() + sync.unwrap();
        vfs.fail(failing, fault);
        assert!(matches!(store.append(batch(&all[2..4])).await, Err(AppendError::OutcomeUnknown(_))));
        assert_eq!(vfs.faults_hit(), 1);
        for part in [&all[2..4], &all[4..]] {
            let again = store.append(batch(part)).await;
            assert!(matches!(again, Err(AppendError::NotStored(StoreError::Poisoned))), "{again:?}");
        }
        assert!(matches!(store.put_checkpoint(1, note(&all[..1])).await, Err(StoreError::Poisoned)));
        // What was acknowledged is still shown, and no more.
        assert_eq!(store.head().await.unwrap(), all[1].head());
        assert_eq!(everything(&store).await, bytes(&all[..2]));
        let changed = vfs.calls()[failing + 1..].iter().any(|call| call.kind.changes());
        assert!(!changed, "after {fault:?}: {:?}", &vfs.calls()[failing + 1..]);
        drop(store);
        // The next one makes what it shows durable, whatever the failed sync left in memory alone.
        let store = open(&vfs).unwrap();
        let shown = everything(&store).await;
        assert_eq!(shown, bytes(&all[..4]));
        assert_eq!(store.append(batch(&all[2..4])).await.unwrap(), all[3].head());
        for (choice, disk) in vfs.aftermath().disks() {
            assert_eq!(everything(&open(&disk).unwrap()).await, shown, "{fault:?}, disk {choice}");
        }
    }
}

#[tokio::test]
async fn f03_every_call_of_an_append_may_fail_and_the_answer_is_true() {
    let all = entries(5);
    let calls = calls_of_an_append(&all[..2], &all[2..]).await;
    let mut answers = [0; 3];
    for (index, kind) in calls.iter().enumerate() {
        for fault in [Fault::Io, Fault::IoAfter, Fault::NoSpace, Fault::Interrupted, Fault::Short(1)] {
            let (vfs, store) = ledger(&all[..2]).await;
            vfs.fail(vfs.call_count() + index, fault);
            let answer = store.append(batch(&all[2..])).await;
            let there = everything(&store).await;
            match &answer {
                Ok(head) => {
                    answers[0] += 1;
                    assert_eq!((*head, there), (all[4].head(), bytes(&all)));
                }
                Err(AppendError::NotStored(_)) => {
                    answers[1] += 1;
                    assert_eq!(segment(&vfs), lines(&all[..2]), "{kind:?} {fault:?}");
                    assert_eq!(there, bytes(&all[..2]));
                }
                Err(AppendError::OutcomeUnknown(_)) => {
                    answers[2] += 1;
                    assert_eq!(there, bytes(&all[..2]));
                    let next = store.append(batch(&all[2..])).await;
                    assert!(matches!(next, Err(AppendError::NotStored(StoreError::Poisoned))));
                }
                other => panic!("{kind:?} {fault:?}: {other:?}"),
            }
            drop(store);
            for (choice, disk) in vfs.aftermath().disks().take(8) {
                let store = Options::new().cut_unproven().open_in(disk, DIR).unwrap();
                let left = everything(&store).await;
                let most = if matches!(answer, Err(AppendError::NotStored(_))) { 2 } else { 5 };
                let least = if answer.is_ok() { 5 } else { 2 };
                assert!((least..=most).contains(&left.len()), "{kind:?} {fault:?} {choice}: {}", left.len());
                assert_eq!(left, bytes(&all[..left.len()]));
            }
        }
    }
    assert!(answers.iter().all(|count| *count > 0), "each answer was seen: {answers:?}");
}

#[tokio::test]
async fn f13_a_disk_that_is_full_at_any_byte_of_a_batch_stores_nothing_and_goes_on_when_there_is_space() {
    let all = entries(4);
    let length = lines(&all[2..]).len() as u64;
    for free in (0..length).step_by(37).chain([length - 1]) {
        let (vfs, store) = ledger(&all[..2]).await;
        vfs.limit_space(Some(free));
        let full = store.append(batch(&all[2..])).await;
        assert!(matches!(full, Err(AppendError::NotStored(StoreError::Unavailable(_)))), "{free}: {full:?}");
        assert_eq!(segment(&vfs), lines(&all[..2]), "{free} bytes were free");
        assert_eq!(everything(&store).await, bytes(&all[..2]));
        vfs.limit_space(None);
        assert_eq!(store.append(batch(&all[2..])).await.unwrap(), all[3].head());
        assert_eq!(segment(&vfs), lines(&all));
    }
}

#[tokio::test]
async fn f13_a_ledger_on_a_full_disk_is_read_and_is_written_again_when_there_is_space() {
    let all = entries(4);
    let (vfs, store) = ledger(&all[..3]).await;
    store.put_checkpoint(2, note(&all[..2])).await.unwrap();
    drop(store);
    vfs.limit_space(Some(0));
    assert!(matches!(open(&vfs), Err(OpenError::Io { .. })));
    let reader = FileReader::open_in(vfs.clone(), DIR).unwrap();
    assert_eq!(everything(&reader).await, bytes(&all[..3]));
    assert_eq!(reader.checkpoint().await.unwrap(), Some(note(&all[..2])));
    vfs.limit_space(None);
    let store = open(&vfs).unwrap();
    store.append(batch(&all[3..])).await.unwrap();
    assert_eq!(everything(&reader).await, bytes(&all));
}

#[tokio::test]
async fn f13_space_for_the_batch_and_for_nothing_more_is_enough() {
    let all = entries(4);
    let (vfs, store) = ledger(&all[..1]).await;
    let reader = FileReader::open_in(vfs.clone(), DIR).unwrap();
    vfs.limit_space(Some(lines(&all[1..2]).len() as u64 + 10));
    store.append(batch(&all[1..2])).await.unwrap();
    // The line of `head` did not fit: other processes see the entry with the next that fits.
    assert_eq!(reader.head().await.unwrap(), all[0].head());
    vfs.limit_space(None);
    store.append(batch(&all[2..3])).await.unwrap();
    assert_eq!(everything(&reader).await, bytes(&all[..3]));
}

#[tokio::test]
async fn f06_a_roll_that_fails_stores_nothing_and_what_is_opened_anew_goes_on_durably() {
    let all = entries(4);
    let prepared = async || {
        let vfs = SimVfs::new();
        let store = Options::new().segment_size(0).open_in(vfs.clone(), DIR).unwrap();
        store.append(batch(&all[..2])).await.unwrap();
        (vfs, store)
    };
    let (vfs, store) = prepared().await;
    let start = vfs.call_count();
    store.append(batch(&all[2..3])).await.unwrap();
    let calls = vfs.calls()[start..].to_vec();
    let roll = calls.iter().position(|call| call.kind == CallKind::Append).unwrap();
    assert!(calls[..roll].iter().any(|call| call.kind == CallKind::SyncDir));
    for (index, call) in calls.iter().enumerate().take(roll) {
        for fault in [Fault::Io, Fault::IoAfter, Fault::NoSpace] {
            let (vfs, store) = prepared().await;
            vfs.fail(start + index, fault);
            let answer = store.append(batch(&all[2..3])).await;
            drop(store);
            let kind = call.kind;
            if answer.is_err() {
                assert!(matches!(answer, Err(AppendError::NotStored(_))), "{kind:?} {fault:?}: {answer:?}");
            }
            let store = open(&vfs).unwrap();
            store.append(batch(&all[2..3])).await.unwrap();
            for (choice, disk) in vfs.aftermath().disks().take(8) {
                assert_eq!(
                    everything(&open(&disk).unwrap()).await,
                    bytes(&all[..3]),
                    "{kind:?} {fault:?} {choice}"
                );
            }
        }
    }
}

#[tokio::test]
async fn f04_a_copy_that_nobody_synced_is_durable_before_it_is_shown() {
    let all = entries(6);
    let copy = || {
        let vfs = SimVfs::new();
        let entries = Path::new(DIR).join("entries");
        vfs.create_dir(Path::new(DIR)).unwrap();
        vfs.create_dir(&entries).unwrap();
        vfs.open_dir(Path::new(DIR)).unwrap().sync().unwrap();
        vfs.open_dir(Path::new("/")).unwrap().sync().unwrap();
        for part in all.chunks(2) {
            let path = entries.join(format!("{:020}.jsonl", part[0].seq()));
            let file = vfs.open(&path, Access::CreateNew).unwrap();
            file.append(&lines(part)).unwrap();
        }
        vfs
    };
    let vfs = copy();
    let store = open(&vfs).unwrap();
    assert_eq!(everything(&store).await, bytes(&all));
    for (choice, disk) in vfs.aftermath().disks() {
        assert_eq!(everything(&open(&disk).unwrap()).await, bytes(&all), "writer, disk {choice}");
    }
    let vfs = copy();
    let reader = FileReader::open_in(vfs.clone(), DIR).unwrap();
    assert_eq!(everything(&reader).await, bytes(&all));
    for (choice, disk) in vfs.aftermath().disks() {
        assert_eq!(everything(&open(&disk).unwrap()).await, bytes(&all), "reader, disk {choice}");
    }
}

#[tokio::test]
async fn the_word_of_the_writer_stays_short() {
    let all = entries(1_200);
    let (vfs, store) = ledger(&[]).await;
    let reader = FileReader::open_in(vfs.clone(), DIR).unwrap();
    for entry in &all {
        store.append(batch(std::slice::from_ref(entry))).await.unwrap();
        let head = vfs.metadata(&Path::new(DIR).join("head")).unwrap().unwrap();
        assert!(head.size <= 64 << 10);
    }
    assert_eq!(reader.head().await.unwrap(), all[1_199].head());
}

#[tokio::test]
async fn f14_a_bit_that_flips_between_judging_and_writing_is_noticed_before_anybody_is_told() {
    fn flip(buffer: &mut [u8]) {
        let middle = buffer.len() / 2;
        buffer[middle] ^= 1;
    }
    fn end(buffer: &mut [u8]) {
        let last = buffer.len() - 1;
        buffer[last] = b' ';
    }
    let all = entries(3);
    for (change, seq) in [(flip as fn(&mut [u8]), 1), (end, 2)] {
        let vfs = SimVfs::new();
        let store = Options::new().plant_before_write(change).open_in(vfs.clone(), DIR).unwrap();
        let answer = store.append(batch(&all)).await;
        assert!(
            matches!(answer, Err(AppendError::NotStored(StoreError::Damaged { seq: found, .. })) if found == seq),
            "{answer:?}"
        );
        assert_eq!(store.head_now().size, 0);
        assert_eq!(segment(&vfs), b"", "the bytes were taken back");
        drop(store);
        open(&vfs).unwrap().append(batch(&all)).await.unwrap();
    }
}

#[tokio::test]
async fn f02_a_recovery_that_is_cut_off_anywhere_and_done_again_comes_to_the_same() {
    let all = entries(5);
    // Two entries are known, two stand in memory after a sync that failed, and one is torn.
    let broken = async || {
        let (vfs, store) = ledger(&all[..2]).await;
        store.put_checkpoint(1, note(&all[..1])).await.unwrap();
        let path = Path::new(DIR).join("entries").join(format!("{:020}.jsonl", 0));
        let torn = &lines(&all[4..])[..50];
        drop(store);
        vfs.put(&path, &[&lines(&all[..4]), torn].concat());
        vfs
    };
    let vfs = broken().await;
    let start = vfs.call_count();
    let recovered = open(&vfs).unwrap();
    assert_eq!(recovered.recovery().rewritten, 2);
    assert!(recovered.recovery().cut.is_some());
    drop(recovered);
    let mut disks = 0;
    for cut in start..vfs.call_count() {
        let vfs = broken().await;
        vfs.cut_power_at(cut);
        assert!(open(&vfs).is_err());
        for (choice, disk) in vfs.aftermath().disks().take(32) {
            let store = open(&disk).unwrap_or_else(|error| panic!("cut at {cut}, disk {choice}: {error:?}"));
            assert_eq!(everything(&store).await, bytes(&all[..4]), "cut at {cut}, disk {choice}");
            drop(store);
            let kept: Vec<_> =
                disk.tree().into_iter().filter(|(path, _)| path.to_string_lossy().contains("torn")).collect();
            assert_eq!(kept.len(), 1, "cut at {cut}, disk {choice}");
            assert_eq!(kept[0].1.as_deref(), Some(&lines(&all[4..])[..50]));
            disks += 1;
        }
    }
    assert!(disks > 20, "only {disks} disks were looked at");
}

#[tokio::test]
async fn a_checkpoint_that_fails_at_any_call_leaves_the_old_one_or_the_new_one() {
    let all = entries(4);
    let prepared = async || {
        let (vfs, store) = ledger(&all).await;
        store.put_checkpoint(2, note(&all[..2])).await.unwrap();
        (vfs, store)
    };
    let (vfs, store) = prepared().await;
    let start = vfs.call_count();
    store.put_checkpoint(4, note(&all)).await.unwrap();
    drop(store);
    for call in start..vfs.call_count() {
        for fault in [Fault::Io, Fault::IoAfter, Fault::NoSpace, Fault::Interrupted, Fault::Short(1)] {
            let (vfs, store) = prepared().await;
            vfs.fail(call, fault);
            let answer = store.put_checkpoint(4, note(&all)).await;
            let shown = store.checkpoint().await.unwrap();
            assert_eq!(shown, Some(if answer.is_ok() { note(&all) } else { note(&all[..2]) }));
            drop(store);
            let there = open(&vfs).unwrap().checkpoint().await.unwrap();
            assert!(there == shown || there == Some(note(&all)), "{call} {fault:?}");
            for (choice, disk) in vfs.aftermath().disks().take(8) {
                let left = open(&disk).unwrap().checkpoint().await.unwrap();
                assert_eq!(left, there, "what was shown went back: {call} {fault:?} {choice}");
            }
        }
    }
}

#[tokio::test]
async fn half_a_set_of_snapshots_is_not_looked_at() {
    let all = entries(4);
    let set = |size: u64| SnapshotSet {
        size,
        snapshots: ["governance", "merkle"]
            .map(|name| KeptSnapshot {
                name: name.into(),
                note: format!("{name} {size}\n").into_bytes().into(),
                payload: vec![7; 2_000].into(),
            })
            .into(),
    };
    let prepared = async || {
        let (vfs, store) = ledger(&all).await;
        store.put_snapshots(set(2)).await.unwrap();
        (vfs, store)
    };
    let (vfs, store) = prepared().await;
    let start = vfs.call_count();
    store.put_snapshots(set(4)).await.unwrap();
    drop(store);
    for cut in start..vfs.call_count() {
        let (vfs, store) = prepared().await;
        vfs.cut_power_at(cut);
        assert!(store.put_snapshots(set(4)).await.is_err());
        drop(store);
        for (choice, disk) in vfs.aftermath().disks().take(12) {
            let store = open(&disk).unwrap();
            let found = store.snapshots(4).await.unwrap();
            assert!(found == Some(set(2)) || found == Some(set(4)), "{cut} {choice}: {found:?}");
            store.put_snapshots(set(3)).await.unwrap();
            assert_eq!(store.snapshots(3).await.unwrap(), Some(set(3)), "{cut} {choice}");
        }
    }
}
