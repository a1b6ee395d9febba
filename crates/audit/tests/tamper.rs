//! The tamper matrix: what anyone who holds the file, and no key, can do to it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{World, at, audit, fault, join};
use countersign_audit::{ClaimName, Options, Verdict};
use rayon::prelude::*;

#[test]
fn a_good_ledger_is_verified() {
    let world = World::story_of("acme", 32, 2);
    let report = audit(world.bytes(), &[&world.checkpoint(32)], &world.pin());
    assert_eq!(fault(&report), None, "{report}");
    assert_eq!((report.entries, report.anchored, report.rules), (32, 32, Some(1)));
    assert_eq!(report.governors_quorum, Some((2, 2)));
    assert_eq!(report.serial_gaps, []);
    let open: Vec<_> = report
        .claims
        .iter()
        .filter(|claim| claim.verdict != Verdict::Verified)
        .map(|claim| claim.name)
        .collect();
    assert_eq!(open, [ClaimName::Completeness]);
}

/// With a checkpoint every one is detected and located; without one, one field of the last entry is protected by nothing.
#[test]
fn every_single_bit_flip_of_16_entries_is_detected_and_located() {
    let world = World::story("acme", 16);
    let (bytes, lines) = (world.bytes(), world.lines());
    let note = world.checkpoint(16);
    let entry_of: Vec<u64> =
        lines.iter().enumerate().flat_map(|(seq, line)| vec![seq as u64; line.len() + 1]).collect();
    let last = bytes.len() - lines[15].len() - 1;
    let time = last + String::from_utf8_lossy(&lines[15]).find("recorded_at\":\"").unwrap() + 14;
    let (undecided, unprotected) = (AtomicUsize::new(0), AtomicUsize::new(0));
    (0..bytes.len() * 8).into_par_iter().for_each(|bit| {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let report = audit(changed.clone(), &[&note], &Options::default());
        let Some(found) = &report.fault else { panic!("bit {bit} was not detected") };
        let seq = entry_of[bit / 8];
        if seq == 14 && found.seq == 15 {
            // The chain alone can not tell the last two apart: the detail names both, and what the checkpoint tells.
            assert_eq!(found.code.to_string(), "prev", "bit {bit}");
            assert!(found.detail.contains("entry 14 or entry 15"), "bit {bit}: {}", found.detail);
            assert!(found.detail.ends_with("so it was entry 14"), "bit {bit}: {}", found.detail);
            undecided.fetch_add(1, Ordering::Relaxed);
        } else {
            assert_eq!(found.seq, seq, "bit {bit}: {found:?}");
        }
        if (time..time + 24).contains(&(bit / 8)) {
            let report = audit(changed, &[], &Options::default());
            if report.is_verified() {
                assert_eq!(report.anchored, 0);
                let claim = report.claims.iter().find(|claim| claim.name == ClaimName::LastTime).unwrap();
                assert_eq!(claim.verdict, Verdict::NotCheckable);
                unprotected.fetch_add(1, Ordering::Relaxed);
            }
        } else if found.code.to_string().starts_with("checkpoint") {
            panic!("bit {bit} is seen by the checkpoint alone: {found:?}");
        }
    });
    // Not for want of cases.
    assert!(undecided.into_inner() > 0);
    assert!(unprotected.into_inner() > 0);
}

#[test]
fn truncation_at_every_byte_is_torn_or_shown_by_a_checkpoint() {
    let world = World::story("acme", 32);
    let bytes = world.bytes();
    let note = world.checkpoint(32);
    (0..bytes.len()).into_par_iter().for_each(|length| {
        let cut = &bytes[..length];
        let whole = cut.iter().filter(|byte| **byte == b'\n').count() as u64;
        let want = match cut.last() {
            None => at(0, "empty_ledger"),
            Some(b'\n') => at(whole, "checkpoint_ahead"),
            Some(_) => at(whole, "torn_tail"),
        };
        assert_eq!(fault(&audit(cut, &[&note], &Options::default())), want, "cut at {length}");
        if cut.ends_with(b"\n") {
            // A limit: at a border of entries, without a checkpoint, nothing shows it.
            let report = audit(cut, &[], &Options::default());
            assert_eq!((fault(&report), report.anchored), (None, 0));
        }
    });
}

#[test]
fn entries_deleted_or_doubled_are_out_of_place() {
    let world = World::story("acme", 32);
    let lines = world.lines();
    for index in 0..32 {
        let mut deleted = lines.clone();
        deleted.remove(index);
        let want = if index == 31 { None } else { at(index as u64, "seq") };
        assert_eq!(fault(&audit(join(&deleted), &[], &Options::default())), want, "deleted {index}");

        let mut doubled = lines.clone();
        doubled.insert(index, lines[index].clone());
        let want = at(index as u64 + 1, "seq");
        assert_eq!(fault(&audit(join(&doubled), &[], &Options::default())), want, "doubled {index}");
    }
    let report = audit(join(&lines[..31]), &[&world.checkpoint(32)], &Options::default());
    assert_eq!(fault(&report), at(31, "checkpoint_ahead"));
}

#[test]
fn entries_swapped_moved_or_replayed_are_out_of_place() {
    let lines = World::story("acme", 32).lines();
    let pairs: Vec<_> = (0..32).flat_map(|left| (left + 1..32).map(move |right| (left, right))).collect();
    assert_eq!(pairs.len(), 496);
    pairs.into_par_iter().for_each(|(left, right)| {
        let mut swapped = lines.clone();
        swapped.swap(left, right);
        let want = at(left as u64, "seq");
        assert_eq!(fault(&audit(join(&swapped), &[], &Options::default())), want, "{left} and {right}");
        let mut replayed = lines.clone();
        replayed.insert(right, lines[left].clone());
        let want = at(right as u64, "seq");
        assert_eq!(fault(&audit(join(&replayed), &[], &Options::default())), want, "{left} again at {right}");
    });
}

#[test]
fn entries_of_another_ledger_do_not_fit() {
    let (ours, theirs) = (World::story("acme", 32), World::story("other", 32));
    let (our_lines, their_lines) = (ours.lines(), theirs.lines());
    for index in 0..32 {
        let mut spliced = our_lines[..index].to_vec();
        spliced.extend_from_slice(&their_lines[index..]);
        let report = audit(join(&spliced), &[], &Options::default());
        let want = match index {
            // All of another ledger is that other ledger; only the id tells.
            0 => None,
            // One entry alone: nothing after it decides.
            31 => at(31, "prev"),
            // All that follows fits together, so the entry before is the one that is out of place.
            _ => at(index as u64 - 1, "prev"),
        };
        assert_eq!(fault(&report), want, "spliced at {index}");
        let pinned = audit(join(&spliced), &[], &ours.pin());
        assert_eq!(fault(&pinned), want.or(at(0, "ledger_pin")), "spliced at {index}");

        let mut inserted = our_lines.clone();
        inserted.insert(index, their_lines[index].clone());
        let report = audit(join(&inserted), &[], &Options::default());
        let want = match index {
            0 => (1, "seq"),
            _ => (index as u64, "prev"),
        };
        assert_eq!(fault(&report), at(want.0, want.1), "inserted at {index}");
    }
    assert_eq!(fault(&audit(theirs.bytes(), &[], &ours.pin())), at(0, "ledger_pin"));
    let report = audit(theirs.bytes(), &[&ours.checkpoint(32)], &Options::default());
    assert_eq!(fault(&report), at(32, "checkpoint_origin"));
}

/// F-19: a wrong key never passes, however often it is tried.
#[test]
fn f_19_a_checkpoint_by_a_wrong_key_never_passes() {
    let world = World::story("acme", 16);
    let keys: u32 = if countersign_notices::is_soak() { 10_000 } else { 1_000 };
    (0..keys).into_par_iter().for_each(|index| {
        let note = world.checkpoint_by(16, &format!("service:stranger-{index}"));
        let report = audit(world.bytes(), &[&note], &Options::default());
        assert_eq!(fault(&report), at(15, "checkpoint_signature"), "key {index}");
    });
}
