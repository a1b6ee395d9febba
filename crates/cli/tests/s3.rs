//! What a user sees of a ledger in object storage: the same answers as of one in a file; and copies from and to it.

#![allow(clippy::unwrap_used, reason = "a test that can not go on panics")]

mod common;

use common::{REQUEST, World, assert_same, run};
use countersign_test_s3::{Bucket, with_bucket};

fn address(bucket: &Bucket, prefix: &str) -> String {
    format!("s3://{}/{prefix}", bucket.name())
}

fn history(bucket: &Bucket, name: &str) -> World {
    World::empty_for(&address(bucket, "access"), name).found().live_on()
}

#[test]
fn a_bucket_is_answered_from_as_a_file_is() {
    with_bucket("a_bucket_is_answered_from_as_a_file_is", |bucket| {
        assert_same(&World::history("twin-of-s3"), &history(&bucket, "twin-s3"));
        // With no service running, an auditor needs the objects alone.
        let first = bucket.get("access/entries/00000000000000000000.jsonl");
        assert!(first.starts_with(b"{\"prev\":\"0000") && first.ends_with(b"}\n"));
    });
}

#[test]
fn a_ledger_is_opened_in_a_bucket_and_added_to() {
    with_bucket("a_ledger_is_opened_in_a_bucket_and_added_to", |bucket| {
        let world = World::empty_for(&address(&bucket, "access"), "s3-init");
        let key = world.key("service:recorder");
        for command in [&["verify"][..], &["submit", "-", "--key", &key]] {
            let output = world.ask(command[0], &command[1..]);
            assert_eq!(output.code, 2, "{}", output.stderr);
            assert!(output.stderr.contains("no such ledger"), "{}", output.stderr);
        }
        let opened = world.init();
        assert_eq!(opened.code, 0, "{}", opened.stderr);
        let again = world.init();
        assert_eq!(again.code, 2, "{}", again.stderr);
        assert!(again.stderr.contains("exists"), "{}", again.stderr);
        let other = run(&["verify", &address(&bucket, "other")], b"");
        assert!(other.code == 2 && other.stderr.contains("no such ledger"), "{}", other.stderr);
    });
}

#[test]
fn a_submission_is_recorded_once_in_a_bucket() {
    with_bucket("a_submission_is_recorded_once_in_a_bucket", |bucket| {
        let world = history(&bucket, "s3-submit");
        let submission = world.sign(&["user:alice"], &[], &REQUEST.replace("2592000", "3600")).unwrap();
        let (first, again) = (world.submit(&submission), world.submit(&submission));
        assert_eq!((first.code, again.code), (0, 0), "{}{}", first.stderr, again.stderr);
        assert_eq!(world.ask("verify", &["--require-checkpoint"]).code, 0);
        assert_eq!(run(&["export", &world.ledger(), "-", "-q"], b"").stdout.lines().count(), 31);
    });
}

#[test]
fn what_was_changed_in_a_bucket_is_no_ledger() {
    with_bucket("what_was_changed_in_a_bucket_is_no_ledger", |bucket| {
        let world = history(&bucket, "s3-damage");
        let exported = run(&["export", &world.ledger(), "-", "-q"], b"").stdout;
        let seventh = exported.lines().nth(7).unwrap().replace("user:", "user:x");
        let object = "access/entries/00000000000000000007.jsonl";
        let before = bucket.get(object);
        // Whoever changes an entry is found by what stands behind it; whoever removes or cuts an object, by the chain of names.
        let changed = format!("{seventh}\n").into_bytes();
        for contents in [Some(changed), Some(before[..before.len() - 9].to_vec()), None] {
            match contents {
                Some(contents) => bucket.put(object, &contents),
                None => bucket.delete(object),
            }
            for command in [&["verify"][..], &["who", "db:acme/payroll"]] {
                let output = world.ask(command[0], &command[1..]);
                assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
            }
        }
        bucket.put(object, &before);
        assert_eq!(world.ask("verify", &[]).code, 0);
        bucket.put("access/entries/notes.txt", b"x");
        let output = world.ask("verify", &[]);
        assert!(output.code == 1 && output.stderr.contains("notes.txt"), "{}", output.stderr);
    });
}

#[test]
fn a_copy_goes_to_and_from_a_bucket_and_on_where_it_stopped() {
    with_bucket("a_copy_goes_to_and_from_a_bucket_and_on_where_it_stopped", |bucket| {
        let mut world = World::empty_for(&address(&bucket, "access"), "s3-copy").found();
        let places = [
            world.ledger(),
            address(&bucket, "copies/1"),
            world.path("copy.ledger"),
            address(&bucket, "copies/2/"),
            world.path("copy.jsonl"),
        ];
        let export = |ledger: &str| run(&["export", ledger, "-", "-q"], b"").stdout;
        for round in 0..2 {
            for pair in places.windows(2) {
                let output = run(&["copy", &pair[0], &pair[1]], b"");
                assert_eq!(output.code, 0, "{pair:?}: {}", output.stderr);
            }
            for place in &places {
                assert_eq!(export(place), export(&places[0]), "round {round}: {place}");
                let verified = run(&["verify", place, "--require-checkpoint"], b"");
                assert_eq!(verified.code, 0, "round {round}: {place}: {}", verified.stderr);
            }
            world.assign("auditor", "user:fern", if round == 0 { "*" } else { "db:acme/payroll" });
        }
        // It is newer now than its copies.
        let output = run(&["copy", &places[1], &places[0]], b"");
        assert_eq!(output.code, 1, "{}", output.stderr);
        assert!(output.stderr.contains("is newer"), "{}", output.stderr);
    });
}
