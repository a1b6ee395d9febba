//! The SQLite store between processes: four writers of one ledger that are killed while somebody forces checkpoints, and a disk that
//! fills up (F-13).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign_core::entry::{Entry, Head, leaf_hash};
use countersign_core::id::LedgerName;
use countersign_faults::{Contenders, Folder, Said, assert_kept, count, has, is_soak, skip};
use countersign_sqlite::{Options, SqliteStore};
use countersign_store::conformance::{Author, Told};
use countersign_store::{AppendError, Store as _, StoreError};
use rusqlite::Connection;

const WRITER: &str = env!("CARGO_BIN_EXE_fault-sqlite-writer");
const WRITERS: usize = 4;
/// After so many acknowledged entries, one of the writers is killed.
const BETWEEN_KILLS: usize = 60;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn open(file: &Path) -> SqliteStore {
    Options::new().existing().open_read_only(file, &LedgerName::new("access").unwrap()).unwrap()
}

fn read_all(store: &SqliteStore) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let read = block_on(store.read(entries.len() as u64, 1_000)).unwrap();
        if read.is_empty() {
            return entries;
        }
        entries.extend(read.into_iter().map(|bytes| Entry::parse(bytes).unwrap()));
    }
}

/// Stops the threads beside, however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn four_writers_that_are_killed_lose_nothing_and_agree_on_one_chain() {
    let kills = if is_soak() { 240 } else { 24 };
    let folder = Folder::new("sqlite-writers");
    let file = folder.path().join("access.db");
    drop(SqliteStore::open(&file, &LedgerName::new("access").unwrap()).unwrap());
    let mut writers = Contenders::start(WRITERS, |_, number| {
        let mut command = Command::new(WRITER);
        command.arg(&file).arg(number.to_string()).arg("1000000");
        command
    });
    let stop = AtomicBool::new(false);
    let (said, seen, checkpoints) = std::thread::scope(|scope| {
        let tail = scope.spawn(|| {
            let (store, mut seen) = (open(&file), Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let read = block_on(store.read(seen.len() as u64, 256)).unwrap();
                let first = seen.len() as u64;
                seen.extend(
                    (first..).zip(read).map(|(seq, bytes)| Told::Seen { seq, leaf: leaf_hash(&bytes) }),
                );
                std::thread::yield_now();
            }
            seen
        });
        let truncate = scope.spawn(|| {
            let connection = Connection::open(&file).unwrap();
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                // It says whether others kept it from doing all.
                let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
                let busy = connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_or(1);
                done += usize::from(busy == 0);
                std::thread::yield_now();
            }
            done
        });
        let stopping = Stop(&stop);
        for kill in 0..kills {
            writers.wait_for_acknowledged(BETWEEN_KILLS);
            writers.replace(kill % WRITERS);
        }
        drop(stopping);
        (writers.kill(), tail.join().unwrap(), truncate.join().unwrap())
    });
    for said in &said {
        assert!(!said.has_failed(), "{:?}", said.reasons);
    }
    let entries = read_all(&open(&file));
    assert_kept(&said, &seen, &entries, "after the kills");
    let told: usize = said.iter().map(Said::acknowledged).sum();
    assert!(told > 0 && !seen.is_empty() && checkpoints > 0, "{told} told, {checkpoints} checkpoints");
    let (all, shown) = (entries.len(), seen.len());
    let what = format!(
        "{kills} kills, {told} acknowledged of {all} entries, {shown} shown, {checkpoints} checkpoints"
    );
    count("four_writers_that_are_killed", &what);
}

#[test]
fn a_full_disk_loses_nothing_in_a_database_and_goes_on_with_space() {
    let name = "a_full_disk_under_sqlite";
    let folder = Folder::new(name);
    let point = folder.path().join("mount");
    std::fs::create_dir(&point).unwrap();
    if !mount(&point, "size=512k") {
        return skip(name, "a tmpfs can not be mounted here");
    }
    let _unmount = Unmount(&point);
    let file = point.join("access.db");
    let mut said: Vec<_> = (0..3).map(|number| write(&file, number, 400)).collect();
    assert!(said[0].acknowledged() > 5, "{:?}", said[0]);
    assert!(said[0].has_failed(), "it was full: {:?}", said[0]);
    assert_kept(&said, &[], &read_all(&open(&file)), "read from the full disk");
    assert!(mount(&point, "remount,size=16m"));
    let after = write(&file, 9, 20);
    assert!(!after.has_failed() && after.acknowledged() > 20, "{after:?}");
    said.push(after);
    assert_kept(&said, &[], &read_all(&open(&file)), "after there was space again");
}

/// A write that crosses the limit is short, and the next one fails: as on a disk that fills up at this byte.
#[test]
fn a_database_whose_files_can_not_grow_loses_nothing_and_goes_on() {
    let name = "a_database_whose_files_can_not_grow";
    if !has("prlimit") {
        return skip(name, "prlimit is not installed");
    }
    // From within the first page to beyond the last commit, at no multiple of a page or a frame.
    let count_of_limits = if is_soak() { 600 } else { 30 };
    let mut failed = 0;
    for number in 0..count_of_limits {
        let limit = 1_001 + 270_000 * number / count_of_limits;
        let folder = Folder::new(name);
        let file = folder.path().join("access.db");
        let mut command = Command::new("sh");
        // Without the signal that a process gets for it: the call fails, as it does on a disk.
        command.args([
            "-c",
            "trap '' XFSZ; exec \"$@\"",
            "sh",
            "prlimit",
            &format!("--fsize={limit}"),
            WRITER,
        ]);
        let done = command.arg(&file).args(["1", "12"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&done.stderr).contains("panicked"), "{limit} bytes: {done:?}");
        let said = Said::parse(&done.stdout);
        failed += usize::from(said.has_failed());
        let again = write(&file, 2, 3);
        assert!(!again.has_failed(), "{limit} bytes: {again:?} after {said:?}");
        assert_kept([&said, &again], &[], &read_all(&open(&file)), &format!("files of {limit} bytes"));
    }
    count(name, &format!("{failed} of {count_of_limits} limits kept the writer from its end"));
    assert!(failed * 2 >= count_of_limits, "the limits have to be met to prove anything: {failed}");
}

#[test]
fn a_commit_that_fails_is_an_unknown_outcome_and_the_store_takes_nothing_more() {
    let name = "a_commit_that_fails_under_sqlite";
    let folder = Folder::new(name);
    let point = folder.path().join("mount");
    std::fs::create_dir(&point).unwrap();
    if !mount(&point, "size=512k") {
        return skip(name, "a tmpfs can not be mounted here");
    }
    let _unmount = Unmount(&point);
    let (file, access) = (point.join("access.db"), LedgerName::new("access").unwrap());
    let store = SqliteStore::open(&file, &access).unwrap();
    let (mut author, mut head) = (Author::new(1), Head::EMPTY);
    let batch = loop {
        let batch = author.batch(head, 20);
        match block_on(store.append(batch.clone())) {
            Ok(next) => head = next,
            Err(AppendError::OutcomeUnknown(_)) => break batch,
            Err(error) => panic!("{error:?}"),
        }
    };
    assert!(head.size > 0);
    let poisoned = block_on(store.append(batch.clone()));
    assert!(matches!(poisoned, Err(AppendError::NotStored(StoreError::Poisoned))), "{poisoned:?}");
    let poisoned = block_on(store.put_checkpoint(1, [].into()));
    assert!(matches!(poisoned, Err(StoreError::Poisoned)), "{poisoned:?}");
    // What was acknowledged is read all the same.
    assert_eq!(read_all(&store).len() as u64, head.size);
    drop(store);
    assert!(mount(&point, "remount,size=16m"));
    let store = SqliteStore::open(&file, &access).unwrap();
    assert_eq!(block_on(store.append(batch.clone())).unwrap(), batch.head());
}

/// F-17: a setting that did not take effect would be seen by nothing else than a loss of power.
#[test]
fn every_acknowledgement_of_a_database_comes_after_a_sync() {
    let name = "every_acknowledgement_of_a_database_comes_after_a_sync";
    if !has("strace") {
        return skip(name, "strace is not installed");
    }
    let folder = Folder::new(name);
    let (file, trace) = (folder.path().join("access.db"), folder.path().join("trace"));
    let mut command = Command::new("strace");
    command.args(["-f", "-e", "trace=write,fsync,fdatasync", "-o"]).arg(&trace).arg(WRITER);
    let done = command.arg(&file).args(["1", "12"]).output().unwrap();
    if !done.status.success() {
        return skip(name, "strace may not trace here");
    }
    let (mut is_synced, mut batches, mut last_acknowledged) = (false, 0, true);
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        if line.contains("\"submitted") {
            batches += usize::from(last_acknowledged);
            (is_synced, last_acknowledged) = (false, false);
        } else if line.contains("\"acknowledged") {
            assert!(is_synced, "acknowledged without a sync: {line}");
            last_acknowledged = true;
        } else {
            is_synced |= line.contains("sync(") || line.contains("sync resumed");
        }
    }
    assert_eq!(batches, 12);
}

fn write(file: &Path, number: u64, batches: u64) -> Said {
    let args = [number.to_string(), batches.to_string()];
    let done = Command::new(WRITER).arg(file).args(args).output().unwrap();
    assert!(!String::from_utf8_lossy(&done.stderr).contains("panicked"), "{done:?}");
    Said::parse(&done.stdout)
}

fn mount(point: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "none"]).arg(point);
    command.output().is_ok_and(|done| done.status.success())
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}
