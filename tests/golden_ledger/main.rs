//! The golden ledger: a whole one, with every kind of statement that the rules admit, pinned byte for byte; and what becomes
//! of it in other hands.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod files;
mod tampered;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use countersign::audit::{LedgerFile, Options, Report, Verdict, verify};
use countersign::core::entry::Entry;
use countersign::core::event::Event;
use countersign::core::event::EventKind;
use countersign::core::text::Salt;
use countersign_scenario::{load, run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn lines() -> Vec<Vec<u8>> {
    let bytes = read("ledger.jsonl");
    bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn pinned() -> Options {
    let id = String::from_utf8(read("ledger.id")).unwrap();
    Options { ledger_id: Some(id.trim_end().parse().unwrap()), ..Options::default() }
}

fn audit(options: &Options) -> Report {
    verify(&mut LedgerFile::open(folder().join("ledger.jsonl")).unwrap(), options).unwrap()
}

#[test]
fn the_scenario_leaves_these_bytes() {
    let recorded = files::recorded(&folder()).unwrap();
    assert!(recorded.report.passed(), "{}", recorded.report);
    for (name, want) in files::files(&recorded) {
        let hint = "if format or rules are to change: cargo run --example golden_ledger -- tests/golden";
        assert!(read(name) == want, "{name} differs; {hint}");
    }
    assert_eq!(run(&load(&folder().join("ledger.scenario.json")).unwrap()), recorded.report);
}

#[test]
fn every_kind_is_admitted_at_least_once() {
    let entries = lines();
    let kinds: BTreeSet<EventKind> =
        entries.iter().map(|line| Entry::parse(line.as_slice()).unwrap().statement().event.kind()).collect();
    assert_eq!(kinds, EventKind::ALL.iter().copied().collect());
}

/// R094: with the entries, the id and checkpoints alone an auditor verifies all of it and judges each decision again.
#[test]
fn an_auditor_verifies_it_with_both_checkpoints() {
    let earlier =
        countersign::audit::CheckpointFile::read(&folder().join("ledger.earlier.checkpoint")).unwrap();
    let report = audit(&Options { checkpoints: vec![earlier], require_checkpoint: true, ..pinned() });
    assert!(report.is_verified(), "{report}");
    let size = lines().len() as u64;
    assert_eq!((report.entries, report.anchored, report.size), (size, size, size));
    assert_eq!((report.withheld, report.serial_gaps.len(), report.rules), (1, 1, Some(2)));
    let open = report.claims.iter().filter(|claim| claim.verdict != Verdict::Verified);
    let open: Vec<String> = open.map(|claim| claim.name.to_string()).collect();
    assert_eq!(open, ["completeness", "serials", "texts"], "what a ledger alone can not show");
}

#[test]
fn the_program_verifies_it_and_shows_what_is_withheld() {
    let ledger = folder().join("ledger.jsonl").display().to_string();
    let ask = |args: &[&str]| {
        let (mut stdin, mut stdout, mut stderr) = (std::io::empty(), Vec::new(), Vec::new());
        let mut streams = countersign_cli::Streams {
            stdin: &mut stdin,
            stdout: &mut stdout,
            stderr: &mut stderr,
            is_terminal: false,
            asks: false,
        };
        let args = ["countersign"].iter().chain(args).map(std::ffi::OsString::from);
        let code = countersign_cli::run(args, &mut streams);
        (code, String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let id = String::from_utf8(read("ledger.id")).unwrap();
    let earlier = folder().join("ledger.earlier.checkpoint").display().to_string();
    let (code, shown, told) =
        ask(&["verify", &ledger, "--ledger-id", id.trim_end(), "--checkpoint", &earlier, "--json"]);
    assert_eq!((code, told.as_str()), (countersign_cli::EXIT_YES, ""), "{shown}");
    assert!(
        shown.starts_with(&format!("{{\"verdict\":\"verified\",\"entries\":{},", lines().len())),
        "{shown}"
    );

    let (seq, text) = withheld();
    let (code, shown, _) = ask(&["show", &ledger, &seq.to_string()]);
    assert_eq!(code, countersign_cli::EXIT_YES, "{shown}");
    assert!(shown.contains("withheld, 33 bytes"), "{shown}");
    assert!(!shown.contains(text), "{shown}");
}

/// The seq of the request whose need is kept outside, and that text.
fn withheld() -> (u64, &'static str) {
    let request = |line: &Vec<u8>| {
        let entry = Entry::parse(line.as_slice()).unwrap();
        match &entry.statement().event {
            Event::AccessRequested(event) if event.need.as_str().is_none() => {
                Some((entry.seq(), event.need.clone()))
            }
            _ => None,
        }
    };
    let (seq, need) = lines().iter().find_map(request).unwrap();
    let text = "prepare the run while Bob is away";
    let salt = Salt::new(std::array::from_fn(|index| u8::try_from(index).unwrap()));
    assert!(need.matches(text, &salt));
    (seq, text)
}
