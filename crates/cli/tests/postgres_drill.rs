//! What `docs/postgres.md` tells operators to run is run as it stands there: roles, monitoring, and the restore drill.
#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod common;

use std::fs;
use std::process::Command;

use common::{REQUEST, World, run};
use countersign_postgres::roles_sql;
use countersign_test_postgres::{Cluster, cluster};

const DOCS: &str = include_str!("../../../docs/postgres.md");

/// The blocks of a language in a section.
fn blocks(section: &str, language: &str) -> Vec<&'static str> {
    let (_, text) = DOCS.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let text = text.split_once("\n## ").map_or(text, |(text, _)| text);
    let begin = format!("\n```{language}\n");
    let fences = text.split(&*begin).skip(1);
    fences.map(|rest| rest.split_once("\n```").expect("the block ends").0).collect()
}

/// A ledger with a history on a server of its own.
fn world(cluster: &Cluster, name: &str) -> World {
    World::empty_for(&format!("{}#access", cluster.url()), name).found().live_on()
}

/// Each statement of a block, with the line that says what it is for.
fn statements(block: &str) -> Vec<&str> {
    block.split_inclusive(';').map(str::trim).filter(|statement| !statement.is_empty()).collect()
}

#[test]
fn roles_and_monitoring_are_as_the_docs_have_them() {
    let Some(cluster) = cluster("roles_and_monitoring_are_as_the_docs_have_them") else { return };
    let world = world(&cluster, "postgres-monitoring");
    let [roles] = blocks("Roles", "sql")[..] else { panic!("one block") };
    let made = roles_sql(&Default::default(), "countersign_append", "countersign_read").unwrap();
    let plain = |sql: &str| sql.replace('"', "").trim().to_owned();
    assert_eq!(plain(roles), plain(&made));
    cluster.sql(roles);
    cluster.sql(roles);
    let [monitoring] = blocks("Monitoring", "sql")[..] else { panic!("one block") };
    let asked = statements(monitoring);
    let answers = |asked: &[&str]| -> Vec<String> {
        let (reading, watching) = asked.split_at(4);
        let ask = |role: &str, statement: &str| cluster.sql(&format!("SET ROLE {role}; {statement}"));
        let reading = reading.iter().map(|statement| ask("countersign_read", statement));
        reading.chain(watching.iter().map(|statement| ask("pg_monitor", statement))).collect()
    };
    let found = answers(&asked);
    assert_eq!(found.len(), 6);
    assert_eq!((&found[0][..], &found[2][..]), ("access|30|0\n", "access|0\n"));
    assert!(found[1].starts_with("access|") && found[1].contains("days"), "{}", found[1]);
    assert_eq!(found[3..], ["", "", ""]);
    // What each is for shows.
    cluster.sql("DELETE FROM countersign.checkpoints");
    cluster.sql("DELETE FROM countersign.entries WHERE seq = 7");
    let _standby = cluster.standby();
    cluster.wait_for("SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'");
    let found = answers(&asked);
    assert_eq!((&found[2][..], &found[3][..]), ("access|30\n", "access\n"));
    assert!(found[5].starts_with("standby|async|"), "{}", found[5]);
    drop(world);
}

#[test]
fn a_restore_is_done_as_the_docs_have_it() {
    let test = "a_restore_is_done_as_the_docs_have_it";
    let (Some(old), Some(new)) = (cluster(test), cluster(test)) else { return };
    let mut world = world(&old, "postgres-drill");
    let [backup, checkpoint, restore, record] = blocks("Backup and restore", "sh")[..] else {
        panic!("four blocks")
    };
    fs::write(world.path("roles.sql"), blocks("Roles", "sql")[0]).unwrap();
    fs::copy(world.key("service:recorder"), world.path("recorder.key")).unwrap();
    let dir = world.dir.clone();
    let shell = |words: &str, to: &str| {
        let mut path = vec![old.programs().to_owned()];
        path.push(std::path::Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap().to_owned());
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut shell = Command::new("sh");
        shell.args(["-euc", words]).current_dir(&dir).env("OLD", old.url()).env("NEW", to);
        shell.env("PATH", std::env::join_paths(path).unwrap());
        let output = shell.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let database = |name: &str| {
        new.sql(&format!("CREATE DATABASE {name}"));
        let url = new.url();
        let (server, _) = url.rsplit_once('/').unwrap();
        format!("{server}/{name}")
    };
    let done = |(code, stdout, stderr): (Option<i32>, String, String)| {
        assert_eq!(code, Some(0), "{stdout}{stderr}");
        stdout
    };

    // A backup that is older than what somebody knows is restored, and nobody gets as far as to write there.
    done(shell(backup, ""));
    world.state(&["user:alice"], &[], &REQUEST.replace("2592000", "3600"));
    done(shell(checkpoint, ""));
    let place = database("older");
    let (code, stdout, _) = shell(restore, &place);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("over 31 entries") && stdout.contains("30"), "{stdout}");
    let epoch =
        |place: &str| done(shell("psql -XAtqc 'SELECT epoch FROM countersign.ledgers' \"$NEW\"", place));
    assert_eq!(epoch(&place), "0\n");

    // The next one has all of it.
    done(shell(backup, ""));
    let place = database("restored");
    assert!(done(shell(restore, &place)).contains("31 entries"));
    assert_eq!(epoch(&place), "1\n");
    let (ledger, next, alice) =
        (format!("{place}#access"), world.path("next.signed"), world.key("user:alice"));
    let export = |ledger: &str| run(&["export", ledger, "-", "-q"], b"").stdout;
    assert_eq!(export(&ledger), export(&world.ledger()));
    let sign = ["sign", "-y", &ledger, "--as", "user:alice", "--key", &alice, "--out", &next];
    let signed = run(&sign, REQUEST.replace("2592000", "7200").as_bytes());
    assert_eq!(signed.code, 0, "{}", signed.stderr);
    done(shell(record, &place));
    assert!(export(&ledger).starts_with(&export(&world.ledger())));
    assert_eq!(export(&ledger).lines().count(), 32);
    // In the older one the same is refused: it does not go on from what is known.
    let (code, _, stderr) = shell(record, &place.replace("/restored", "/older"));
    assert!(code == Some(1) && stderr.contains("an older copy"), "{stderr}");
}
