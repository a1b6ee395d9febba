//! Keeps docs/reliability.md true: every fault has a row, and every test that it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names of all functions in test files and in source files that have tests in them, and of the kit's cases.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                functions(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            let names = text.lines().filter_map(|line| {
                let (before, after) = line.split_once("fn ")?;
                let name = after.split(['(', '<']).next()?;
                ["", "async "].contains(&before.trim_start()).then(|| name.to_owned())
            });
            found.extend(names);
        }
    }
}

fn page() -> String {
    fs::read_to_string(root().join("docs/reliability.md")).expect("docs/reliability.md is there")
}

/// What stands between backticks in a line and is the name of a test.
fn tests_in(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |text: &&str| {
        text.contains('_') && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    line.split('`').skip(1).step_by(2).filter(is_name)
}

#[test]
fn every_test_that_is_named_exists() {
    let mut found = BTreeSet::new();
    for folder in ["crates", "tests"] {
        functions(&root().join(folder), &mut found);
    }
    let page = page();
    let rows = page.lines().filter(|line| line.starts_with("| ") || line.starts_with("Shown"));
    let missing: Vec<_> = rows.flat_map(tests_in).filter(|name| !found.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/reliability.md names tests that are not there: {missing:#?}");
}

#[test]
fn every_fault_has_a_test_or_says_not_yet() {
    let page = page();
    for number in 1..=25 {
        let start = format!("| F-{number:02} |");
        let mut rows = page.lines().filter(|line| line.starts_with(&start));
        let row = rows.next().unwrap_or_else(|| panic!("F-{number:02} has no row"));
        assert!(rows.next().is_none(), "F-{number:02} has two rows");
        assert!(tests_in(row).next().is_some() || row.contains("not yet"), "F-{number:02} names no test");
    }
}
