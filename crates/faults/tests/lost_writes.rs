//! Writes that the operating system took and never saved: because it could not, and told whoever asked or nobody (F-24); because nobody asked
//! before the writer was killed (F-04). On ext4 and XFS, which lose their power afterwards.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use countersign_core::entry::Entry;
use countersign_faults::disks::{Disk, EXT4, Kind, Mount, ThinDisk, XFS};
use countersign_faults::{Folder, Paced, Said, assert_kept, count, entries_in, has, read_all, skip};
use countersign_store::conformance::Told;
use countersign_store::file::FileReader;

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");
/// Held while there is a disk in memory: one at a time is enough of it.
static TURN: Mutex<()> = Mutex::new(());
/// How often a directory is opened at most until it opens: an error of the disk that nobody was told of yet is told to the first who
/// asks.
const OPENINGS: u64 = 3;

#[test]
fn f24_a_write_that_the_disk_can_not_save_is_never_acknowledged_nor_shown_on_ext4() {
    told(EXT4);
}

#[test]
fn f24_a_write_that_the_disk_can_not_save_is_never_acknowledged_nor_shown_on_xfs() {
    told(XFS);
}

#[test]
fn f24_a_write_back_error_that_nobody_is_told_of_takes_nothing_that_was_shown_on_ext4() {
    told_to_nobody(EXT4);
}

#[test]
fn f24_a_write_back_error_that_nobody_is_told_of_takes_nothing_that_was_shown_on_xfs() {
    told_to_nobody(XFS);
}

#[test]
fn f04_what_a_reader_was_shown_after_a_kill_outlives_a_loss_of_power_on_ext4() {
    killed(EXT4);
}

#[test]
fn f04_what_a_reader_was_shown_after_a_kill_outlives_a_loss_of_power_on_xfs() {
    killed(XFS);
}

/// The disk below runs out of space under a recorder: a sync fails, long after the write.
fn told(kind: Kind) {
    let name = format!("a_write_that_the_disk_can_not_save_on_{}", kind.name);
    let folder = Folder::new(&name);
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let thin = match ThinDisk::new(kind, folder.path()) {
        Ok(thin) => thin,
        Err(why) => return skip(&name, &why),
    };
    let mut mount = thin.disk().mount();
    let store = thin.disk().point().join("ledger");
    let mut paced = Paced::start(RECORDER, &store, 0);
    for _ in 0..5 {
        paced.record();
    }
    thin.fill();
    // A few may have room in blocks that are there already.
    for _ in 0..40 {
        paced.ask();
    }
    let interrupted = paced.said();
    let unknown = interrupted.told.iter().position(|told| matches!(told, Told::Unknown(_)));
    let unknown = unknown.unwrap_or_else(|| panic!("a sync has to fail: {interrupted:?}"));
    let later = interrupted.told[unknown..].iter().filter(|told| matches!(told, Told::Acknowledged { .. }));
    assert_eq!(later.count(), 0, "after a sync that failed: {interrupted:?}");
    let shown = seen(&read_all(&store));
    assert_eq!(shown.len(), interrupted.acknowledged(), "no more is shown than was acknowledged");
    let mut said = vec![interrupted];
    // On the full disk it says the truth, whatever that is.
    said.push(record(&store, 1, 1));
    let mut shown = [shown, seen(&entries_shown(&store))].concat();
    thin.free();
    said.extend(reopened(thin.disk(), &mut mount, &store, 2, 3));
    shown.extend(seen(&read_all(&store)));
    lose_power(thin.disk(), &mut mount);
    said.extend(reopened(thin.disk(), &mut mount, &store, 9, 1));
    assert_kept(&said, &shown, &entries_in(&store), kind.name);
    count(
        &name,
        &format!(
            "{} acknowledged, {} shown, none lost",
            said.iter().map(Said::acknowledged).sum::<usize>(),
            shown.len()
        ),
    );
}

/// Killed between a write and its sync on a disk that can not save it; the system tries by itself, and there is nobody to tell.
fn told_to_nobody(kind: Kind) {
    let name = format!("a_write_back_error_that_nobody_is_told_of_on_{}", kind.name);
    let folder = Folder::new(&name);
    if !has("strace") {
        return skip(&name, "strace is not installed");
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let thin = match ThinDisk::new(kind, folder.path()) {
        Ok(thin) => thin,
        Err(why) => return skip(&name, &why),
    };
    let what = unsaved(thin.disk(), &folder.path().join("trace"), Some(&thin));
    count(&name, &what);
}

/// Killed between a write and its sync on a disk that works.
fn killed(kind: Kind) {
    let name = format!("killed_between_a_write_and_its_sync_on_{}", kind.name);
    let folder = Folder::new(&name);
    if !has("strace") {
        return skip(&name, "strace is not installed");
    }
    let disk = match Disk::new(kind, folder.path()) {
        Ok(disk) => disk,
        Err(why) => return skip(&name, &why),
    };
    let what = unsaved(&disk, &folder.path().join("trace"), None);
    count(&name, &what);
}

/// Once in a segment that has entries, once in one that was just begun. Returns how often something was shown that nobody had
/// acknowledged.
fn unsaved(disk: &Disk, log: &Path, thin: Option<&ThinDisk>) -> String {
    let mut unacknowledged = 0;
    for (number, (segment_size, first, sync)) in [("1000000", 0, 3), ("1", 6, 2)].into_iter().enumerate() {
        let mut mount = disk.mount();
        let store = disk.point().join(format!("ledger-{number}"));
        let begun = record_with(&store, 0, 3, segment_size);
        assert!(begun.closed, "{begun:?}");
        let segment = store.join(format!("entries/{first:020}.jsonl"));
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o"]).arg(log).arg("-P").arg(&segment).args([
            "-e",
            "trace=fdatasync",
            "-e",
        ]);
        command.arg(format!("inject=fdatasync:signal=KILL:when={sync}")).arg(RECORDER).arg(&store);
        let mut paced = Paced::start_with(command.args(["1", "--segment", segment_size]));
        paced.record();
        paced.record();
        if let Some(thin) = thin {
            thin.fill();
        }
        paced.ask();
        let interrupted = paced.said();
        let before = begun.acknowledged() + 2;
        assert_eq!(interrupted.acknowledged(), 2, "{interrupted:?}");
        assert_eq!(entries_in(&store).len(), before + 1, "written, and not synced");
        assert_eq!(read_all(&store).len(), before, "and not shown");
        if let Some(thin) = thin {
            // Whatever comes of it: this is told to who asked for all of the file system, not of the file.
            let _ = Command::new("sync").arg("-f").arg(disk.point()).output();
            thin.free();
        }
        let mut said = vec![begun, interrupted];
        said.extend(reopened(disk, &mut mount, &store, 2, 0));
        let shown = seen(&read_all(&store));
        unacknowledged += shown.len() - before;
        lose_power(disk, &mut mount);
        said.extend(reopened(disk, &mut mount, &store, 9, 1));
        assert_kept(&said, &shown, &entries_in(&store), segment_size);
    }
    assert!(unacknowledged > 0 || thin.is_some(), "what was written is there as long as the machine runs");
    format!("2 losses of power, {unacknowledged} shown that nobody had acknowledged, none lost")
}

fn seen(entries: &[Entry]) -> Vec<Told> {
    entries.iter().map(|entry| Told::Seen { seq: entry.seq(), leaf: entry.leaf() }).collect()
}

/// What a reader is shown where a recovery may not have come to its end: nothing where it is refused.
fn entries_shown(store: &Path) -> Vec<Entry> {
    match FileReader::open(store) {
        Ok(_) => read_all(store),
        Err(_) => Vec::new(),
    }
}

fn lose_power(disk: &Disk, mount: &mut Option<Mount>) {
    disk.shut_down(false);
    remount(disk, mount);
}

fn remount(disk: &Disk, mount: &mut Option<Mount>) {
    *mount = None;
    *mount = disk.mount();
    assert!(mount.is_some(), "it was mounted before");
}

/// Opens it until it opens, and records; what was said each time.
fn reopened(disk: &Disk, mount: &mut Option<Mount>, store: &Path, run: u64, statements: u64) -> Vec<Said> {
    let mut said = Vec::new();
    for attempt in 0..OPENINGS {
        let last = record(store, run + attempt, statements);
        let is_read_only = last.reasons.iter().any(|why| why.contains("Read-only file system"));
        said.push(last.clone());
        if last.opened.is_some() {
            assert!(last.closed && last.acknowledged() as u64 == statements, "{said:?}");
            return said;
        }
        // After an error of its own that nobody asked for, ext4 takes nothing more.
        if is_read_only {
            remount(disk, mount);
        }
    }
    panic!("it does not open: {said:?}");
}

fn record(store: &Path, run: u64, statements: u64) -> Said {
    record_with(store, run, statements, "1000000")
}

fn record_with(store: &Path, run: u64, statements: u64, segment_size: &str) -> Said {
    let mut command = Command::new(RECORDER);
    command.arg(store).args([
        &run.to_string(),
        "--statements",
        &statements.to_string(),
        "--segment",
        segment_size,
    ]);
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(!String::from_utf8_lossy(&done.stderr).contains("panicked"), "{done:?}");
    Said::parse(&done.stdout)
}
