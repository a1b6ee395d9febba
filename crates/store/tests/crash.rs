//! Every crash that can be thought of, on the file store in a simulated machine.
//!
//! With `COUNTERSIGN_SOAK=1` the long ones too: workloads of four operations, and 20 million crashes in recoveries.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod explorer;
mod planted;

use std::path::Path;

use countersign_notices::{count, is_soak};
use countersign_store::conformance::{Answers, Finding};
use countersign_store::file::{FileStore, Options};
use countersign_store::vfs::Vfs as _;
use countersign_store::vfs::sim::{CallKind, Choice, Fault, SimVfs};
use countersign_store::{AppendError, BoxError, Store as _};
use explorer::{
    EMPTY, Explorer, How, Op, Outcome, Subject, block_on, explore_all, looks_at_all, pool, workloads,
};
use planted::{Mistake, Planted};

const DIR: &str = "/ledger";

/// The file store as it is.
struct Files {
    segment_size: u64,
}

const FILES: Files = Files { segment_size: 64 << 20 };

impl Files {
    fn options(&self, how: How) -> Options {
        let options =
            Options::new().without_a_thread().segment_size(if how.roll { 0 } else { self.segment_size });
        if how.cut_unproven { options.cut_unproven() } else { options }
    }
}

impl Subject for Files {
    type Store = FileStore<SimVfs>;

    fn open(&self, vfs: &SimVfs, how: How) -> Result<Self::Store, BoxError> {
        Ok(self.options(how).open_in(vfs.clone(), DIR)?)
    }
}

/// The file store on a file system that makes a mistake for it.
struct Mistaken(Mistake);

impl Subject for Mistaken {
    type Store = FileStore<Planted<SimVfs>>;

    fn open(&self, vfs: &SimVfs, how: How) -> Result<Self::Store, BoxError> {
        Ok(FILES.options(how).open_in(Planted(vfs.clone(), self.0), DIR)?)
    }
}

/// Loses the power at every step of every workload of at most three operations: every state that a disk may be left in, or
/// 4,096 of them where there are more. Of shorter ones once more with sectors half as long, which are torn in more ways.
#[test]
fn no_crash_loses_what_was_acknowledged() {
    let mut states = 0;
    for (sector, most) in if is_soak() { [(512, 4), (256, 3)] } else { [(512, 3), (256, 1)] } {
        let tally = explore_all(&FILES, sector, &workloads(&Op::ALL, most), false, u64::MAX);
        tally.assert_sound();
        count(&format!("no_crash_loses_what_was_acknowledged, sectors of {sector} bytes"), &tally.numbers());
        states += tally.states;
    }
    assert!(looks_at_all() <= (states >= 200_000), "only {states} states");
}

/// As before, and in every recovery once more, and with recoveries killed: it comes to what one recovery comes to. In soak 20 million
/// states, of workloads of up to three operations.
#[test]
fn f02_no_crash_in_a_recovery_changes_what_it_comes_to() {
    let (most, enough) = if is_soak() { (3, 20_000_000) } else { (1, u64::MAX) };
    let tally = explore_all(&FILES, 512, &workloads(&Op::ALL, most), true, enough);
    tally.assert_sound();
    count("f02_no_crash_in_a_recovery_changes_what_it_comes_to", &tally.numbers());
    assert!(tally.in_recovery > 0 && tally.killed > 0);
    assert!((looks_at_all() && is_soak()) <= (tally.states >= enough), "{tally}");
}

const FAULTS: [Fault; 6] =
    [Fault::Io, Fault::IoAfter, Fault::NoSpace, Fault::Interrupted, Fault::Short(1), Fault::Short(600)];

/// Has every call of every workload of two operations fail, in every way; opens the store again, with and without a loss of
/// power in between.
#[test]
fn f03_f13_no_fault_of_any_call_loses_what_was_acknowledged() {
    let mut explorer = Explorer::new(&FILES);
    let mut hits = 0;
    for ops in workloads(&[Op::Small, Op::Large, Op::Checkpoint, Op::Roll, Op::Reopen], 2) {
        for call in 0..explorer.calls(&ops) {
            for fault in FAULTS {
                let (_, hit) = explorer.fault(&ops, call, fault);
                hits += usize::from(hit);
            }
        }
    }
    explorer.tally.assert_sound();
    let what = format!("{hits} faults; {}", explorer.tally.numbers());
    count("f03_f13_no_fault_of_any_call_loses_what_was_acknowledged", &what);
    assert!(hits > 5_000, "only {hits} faults happened");
    assert!(looks_at_all() <= (explorer.tally.killed > 1_000), "{}", explorer.tally);
}

/// Who takes away the last word of a writer whose sync failed does not make a plain sync prove anything (F-03).
#[test]
fn f03_without_the_last_word_of_the_writer_nothing_is_taken_for_saved() {
    let vfs = SimVfs::new();
    let batch = pool().batch(EMPTY, 1);
    let store = FILES.open(&vfs, How::default()).unwrap();
    let calls = vfs.call_count();
    block_on(store.append(batch.clone())).unwrap();
    let appended = vfs.calls();
    let sync = (calls..appended.len()).find(|call| appended[*call].kind == CallKind::Sync).unwrap();
    let vfs = SimVfs::new();
    let store = FILES.open(&vfs, How::default()).unwrap();
    vfs.fail(sync, Fault::Io);
    assert!(matches!(block_on(store.append(batch.clone())), Err(AppendError::OutcomeUnknown(_))));
    drop(store);
    vfs.remove_file(&Path::new(DIR).join("head")).unwrap();
    let store = FILES.open(&vfs, How::default()).unwrap();
    let shown = block_on(store.read(0, 10)).unwrap();
    assert_eq!(shown.len(), 1, "it is in memory");
    let disk = vfs.aftermath().disk(Choice::Seed(0));
    let store = FILES.open(&disk, How::default()).unwrap();
    assert_eq!(block_on(store.read(0, 10)).unwrap(), shown);
}

/// The outcome of an append is exact: nothing is stored where a call fails before its sync; it is unknown, and the store takes no
/// more, where the sync fails or what follows it until the entries are shown; and what only makes things quicker, or is told
/// to other processes, may fail. A signal that interrupts is no failure, but of a sync.
#[test]
fn f03_the_outcome_of_an_append_is_exact_whatever_call_of_it_fails() {
    for subject in [FILES, Files { segment_size: 0 }] {
        let ops = [Op::Small, Op::Large];
        let mut explorer = Explorer::new(&subject);
        let vfs = SimVfs::new();
        let before = explorer.run_on(&vfs, &ops);
        let (mut written, mut unknown, mut shown) = (false, false, false);
        for (index, call) in vfs.calls().iter().enumerate().skip(before) {
            let place = call.path.strip_prefix(DIR).unwrap().to_str().unwrap();
            let helps = place.starts_with("index");
            let syncs = matches!(call.kind, CallKind::Sync | CallKind::SyncDir);
            shown |= place.starts_with("head");
            unknown |= written && syncs;
            written |= call.kind == CallKind::Append && place.starts_with("entries/");
            let failed = match (helps || shown, unknown) {
                (true, _) => Outcome::Acknowledged,
                (false, true) => Outcome::Poisoned,
                (false, false) => Outcome::NotStored,
            };
            for (fault, outcome) in [
                (Fault::Io, failed),
                (Fault::IoAfter, failed),
                (Fault::NoSpace, failed),
                (Fault::Interrupted, if syncs { failed } else { Outcome::Acknowledged }),
                (Fault::Short(1), Outcome::Acknowledged),
                (Fault::Short(600), Outcome::Acknowledged),
            ] {
                let (came_to, _) = explorer.fault(&ops, index, fault);
                assert_eq!(came_to, [Outcome::Acknowledged, outcome], "call {index}, {fault:?}: {call:?}");
            }
        }
        assert!(written && unknown && shown, "the calls of an append are not those that are looked for");
        explorer.tally.assert_sound();
    }
}

/// A disk that is full at every byte of a batch (etcd 2819): the batch is not stored, the ledger opens with no byte free once
/// there is room for what opening writes, and goes on.
#[test]
fn f13_a_disk_that_is_full_at_any_byte_of_a_batch_loses_nothing() {
    let (first, second) = (pool().batch(EMPTY, 1), pool().batch(pool().batch(EMPTY, 1).head(), 3));
    let size: usize = second.entries().iter().map(|entry| entry.bytes().len() + 1).sum();
    let mut acknowledged = 0;
    for free in 0..=size as u64 {
        let vfs = SimVfs::new();
        let mut answers = Answers::new();
        let store = FILES.open(&vfs, How::default()).unwrap();
        for (batch, free) in [(&first, None), (&second, Some(free))] {
            vfs.limit_space(free);
            answers.submitted(batch);
            let answer = block_on(store.append(batch.clone()));
            let full = free.is_some_and(|free| free < size as u64);
            assert!(
                matches!((&answer, full), (Ok(_), false) | (Err(AppendError::NotStored(_)), true)),
                "{free:?}"
            );
            acknowledged += usize::from(answer.is_ok());
            answers.answered(batch, &answer);
        }
        drop(store);
        let disks = [Choice::Seed(0), Choice::Seed(1)].map(|choice| vfs.aftermath().disk(choice));
        for disk in disks {
            let store = FILES.open(&disk, How::default()).unwrap();
            let head = block_on(store.head()).unwrap();
            assert_eq!(answers.check(block_on(store.read(0, 10)).unwrap()), [], "{free} bytes free");
            block_on(store.append(pool().other(head))).unwrap();
        }
    }
    assert_eq!(acknowledged, size + 2);
}

/// A ledger of three acknowledged entries, of which one was damaged on the disk: after a loss of power, which takes the last
/// word of the writer away, or without.
fn damaged(seq: usize, power_lost: bool) -> (SimVfs, Answers, Vec<u8>) {
    let vfs = SimVfs::new();
    let batch = pool().batch(EMPTY, 3);
    let mut answers = Answers::new();
    answers.submitted(&batch);
    let store = FILES.open(&vfs, How::default()).unwrap();
    answers.answered(&batch, &block_on(store.append(batch.clone())));
    drop(store);
    let disk = if power_lost { vfs.aftermath().disk(Choice::Seed(0)) } else { vfs.saved() };
    let before: usize = batch.entries()[..seq].iter().map(|entry| entry.bytes().len() + 1).sum();
    let mut bytes = disk.tree()[Path::new(SEGMENT)].clone().unwrap();
    bytes[before + 100] ^= 1;
    disk.put(Path::new(SEGMENT), &bytes);
    (disk, answers, bytes)
}

const SEGMENT: &str = "/ledger/entries/00000000000000000000.jsonl";

#[test]
fn f01_damage_is_refused_and_left_as_it_is() {
    let cutting = How { cut_unproven: true, ..How::default() };
    for seq in 0..3 {
        // Who may cut what is not proved does not cut what the last writer proves.
        for (how, power_lost) in [(How::default(), true), (How::default(), false), (cutting, false)] {
            let (disk, _, bytes) = damaged(seq, power_lost);
            assert!(FILES.open(&disk, how).is_err(), "entry {seq} is damaged");
            assert_eq!(disk.tree()[Path::new(SEGMENT)].as_ref(), Some(&bytes));
        }
    }
}

#[test]
fn f01_planted_a_cut_at_the_first_bad_line_is_caught() {
    let (disk, answers, _) = damaged(0, true);
    let options = FILES.options(How::default()).plant_cut_at_the_first_bad_line();
    let store = options.open_in(disk, DIR).expect("the mistake is made");
    let findings = answers.check(block_on(store.read(0, 10)).unwrap());
    assert!(
        matches!(findings[..], [Finding::Lost { .. }, Finding::Lost { .. }, Finding::Lost { .. }]),
        "{findings:?}"
    );
}

/// Explores, or lets calls fail, until the mistake shows.
fn caught(mistake: Mistake, calls_fail: bool, what: &str) -> bool {
    let subject = Mistaken(mistake);
    let mut explorer = Explorer::new(&subject);
    for ops in workloads(&[Op::Small, Op::Checkpoint, Op::Roll], 2) {
        if calls_fail {
            for call in 0..explorer.calls(&ops) {
                explorer.fault(&ops, call, Fault::Io);
            }
        } else {
            explorer.explore(&ops, false);
        }
        if explorer.tally.failed_with(what) {
            return true;
        }
    }
    println!("{}", explorer.tally);
    false
}

const LOST: &str = "was acknowledged and is not there";

#[test]
fn f05_planted_directories_that_are_not_synced_are_caught() {
    assert!(caught(Mistake::SkipsDirectorySyncs, false, LOST));
}

#[test]
fn f05_planted_a_rename_that_is_not_made_durable_is_caught() {
    assert!(caught(Mistake::SkipsDirectorySyncs, false, "the checkpoint over 0 entries was acknowledged"));
}

#[test]
fn f16_planted_an_acknowledgement_before_the_sync_is_caught() {
    assert!(caught(Mistake::SkipsFileSyncs, false, LOST));
}

#[test]
fn planted_a_rename_before_the_sync_is_caught() {
    assert!(caught(Mistake::RenamesUnsynced, false, "does not open"));
}

#[test]
fn f03_planted_a_sync_failure_that_is_dropped_is_caught() {
    assert!(caught(Mistake::SwallowsSyncFailures, true, LOST));
}

#[test]
fn f03_planted_a_failed_sync_that_is_tried_again_is_caught() {
    assert!(caught(Mistake::RetriesFailedSyncs, true, LOST));
}
