//! What a user sees of a ledger in a PostgreSQL database: the same answers as of one in a file; and copies from and to it.

#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod common;

use common::{PASSWORD, REQUEST, World, assert_same, run};
use countersign_test_postgres::{Database, server};

/// The address of a ledger, with a password in it where the server takes any.
fn address(database: &Database, ledger: &str) -> String {
    let url = database.url().replacen("postgres@", &format!("postgres:{PASSWORD}@"), 1);
    format!("{url}#{ledger}")
}

fn history(database: &Database, name: &str) -> World {
    World::empty_for(&address(database, "access"), name).found().live_on()
}

#[test]
fn a_postgres_database_is_answered_from_as_a_file_is() {
    let Some(server) = server("a_postgres_database_is_answered_from_as_a_file_is") else { return };
    let database = server.database();
    assert_same(&World::history("twin-of-postgres"), &history(&database, "twin-postgres"));
    let rows = database
        .sql("SELECT count(*), count(DISTINCT author) > 3 FROM countersign.log WHERE ledger = 'access'");
    assert_eq!(rows, "30|t\n");
}

#[test]
fn a_ledger_is_opened_in_a_postgres_database_and_added_to() {
    let Some(server) = server("a_ledger_is_opened_in_a_postgres_database_and_added_to") else { return };
    let database = server.database();
    let world = World::empty_for(&address(&database, "access"), "postgres-init");
    let key = world.key("service:recorder");
    // Nobody who looks, or adds to what he takes to be there, makes tables.
    for command in [&["verify"][..], &["submit", "-", "--key", &key]] {
        let output = world.ask(command[0], &command[1..]);
        assert_eq!(output.code, 2, "{}", output.stderr);
        assert!(output.stderr.contains("no such ledger"), "{}", output.stderr);
        assert_eq!(database.sql("SELECT to_regnamespace('countersign') IS NULL"), "t\n");
    }
    let opened = world.init();
    assert_eq!(opened.code, 0, "{}", opened.stderr);
    let again = world.init();
    assert_eq!(again.code, 2, "{}", again.stderr);
    assert!(again.stderr.contains("exists"), "{}", again.stderr);
    let other = run(&["verify", &address(&database, "other")], b"");
    assert!(other.code == 2 && other.stderr.contains("no such ledger"), "{}", other.stderr);
}

#[test]
fn a_submission_is_recorded_once_in_a_postgres_database() {
    let Some(server) = server("a_submission_is_recorded_once_in_a_postgres_database") else { return };
    let database = server.database();
    let world = history(&database, "postgres-submit");
    let submission = world.sign(&["user:alice"], &[], &REQUEST.replace("2592000", "3600")).unwrap();
    let (first, again) = (world.submit(&submission), world.submit(&submission));
    assert_eq!((first.code, again.code), (0, 0), "{}{}", first.stderr, again.stderr);
    assert_eq!(database.sql("SELECT size FROM countersign.ledgers"), "31\n");
    assert_eq!(world.ask("verify", &["--require-checkpoint"]).code, 0);
}

/// As in a SQLite database.
#[test]
fn what_is_kept_beside_the_entries_of_a_postgres_database_is_reported_at_its_place() {
    let name = "what_is_kept_beside_the_entries_of_a_postgres_database_is_reported_at_its_place";
    let Some(server) = server(name) else { return };
    let database = server.database();
    let world = history(&database, "postgres-columns");
    let zeros = "decode(repeat('00', 32), 'hex')";
    let cases = [
        (format!("UPDATE countersign.entries SET leaf = {zeros} WHERE seq = 7"), 7),
        ("UPDATE countersign.entries SET seq = 77 WHERE seq = 7".to_owned(), 7),
        ("DELETE FROM countersign.entries WHERE seq = 7".to_owned(), 7),
        (format!("UPDATE countersign.entries SET leaf = {zeros} WHERE seq = 29"), 29),
        ("UPDATE countersign.entries SET seq = 30 WHERE seq = 29".to_owned(), 29),
        (format!("UPDATE countersign.ledgers SET leaf = {zeros}"), 30),
    ];
    database.sql("CREATE TABLE kept AS SELECT * FROM countersign.entries");
    database.sql("CREATE TABLE heads AS SELECT * FROM countersign.ledgers");
    for (sql, seq) in cases {
        database.sql(&sql);
        let output = world.ask("verify", &["--json"]);
        assert_eq!(output.code, 1, "{sql}: {}", output.stderr);
        let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        let found =
            (&report["verdict"], &report["fault"]["code"], &report["fault"]["seq"], &report["entries"]);
        assert_eq!(found, (&"failed".into(), &"store".into(), &seq.into(), &seq.into()), "{sql}: {report}");
        database.sql("DELETE FROM countersign.entries");
        database.sql("INSERT INTO countersign.entries SELECT * FROM kept");
        database.sql("UPDATE countersign.ledgers SET leaf = heads.leaf FROM heads");
        assert_eq!(world.ask("verify", &[]).code, 0, "put back after {sql}");
    }
}

#[test]
fn what_was_changed_in_a_postgres_database_is_no_ledger() {
    let Some(server) = server("what_was_changed_in_a_postgres_database_is_no_ledger") else { return };
    let database = server.database();
    let world = history(&database, "postgres-damage");
    database.sql("UPDATE countersign.entries SET leaf = decode(repeat('11', 32), 'hex') WHERE seq = 7");
    for command in [&["verify"][..], &["who", "db:acme/payroll"]] {
        let output = world.ask(command[0], &command[1..]);
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(output.stderr.contains("entry 7") || output.stdout.contains("entry 7"), "{output:?}");
    }
    database.sql("DELETE FROM countersign.entries WHERE seq = 31");
    let output = world.ask("verify", &[]);
    assert_eq!(output.code, 1, "{}", output.stderr);
}

#[test]
fn a_copy_goes_to_and_from_a_postgres_database_and_on_where_it_stopped() {
    let Some(server) = server("a_copy_goes_to_and_from_a_postgres_database_and_on_where_it_stopped") else {
        return;
    };
    let (database, second) = (server.database(), server.database());
    let mut world = history(&database, "postgres-copy");
    let copy = |from: &str, to: &str| {
        let output = run(&["copy", from, to], b"");
        assert_eq!(output.code, 0, "{from} to {to}: {}", output.stderr);
    };
    let places = [
        world.ledger(),
        address(&database, "copy"),
        world.path("copy.ledger"),
        address(&second, "access"),
        format!("sqlite:{}#copy", world.path("copy.db")),
        address(&second, "last"),
        world.path("copy.jsonl"),
    ];
    let export = |ledger: &str| run(&["export", ledger, "-", "-q"], b"").stdout;
    for round in 0..2 {
        for pair in places.windows(2) {
            copy(&pair[0], &pair[1]);
        }
        for place in &places {
            assert_eq!(export(place), export(&places[0]), "round {round}: {place}");
            let verified = run(&["verify", place, "--require-checkpoint"], b"");
            assert_eq!(verified.code, 0, "round {round}: {place}: {}", verified.stderr);
        }
        world.state(&["user:alice"], &[], &REQUEST.replace("2592000", &format!("{}", 3600 + round)));
    }
    // It is newer now than its copies, and another one is another history.
    let mut other = World::empty_for(&address(&database, "other"), "postgres-other").found();
    other.assign("auditor", "user:fern", "*");
    let refused = [(&places[1], &places[0], "is newer"), (&places[0], &other.ledger(), "another history")];
    for (from, to, why) in refused {
        let before = export(to);
        let output = run(&["copy", from, to], b"");
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(output.stderr.contains(why), "{}", output.stderr);
        assert_eq!(export(to), before);
    }
}
