//! Clocks that are wrong at the start, and clocks that jump while a recorder runs (F-22).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use countersign_core::time::Timestamp;
use countersign_faults::{Folder, Paced, Said, assert_kept, entries_in, has, skip};

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");

#[test]
fn a_clock_that_is_wrong_at_the_start_never_takes_time_back() {
    let name = "a_clock_that_is_wrong_at_the_start";
    if !has("faketime") {
        return skip(name, "faketime is not installed");
    }
    let sizes = ["1s", "4m", "6m", "59m", "61m", "23h", "25h", "2d", "29d", "31d", "10y"];
    for offset in sizes.iter().flat_map(|size| [format!("-{size}"), format!("+{size}")]) {
        let offset = offset.as_str();
        let folder = Folder::new("clock-start");
        let store = folder.path().join("ledger");
        let first = record(Command::new(RECORDER), &store, 0);
        assert!(first.closed);
        let mut command = Command::new("faketime");
        command.args(["-f", offset, RECORDER]);
        let wrong = record(command, &store, 1);
        let last = record(Command::new(RECORDER), &store, 2);
        let entries = entries_in(&store);
        assert_kept([&first, &wrong, &last], &[], &entries, offset);
        let times: Vec<Timestamp> = entries.iter().map(|entry| entry.recorded_at()).collect();
        assert!(times.is_sorted(), "{offset}: time went back: {times:?}");
        // What a statement says of its own time bounds what the recorder's clock may say.
        for entry in &entries {
            let ahead = entry.statement().issued_at.millis().saturating_sub(entry.recorded_at().millis());
            assert!(ahead <= 300_000, "{offset}: issued {ahead} ms after it was recorded");
        }
    }
}

#[test]
fn a_clock_that_jumps_under_a_running_recorder_stops_it() {
    let name = "a_clock_that_jumps";
    let Some(library) = library() else {
        return skip(name, "faketime is not installed");
    };
    let sizes = [
        ("1s", false),
        ("5m", false),
        ("30m", false),
        ("59m", false),
        ("61m", true),
        ("2h", true),
        ("1d", true),
        ("31d", true),
        ("10y", true),
    ];
    let jumps =
        sizes.iter().flat_map(|(size, stops)| [(format!("-{size}"), *stops), (format!("+{size}"), *stops)]);
    for (jump, stops) in jumps {
        let jump = jump.as_str();
        let folder = Folder::new("clock-jump");
        let (store, setting) = (folder.path().join("ledger"), folder.path().join("time"));
        std::fs::write(&setting, "+0").unwrap();
        let mut command = Command::new(RECORDER);
        command
            .env("LD_PRELOAD", &library)
            .env("FAKETIME_TIMESTAMP_FILE", &setting)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .arg(&store)
            .arg("0");
        let mut recorder = Paced::start_with(&mut command);
        recorder.record();
        std::fs::write(&setting, jump).unwrap();
        recorder.record();
        let said = recorder.said();
        assert_eq!(said.acknowledged(), if stops { 2 } else { 3 }, "{jump}: {said:?}");
        assert_eq!(said.reasons.iter().any(|why| why.contains("clock")), stops, "{jump}: {said:?}");
        assert_kept([&said], &[], &entries_in(&store), jump);
    }
}

fn record(mut command: Command, store: &Path, run: u64) -> Said {
    let done = command.arg(store).arg(run.to_string()).args(["--statements", "3"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&done.stderr).contains("panicked"), "{done:?}");
    Said::parse(&done.stdout)
}

/// Where the library is that gives a process another clock.
fn library() -> Option<std::path::PathBuf> {
    let found = Command::new("sh").args(["-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1"]).output().ok()?;
    let path = String::from_utf8(found.stdout).ok()?;
    Some(path.lines().next()?.into())
}

#[test]
fn the_fault_reaches_the_recorder() {
    // Where the clock is not really another one, the tests above prove nothing.
    if !has("faketime") {
        return skip("the_fault_reaches_the_recorder", "faketime is not installed");
    }
    let folder = Folder::new("clock-reaches");
    let store = folder.path().join("ledger");
    let mut command = Command::new("faketime");
    command.args(["-f", "-400d", RECORDER]);
    assert!(record(command, &store, 0).closed);
    let before = entries_in(&store)[0].recorded_at();
    assert!(record(Command::new(RECORDER), &store, 1).opened.is_some());
    let folder = Folder::new("clock-now");
    let other = folder.path().join("ledger");
    assert!(record(Command::new(RECORDER), &other, 0).closed);
    let now = entries_in(&other)[0].recorded_at();
    assert!(now.millis() - before.millis() > 399 * 86_400_000, "{before} {now}");
}
