//! What a crash leaves is opened, or refused with its place: nothing durable is cut, and nothing is repaired silently.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{TempDir, add, batch, bytes, entries, everything, lines, names, note};
use countersign_core::entry::Entry;
use countersign_store::Store as _;
use countersign_store::file::{Cut, Evidence, FileStore, LineFault, OpenError, Options};

/// A directory with these entries in one segment, all of them acknowledged, and a checkpoint over the first `anchored`.
async fn ledger(name: &str, entries: &[Entry], anchored: usize) -> TempDir {
    let dir = TempDir::new(name);
    let store = FileStore::open(dir.ledger()).unwrap();
    if !entries.is_empty() {
        store.append(batch(entries)).await.unwrap();
    }
    if anchored > 0 {
        store.put_checkpoint(anchored as u64, note(&entries[..anchored])).await.unwrap();
    }
    dir
}

/// After a loss of power: what was never synced is not there.
fn lose_head(dir: &TempDir) {
    let _ = fs::remove_file(dir.ledger().join("head"));
}

#[tokio::test]
async fn f01_a_last_entry_cut_at_any_byte_is_kept_aside_and_the_rest_opens() {
    let all = entries(3);
    let dir = ledger("cut", &all[..2], 2).await;
    let (good, last) = (lines(&all[..2]), lines(&all[2..]));
    let edges = [1, 2, last.len() - 2, last.len() - 1];
    for length in edges.into_iter().chain((3..last.len() - 2).step_by(29)) {
        fs::write(dir.segment(0), [&good[..], &last[..length]].concat()).unwrap();
        let store = FileStore::open(dir.ledger()).unwrap();
        let kept = dir.ledger().join(format!("entries/{:020}.jsonl.torn-{}", 0, good.len()));
        let cut = Cut {
            segment: dir.segment(0),
            offset: good.len() as u64,
            size: length as u64,
            kept: kept.clone(),
            fault: None,
        };
        assert_eq!(store.recovery().cut, Some(cut), "cut at {length}");
        assert_eq!(fs::read(&kept).unwrap(), last[..length]);
        assert_eq!(everything(&store).await, bytes(&all[..2]));
        // The same entry goes behind again.
        store.append(batch(&all[2..])).await.unwrap();
        drop(store);
        assert_eq!(fs::read(dir.segment(0)).unwrap(), lines(&all));
        fs::remove_file(kept).unwrap();
        fs::remove_file(dir.ledger().join("head")).unwrap();
    }
}

#[tokio::test]
async fn f01_other_bytes_cut_at_the_same_place_are_kept_beside_the_first() {
    let all = entries(2);
    let dir = ledger("again", &all[..1], 0).await;
    let offset = lines(&all[..1]).len();
    let torn = format!("{:020}.jsonl.torn-{offset}", 0);
    for (tail, wanted) in [
        ("ab", vec![torn.clone()]),
        ("ab", vec![torn.clone()]),
        ("cd", vec![torn.clone(), torn.clone() + ".2"]),
    ] {
        add(&dir.segment(0), tail.as_bytes());
        drop(FileStore::open(dir.ledger()).unwrap());
        let mut kept = names(&dir.ledger().join("entries"));
        kept.retain(|name| name.contains("torn"));
        assert_eq!(kept, wanted, "after {tail}");
    }
    assert_eq!(fs::read(dir.ledger().join("entries").join(&torn)).unwrap(), b"ab");
    assert_eq!(fs::read(dir.ledger().join("entries").join(torn + ".2")).unwrap(), b"cd");
}

#[tokio::test]
async fn f01_four_mebibytes_of_zeros_behind_the_last_entry_are_cut() {
    let all = entries(3);
    let dir = ledger("zeros", &all, 3).await;
    add(&dir.segment(0), &vec![0; 4 << 20]);
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!(store.recovery().cut.as_ref().map(|cut| cut.size), Some(4 << 20));
    assert_eq!(everything(&store).await, bytes(&all));
}

#[tokio::test]
async fn f01_zeros_over_the_end_are_cut_down_to_what_is_anchored_and_never_below() {
    let all = entries(20);
    let whole = lines(&all);
    for anchored in [0, 12, 20] {
        let dir = ledger("zeroed", &all, anchored).await;
        for zeros in [1, 2, 511, 512, 513, 1_000, 4_096, 8_192] {
            let zeros = zeros.min(whole.len());
            lose_head(&dir);
            let mut bytes = whole.clone();
            let length = bytes.len() - zeros;
            bytes[length..].fill(0);
            fs::write(dir.segment(0), &bytes).unwrap();
            let good = whole[..length].iter().filter(|byte| **byte == b'\n').count();
            match FileStore::open(dir.ledger()) {
                Ok(store) => {
                    assert!(good >= anchored, "{zeros} zeros cut below {anchored}");
                    assert_eq!(everything(&store).await, common::bytes(&all[..good]));
                }
                Err(OpenError::Damaged { seq, segment, .. }) => {
                    assert!(good < anchored, "{zeros} zeros over {anchored} anchored entries");
                    assert_eq!((seq, segment), (good as u64, dir.segment(0)));
                    assert_eq!(fs::read(dir.segment(0)).unwrap(), bytes, "nothing is changed");
                }
                Err(error) => panic!("{zeros} zeros over {anchored} anchored entries: {error:?}"),
            }
        }
    }
}

#[tokio::test]
async fn f01_a_whole_bad_line_refuses_unless_the_caller_chose_to_cut_it() {
    let all = entries(4);
    let tails: [(&str, Vec<u8>); 4] = [
        ("rubbish", b"rubbish\n".to_vec()),
        ("an empty line", b"\n".to_vec()),
        ("an entry of another place", lines(&all[3..])),
        ("zeros with a line feed", [vec![0; 70_000], vec![b'\n']].concat()),
    ];
    for (name, tail) in tails {
        let dir = ledger("bad", &all[..2], 1).await;
        let offset = lines(&all[..2]).len() as u64;
        add(&dir.segment(0), &tail);
        let before = fs::read(dir.segment(0)).unwrap();
        match FileStore::open(dir.ledger()) {
            Err(OpenError::Unproven { segment, offset: found, seq, .. }) => {
                assert_eq!((segment, found, seq), (dir.segment(0), offset, 2), "case: {name}");
            }
            other => panic!("case: {name}: {other:?}"),
        }
        assert_eq!(fs::read(dir.segment(0)).unwrap(), before, "case: {name}: nothing is changed");
        let store = Options::new().cut_unproven().open(dir.ledger()).unwrap();
        let cut = store.recovery().cut.clone().unwrap();
        assert!(cut.fault.is_some(), "case: {name}");
        assert_eq!(fs::read(cut.kept).unwrap(), tail, "case: {name}");
        assert_eq!(everything(&store).await, bytes(&all[..2]), "case: {name}");
    }
}

#[tokio::test]
async fn f01_the_same_damage_one_entry_earlier_is_never_cut() {
    let all = entries(4);
    for evidence in [Evidence::Checkpoint, Evidence::Head] {
        let dir = ledger("early", &all, if evidence == Evidence::Checkpoint { 4 } else { 0 }).await;
        if evidence == Evidence::Checkpoint {
            lose_head(&dir);
        }
        let mut bytes = lines(&all);
        let offset = lines(&all[..2]).len();
        bytes[offset] = b'x';
        fs::write(dir.segment(0), &bytes).unwrap();
        for options in [Options::new(), Options::new().cut_unproven()] {
            match options.open(dir.ledger()) {
                Err(OpenError::Damaged { segment, offset: found, seq, fault: LineFault::NoEntry(_) }) => {
                    assert_eq!((segment, found, seq), (dir.segment(0), offset as u64, 2));
                }
                other => panic!("{evidence:?}: {other:?}"),
            }
            assert_eq!(fs::read(dir.segment(0)).unwrap(), bytes, "nothing is changed");
        }
    }
}

#[tokio::test]
async fn f15_an_older_copy_is_refused_by_what_is_known_of_the_newer() {
    let all = entries(5);
    for evidence in [Evidence::Checkpoint, Evidence::Head] {
        let dir = ledger("older", &all, if evidence == Evidence::Checkpoint { 5 } else { 0 }).await;
        if evidence == Evidence::Checkpoint {
            lose_head(&dir);
        }
        fs::write(dir.segment(0), lines(&all[..3])).unwrap();
        match Options::new().cut_unproven().open(dir.ledger()) {
            Err(OpenError::BelowFloor { entries: 3, floor: 5, evidence: found }) => {
                assert_eq!(found, evidence)
            }
            other => panic!("{evidence:?}: {other:?}"),
        }
    }
    let dir = ledger("gone", &all, 5).await;
    lose_head(&dir);
    fs::remove_file(dir.segment(0)).unwrap();
    assert!(matches!(FileStore::open(dir.ledger()), Err(OpenError::BelowFloor { entries: 0, floor: 5, .. })));
}

#[tokio::test]
async fn f15_another_history_of_the_same_length_is_refused() {
    let all = entries(3);
    let dir = ledger("other", &all, 0).await;
    let other = common::entries_of(2, all[1].head(), 1, 1);
    fs::write(dir.segment(0), lines(&[&all[..2], &other].concat())).unwrap();
    assert!(matches!(FileStore::open(dir.ledger()), Err(OpenError::OtherHistory { seq: 2 })));
}

#[tokio::test]
async fn f03_entries_that_nobody_synced_for_certain_are_written_again_before_they_are_shown() {
    let all = entries(5);
    let dir = ledger("again", &all[..2], 0).await;
    // As a batch whose sync failed leaves it: in the page cache, and perhaps nowhere else.
    add(&dir.segment(0), &lines(&all[2..]));
    let store = FileStore::open(dir.ledger()).unwrap();
    assert_eq!((store.recovery().rewritten, store.recovery().cut.clone()), (3, None));
    assert_eq!(everything(&store).await, bytes(&all));
    assert_eq!(names(&dir.ledger().join("entries")), [format!("{:020}.jsonl", 0)]);
    drop(store);
    assert_eq!(FileStore::open(dir.ledger()).unwrap().recovery().rewritten, 0);
}

#[tokio::test]
async fn f02_a_recovery_that_was_cut_off_while_it_wrote_again_goes_on() {
    let all = entries(5);
    let (good, rest) = (lines(&all[..2]), lines(&all[2..]));
    for length in [0, 1, rest.len() / 2, rest.len() - 1, rest.len()] {
        let dir = ledger("resumed", &all[..2], 0).await;
        let kept = dir.ledger().join(format!("entries/{:020}.jsonl.rewrite-{}", 0, good.len()));
        fs::write(&kept, &rest).unwrap();
        fs::write(dir.segment(0), [&good[..], &rest[..length]].concat()).unwrap();
        let store = FileStore::open(dir.ledger()).unwrap();
        assert_eq!(everything(&store).await, bytes(&all), "cut off at {length}");
        assert_eq!(names(&dir.ledger().join("entries")), [format!("{:020}.jsonl", 0)]);
    }
}

// A stray copy had the segment cut to its length before anybody looked at what it says.
#[tokio::test]
async fn f02_a_copy_that_holds_no_entries_changes_nothing() {
    let all = entries(5);
    let good = lines(&all);
    for (offset, copy) in [(0, &b"x"[..]), (0, b"x\n"), (lines(&all[..4]).len(), b"x\n")] {
        let dir = ledger("stray-copy", &all, 0).await;
        let kept = dir.ledger().join(format!("entries/{:020}.jsonl.rewrite-{offset}", 0));
        fs::write(&kept, copy).unwrap();
        assert!(FileStore::open(dir.ledger()).is_err(), "offset {offset}");
        assert_eq!(fs::read(dir.segment(0)).unwrap(), good, "offset {offset}");
    }
}

// A copy of entries that do not belong there, or are others than those that stand there whole, was put in their place.
#[tokio::test]
async fn f02_a_copy_of_other_entries_than_those_that_stand_there_changes_nothing() {
    let all = entries(6);
    let other = common::entries_of(2, all[4].head(), 1, 1);
    let cases = [
        ("another last entry", 4, lines(&[&all[4..5], &other].concat())),
        ("entries of an earlier place", 4, lines(&all[1..5])),
        ("entries of a later place", 2, lines(&all[3..])),
        ("entries of a later place, over all", 0, lines(&all[1..])),
    ];
    for (name, after, copy) in cases {
        let dir = ledger("other-copy", &all[..4], 0).await;
        add(&dir.segment(0), &lines(&all[4..]));
        // As long as the copy is at most: what is longer was not being written again.
        let offset = lines(&all[..after]).len();
        let size = fs::metadata(dir.segment(0)).unwrap().len().min((offset + copy.len()) as u64);
        fs::OpenOptions::new().write(true).open(dir.segment(0)).unwrap().set_len(size).unwrap();
        let kept = dir.ledger().join(format!("entries/{:020}.jsonl.rewrite-{offset}", 0));
        fs::write(&kept, &copy).unwrap();
        let before = fs::read(dir.segment(0)).unwrap();
        for options in [Options::new(), Options::new().cut_unproven()] {
            match options.open(dir.ledger()) {
                Err(OpenError::UnknownName { path }) => assert_eq!(path, kept, "case: {name}"),
                other => panic!("case: {name}: {other:?}"),
            }
            assert_eq!(fs::read(dir.segment(0)).unwrap(), before, "case: {name}");
            assert_eq!(fs::read(&kept).unwrap(), copy, "case: {name}");
        }
    }
}
