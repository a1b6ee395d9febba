//! Keeps docs/reliability.md and docs/threat-model.md true: every fault and every adversary has a row, and every test that they name
//! exists.

#[path = "../../../tests/sources/mod.rs"]
mod sources;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use sources::{rust_files, tests_in};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The cases of the kit in a source file.
fn cases_in(text: &str) -> impl Iterator<Item = &str> {
    let cases = text.split_once("\ncases! {\n").and_then(|(_, rest)| rest.split_once('}'));
    cases.into_iter().flat_map(|(names, _)| names.split_whitespace())
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).expect("the page is there")
}

/// The names of all tests, of the kit's cases, and of all scenario files.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in ["crates", "examples", "tests"].iter().flat_map(|folder| rust_files(&root().join(folder))) {
        let text = fs::read_to_string(&file).expect("a readable file");
        found.extend(tests_in(&text).into_iter().map(|test| test.name.to_owned()));
        found.extend(cases_in(&text).map(str::to_owned));
    }
    for folder in ["attacks", "requirements", "rules"] {
        let files = fs::read_dir(root().join("tests/scenarios").join(folder)).expect("the folder is there");
        let stem = |file: fs::DirEntry| Some(file.path().file_stem()?.to_str()?.to_owned());
        found.extend(files.filter_map(|file| stem(file.expect("a readable folder"))));
    }
    found
}

/// What stands between backticks in a line and is the name of a test.
fn names_in(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |text: &&str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    line.split('`').skip(1).step_by(2).filter(is_name)
}

#[test]
fn every_test_that_is_named_exists() {
    let found = tests();
    for name in ["reliability.md", "threat-model.md"] {
        let page = page(name);
        let rows = page.lines().filter(|line| line.starts_with("| "));
        // Of the other page, other names stand between backticks too, none of them with an underscore.
        let named: Vec<&str> = match name {
            "threat-model.md" => rows.flat_map(|row| names_in(last_cell(row))).collect(),
            _ => page.lines().flat_map(names_in).filter(|name| name.contains('_')).collect(),
        };
        assert!(named.len() > 40, "docs/{name} is not what it was");
        let missing: Vec<_> = named.iter().filter(|name| !found.contains(**name)).collect();
        assert!(missing.is_empty(), "docs/{name} names tests that are not there: {missing:#?}");
    }
}

/// What stands in the last cell of a row of a table.
fn last_cell(row: &str) -> &str {
    row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or("")
}

#[test]
fn every_adversary_and_every_attack_names_its_tests() {
    let page = page("threat-model.md");
    let tables =
        page.split("## ").filter(|part| part.starts_with("Adversaries") || part.starts_with("Evidence"));
    let mut rows = 0;
    for row in tables.flat_map(str::lines).filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
    {
        if !row.ends_with("| tests |") {
            rows += 1;
            assert!(names_in(last_cell(row)).next().is_some(), "names no test: {row}");
        }
    }
    assert!(rows > 20, "the tables are not where they were");
}

#[test]
fn every_fault_and_every_invariant_has_a_test_or_says_not_yet() {
    let page = page("reliability.md");
    let faults = (1..=25).map(|number| format!("F-{number:02}"));
    for name in faults.chain((1..=14).map(|number| format!("INV-{number}"))) {
        let start = format!("| {name} |");
        let mut rows = page.lines().filter(|line| line.starts_with(&start));
        let row = rows.next().unwrap_or_else(|| panic!("{name} has no row"));
        assert!(rows.next().is_none(), "{name} has two rows");
        assert!(names_in(last_cell(row)).next().is_some() || row.contains("not yet"), "{name} names no test");
    }
}
