//! A writer that sleeps through a takeover does not fork the ledger (F-11, F-12).
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use countersign_faults::{Folder, Paced, Said, assert_kept, count, entries_in, is_soak};

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");

#[test]
fn a_second_writer_is_refused_while_the_first_one_lives_or_sleeps() {
    let folder = Folder::new("second-writer");
    let store = folder.path().join("ledger");
    let mut first = Paced::start(RECORDER, &store, 0);
    first.record();
    for is_stopped in [false, true] {
        if is_stopped {
            first.signal("STOP");
        }
        let second = start(&store, 1, 1);
        assert_eq!(second.opened, None, "two writers: {second:?}");
        assert!(second.reasons.iter().any(|why| why.contains("another")), "{second:?}");
    }
    first.signal("KILL");
    let first = first.said();
    // No process holds it any more, and no file that it left behind keeps the next one out.
    let third = start(&store, 2, 1);
    assert!(third.closed, "{third:?}");
    assert_kept([&first, &third], &[], &entries_in(&store), "after the first writer's end");
}

#[test]
fn a_writer_whose_lock_was_lost_while_it_slept_does_not_fork_the_ledger() {
    let rounds = if is_soak() { 200 } else { 10 };
    let mut noticed = 0;
    for round in 0..rounds {
        let folder = Folder::new(&format!("takeover-{round}"));
        let store = folder.path().join("ledger");
        let mut first = Paced::start(RECORDER, &store, 0);
        for _ in 0..=round % 3 {
            first.record();
        }
        first.signal("STOP");
        // What a network file system does that loses a lock: the next one gets it although the first one believes to have it.
        std::fs::remove_file(store.join("lock")).unwrap();
        let second = start(&store, 1, 1 + round % 4);
        assert!(second.closed, "round {round}: {second:?}");
        first.signal("CONT");
        first.ask();
        let first = first.said();
        noticed += u64::from(first.has_failed());
        // And the ledger goes on.
        let third = start(&store, 2, 1);
        assert!(third.closed, "round {round}: {third:?}");
        assert_kept([&first, &second, &third], &[], &entries_in(&store), &format!("round {round}"));
    }
    count(
        "a_writer_whose_lock_was_lost",
        &format!("{rounds} takeovers, noticed by the first writer in {noticed}, no fork"),
    );
}

fn start(store: &Path, run: u64, statements: u64) -> Said {
    let mut command = Command::new(RECORDER);
    command.arg(store).arg(run.to_string()).args(["--statements", &statements.to_string()]);
    Said::parse(&command.output().unwrap().stdout)
}
