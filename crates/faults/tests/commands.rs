//! Every system call of a script of `countersign` commands interrupted: by a kill, by errors, and by files that can not grow. What a
//! command said it did stands, nothing else does, and doing the same again goes through.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_core::digest::LeafHash;
use countersign_core::entry::Entry;
use countersign_faults::strace::{Fault, Point, Traced, count_in_parallel};
use countersign_faults::{Folder, count, entries_in, has, is_soak, skip};
use countersign_store::conformance::{Answers, Told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_fault-countersign");
/// How many faults are tried where not all of them are asked for.
const SAMPLE: usize = 160;

#[test]
fn a_command_interrupted_at_any_call_says_the_truth_and_can_be_given_again() {
    let name = "a_command_interrupted_at_any_call";
    if !has("strace") {
        return skip(name, "strace is not installed");
    }
    let script = Script::prepare(name);
    let mut jobs = Vec::new();
    for step in &script.steps {
        let folder = script.copy(step, "count");
        let traced = step.traced(folder.path(), None);
        assert_eq!(traced.code, Some(0), "{}: {}", step.name, traced.stderr);
        let mut points = traced.points();
        for point in &mut points {
            point.path = point.path.strip_prefix(folder.path()).unwrap().to_owned();
        }
        let named = if step.kind == Kind::Keygen { "linkat" } else { "rename" };
        for call in ["write", named] {
            assert!(points.iter().any(|point| point.call == call), "{}: {}", step.name, traced.log);
        }
        // A name that was made in the folder is lost with the power, unless the folder is synced.
        if matches!(step.kind, Kind::Keygen | Kind::Sign | Kind::Cosign) {
            let is_sync = |point: &Point| point.call == "fsync" && point.path.as_os_str().is_empty();
            assert!(points.iter().any(is_sync), "{}: {}", step.name, traced.log);
        }
        let faults = points.iter().flat_map(|point| point.kill().into_iter().chain(point.errors()));
        jobs.extend(faults.map(|fault| (step, fault)));
    }
    let (all, tried) = (jobs.len(), sampled(jobs));
    let hit = count_in_parallel(&tried, |worker, (step, fault)| {
        let folder = script.copy(step, &format!("interrupted-{worker}"));
        let traced = step.traced(folder.path(), Some(fault));
        let what = format!("{}, {fault}", step.name);
        step.check(folder.path(), traced.code, &traced.stdout, &traced.stderr, &what);
        traced.was_hit()
    });
    let (tried_count, commands) = (tried.len(), script.steps.len());
    count(name, &format!("{hit} of {tried_count} faults were injected, of {all} in {commands} commands"));
    assert!(hit * 10 >= tried.len() * 8, "the faults have to be hit to prove anything");
}

/// A write that crosses the limit is short, and the next one fails: as on a disk that fills up at this byte.
#[test]
fn a_command_whose_files_can_not_grow_says_the_truth_and_can_be_given_again() {
    let name = "a_command_whose_files_can_not_grow";
    if !has("prlimit") {
        return skip(name, "prlimit is not installed");
    }
    let script = Script::prepare(name);
    let parts = if is_soak() { 64 } else { 3 };
    let mut jobs = Vec::new();
    for step in &script.steps {
        let mut limits = BTreeSet::new();
        for (path, bytes) in &step.after {
            let (old, new) = (step.before.get(path).map_or(0, Vec::len), bytes.len());
            limits.extend((0..parts).filter(|_| new > old).map(|part| old + (new - old) * part / parts));
        }
        jobs.extend(limits.into_iter().map(|limit| (step, limit)));
    }
    let failed = count_in_parallel(&jobs, |worker, (step, limit)| {
        let folder = script.copy(step, &format!("limited-{worker}"));
        let mut command = Command::new("sh");
        // Without the signal that a process gets for it: the call fails, as it does on a disk.
        command.args([
            "-c",
            "trap '' XFSZ; exec \"$@\"",
            "sh",
            "prlimit",
            &format!("--fsize={limit}"),
            PROGRAM,
        ]);
        let done = command.args(step.args(folder.path())).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr);
        let what = format!("{}, files of {limit} bytes", step.name);
        assert!(!stderr.contains("panicked"), "{what}: {stderr}");
        step.check(folder.path(), done.status.code(), &done.stdout, &stderr, &what);
        done.status.code() != Some(0)
    });
    count(name, &format!("{failed} of {} limits kept a command from its end", jobs.len()));
    assert!(failed * 2 >= jobs.len(), "the limits have to be met to prove anything");
}

/// The same ones every time, spread over all.
fn sampled<T>(jobs: Vec<T>) -> Vec<T> {
    let step = if is_soak() { 1 } else { jobs.len().div_ceil(SAMPLE) };
    jobs.into_iter().step_by(step).collect()
}

/// What a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Keygen,
    Init,
    Sign,
    Cosign,
    Submit,
    Export,
    Import,
    Copy,
}

/// A command, and the folder before and after it, had nothing happened.
struct Step {
    name: String,
    kind: Kind,
    words: Vec<&'static str>,
    before: Files,
    after: Files,
}

/// Files by their path in a folder; directories are in the paths.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The entries of every ledger in a folder, by its name.
type Ledgers = BTreeMap<String, Vec<Entry>>;

/// Commands in the order in which a person gives them; `@NAME` is a file in the folder.
const SCRIPT: [(Kind, &str); 10] = [
    (Kind::Keygen, "keygen @fern.key"),
    (
        Kind::Init,
        "init @acme.ledger --name acme/access --now 2026-01-05T09:00:00Z --governor user:dana=person:dana:@dana.key \
         --governor user:erik=person:erik:@erik.key --recorder service:recorder=person:olga:@recorder.key",
    ),
    (
        Kind::Sign,
        "sign @acme.ledger --as user:dana --key @dana.key --cosigner user:erik --event @one.json --yes --out @one.signed --now 2026-01-05T09:01:00Z",
    ),
    (Kind::Cosign, "sign --cosign @one.signed --key @erik.key --yes"),
    (Kind::Submit, "submit @acme.ledger @one.signed --key @recorder.key --now 2026-01-05T09:02:00Z --json"),
    (
        Kind::Submit,
        "submit @acme.ledger @two.signed @three.signed --key @recorder.key --now 2026-01-05T09:03:00Z --json",
    ),
    (Kind::Export, "export @acme.ledger @copy.jsonl"),
    (Kind::Import, "import @copy.jsonl @second.ledger"),
    (Kind::Copy, "copy @second.ledger @third.ledger"),
    (Kind::Submit, "submit @copy.jsonl @four.signed --key @recorder.key --now 2026-01-05T09:04:00Z --json"),
];

struct Script {
    name: &'static str,
    steps: Vec<Step>,
}

impl Script {
    /// Runs it without faults.
    fn prepare(name: &'static str) -> Self {
        let folder = Folder::new(&format!("commands-{name}"));
        let dir = folder.path();
        for key in ["dana", "erik", "recorder"] {
            done(&["keygen", &at(dir, &format!("@{key}.key"))]);
        }
        for (number, file) in ["one", "two", "three", "four"].into_iter().enumerate() {
            let event =
                format!(r#"{{"type":"resource.registered","resource":"db:books-{number}","tier":"low"}}"#);
            fs::write(dir.join(format!("{file}.json")), event).unwrap();
        }
        let mut steps = Vec::new();
        for (index, (kind, words)) in SCRIPT.into_iter().enumerate() {
            let words: Vec<&str> = words.split_whitespace().collect();
            if kind == Kind::Submit {
                // What it submits and nobody has signed yet.
                for file in words.iter().filter_map(|word| word.strip_prefix('@')?.strip_suffix(".signed")) {
                    if !dir.join(format!("{file}.signed")).exists() {
                        let place = |ending: &str| at(dir, &format!("@{file}.{ending}"));
                        let (key, cosigners) = (at(dir, "@dana.key"), at(dir, "@erik.key"));
                        let (ledger, event, signed) =
                            (at(dir, "@acme.ledger"), place("json"), place("signed"));
                        done(&[
                            "sign",
                            &ledger,
                            "--as",
                            "user:dana",
                            "--key",
                            &key,
                            "--cosigner",
                            "user:erik",
                            "--event",
                            &event,
                            "--yes",
                            "--out",
                            &signed,
                            "--now",
                            "2026-01-05T09:01:00Z",
                        ]);
                        done(&["sign", "--cosign", &signed, "--key", &cosigners, "--yes"]);
                    }
                }
            }
            let mut step = Step {
                name: format!("{}: {}", index + 1, words[0]),
                kind,
                words,
                before: files(dir),
                after: Files::new(),
            };
            let output = unharmed(&step.args(dir));
            assert_eq!(output.code, 0, "{}: {}", step.name, output.stderr);
            step.after = files(dir);
            steps.push(step);
        }
        Self { name, steps }
    }

    /// A folder as it is before a step.
    fn copy(&self, step: &Step, what: &str) -> Folder {
        let folder = Folder::new(&format!("commands-{}-{what}", self.name));
        for (path, bytes) in &step.before {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
            if path.extension() == Some(OsStr::new("key")) {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
        folder
    }
}

impl Step {
    fn args(&self, dir: &Path) -> Vec<OsString> {
        self.words.iter().map(|word| at(dir, word).into()).collect()
    }

    /// Runs it, with a fault in what it does to a file of the folder, if there is one.
    fn traced(&self, dir: &Path, fault: Option<&Fault>) -> Traced {
        let (log, args) = (dir.join("trace"), self.args(dir));
        let program: Vec<&OsStr> =
            std::iter::once(OsStr::new(PROGRAM)).chain(args.iter().map(OsString::as_os_str)).collect();
        if let Some(fault) = fault {
            return Traced::run_with(&program, fault, &dir.join(&fault.point.path), &log);
        }
        // Where a file is renamed or made, its directory is synced: the folder's too.
        let mut watched = BTreeSet::from([dir.to_owned()]);
        for path in self.before.keys().chain(self.after.keys()) {
            let parts = path.ancestors().filter(|part| !part.as_os_str().is_empty());
            watched.extend(parts.map(|part| dir.join(part)));
            watched.insert(dir.join(format!("{}.new", path.display())));
        }
        Traced::run(&program, &watched, &log)
    }

    /// Holds what the command said against what is there, and gives it again.
    fn check(&self, dir: &Path, code: Option<i32>, stdout: &[u8], stderr: &str, what: &str) {
        let (before, wanted, found) = (ledgers_of(&self.before), ledgers_of(&self.after), ledgers(dir));
        for (name, entries) in &found {
            assert!(
                wanted.get(name).is_some_and(|wanted| leaves(wanted).starts_with(&leaves(entries))),
                "{what}: {name} has other entries"
            );
        }
        // What was there before stands, and nothing may come but what the command was to add.
        let mut answers: BTreeMap<&String, Answers> = BTreeMap::new();
        for (name, entries) in wanted.iter().chain(&before) {
            let answers = answers.entry(name).or_default();
            entries.iter().for_each(|entry| answers.tell(Told::Submitted(entry.signed().digest())));
        }
        for (name, entries) in &before {
            entries.iter().for_each(|entry| answers.get_mut(name).unwrap().tell(acknowledged(entry)));
        }
        let ledger = self.words.get(1).and_then(|word| word.strip_prefix('@')).unwrap_or_default().to_owned();
        let mut recorded = BTreeSet::new();
        for line in String::from_utf8_lossy(stdout).lines().filter(|line| line.starts_with('{')) {
            // Killed while it was printed: nobody was told.
            let Ok(json) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            assert_eq!(json["recorded"], true, "{what}: {line}");
            let (seq, leaf) =
                (json["seq"].as_u64().unwrap(), json["leaf"].as_str().unwrap().parse().unwrap());
            let digest = wanted[&ledger][usize::try_from(seq).unwrap()].signed().digest();
            answers.get_mut(&ledger).unwrap().tell(Told::Acknowledged { digest, seq, leaf });
            recorded.insert(seq);
        }
        if code.is_some() && stderr.contains("the statement was not recorded") {
            let (stood, answers) = (before[&ledger].len() as u64, answers.get_mut(&ledger).unwrap());
            let rest = wanted[&ledger]
                .iter()
                .filter(|entry| entry.seq() >= stood && !recorded.contains(&entry.seq()));
            rest.for_each(|entry| answers.tell(Told::NotStored(entry.signed().digest())));
        }
        for (name, answers) in answers {
            let there = found.get(name).map_or(&[][..], Vec::as_slice);
            let findings = answers.check(there.iter().map(Entry::bytes));
            assert!(findings.is_empty(), "{what}: {name}: {findings:?}: {stderr}");
        }
        match code {
            Some(0) => {
                assert!(stderr.lines().all(|line| !line.starts_with("countersign: ")), "{what}: {stderr}");
                assert_eq!(hashes(&found), hashes(&wanted), "{what}: it said that all went well");
                for name in found.keys() {
                    assert_is_sound(&dir.join(name), true, what);
                }
            }
            Some(code) => {
                assert_eq!(code, 2, "{what}: nothing was refused: {stderr}");
                assert!(
                    stderr.lines().any(|line| line.starts_with("countersign: ")),
                    "{what}: it failed silently"
                );
            }
            None => {}
        }
        self.again(dir, &wanted, what);
    }

    /// The same command without a fault goes through, or says that there is nothing left to do, and all is as if nothing had
    /// happened.
    fn again(&self, dir: &Path, wanted: &Ledgers, what: &str) {
        let again = unharmed(&self.args(dir));
        let is_done = match self.kind {
            Kind::Keygen | Kind::Init | Kind::Export => again.stderr.contains("exists"),
            Kind::Sign => again.stderr.contains("exists already"),
            Kind::Cosign => again.stderr.contains("has signed already"),
            Kind::Submit | Kind::Import | Kind::Copy => false,
        };
        assert!(again.code == 0 || is_done, "{what}, again: {}", again.stderr);
        match self.kind {
            // It signs with another serial, so the next commands tell whether it is whole.
            Kind::Sign | Kind::Cosign => {
                let (signed, key) = (at(dir, "@one.signed"), at(dir, "@erik.key"));
                let cosigned =
                    unharmed(&["sign", "--cosign", &signed, "--key", &key, "--yes"].map(OsString::from));
                let is_done = cosigned.stderr.contains("has signed already");
                assert!(
                    cosigned.code == 0 || (is_done && self.kind == Kind::Cosign),
                    "{what}: {}",
                    cosigned.stderr
                );
                done(&[
                    "submit",
                    &at(dir, "@acme.ledger"),
                    &signed,
                    "--key",
                    &at(dir, "@recorder.key"),
                    "--now",
                    "2026-01-05T09:02:00Z",
                ]);
            }
            Kind::Export => done(&["import", &at(dir, "@acme.ledger"), &at(dir, "@copy.jsonl")]),
            Kind::Keygen => done(&["keygen", "--show", &at(dir, "@fern.key")]),
            Kind::Init | Kind::Submit | Kind::Import | Kind::Copy => {}
        }
        let found = ledgers(dir);
        if !matches!(self.kind, Kind::Sign | Kind::Cosign) {
            assert_eq!(hashes(&found), hashes(wanted), "{what}, after it was given again");
        }
        for name in found.keys() {
            // Genesis may stand without its checkpoint, and then it is the next command that signs one.
            assert_is_sound(&dir.join(name), self.kind != Kind::Init, what);
        }
    }
}

fn leaves(entries: &[Entry]) -> Vec<LeafHash> {
    entries.iter().map(Entry::leaf).collect()
}

fn hashes(ledgers: &Ledgers) -> BTreeMap<&String, Vec<LeafHash>> {
    ledgers.iter().map(|(name, entries)| (name, leaves(entries))).collect()
}

fn acknowledged(entry: &Entry) -> Told {
    Told::Acknowledged { digest: entry.signed().digest(), seq: entry.seq(), leaf: entry.leaf() }
}

/// What an auditor finds.
fn assert_is_sound(ledger: &Path, is_anchored: bool, what: &str) {
    let output =
        unharmed(&[OsStr::new("verify"), ledger.as_os_str(), OsStr::new("--json")].map(OsString::from));
    assert_eq!(output.code, 0, "{what}: {}", output.stdout);
    let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert!(!is_anchored || json["anchored"] == json["entries"], "{what}: {}", output.stdout);
}

/// `@NAME` as a path, wherever it stands in a word.
fn at(dir: &Path, word: &str) -> String {
    word.replace('@', &format!("{}/", dir.display()))
}

/// What a run printed and how it ended.
struct Output {
    code: u8,
    stdout: String,
    stderr: String,
}

/// Runs the program in this process.
fn unharmed(args: &[OsString]) -> Output {
    let (mut stdin, mut stdout, mut stderr) = (std::io::empty(), Vec::new(), Vec::new());
    let mut streams = countersign_cli::Streams {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        is_terminal: false,
        asks: false,
    };
    let args = std::iter::once(OsString::from("countersign")).chain(args.iter().cloned());
    let code = countersign_cli::run(args, &mut streams);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code, stdout: text(stdout), stderr: text(stderr) }
}

fn done(args: &[&str]) {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let output = unharmed(&args);
    assert_eq!(output.code, 0, "{args:?}: {}", output.stderr);
}

fn files(dir: &Path) -> Files {
    let (mut found, mut left) = (Files::new(), vec![dir.to_owned()]);
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The entries of every ledger in a folder, whole lines alone.
fn ledgers(dir: &Path) -> Ledgers {
    let mut found = BTreeMap::new();
    for name in ["acme.ledger", "second.ledger", "third.ledger"] {
        let entries = entries_in(&dir.join(name));
        if !entries.is_empty() {
            found.insert(name.to_owned(), entries);
        }
    }
    if let Ok(bytes) = fs::read(dir.join("copy.jsonl")) {
        found.insert("copy.jsonl".to_owned(), lines(&bytes));
    }
    found
}

fn ledgers_of(files: &Files) -> Ledgers {
    let mut found: Ledgers = BTreeMap::new();
    for (path, bytes) in files {
        let mut parts = path.iter().map(|part| part.to_str().unwrap());
        match (parts.next(), parts.next()) {
            (Some("copy.jsonl"), None) => drop(found.insert("copy.jsonl".to_owned(), lines(bytes))),
            (Some(name), Some("entries")) => found.entry(name.to_owned()).or_default().extend(lines(bytes)),
            _ => {}
        }
    }
    found
}

fn lines(bytes: &[u8]) -> Vec<Entry> {
    let whole = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap());
    whole.map(|line| Entry::parse(line).unwrap()).collect()
}
