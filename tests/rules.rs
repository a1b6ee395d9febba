//! Keeps docs/rules.md true: its tables of bounds and codes, and which code each kind can be refused with.
//! `COUNTERSIGN_WRITE=1 cargo test --test rules` writes the generated parts anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use countersign::core::event::EventKind;
use countersign::projection::governance::{
    MAX_AHEAD_SECONDS, MAX_CONTROLLERS, MAX_COSIGNED_LAG_SECONDS, MAX_DECISION_LAG_SECONDS, MAX_KEYS,
    MAX_LAG_SECONDS, MAX_OPEN_REQUESTS, MAX_RECORDER_DRIFT_SECONDS, MAX_REQUEST_SECONDS, MAX_SEEN_AGE,
    OVERRULED_SECONDS, RefusalCode,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/rules.md")).expect("docs/rules.md is there")
}

fn codes() -> String {
    let mut out = String::from("| code | meaning | requirements |\n| --- | --- | --- |\n");
    for code in RefusalCode::ALL {
        let requirements = code.requirements().join(" ");
        writeln!(out, "| `{code}` | {} | {requirements} |", code.meaning().trim())
            .expect("a string takes everything");
    }
    out.replace("|  |", "| |")
}

fn bounds() -> String {
    let mut out = String::from("| what | at most | |\n| --- | --- | --- |\n");
    let count = |number: usize| u64::try_from(number).expect("a small number");
    let rows = [
        ("from recording to issue", MAX_AHEAD_SECONDS, "seconds"),
        ("from issue to recording", MAX_LAG_SECONDS, "seconds"),
        ("the same of a decision", MAX_DECISION_LAG_SECONDS, "seconds"),
        ("the same with cosigners, or where only power is removed", MAX_COSIGNED_LAG_SECONDS, "seconds"),
        ("the recorder past the last entry of another author", MAX_RECORDER_DRIFT_SECONDS, "seconds"),
        ("age of `seen`", MAX_SEEN_AGE, "entries"),
        ("how long a request is open", MAX_REQUEST_SECONDS, "seconds"),
        ("open requests of one person", MAX_OPEN_REQUESTS.into(), ""),
        ("live keys of one principal", count(MAX_KEYS), ""),
        ("controllers of one principal", count(MAX_CONTROLLERS), ""),
        ("how long who was overruled may not freeze alone", OVERRULED_SECONDS, "seconds"),
    ];
    for (what, most, unit) in rows {
        writeln!(out, "| {what} | {most} | {unit} |").expect("a string takes everything");
    }
    out.replace("|  |", "| |")
}

/// The page with its generated parts as they should be.
fn render(page: &str) -> String {
    let mut out = page.to_owned();
    for (name, part) in [("bounds", bounds()), ("codes", codes())] {
        let (begin, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->");
        let (before, rest) = out.split_once(&begin).expect("the part is there");
        let (_, after) = rest.split_once(end).expect("the part has an end");
        out = format!("{before}{begin}{part}{end}{after}");
    }
    out
}

#[test]
fn the_generated_parts_are_what_the_code_says() {
    let (found, wanted) = (page(), render(&page()));
    if std::env::var_os("COUNTERSIGN_WRITE").is_some() {
        fs::write(root().join("docs/rules.md"), &wanted).expect("docs/rules.md can be written");
        return;
    }
    for (found, wanted) in found.lines().zip(wanted.lines()) {
        assert_eq!(found, wanted, "docs/rules.md is out of date: see tests/rules.rs");
    }
    assert_eq!(found, wanted);
}

fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The codes in the last cells of the tables of a part.
fn codes_in(part: &str) -> BTreeSet<&str> {
    let rows = part.lines().filter(|line| line.starts_with("| "));
    let last = rows.filter_map(|row| row.trim_end_matches(['|', ' ']).rsplit(" | ").next());
    last.flat_map(ticked).collect()
}

/// What stands under each heading of a kind, and what every statement meets.
fn checks(page: &str) -> (BTreeMap<&str, BTreeSet<&str>>, BTreeSet<&str>) {
    let part = |title: &str| {
        let (_, rest) = page.split_once(title).expect("the chapter is there");
        rest.split("\n## ").next().expect("a first part")
    };
    let kinds = part("\n## 8. Checks by kind\n").split("\n### ").skip(1).map(|kind| {
        let (name, checks) = kind.split_once('\n').expect("a heading is a line");
        (name.trim_matches('`'), codes_in(checks))
    });
    (kinds.collect(), codes_in(part("\n## 1. How an entry is judged\n")))
}

#[test]
fn every_kind_has_its_checks_and_every_code_is_one() {
    let page = page();
    let (kinds, all) = checks(&page);
    let names: Vec<&str> = kinds.keys().copied().collect();
    let mut wanted: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
    let known: BTreeSet<&str> = RefusalCode::ALL.iter().map(|code| code.as_str()).collect();
    let named: BTreeSet<&str> = kinds.values().flatten().chain(&all).copied().collect();
    let strange: Vec<_> = named.difference(&known).collect();
    assert!(strange.is_empty(), "no codes: {strange:?}");
    // The faults of an envelope are format.md's, but for those that rules give too.
    let rules = RefusalCode::ALL.iter().filter(|code| code.fault().is_none()).map(|code| code.as_str());
    let missing: Vec<_> = rules.filter(|code| !named.contains(code)).collect();
    assert!(missing.is_empty(), "no check gives {missing:?}");
}

/// Every code that a scenario expects of a statement stands among the checks of its kind, or of every kind.
#[test]
fn what_scenarios_expect_of_a_kind_is_among_its_checks() {
    let page = page();
    let (kinds, all) = checks(&page);
    let envelope: BTreeSet<&str> =
        RefusalCode::ALL.iter().filter(|code| code.fault().is_some()).map(|code| code.as_str()).collect();
    let mut files = Vec::new();
    for folder in ["attacks", "requirements", "rules"] {
        let folder = root().join("tests/scenarios").join(folder);
        files
            .extend(fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("one").path()));
    }
    let mut seen = 0;
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "json")) {
        for (kind, code) in refusals(file) {
            let known = kinds[&*kind].contains(&*code) || all.contains(&*code) || envelope.contains(&*code);
            if !known && RefusalCode::ALL.iter().any(|known| known.as_str() == code) {
                wrong.push(format!("{}: {kind} is refused {code}", file.display()));
            }
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 300, "scenarios expect {seen} refusals: have they moved?");
}

/// Kind and code of each statement of a scenario that is refused.
fn refusals(file: &Path) -> Vec<(String, String)> {
    let text = fs::read(file).expect("a readable file");
    let json: serde_json::Value = serde_json::from_slice(&text).expect("a JSON file");
    let items = json["timeline"].as_array().into_iter().flatten();
    let refused = items.filter_map(|item| {
        let (kind, code) = (item["event"]["type"].as_str()?, item["expect"].as_str()?);
        (code != "admitted").then(|| (kind.to_owned(), code.to_owned()))
    });
    refused.collect()
}
