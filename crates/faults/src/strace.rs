//! Programs run under `strace`, with a fault injected into one of their calls.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The calls that faults are put into, and the errors that each is made to fail with. Not `close`: Rust tells nobody of its error, so
/// that what has to stand is synced before.
pub const CALLS: [(&str, &[&str]); 16] = [
    ("openat", &["EMFILE", "EACCES", "ENOSPC"]),
    ("write", &["EIO", "ENOSPC", "EINTR"]),
    ("pwrite64", &["EIO", "ENOSPC", "EINTR"]),
    ("fdatasync", &["EIO", "ENOSPC", "EINTR"]),
    ("fsync", &["EIO", "EINTR"]),
    ("ftruncate", &["EIO"]),
    ("rename", &["EIO", "ENOSPC"]),
    ("linkat", &["EIO", "ENOSPC"]),
    ("unlink", &["EIO"]),
    ("mkdir", &["ENOSPC"]),
    ("flock", &["ENOLCK"]),
    ("read", &["EIO", "EINTR"]),
    ("pread64", &["EIO", "EINTR"]),
    ("fstat", &["EIO"]),
    ("fcntl", &["ENOLCK", "EIO"]),
    ("mmap", &["ENOMEM"]),
];

/// Those of [`CALLS`] that change nothing: what a kill there leaves is what one at the next call leaves.
const READS: [&str; 5] = ["read", "pread64", "fstat", "fcntl", "mmap"];

/// A run that was traced.
#[derive(Debug)]
pub struct Traced {
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it said beside that.
    pub stderr: String,
    /// Its calls on the watched paths, a line each.
    pub log: String,
    /// None where it was killed.
    pub code: Option<i32>,
}

/// One call, to put a fault in: the `index`th of its kind on this path by one thread, counted from 1, as `strace` counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The file or directory.
    pub path: PathBuf,
    /// Which call.
    pub call: &'static str,
    /// Which of them.
    pub index: usize,
}

impl Point {
    /// A kill before the call, where it changes something.
    #[must_use]
    pub fn kill(&self) -> Option<Fault> {
        let inject = format!("{}:signal=KILL:when={}", self.call, self.index);
        (!READS.contains(&self.call)).then(|| Fault { point: self.clone(), inject })
    }

    /// Every error of [`CALLS`] that the call can fail with.
    #[must_use]
    pub fn errors(&self) -> Vec<Fault> {
        let errors = CALLS.iter().filter(|(call, _)| *call == self.call).flat_map(|(_, errors)| *errors);
        let inject = |error| format!("{}:error={error}:when={}", self.call, self.index);
        errors.map(|error| Fault { point: self.clone(), inject: inject(error) }).collect()
    }
}

/// A fault to be injected.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Where.
    pub point: Point,
    /// What, as `strace -e inject=` takes it.
    inject: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on {}", self.inject, self.point.path.display())
    }
}

impl Traced {
    /// Runs a program and traces its calls on these paths. Standard output and what the runtime does for itself are left alone.
    ///
    /// # Panics
    /// Where it can not be started, or panics.
    #[must_use]
    pub fn run(program: &[&OsStr], watched: &BTreeSet<PathBuf>, log: &Path) -> Self {
        Self::start(program, watched.iter().map(PathBuf::as_path), log, None)
    }

    /// Runs it with a fault. Calls on other paths than that of the fault are neither traced nor counted.
    ///
    /// # Panics
    /// As [`Traced::run`].
    #[must_use]
    pub fn run_with(program: &[&OsStr], fault: &Fault, path: &Path, log: &Path) -> Self {
        Self::start(program, std::iter::once(path), log, Some(fault))
    }

    fn start<'p>(
        program: &[&OsStr],
        watched: impl Iterator<Item = &'p Path>,
        log: &Path,
        fault: Option<&Fault>,
    ) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-qq", "-s", "0", "-o"]).arg(log);
        let calls: Vec<&str> = CALLS.iter().map(|(call, _)| *call).collect();
        command.arg("-e").arg(format!("trace=close,{}", calls.join(",")));
        for path in watched {
            command.arg("-P").arg(path);
        }
        if let Some(fault) = fault {
            command.arg("-e").arg(format!("inject={}", fault.inject));
        }
        let done = command.args(program).stdin(Stdio::null()).output().expect("strace starts");
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!stderr.contains("panicked"), "{fault:?}: {stderr}");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        Self { stdout: done.stdout, stderr, log, code: done.status.code() }
    }

    /// Where it can be interrupted. Threads count for themselves: where two make the same call on a path, a fault meets the first that
    /// comes to this number, and the other if it comes so far.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let mut counts: BTreeMap<(&str, &Path, &'static str), usize> = BTreeMap::new();
        for (thread, call, path) in self.log.lines().filter_map(call_of) {
            *counts.entry((thread, path, call)).or_default() += 1;
        }
        let mut most: BTreeMap<(&Path, &'static str), usize> = BTreeMap::new();
        for ((_, path, call), count) in counts {
            let found = most.entry((path, call)).or_default();
            *found = count.max(*found);
        }
        let points = |((path, call), count): ((&Path, &'static str), usize)| {
            let path = path.to_owned();
            (1..=count).map(move |index| Point { path: path.clone(), call, index })
        };
        most.into_iter().flat_map(points).collect()
    }

    /// Whether the fault was injected: not so where it did not come to that call.
    #[must_use]
    pub fn was_hit(&self) -> bool {
        self.code.is_none() || self.log.contains("(INJECTED)")
    }
}

/// Thread, call and path of a line of the log: `PID CALL(FD<PATH>, ...`, or `PID CALL(.., "PATH", ...`.
fn call_of(line: &str) -> Option<(&str, &'static str, &Path)> {
    let (thread, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    let calls = CALLS.iter().map(|(call, _)| *call);
    let call =
        calls.into_iter().find(|call| rest.strip_prefix(call).is_some_and(|rest| rest.starts_with('(')))?;
    let arguments = &rest[call.len() + 1..];
    let named = arguments.split('"').nth(1);
    let open = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path);
    let path = match call {
        "openat" | "rename" | "linkat" | "unlink" | "mkdir" => named,
        _ => open,
    };
    Some((thread, call, Path::new(path?)))
}

/// At most so many points of each call on each path, spread over all of them: calls that are rare are all in it.
#[must_use]
pub fn spread(points: Vec<Point>, most: usize) -> Vec<Point> {
    let mut kinds: BTreeMap<(PathBuf, &'static str), Vec<Point>> = BTreeMap::new();
    for point in points {
        kinds.entry((point.path.clone(), point.call)).or_default().push(point);
    }
    let some = |points: Vec<Point>| {
        let step = points.len().div_ceil(most);
        points.into_iter().step_by(step)
    };
    kinds.into_values().flat_map(some).collect()
}

/// Does all jobs with two workers, each told its number; gives how many of them were true.
pub fn count_in_parallel<T: Sync>(jobs: &[T], work: impl Fn(usize, &T) -> bool + Sync) -> usize {
    let (next, hit) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (next, hit, work) = (&next, &hit, &work);
            scope.spawn(move || {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    hit.fetch_add(usize::from(work(worker, job)), Ordering::Relaxed);
                }
            });
        }
    });
    hit.into_inner()
}
