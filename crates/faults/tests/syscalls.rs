//! Every system call of a recorder's life interrupted: by a kill, and by errors. What was acknowledged stands, whatever happened.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_faults::{Folder, Said, assert_kept, entries_in, has, is_soak, skip};

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");
/// The calls with which a store changes something.
const CALLS: [&str; 10] =
    ["openat", "write", "pwrite64", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "mkdir", "flock"];

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
    let points = points(name);
    let total = points.len();
    let (next, killed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (points, next, killed) = (&points, &next, &killed);
            scope.spawn(move || {
                while let Some((call, index)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let what = format!("{call} {index}");
                    let folder = Folder::new(&format!("kill-{worker}"));
                    let traced = Traced::run(folder.path(), &format!("{call}:signal=KILL:when={index}"));
                    killed.fetch_add(usize::from(traced.code.is_none()), Ordering::Relaxed);
                    assert_recovers(&folder.path().join("ledger"), &traced.said, &what);
                }
            });
        }
    });
    let killed = killed.into_inner();
    println!("killed at {killed} of {total} calls, of {}", CALLS.join(" "));
    // Threads do not make exactly the same calls each time, so the last few may not come.
    assert!(killed * 10 >= total * 8, "the faults have to be hit to prove anything: {killed} of {total}");
}

#[test]
fn an_error_of_any_call_is_never_an_acknowledgement() {
    let name = "an_error_of_any_call";
    if !has("strace") {
        return skip(name, "strace is not installed");
    }
    let kinds: &[(&str, &[&str])] = &[
        ("fdatasync", &["EIO", "ENOSPC"]),
        ("fsync", &["EIO"]),
        ("write", &["EIO", "ENOSPC", "EINTR"]),
        ("ftruncate", &["EIO"]),
        ("rename", &["EIO", "ENOSPC"]),
    ];
    let mut jobs = Vec::new();
    for (call, index) in points(name) {
        for (_, errors) in kinds.iter().filter(|(of, _)| *of == call) {
            jobs.extend(errors.iter().map(|error| (call, index, *error)));
        }
    }
    let (next, hit) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (jobs, next, hit) = (&jobs, &next, &hit);
            scope.spawn(move || {
                while let Some((call, index, error)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let what = format!("{call} {index} {error}");
                    let folder = Folder::new(&format!("error-{worker}"));
                    let traced = Traced::run(folder.path(), &format!("{call}:error={error}:when={index}"));
                    hit.fetch_add(usize::from(traced.log.contains("(INJECTED)")), Ordering::Relaxed);
                    let code = traced.code.unwrap_or_else(|| panic!("{what}: it was killed"));
                    assert!([0, 3].contains(&code), "{what}: exit {code}");
                    if *call == "fdatasync" {
                        assert_no_sync_again(&traced.log, &what);
                    }
                    assert_recovers(&folder.path().join("ledger"), &traced.said, &what);
                }
            });
        }
    });
    let hit = hit.into_inner();
    println!("{hit} of {} errors were injected", jobs.len());
    assert!(hit * 10 >= jobs.len() * 8, "the faults have to be hit to prove anything");
}

/// Where the script can be interrupted: each call by name and number, counted in a run without faults.
fn points(name: &str) -> Vec<(&'static str, usize)> {
    let folder = Folder::new(&format!("count-{name}"));
    let traced = Traced::run(folder.path(), "");
    assert_eq!(traced.said.acknowledged() as u64, script() + 1, "{:?}", traced.said);
    assert!(traced.said.closed);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in traced.log.lines() {
        if let Some(call) = CALLS.iter().find(|call| is_call(line, call)) {
            *counts.entry(call).or_default() += 1;
        }
    }
    for call in ["write", "fdatasync", "rename"] {
        assert!(counts.contains_key(call), "the script never calls {call}:\n{}", traced.log);
    }
    counts.into_iter().flat_map(|(call, count)| (1..=count).map(move |index| (call, index))).collect()
}

/// Whether a line of the log, `PID CALL(...`, is of this call.
fn is_call(line: &str, call: &str) -> bool {
    let rest = line.split_once(' ').map_or(line, |(_, rest)| rest.trim_start());
    rest.strip_prefix(call).is_some_and(|rest| rest.starts_with('('))
}

struct Traced {
    said: Said,
    log: String,
    /// None where it was killed.
    code: Option<i32>,
}

impl Traced {
    /// Runs the script in `dir`/ledger, tracing the calls on the store's files alone, with a fault injected.
    fn run(dir: &Path, inject: &str) -> Self {
        let (store, log) = (dir.join("ledger"), dir.join("trace"));
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-s", "0", "-o"]).arg(&log);
        command.arg("-e").arg(format!("trace=close,{}", CALLS.join(",")));
        // Only what is done to the store: standard output and the runtime's own pipes are left alone.
        for path in watched(&store) {
            command.arg("-P").arg(path);
        }
        if !inject.is_empty() {
            command.arg("-e").arg(format!("inject={inject}"));
        }
        command.arg(RECORDER).arg(&store).arg("0");
        command.args(["--statements", &script().to_string(), "--segment", "4096"]);
        let done = command.stdin(Stdio::null()).output().unwrap();
        let said = Said::parse(&done.stdout);
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(!errors.contains("panicked"), "{inject}: {errors}");
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        Self { said, log, code: done.status.code() }
    }
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
