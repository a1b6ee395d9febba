//! Every system call of a recorder's life interrupted: by a kill, and by errors. What was acknowledged stands, whatever happened.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_faults::strace::{Fault, Point, Traced, count_in_parallel};
use countersign_faults::{Folder, Said, assert_kept, count, entries_in, has, is_soak, skip};

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");

/// One statement after another over several segments.
fn script() -> u64 {
    if is_soak() { 60 } else { 30 }
}

#[test]
fn a_kill_at_any_call_loses_nothing_that_was_acknowledged() {
    let name = "a_kill_at_any_call";
    if !has("strace") {
        return skip(name, "strace is not installed");
    }
    let points: Vec<Fault> = points(name).iter().filter_map(Point::kill).collect();
    let killed = count_in_parallel(&points, |worker, fault| {
        let folder = Folder::new(&format!("kill-{worker}"));
        let (traced, said) = run(folder.path(), Some(fault));
        assert_recovers(&folder.path().join("ledger"), &said, &fault.to_string());
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

#[test]
fn an_error_of_any_call_is_never_an_acknowledgement() {
    let name = "an_error_of_any_call";
    if !has("strace") {
        return skip(name, "strace is not installed");
    }
    let jobs: Vec<Fault> = points(name).iter().flat_map(Point::errors).collect();
    let hit = count_in_parallel(&jobs, |worker, fault| {
        let what = fault.to_string();
        let folder = Folder::new(&format!("error-{worker}"));
        let (traced, said) = run(folder.path(), Some(fault));
        let code = traced.code.unwrap_or_else(|| panic!("{what}: it was killed"));
        assert!([0, 3].contains(&code), "{what}: exit {code}");
        if fault.point.call == "fdatasync" {
            assert_no_sync_again(&traced.log, &what);
        }
        assert_recovers(&folder.path().join("ledger"), &said, &what);
        traced.was_hit()
    });
    count(name, &format!("{hit} of {} errors were injected", jobs.len()));
    assert!(hit * 10 >= jobs.len() * 8, "the faults have to be hit to prove anything");
}

/// Where the script can be interrupted, as counted in a run without faults.
fn points(name: &str) -> Vec<Point> {
    let folder = Folder::new(&format!("count-{name}"));
    let (traced, said) = run(folder.path(), None);
    assert_eq!(said.acknowledged() as u64, script() + 1, "{said:?}");
    assert!(said.closed);
    let store = folder.path().join("ledger");
    let mut points = traced.points();
    for point in &mut points {
        point.path = point.path.strip_prefix(&store).unwrap().to_owned();
    }
    for call in ["write", "fdatasync", "rename"] {
        assert!(
            points.iter().any(|point| point.call == call),
            "the script never calls {call}:\n{}",
            traced.log
        );
    }
    points
}

/// Runs the script in `dir`/ledger, with a fault if there is one. Its path is of whatever directory the script was counted in.
fn run(dir: &Path, fault: Option<&Fault>) -> (Traced, Said) {
    let store = dir.join("ledger");
    let (statements, program) = (script().to_string(), Path::new(RECORDER));
    let args = ["0", "--statements", &statements, "--segment", "4096"].map(OsStr::new);
    let program = [&[program.as_os_str(), store.as_os_str()], &args[..]].concat();
    let log = dir.join("trace");
    let traced = match fault {
        Some(fault) => Traced::run_with(&program, fault, &store.join(&fault.point.path), &log),
        None => Traced::run(&program, &watched(&store), &log),
    };
    let said = Said::parse(&traced.stdout);
    (traced, said)
}

/// The paths of a store that the script touches.
fn watched(store: &Path) -> BTreeSet<PathBuf> {
    let mut paths: BTreeSet<_> = ["", "entries", "snapshots", "lock", "checkpoint", "checkpoint.new", "head"]
        .map(|name| store.join(name))
        .into();
    // A segment begins with any entry.
    paths.extend((0..=script() + 1).map(|seq| store.join(format!("entries/{seq:020}.jsonl"))));
    paths
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
fn assert_recovers(store: &Path, said: &Said, what: &str) {
    let done = Command::new(RECORDER)
        .arg(store)
        .args(["1", "--statements", "1", "--segment", "4096"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let again = Said::parse(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && again.closed, "{what}: {again:?} {errors}");
    assert_kept([said, &again], &[], &entries_in(store), what);
}
