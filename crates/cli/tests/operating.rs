//! What `docs/operating.md` tells operators to run is run as it stands there, and what it says that the program says is in the program.
#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{REQUEST, World, run};

const DOCS: &str = include_str!("../../../docs/operating.md");

/// Messages of the stores underneath, which no source of ours has.
const OF_OTHERS: [&str; 4] = [
    "attempt to write a readonly database",
    "canceling statement due to lock timeout",
    "database is locked",
    "permission denied for",
];

fn section(name: &str) -> &'static str {
    let (_, text) = DOCS.split_once(&format!("\n## {name}\n")).expect("the section is there");
    text.split_once("\n## ").map_or(text, |(text, _)| text)
}

/// The first block of shell in a section.
fn shell_of(name: &str) -> &'static str {
    let (_, rest) = section(name).split_once("\n```sh\n").expect("a block begins");
    rest.split_once("\n```").expect("the block ends").0
}

/// Runs words in a world's folder, with these variables.
fn sh(world: &World, words: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut path = vec![Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut shell = Command::new("sh");
    shell.args(["-uc", words]).current_dir(&world.dir).env("PATH", std::env::join_paths(path).unwrap());
    let output = shell.envs(variables.iter().copied()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// A file's bytes, by its name in a world's folder.
fn bytes(world: &World, name: &str) -> Vec<u8> {
    fs::read(world.path(name)).unwrap()
}

fn copied(from: &str, to: &str) {
    let output = run(&["copy", "-q", from, to], b"");
    assert_eq!(output.code, 0, "{}", output.stderr);
}

#[test]
fn a_backup_is_made_and_checked_as_the_docs_have_it() {
    let mut world = World::empty_for_directory("operating-backup").found().live_on();
    let (id, ledger, older) = (world.ledger_id(), world.ledger(), world.path("older.ledger"));
    let kept = run(&["checkpoint", "-q", &ledger, "--out", &world.path("last.checkpoint")], b"");
    assert_eq!(kept.code, 0, "{}", kept.stderr);
    copied(&ledger, &older);
    let night = |world: &World, from: &str, to: &str| {
        let variables = [("FROM", from), ("TO", to), ("ID", &*id), ("LAST", "last.checkpoint")];
        sh(world, shell_of("Backup, and its check"), &variables)
    };
    let (code, said) = night(&world, &ledger, "backup.ledger");
    assert_eq!(code, Some(0), "{said}");
    world.state(&["user:alice"], &[], &REQUEST.replace("2592000", "3600"));
    let (code, said) = night(&world, &ledger, "backup.ledger");
    assert_eq!(code, Some(0), "{said}");
    // What is kept is of this night.
    let last = bytes(&world, "last.checkpoint");
    assert_eq!(last, bytes(&world, "access.ledger/checkpoint"));

    // Each is told by its exit code, and the checkpoint stays.
    let cases = [
        ("put back", &*older, "backup.ledger", 1, "is newer"),
        ("put back, and a new backup", &older, "another.ledger", 1, "checkpoint_ahead"),
        ("not there", "nowhere.ledger", "backup.ledger", 2, "nowhere.ledger"),
    ];
    for (case, from, to, wanted, words) in cases {
        let (code, said) = night(&world, from, to);
        assert!(code == Some(wanted) && said.contains(words), "case: {case}: {code:?}: {said}");
        assert_eq!(bytes(&world, "last.checkpoint"), last, "case: {case}");
    }

    // A copy without its checkpoint and its end is sound, and passes nowhere here.
    let file = world.path("file.jsonl");
    copied(&ledger, &file);
    fs::remove_file(format!("{file}.checkpoint")).unwrap();
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.split_inclusive('\n').take(9).collect::<String>()).unwrap();
    let alone = run(&["verify", &file], b"");
    assert!(alone.code == 0 && alone.stdout.contains("internally consistent, not anchored"));
    let asked = run(&["verify", &file, "--require-checkpoint"], b"");
    assert!(asked.code == 1 && asked.stdout.contains("checkpoint_missing"), "{}", asked.stdout);
}

#[test]
fn a_backup_is_put_back_as_the_docs_have_it() {
    let mut world = World::empty_for_directory("operating-restore").found().live_on();
    let (id, ledger) = (world.ledger_id(), world.ledger());
    copied(&ledger, &world.path("older.ledger"));
    world.state(&["user:alice"], &[], &REQUEST.replace("2592000", "3600"));
    copied(&ledger, &world.path("whole.ledger"));
    // The page has the time of day, and so the signature has.
    let (alice, next) = (world.key("user:alice"), world.path("next.signed"));
    let sign = ["sign", "-y", &ledger, "--as", "user:alice", "--key", &alice, "--out", &next];
    let signed = run(&sign, REQUEST.replace("2592000", "7200").as_bytes());
    assert_eq!(signed.code, 0, "{}", signed.stderr);
    fs::copy(world.key("service:recorder"), world.path("recorder.key")).unwrap();
    let restore = |world: &World, backup: &str, to: &str| {
        let words = shell_of("Restoring").replace("backup.ledger", backup).replace("NEW", to);
        sh(world, &words, &[("ID", &id), ("LAST", "whole.ledger/checkpoint")])
    };

    // Entries that were acknowledged are gone, and nobody gets as far as to record there.
    let (code, said) = restore(&world, "older.ledger", "sqlite:new.db#older");
    assert!(code == Some(1) && said.contains("checkpoint_ahead") && !said.contains("recorded #"), "{said}");
    // Whoever has more extends it, and then it holds.
    let new = format!("sqlite:{}", world.path("new.db#older"));
    copied(&world.path("whole.ledger"), &new);
    let held = run(&["verify", &new, "--checkpoint", &world.path("whole.ledger/checkpoint")], b"");
    assert_eq!(held.code, 0, "{}", held.stdout);

    for to in ["sqlite:new.db#access", "new.ledger"] {
        let (code, said) = restore(&world, "whole.ledger", to);
        assert!(code == Some(0) && said.contains("recorded #31"), "{to}: {said}");
    }
}

/// The text of all sources below a folder.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &fs::read_to_string(path).expect("a readable file");
        }
    }
}

#[test]
fn what_the_docs_say_that_the_program_says_is_in_the_program() {
    let (root, mut text) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), String::new());
    for name in ["cli", "core", "audit", "ledger", "projection", "store", "sqlite", "postgres", "stores"] {
        sources(&root.join("crates").join(name).join("src"), &mut text);
    }
    sources(&root.join("examples/axum_service/src"), &mut text);
    let (mut said, mut missing) = (0, Vec::new());
    for row in section("What it says, and what to do").lines().filter(|line| line.starts_with("| ")) {
        let cell = row.split('|').nth(1).expect("a cell");
        for words in cell.split('`').skip(1).step_by(2) {
            // What is put in where it is said stands as dots, or is a durability.
            let plain = ["volatile", "local_sync", "quorum_sync"]
                .iter()
                .fold(words.to_owned(), |words, durability| words.replace(durability, "..."));
            said += 1;
            for part in plain.split("...").map(str::trim).filter(|part| !part.is_empty()) {
                if !text.contains(part) && !OF_OTHERS.contains(&part) {
                    missing.push(format!("`{words}`: `{part}`"));
                }
            }
        }
    }
    assert!(said > 30, "the table is not where it was");
    assert!(missing.is_empty(), "docs/operating.md quotes what nothing says: {missing:#?}");
}
