//! Followers in processes of their own beside a writer that is killed, started again, and finds what a crash left at the end: each is
//! shown every entry once, in order, and nothing that was not durable.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use countersign_faults::{Folder, Said, assert_kept, count, entries_in, is_soak, now};
use countersign_store::conformance::Told;

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");
const FOLLOWER: &str = env!("CARGO_BIN_EXE_fault-follower");

#[test]
fn followers_in_other_processes_see_whole_durable_entries_through_rolls_and_recoveries() {
    let name = "followers_in_other_processes";
    let (seconds, followers) = if is_soak() { (60, 8) } else { (4, 4) };
    let folder = Folder::new(name);
    let store = folder.path().join("ledger");
    let mut following: Vec<Child> = (0..followers).map(|_| follow(&store)).collect();
    let (mut told, mut cuts, mut kills) = (Vec::new(), 0, 0);
    let (start, mut run) = (now(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let mut recorder = record(&store, run, 200);
        // At another moment of its life each time.
        std::thread::sleep(Duration::from_millis(40 + run * 37 % 400));
        kills += u64::from(recorder.try_wait().unwrap().is_none());
        recorder.kill().unwrap();
        told.push(said(recorder));
        cuts += u64::from(run % 2 == 0 && leave_half_an_entry(&store));
        run += 1;
        // Some begin in the middle of it all.
        if run % 3 == 0 {
            following.push(follow(&store));
        }
    }
    let last = said(record(&store, run, 20));
    assert!(last.closed, "{last:?}");
    told.push(last);
    let entries = entries_in(&store);
    let mut shown = 0;
    for (number, mut follower) in following.into_iter().enumerate() {
        drop(follower.stdin.take());
        let said = said(follower);
        assert!(said.closed, "follower {number}: {:?}", said.reasons);
        let seen: Vec<Told> = said.told;
        assert_eq!(seen.len(), entries.len(), "follower {number} was not shown each entry once");
        for (told, entry) in seen.iter().zip(&entries) {
            let wanted = Told::Seen { seq: entry.seq(), leaf: entry.leaf() };
            assert_eq!(*told, wanted, "follower {number}");
        }
        shown += seen.len();
    }
    assert_kept(&told, &[], &entries, name);
    let segments = fs::read_dir(store.join("entries")).unwrap().count();
    assert!(kills > 3 && cuts > 1 && segments > 3, "{kills} kills, {cuts} cuts, {segments} segments");
    count(
        name,
        &format!("{shown} entries shown to followers, {kills} kills, {cuts} torn ends, {segments} segments"),
    );
}

fn record(store: &Path, run: u64, statements: u64) -> Child {
    let (run, statements) = (run.to_string(), statements.to_string());
    let args = [run.as_str(), "--statements", &statements, "--submitters", "4", "--segment", "4096"];
    Command::new(RECORDER).arg(store).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
}

fn follow(store: &Path) -> Child {
    Command::new(FOLLOWER).arg(store).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// What a process said, once it has ended.
fn said(mut process: Child) -> Said {
    let mut printed = Vec::new();
    process.stdout.take().unwrap().read_to_end(&mut printed).unwrap();
    process.wait().unwrap();
    Said::parse(&printed)
}

/// As a loss of power leaves it, while readers look: part of a line at the end of the last segment.
fn leave_half_an_entry(store: &Path) -> bool {
    let Ok(names) = fs::read_dir(store.join("entries")) else { return false };
    let Some(last) = names.map(|entry| entry.unwrap().path()).max() else { return false };
    let bytes = fs::read(&last).unwrap();
    let line = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or(b"{\"entry\":");
    OpenOptions::new().append(true).open(last).unwrap().write_all(&line[..line.len() / 2]).unwrap();
    true
}
