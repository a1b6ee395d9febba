//! What a user sees of a ledger in a SQLite database: the same answers as of one in a file; and copies from place to place.

#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod common;

use std::fs;
use std::path::Path;

use common::{REQUEST, World, assert_same, run};

macro_rules! shows {
    ($name:literal, $world:expr, $($output:expr),+ $(,)?) => {
        let shown: Vec<String> = vec![$($output.shown(&$world)),+];
        insta::assert_snapshot!($name, shown.join("\n=====\n"));
    };
}

fn history(name: &str) -> World {
    World::empty_for_sqlite(name).found().live_on()
}

fn change(world: &World, sql: &str) {
    rusqlite::Connection::open(world.path("access.db")).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_database_is_answered_from_as_a_file_is() {
    assert_same(&World::history("twin-of-sqlite"), &history("twin-sqlite"));
}

#[test]
fn a_ledger_is_opened_in_a_database_and_added_to() {
    let world = World::empty_for_sqlite("sqlite-init");
    shows!("database_init", world, world.init(), world.init());
    let world = history("sqlite-submit");
    let submission = world.sign(&["user:alice"], &[], &REQUEST.replace("2592000", "3600")).unwrap();
    shows!("database_submit", world, world.submit(&submission), world.submit(&submission));
    shows!("database_verify", world, world.ask("verify", &[]));
    let key = world.key("service:recorder");
    for missing in ["sqlite:none.db#access", "sqlite:access.db#other"] {
        let missing = missing.replace("sqlite:", &format!("sqlite:{}/", world.dir.display()));
        let output = run(&["submit", &missing, &submission, "--key", &key], b"");
        assert_eq!(output.code, 2, "{}", output.stderr);
        assert!(output.stderr.contains("no such ledger"), "{}", output.stderr);
    }
    assert!(!Path::new(&world.path("none.db")).exists());
}

#[test]
fn addresses_that_lead_nowhere_are_told() {
    let world = World::empty_for_sqlite("sqlite-addresses");
    let verify = |address: &str| run(&["verify", address], b"");
    shows!(
        "database_addresses",
        world,
        verify("memory:"),
        verify("sqlite:access.db"),
        verify("postgres://ann:hunter2@127.0.0.1:1/x#access"),
        verify("postgres://ann:a/hunter2@127.0.0.1:1/x#access"),
        verify("s3:///access"),
        verify("mysql://ann:hunter2@db.example/x"),
        world.ask("verify", &[]),
    );
}

/// Whatever column it is that lies, an auditor is told of all that is before it, and where it is.
#[test]
fn what_is_kept_beside_the_entries_of_a_database_is_reported_at_its_place() {
    let cases = [
        ("UPDATE entries SET leaf = zeroblob(32) WHERE seq = 7", 7),
        ("UPDATE entries SET leaf = x'00' WHERE seq = 0", 0),
        ("UPDATE entries SET seq = 77 WHERE seq = 7", 7),
        ("DELETE FROM entries WHERE seq = 7", 7),
        ("UPDATE entries SET leaf = zeroblob(32) WHERE seq = 29", 29),
        ("UPDATE entries SET seq = 30 WHERE seq = 29", 29),
        ("UPDATE entries SET leaf = zeroblob(32) WHERE seq IN (7, 9, 29)", 7),
    ];
    for (sql, seq) in cases {
        let world = history("sqlite-columns");
        change(&world, sql);
        let output = world.ask("verify", &["--json"]);
        assert_eq!(output.code, 1, "{sql}: {}", output.stderr);
        let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        let found =
            (&report["verdict"], &report["fault"]["code"], &report["fault"]["seq"], &report["entries"]);
        assert_eq!(found, (&"failed".into(), &"store".into(), &seq.into(), &seq.into()), "{sql}: {report}");
        // Who copies is told the same, and copies nothing that follows.
        let copied = run(&["copy", &world.ledger(), &world.path("copy.ledger")], b"");
        assert_eq!(copied.code, 1, "{sql}: {}", copied.stderr);
        assert!(copied.stderr.contains("damaged at entry "), "{sql}: {}", copied.stderr);
    }
    // Cut at its end: for the checkpoint to tell.
    let world = history("sqlite-cut");
    change(&world, "DELETE FROM entries WHERE seq = 29");
    let report: serde_json::Value = serde_json::from_str(&world.ask("verify", &["--json"]).stdout).unwrap();
    assert_eq!(
        (&report["fault"]["code"], &report["entries"]),
        (&"checkpoint_ahead".into(), &29.into()),
        "{report}"
    );
}

#[test]
fn what_was_changed_in_a_database_is_no_ledger() {
    let world = history("sqlite-damage");
    change(&world, "UPDATE entries SET leaf = zeroblob(32) WHERE seq = 7");
    shows!("database_damaged", world, world.ask("verify", &[]), world.ask("who", &["db:acme/payroll"]));
    // Whoever changes an entry with its leaf hash is found by the auditor.
    let world = history("sqlite-tampered");
    let jsonl = world.path("tampered.jsonl");
    assert_eq!(world.ask("export", &[&jsonl]).code, 0);
    let text = fs::read_to_string(&jsonl).unwrap();
    let line = text.lines().nth(7).unwrap().replace("user:", "user:x");
    let leaf = countersign_core::entry::leaf_hash(line.as_bytes());
    let hex: String = line.bytes().map(|byte| format!("{byte:02x}")).collect();
    change(&world, &format!("UPDATE entries SET bytes = x'{hex}', leaf = x'{leaf}' WHERE seq = 7"));
    let output = world.ask("verify", &[]);
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
}

#[test]
fn a_copy_goes_from_place_to_place_and_on_where_it_stopped() {
    let mut world = history("sqlite-copy");
    let (from, to) = (world.ledger(), format!("sqlite:{}#copy", world.path("copy.db")));
    let (directory, file) = (world.path("copy.ledger"), world.path("copy.jsonl"));
    let copy = |from: &str, to: &str| run(&["copy", from, to], b"");
    shows!(
        "copy",
        world,
        copy(&from, &to),
        copy(&to, &directory),
        copy(&directory, &file),
        copy(&file, &from),
        run(&["verify", &directory, "--require-checkpoint"], b""),
    );
    world.state(&["user:alice"], &[], &REQUEST.replace("2592000", "3600"));
    shows!(
        "copy_on",
        world,
        copy(&from, &to),
        copy(&from, &directory),
        copy(&from, &file),
        // An older one does not come after a newer one.
        copy(&from, &to),
    );
    let export = |ledger: &str| run(&["export", ledger, "-", "-q"], b"").stdout;
    for ledger in [&to, &directory, &file] {
        assert_eq!(export(ledger), export(&from), "{ledger}");
    }
}

#[test]
fn a_copy_onto_a_damaged_one_says_so_even_where_nothing_is_new() {
    for (name, sql, says) in [
        ("hole", "DELETE FROM entries WHERE seq = 7", "entry 7"),
        (
            "other",
            "UPDATE entries SET bytes = (SELECT bytes FROM entries WHERE seq = 8) WHERE seq = 7",
            "entry 7",
        ),
    ] {
        let mut world = World::empty_for_directory(&format!("backup-{name}")).found().live_on();
        let to = format!("sqlite:{}#backup", world.path("access.db"));
        let copy = || run(&["copy", &world.ledger(), &to], b"");
        assert_eq!(copy().code, 0);
        change(&world, sql);
        let again = copy();
        assert_eq!(again.code, 1, "{name}: {}", again.stderr);
        assert!(again.stderr.contains(says), "{name}: {}", again.stderr);
        // Nor is anything written behind it.
        let stood = rusqlite::Connection::open(world.path("access.db")).unwrap();
        let count =
            || stood.query_row("SELECT max(seq) FROM entries", [], |row| row.get::<_, i64>(0)).unwrap();
        let before = count();
        world.state(&["user:alice"], &[], &REQUEST.replace("2592000", "3600"));
        assert_eq!(run(&["copy", &world.ledger(), &to], b"").code, 1, "{name}");
        assert_eq!(count(), before, "{name}");
    }
}

#[test]
fn a_copy_onto_another_history_is_refused_however_long_that_is() {
    let mut one = World::empty_for_directory("fork-one").found();
    let founded = one.size();
    one.assign("auditor", "user:fern", "*");
    let copy = |from: &str, to: &str| run(&["copy", from, to], b"");
    let says = format!("another history than what is copied, from entry {founded} on");
    for kind in ["directory", "sqlite", "jsonl"] {
        let mut other = World::empty_for_directory(&format!("fork-other-{kind}")).found();
        // As long as the one, and longer: then nothing is to be written that could fail.
        for capacity in ["reviewer", "auditor"] {
            other.assign(capacity, "user:alice", "*");
            let to = match kind {
                "directory" => other.ledger(),
                "sqlite" => format!("sqlite:{}#{capacity}", other.path("fork.db")),
                _ => other.path(&format!("{capacity}.jsonl")),
            };
            if to != other.ledger() {
                assert_eq!(copy(&other.ledger(), &to).code, 0);
            }
            let stood = run(&["export", &to, "-", "-q"], b"").stdout;
            for output in [copy(&one.ledger(), &to), run(&["import", &one.ledger(), &to], b"")] {
                assert_eq!(output.code, 1, "{to}: {}", output.stderr);
                assert!(output.stderr.contains(&says), "{to}: {}", output.stderr);
            }
            assert_eq!(run(&["export", &to, "-", "-q"], b"").stdout, stood);
        }
    }
}

#[test]
fn a_copy_of_another_history_or_of_no_chain_is_refused() {
    let world = history("sqlite-other");
    let copy = |from: &str, to: &str| run(&["copy", from, to], b"");
    let before = run(&["export", &world.ledger(), "-", "-q"], b"").stdout;
    let lines: Vec<&str> = before.split_inclusive('\n').collect();
    let (short, unlinked) = (world.path("short.jsonl"), world.path("unlinked.jsonl"));
    fs::write(&short, lines[..5].concat()).unwrap();
    fs::write(&unlinked, [&lines[..5], &lines[6..]].concat().concat()).unwrap();
    let fresh = world.path("fresh.ledger");
    shows!("copy_refused", world, copy(&short, &world.ledger()), copy(&unlinked, &fresh),);
    // As long as the other, as far as they go together, and then another entry.
    let mut other = World::empty_for_directory("sqlite-other-end").found();
    other.assign("auditor", "user:fern", "*");
    let stood = run(&["export", &other.ledger(), "-", "-q"], b"").stdout;
    let output = copy(&world.ledger(), &other.ledger());
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stderr.contains("another history"), "{}", output.stderr);
    assert_eq!(run(&["export", &other.ledger(), "-", "-q"], b"").stdout, stood);
    assert_eq!(run(&["export", &world.ledger(), "-", "-q"], b"").stdout, before);
}
