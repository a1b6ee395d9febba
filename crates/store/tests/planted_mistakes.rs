//! The simulated file system finds what it is made to find: a tiny store passes, and each mistake planted in it is caught.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod explorer;
mod naive;

use std::path::Path;

use countersign_store::conformance::{Answers, Finding};
use countersign_store::vfs::sim::{CallKind, Fault, SimVfs};
use explorer::{EMPTY, Explorer, How, Op, Subject as _, Tally, block_on, pool, workloads};
use naive::{Naive, Slip};

const OPS: [Op; 4] = [Op::Small, Op::Large, Op::Checkpoint, Op::Reopen];

/// Loses the power at every step of every short workload.
fn explored(slip: Slip, most: usize) -> Tally {
    let subject = Naive(slip);
    let mut explorer = Explorer::new(&subject);
    for ops in workloads(&OPS, most) {
        explorer.explore(&ops, false);
    }
    explorer.tally
}

/// Has every call fail, one at a time, opens the store again, and loses the power at last.
fn calls_failed(slip: Slip) -> Tally {
    let subject = Naive(slip);
    let mut explorer = Explorer::new(&subject);
    for ops in workloads(&OPS, 2) {
        for call in 0..explorer.calls(&ops) {
            explorer.fault(&ops, call, Fault::Io);
        }
    }
    explorer.tally
}

/// Damages what is safe: the first of three acknowledged entries.
fn damaged(slip: Slip) -> Vec<Finding> {
    let vfs = SimVfs::new();
    let batch = pool().batch(EMPTY, 3);
    let mut answers = Answers::new();
    answers.submitted(&batch);
    let store = Naive(slip).open(&vfs, How::default()).unwrap();
    answers.answered(&batch, &block_on(countersign_store::Store::append(&store, batch.clone())));
    drop(store);
    let mut log = vfs.tree()[Path::new("/log")].clone().unwrap();
    log[100] ^= 1;
    vfs.put(Path::new("/log"), &log);
    match Naive(slip).open(&vfs, How::default()) {
        // It refuses, and everything behind the damage is still there.
        Err(_) => {
            assert_eq!(vfs.tree()[Path::new("/log")].as_ref(), Some(&log));
            Vec::new()
        }
        Ok(store) => answers.check(block_on(countersign_store::Store::read(&store, 0, 10)).unwrap()),
    }
}

#[test]
fn a_store_without_a_mistake_passes() {
    let tally = explored(Slip::None, 3);
    tally.assert_sound();
    assert!(tally.opened > 2_000 && tally.acknowledged > 2_000, "too little was looked at: {tally}");
    calls_failed(Slip::None).assert_sound();
    assert_eq!(damaged(Slip::None), []);
}

#[test]
fn f05_a_skipped_directory_sync_after_a_create_is_caught() {
    assert!(
        explored(Slip::SkipsDirectorySyncAfterCreate, 2).failed_with("was acknowledged and is not there")
    );
}

#[test]
fn f05_a_skipped_directory_sync_after_a_rename_is_caught() {
    let tally = explored(Slip::SkipsDirectorySyncAfterRename, 2);
    assert!(tally.failed_with("checkpoint over 0 entries was acknowledged and is not there"));
}

#[test]
fn f16_an_acknowledgement_before_the_sync_is_caught() {
    assert!(explored(Slip::AcknowledgesBeforeSync, 2).failed_with("was acknowledged and is not there"));
}

#[test]
fn f03_a_failed_sync_that_is_tried_again_is_caught() {
    explored(Slip::RetriesFailedSync, 2).assert_sound();
    assert!(calls_failed(Slip::RetriesFailedSync).failed_with("was acknowledged and is not there"));
}

#[test]
fn f03_memory_that_is_trusted_after_a_failed_sync_is_caught() {
    assert!(calls_failed(Slip::TrustsMemoryAfterFailedSync).failed_with("a reader was given entry"));
}

#[test]
fn f01_a_cut_at_the_first_bad_line_is_caught() {
    let findings = damaged(Slip::CutsAtFirstBadLine);
    assert!(
        matches!(findings[..], [Finding::Lost { seq: 0, .. }, _, Finding::Lost { seq: 2, .. }]),
        "{findings:?}"
    );
}

#[test]
fn a_rename_before_the_sync_is_caught() {
    assert!(explored(Slip::RenamesBeforeSync, 2).failed_with("checkpoint"));
}

#[test]
fn f04_a_reader_of_what_is_not_synced_is_caught() {
    assert!(calls_failed(Slip::ShowsWhatIsNotSynced).failed_with("a reader was given entry"));
}

#[test]
fn a_failure_names_a_state_that_can_be_looked_at_alone() {
    let tally = explored(Slip::AcknowledgesBeforeSync, 2);
    let (name, what) = tally.failures[0].split_once("' ").unwrap();
    let subject = Naive(Slip::AcknowledgesBeforeSync);
    let mut explorer = Explorer::new(&subject);
    explorer.look_at(name);
    for ops in workloads(&OPS, 2) {
        explorer.explore(&ops, false);
    }
    assert_eq!(explorer.tally.opened, 1);
    assert_eq!(explorer.tally.failures, [format!("{name}' {what}")]);
}

#[test]
fn the_same_calls_and_choices_give_the_same_numbers() {
    assert_eq!(explored(Slip::None, 1).to_string(), explored(Slip::None, 1).to_string());
}

#[test]
fn every_sync_of_a_workload_is_met_by_a_fault() {
    let subject = Naive(Slip::None);
    let mut explorer = Explorer::new(&subject);
    let ops = [Op::Small, Op::Checkpoint, Op::Reopen];
    let vfs = SimVfs::new();
    explorer.run_on(&vfs, &ops);
    let calls = vfs.calls();
    for (call, made) in calls.iter().enumerate() {
        let (_, hit) = explorer.fault(&ops, call, Fault::Io);
        assert!(hit, "call {call} is not met: {made:?}");
    }
    assert!(calls.iter().filter(|call| call.kind == CallKind::Sync).count() > 3);
}
