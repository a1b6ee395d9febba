//! Every system call of a recorder's life interrupted: by a kill, and by errors. What was acknowledged stands, whatever happened.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use countersign_faults::strace::{Fault, Point, Traced, count_in_parallel, spread};
use countersign_faults::{Folder, Said, assert_kept, count, entries_in, has, is_database, is_soak, skip};
use countersign_store::conformance::Told;

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");

/// A store that is interrupted.
struct Subject {
    /// Where in the folder of a test the store is.
    store: &'static str,
    /// How many statements the script records, one after another.
    statements: u64,
    /// What is looked at in the folder.
    watched: fn(&mut BTreeSet<PathBuf>, u64),
    /// What the script calls, whatever else it does.
    calls: &'static [(&'static str, &'static str)],
    /// Calls after whose errors nobody knows what was stored, or some of them.
    unknown: &'static [(&'static str, &'static str)],
    /// How many points of each call on each path are tried where not all of them are asked for.
    sample: usize,
}

/// Several segments.
fn file_store() -> Subject {
    Subject {
        store: "ledger",
        statements: if is_soak() { 60 } else { 30 },
        watched: |paths, statements| {
            let names = ["", "entries", "snapshots", "lock", "checkpoint", "checkpoint.new", "head"];
            paths.extend(names.map(|name| Path::new("ledger").join(name)));
            // A segment begins with any entry.
            paths.extend((0..=statements + 1).map(|seq| format!("ledger/entries/{seq:020}.jsonl").into()));
        },
        calls: &[
            ("ledger/head", "write"),
            ("ledger/entries/00000000000000000000.jsonl", "fdatasync"),
            ("ledger/checkpoint.new", "rename"),
        ],
        unknown: &[("ledger/entries/00000000000000000000.jsonl", "fdatasync")],
        sample: usize::MAX,
    }
}

/// A database from its making to its last checkpoint, with its log and the memory that its users share.
fn sqlite() -> Subject {
    Subject {
        store: "access.db",
        statements: if is_soak() { 30 } else { 8 },
        watched: |paths, _| {
            let names = ["", "access.db", "access.db-journal", "access.db-wal", "access.db-shm"];
            paths.extend(names.map(PathBuf::from));
        },
        calls: &[
            ("access.db", "pwrite64"),
            ("access.db", "fsync"),
            ("access.db-wal", "openat"),
            ("access.db-wal", "pwrite64"),
            ("access.db-wal", "fsync"),
            ("access.db-wal", "unlink"),
            ("access.db-shm", "mmap"),
            ("access.db-shm", "fcntl"),
            ("access.db-journal", "unlink"),
        ],
        // The commit's sync, and the look after it.
        unknown: &[("access.db-wal", "fsync"), ("access.db-wal", "read")],
        sample: if is_soak() { usize::MAX } else { 4 },
    }
}

#[test]
fn a_kill_at_any_call_loses_nothing_that_was_acknowledged() {
    kills("a_kill_at_any_call", &file_store());
}

#[test]
fn a_kill_at_any_call_on_a_database_loses_nothing_that_was_acknowledged() {
    kills("a_kill_at_any_call_on_a_database", &sqlite());
}

#[test]
fn an_error_of_any_call_is_never_an_acknowledgement() {
    errors("an_error_of_any_call", &file_store());
}

#[test]
fn an_error_of_any_call_on_a_database_is_never_an_acknowledgement() {
    errors("an_error_of_any_call_on_a_database", &sqlite());
}

fn kills(name: &str, subject: &Subject) {
    if !has("strace") {
        return skip(name, "strace is not installed");
    }
    let points: Vec<Fault> = points(name, subject).iter().filter_map(Point::kill).collect();
    let killed = count_in_parallel(&points, |worker, fault| {
        let folder = Folder::new(&format!("{name}-{worker}"));
        let (traced, said) = run(subject, folder.path(), Some(fault));
        assert_recovers(subject, folder.path(), &said, &fault.to_string());
        traced.code.is_none()
    });
    count(name, &format!("killed at {killed} of {} calls", points.len()));
    // Threads do not make exactly the same calls each time, so the last few may not come.
    assert!(
        killed * 10 >= points.len() * 8,
        "the faults have to be hit to prove anything: {killed} of {}",
        points.len()
    );
}

fn errors(name: &str, subject: &Subject) {
    if !has("strace") {
        return skip(name, "strace is not installed");
    }
    let jobs: Vec<Fault> = points(name, subject).iter().flat_map(Point::errors).collect();
    let unknown = Mutex::new(BTreeSet::new());
    let hit = count_in_parallel(&jobs, |worker, fault| {
        let what = fault.to_string();
        let folder = Folder::new(&format!("{name}-{worker}"));
        let (traced, said) = run(subject, folder.path(), Some(fault));
        let code = traced.code.unwrap_or_else(|| panic!("{what}: it was killed"));
        assert!([0, 3].contains(&code), "{what}: exit {code}");
        // A database is only ever synced after all that the log holds was written to it anew.
        if ["fdatasync", "fsync"].contains(&fault.point.call) && !is_database(&fault.point.path) {
            assert_no_sync_again(&traced.log, &what);
        }
        assert_recovers(subject, folder.path(), &said, &what);
        if said.told.iter().any(|told| matches!(told, Told::Unknown(_))) {
            unknown.lock().unwrap().insert((fault.point.path.clone(), fault.point.call));
        }
        traced.was_hit()
    });
    count(name, &format!("{hit} of {} errors were injected", jobs.len()));
    let unknown = unknown.into_inner().unwrap();
    for (path, call) in subject.unknown {
        assert!(unknown.contains(&(PathBuf::from(path), *call)), "it always knew after {call} on {path}");
    }
    assert!(hit * 10 >= jobs.len() * 8, "the faults have to be hit to prove anything");
}

/// Where the script can be interrupted, as counted in a run without faults.
fn points(name: &str, subject: &Subject) -> Vec<Point> {
    let folder = Folder::new(&format!("count-{name}"));
    let (traced, said) = run(subject, folder.path(), None);
    assert_eq!(said.acknowledged() as u64, subject.statements + 1, "{said:?}");
    assert!(said.closed);
    let mut points = traced.points();
    for point in &mut points {
        point.path = point.path.strip_prefix(folder.path()).unwrap().to_owned();
    }
    for (path, call) in subject.calls {
        assert!(
            points.iter().any(|point| point.call == *call && point.path == Path::new(path)),
            "the script never calls {call} on {path}:\n{}",
            traced.log
        );
    }
    spread(points, subject.sample)
}

/// Runs the script in a folder, with a fault if there is one. Its path is of whatever folder the script was counted in.
fn run(subject: &Subject, dir: &Path, fault: Option<&Fault>) -> (Traced, Said) {
    let store = dir.join(subject.store);
    let (statements, program) = (subject.statements.to_string(), Path::new(RECORDER));
    let args = ["0", "--statements", &statements, "--segment", "4096"].map(OsStr::new);
    let program = [&[program.as_os_str(), store.as_os_str()], &args[..]].concat();
    let log = dir.join("trace");
    let traced = match fault {
        Some(fault) => Traced::run_with(&program, fault, &dir.join(&fault.point.path), &log),
        None => {
            let mut watched = BTreeSet::new();
            (subject.watched)(&mut watched, subject.statements);
            Traced::run(&program, &watched.iter().map(|path| dir.join(path)).collect(), &log)
        }
    };
    let said = Said::parse(&traced.stdout);
    (traced, said)
}

/// F-03: what a failed sync leaves is not known, and another sync on the same descriptor may say anything.
fn assert_no_sync_again(log: &str, what: &str) {
    let mut failed = BTreeSet::new();
    for line in log.lines() {
        let of = |call: &str| {
            let rest = &line[line.find(&format!("{call}("))? + call.len() + 1..];
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()
        };
        if let Some(descriptor) = of("close") {
            failed.remove(&descriptor);
        }
        if let Some(descriptor) = of("fdatasync").or_else(|| of("fsync")) {
            assert!(!failed.contains(&descriptor), "{what}: {descriptor} is synced again:\n{log}");
            if line.contains("(INJECTED)") {
                failed.insert(descriptor);
            }
        }
    }
    assert!(log.contains("(INJECTED)") || failed.is_empty());
}

/// The store opens by itself, takes more, and has what was acknowledged and nothing that nobody submitted.
fn assert_recovers(subject: &Subject, dir: &Path, said: &Said, what: &str) {
    let store = dir.join(subject.store);
    let done = Command::new(RECORDER)
        .arg(&store)
        .args(["1", "--statements", "1", "--segment", "4096"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let again = Said::parse(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && again.closed, "{what}: {again:?} {errors}");
    assert_kept([said, &again], &[], &entries_in(&store), what);
}
