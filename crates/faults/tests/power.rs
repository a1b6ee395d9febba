//! Power lost under a real file system: ext4 and XFS in a loop device, shut down while a recorder works (F-04, F-05, F-06).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_faults::disks::{Disk, EXT4, Kind, XFS};
use countersign_faults::strace::{Fault, Point, Traced};
use countersign_faults::{Folder, Said, assert_kept, count, entries_in, has, is_soak, skip};

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");
const READER: &str = env!("CARGO_BIN_EXE_fault-reader");

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_on_ext4() {
    cycles("loss_of_power_on_ext4", EXT4, "ledger", if is_soak() { 3_000 } else { 60 });
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_on_xfs() {
    cycles("loss_of_power_on_xfs", XFS, "ledger", if is_soak() { 2_000 } else { 40 });
}

#[test]
fn what_was_acknowledged_in_a_database_survives_a_loss_of_power_on_ext4() {
    cycles("loss_of_power_under_a_database_on_ext4", EXT4, "db", if is_soak() { 1_500 } else { 40 });
}

#[test]
fn what_was_acknowledged_in_a_database_survives_a_loss_of_power_on_xfs() {
    cycles("loss_of_power_under_a_database_on_xfs", XFS, "db", if is_soak() { 1_000 } else { 30 });
}

#[test]
fn a_loss_of_power_at_a_step_of_a_roll_loses_nothing_on_ext4() {
    steps_of_a_roll(EXT4, if is_soak() { usize::MAX } else { 24 });
}

#[test]
fn a_loss_of_power_at_a_step_of_a_roll_loses_nothing_on_xfs() {
    steps_of_a_roll(XFS, if is_soak() { usize::MAX } else { 16 });
}

/// Loses power so many times: half of the times after the journal was written out, half before. What the store's name ends in says what it is.
fn cycles(name: &str, kind: Kind, ending: &str, losses: u64) {
    let folder = Folder::new(name);
    let disk = match Disk::new(kind, folder.path()) {
        Ok(disk) => disk,
        Err(why) => return skip(name, &format!("{why} ({losses} cycles)")),
    };
    let (kind, point) = (kind.name, disk.point());
    let (mut acknowledged, mut read_before) = (0, 0);
    let mut all_said = Vec::new();
    for cycle in 0..losses {
        let mount = disk.mount().unwrap();
        // Every tenth cycle begins a ledger, so that this is interrupted too.
        let store = point.join(format!("{}.{ending}", cycle / 10));
        let before = cycle % 10;
        let (said, read) = interrupted(&store, 2 * before, cycle, &disk);
        drop(mount);
        let mount = disk.mount().unwrap();
        let again = Command::new(RECORDER)
            .arg(&store)
            .args([&(2 * before + 1).to_string(), "--statements", "1", "--segment", "6000"])
            .output()
            .unwrap();
        let again = Said::parse(&again.stdout);
        assert!(again.closed, "cycle {cycle} on {kind}: it does not open: {again:?} after {said:?}");
        acknowledged += said.acknowledged();
        read_before += read.told.len();
        // All that was said of this ledger so far: what one cycle left, no later one may lose.
        if before == 0 {
            all_said = Vec::new();
        }
        all_said.extend([said, again, read]);
        assert_kept(&all_said, &[], &entries_in(&store), &format!("cycle {cycle} on {kind}"));
        if cycle % 10 == 9 {
            remove(&store);
        }
        drop(mount);
    }
    let what = format!(
        "{losses} losses of power, {acknowledged} acknowledged and {read_before} read before, none lost"
    );
    count(name, &what);
    assert!(acknowledged as u64 > losses * 5 && read_before as u64 > losses, "the faults have to be hit");
}

/// Records until it has acknowledged some statements, then takes the power away. What it said, and what a reader beside it was shown.
fn interrupted(store: &Path, run: u64, cycle: u64, disk: &Disk) -> (Said, Said) {
    // In a process of its own: memory that is shared through a file of a disk that is gone ends who touches it.
    let mut reader = Command::new(READER)
        .arg(store)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let reading = reader.stdin.take();
    let seen = std::thread::spawn(move || Said::parse(&reader.wait_with_output().unwrap().stdout));
    let mut child = Command::new(RECORDER)
        .arg(store)
        .arg(run.to_string())
        .args(["--statements", "400", "--submitters", "8", "--segment", "6000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut says = BufReader::new(child.stdout.take().unwrap());
    let mut heard = Vec::new();
    // A number that differs from cycle to cycle and is the same in every run.
    let mut wanted = 5 + cycle * 7 % 41;
    while wanted > 0 {
        let line = heard.len();
        if says.read_until(b'\n', &mut heard).unwrap() == 0 {
            break;
        }
        wanted -= u64::from(heard[line..].starts_with(b"acknowledged"));
    }
    disk.shut_down(!cycle.is_multiple_of(2));
    // Its disk is gone: it ends by itself, having said what it knows.
    std::io::Read::read_to_end(&mut says, &mut heard).unwrap();
    let _ = child.wait();
    drop(reading);
    (Said::parse(&heard), seen.join().unwrap())
}

fn remove(store: &Path) {
    if store.is_dir() {
        std::fs::remove_dir_all(store).unwrap();
    } else {
        std::fs::remove_file(store).unwrap();
        for beside in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{beside}", store.display()));
        }
    }
}

/// Stops a recorder at calls by which it begins segments, one entry each, and takes the power away right then: at most so many of all such
/// calls, spread over them.
fn steps_of_a_roll(kind: Kind, most: usize) {
    let name = format!("steps_of_a_roll_on_{}", kind.name);
    if !has("strace") {
        return skip(&name, "strace is not installed");
    }
    let folder = Folder::new(&name);
    let disk = match Disk::new(kind, folder.path()) {
        Ok(disk) => disk,
        Err(why) => return skip(&name, &why),
    };
    let log = folder.path().join("trace");
    let count_in = |store: &Path| {
        let _mount = disk.mount().unwrap();
        let begun = record(store, 0, 2);
        assert!(begun.closed, "{begun:?}");
        let segments = (0..8).map(|seq| format!("entries/{seq:020}.jsonl"));
        let beside =
            ["entries", "checkpoint.new", "checkpoint", "", "head.new", "head", "index"].map(String::from);
        let watched: BTreeSet<PathBuf> = segments.chain(beside).map(|name| store.join(name)).collect();
        let traced =
            Traced::run(&recorder(store, 1, 3).each_ref().map(|arg| arg.as_os_str()), &watched, &log);
        assert!(Said::parse(&traced.stdout).closed);
        traced.points()
    };
    let store = disk.point().join("counted");
    let points = count_in(&store);
    let faults: Vec<Fault> = points
        .into_iter()
        .filter_map(|point| Point { path: point.path.strip_prefix(&store).ok()?.to_owned(), ..point }.kill())
        .collect();
    let step = faults.len().div_ceil(most).max(1);
    let (mut hit, mut acknowledged) = (0, 0);
    for (number, fault) in faults.iter().enumerate().step_by(step) {
        let what = format!("{fault} on {}", kind.name);
        let mount = disk.mount().unwrap();
        let store = disk.point().join(format!("ledger-{number}"));
        let begun = record(&store, 0, 2);
        let program = recorder(&store, 1, 3);
        let program = program.each_ref().map(|arg| arg.as_os_str());
        let traced = Traced::run_with(&program, fault, &store.join(&fault.point.path), &log);
        disk.shut_down(number / step % 2 == 1);
        drop(mount);
        let mount = disk.mount().unwrap();
        let (killed, again) = (Said::parse(&traced.stdout), record(&store, 2, 1));
        assert!(again.closed, "{what}: it does not open: {again:?} after {killed:?}");
        hit += usize::from(traced.code.is_none());
        acknowledged += killed.acknowledged();
        assert_kept([&begun, &killed, &again], &[], &entries_in(&store), &what);
        std::fs::remove_dir_all(&store).unwrap();
        drop(mount);
    }
    let of = faults.len();
    count(
        &name,
        &format!(
            "{hit} losses of power, each at one of {of} calls; {acknowledged} acknowledged before, none lost"
        ),
    );
    assert!(hit >= most.min(of) / 2, "the faults have to be hit: {hit} of {of}");
}

/// A recorder whose segments have an entry each.
fn recorder(store: &Path, run: u64, statements: u64) -> [OsString; 7] {
    let numbers = [run, statements].map(|number| OsString::from(number.to_string()));
    let [run, statements] = numbers;
    let segment = ["--segment", "1"].map(OsString::from);
    let [flag, bytes] = segment;
    [RECORDER.into(), store.into(), run, "--statements".into(), statements, flag, bytes]
}

fn record(store: &Path, run: u64, statements: u64) -> Said {
    let [program, args @ ..] = recorder(store, run, statements);
    Said::parse(&Command::new(program).args(args).stdin(Stdio::null()).output().unwrap().stdout)
}
