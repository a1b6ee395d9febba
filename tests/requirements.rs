//! Keeps docs/requirements.md true: each requirement with the codes that enforce it and the scenarios that name it.

mod sources;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use countersign::projection::governance::RefusalCode;
use sources::{rust_files, tests_in};

const FIRST: u32 = 1;
const LAST: u32 = 120;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn scenario_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder of scenarios is there") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            scenario_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

/// Tests in Rust by the requirement that their documentation begins with: `/// R092: ...`, then `#[test]`, then the function.
fn tests() -> BTreeMap<String, Vec<String>> {
    let number = |line: &str| {
        let (first, _) = line.split_once(": ")?;
        let digits = first.strip_prefix('R')?;
        (digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| first.to_owned())
    };
    let mut files = [rust_files(&root().join("crates")), rust_files(&root().join("tests"))].concat();
    files.sort();
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        for test in tests_in(&text) {
            if let Some(number) = test.documentation.iter().rev().find_map(|line| number(line)) {
                named.entry(number).or_default().push(test.name.to_owned());
            }
        }
    }
    named
}

/// Scenario files by the requirement that they name.
fn scenarios() -> BTreeMap<String, Vec<String>> {
    let folder = root().join("tests/scenarios");
    let mut files = Vec::new();
    scenario_files(&folder, &mut files);
    files.sort();
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(&file).expect("a readable file")).expect("a JSON file");
        let name = file.strip_prefix(&folder).expect("below the folder").with_extension("");
        let numbers = json["requirements"].as_array().map(Vec::as_slice).unwrap_or_default();
        // What several scenarios begin with shows nothing by itself.
        let is_setup = file.to_string_lossy().ends_with(".setup.json");
        assert!(is_setup || !numbers.is_empty(), "{} names no requirement", file.display());
        for number in numbers {
            let number = number.as_str().expect("a number like R006").to_owned();
            named.entry(number).or_default().push(name.to_string_lossy().into_owned());
        }
    }
    named
}

fn codes() -> BTreeMap<String, Vec<&'static str>> {
    let mut named: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for code in RefusalCode::ALL {
        for number in code.requirements() {
            named.entry((*number).to_owned()).or_default().push(code.as_str());
        }
    }
    named
}

/// The row of a requirement with its last two columns as they should be.
fn row(
    line: &str,
    codes: &BTreeMap<String, Vec<&'static str>>,
    scenarios: &BTreeMap<String, Vec<String>>,
    tests: &BTreeMap<String, Vec<String>>,
) -> String {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let (number, sentence) = (cells[1], cells[2]);
    let ticked = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ");
    let codes = codes.get(number).map(|codes| ticked(codes)).unwrap_or_default();
    let shown: Vec<&str> = [scenarios.get(number), tests.get(number)]
        .into_iter()
        .flatten()
        .flatten()
        .map(String::as_str)
        .collect();
    let scenarios = if shown.is_empty() { "not yet".into() } else { ticked(&shown) };
    format!("| {number} | {sentence} | {codes} | {scenarios} |").replace("|  |", "| |")
}

#[test]
fn the_table_names_every_requirement_with_its_rules_and_tests() {
    let path = root().join("docs/requirements.md");
    let text = fs::read_to_string(&path).expect("docs/requirements.md is there");
    let (codes, scenarios, tests) = (codes(), scenarios(), tests());
    let is_row = |line: &&str| line.starts_with("| R");
    let numbers: Vec<String> = text.lines().filter(is_row).map(|line| line[2..6].to_owned()).collect();
    let all: Vec<String> = (FIRST..=LAST).map(|number| format!("R{number:03}")).collect();
    assert_eq!(numbers, all, "every requirement has one row, in order");
    for number in codes.keys().chain(scenarios.keys()).chain(tests.keys()) {
        assert!(all.contains(number), "{number} is no requirement");
    }
    let wanted: String = text
        .lines()
        .map(
            |line| if is_row(&line) { row(line, &codes, &scenarios, &tests) } else { line.to_owned() } + "\n",
        )
        .collect();
    if std::env::var_os("COUNTERSIGN_WRITE").is_some() {
        fs::write(&path, &wanted).expect("docs/requirements.md can be written");
        return;
    }
    for (found, wanted) in text.lines().zip(wanted.lines()) {
        assert_eq!(found, wanted, "docs/requirements.md is out of date: see its first lines");
    }
}

/// A code that enforces a requirement is expected by some scenario that names it, so that deleting the rule is noticed.
#[test]
fn every_code_of_a_requirement_is_expected_by_a_scenario_that_names_it() {
    let scenarios = scenarios();
    let mut missing = Vec::new();
    for (number, codes) in codes() {
        let Some(files) = scenarios.get(&number) else { continue };
        let texts: Vec<String> = files
            .iter()
            .map(|file| {
                let path = root().join("tests/scenarios").join(file).with_extension("json");
                fs::read_to_string(path).expect("a scenario")
            })
            .collect();
        for code in codes {
            let expected = format!("\"expect\": \"{code}\"");
            if !texts.iter().any(|text| text.contains(&expected)) {
                missing.push(format!("no scenario that names {number} expects {code}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
