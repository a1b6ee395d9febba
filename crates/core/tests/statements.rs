//! Statements and entries: one canonical form, faults with their codes and places.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use countersign_core::digest::StatementDigest;
use countersign_core::entry::{Entry, Head};
use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::statement::*;
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::{Set, Text};

fn request() -> Statement {
    let key = SecretKey::from_seed(&[7; 32]);
    Statement {
        author: Principal::new("user:alice").unwrap(),
        cosigners: Set::default(),
        event: AccessRequested {
            ends_on: Set::default(),
            expires: None,
            hold: Hold::Seconds(Seconds::new(3600).unwrap()),
            need: Text::new("close the \"month\"\n\u{1}é").unwrap(),
            purpose: Process::new("billing").unwrap(),
            replaces: None,
            resource: Resource::new("db:ledger").unwrap(),
            role: Role::new("reader").unwrap(),
            subject: Principal::new("user:alice").unwrap(),
            tier: Tier::Low,
        }
        .into(),
        issued_at: Timestamp::from_millis(0).unwrap(),
        key: key.public_key().key_id(),
        ledger: LedgerRef::Id(LedgerId::new(
            &LedgerName::new("acme").unwrap(),
            StatementDigest::new([1; 32]),
        )),
        seen: None,
        serial: 1,
        v: Version,
    }
}

#[test]
fn a_statement_reads_back_as_it_was_written() {
    let key = SecretKey::from_seed(&[7; 32]);
    let signed = request().sign(&key).unwrap();
    let entry = Entry::seal(Head::EMPTY, Timestamp::from_millis(5).unwrap(), &signed).unwrap();
    let again = Entry::parse(entry.bytes().clone()).unwrap();
    assert_eq!(again.statement(), &request());
    assert_eq!(again.signed().bytes(), signed.bytes());
    assert_eq!(again.signed().digest(), signed.digest());
    assert_eq!(again.leaf(), entry.leaf());
    let submitted = SignedStatement::parse(&signed.to_bytes()).unwrap();
    assert_eq!(submitted.to_bytes(), signed.to_bytes());
    let public = key.public_key();
    assert!(submitted.verify(|_| Some(public)).is_ok());
}

#[test]
fn near_misses_of_a_statement_are_refused_with_code_and_place() {
    let key = SecretKey::from_seed(&[7; 32]);
    let text = String::from_utf8(request().sign(&key).unwrap().to_bytes()).unwrap();
    let place = |needle: &str| text.find(needle).unwrap();
    let cases = [
        ("unknown member", "\"serial\":1", "\"serial\":1,\"sexial\":1", "schema", place("\"serial\"") + 11),
        ("missing member", "\"purpose\":\"billing\",", "", "schema", place("{\"hold\"")),
        ("unknown kind", "access.requested", "access.requestex", "unknown_kind", place("\"access.req")),
        ("space", "\"serial\":1", "\"serial\": 1", "not_canonical", place("\"serial\"") + 9),
        ("float", "\"serial\":1", "\"serial\":1.0", "number", place("\"serial\"") + 9),
        ("negative", "\"serial\":1", "\"serial\":-1", "number", place("\"serial\"") + 9),
        ("null", "\"serial\":1", "\"serial\":null", "schema", place("\"serial\"") + 9),
        ("duplicate", "\"serial\":1", "\"serial\":1,\"serial\":1", "duplicate_key", place("\"serial\"") + 11),
        ("upper-case key", "\"serial\"", "\"Serial\"", "key_form", place("\"serial\"")),
        ("empty text", "close the \\\"month\\\"\\n\\u0001é", "", "text", place("close the")),
        ("zero seconds", "3600", "0", "schema", place("3600")),
        ("bad instant", "00:00:00.000Z", "00:00:60.000Z", "time", place("1970")),
        (
            "empty set",
            "\"author\":\"user:alice\"",
            "\"author\":\"user:alice\",\"cosigners\":[]",
            "schema",
            place("\"event\"") + 14,
        ),
    ];
    for (name, from, to, code, offset) in cases {
        assert!(text.contains(from), "case: {name}");
        let fault = SignedStatement::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
        let offset_fits = fault.offset == offset || ["text", "schema"].contains(&code);
        assert!(
            fault.code.as_str() == code && offset_fits,
            "case: {name}: {fault:?}, wanted {code} at {offset}"
        );
    }
}

#[test]
fn limits_hold_at_the_limit_and_break_one_above() {
    let fill = |length: usize| {
        let mut statement = request();
        let Event::AccessRequested(event) = &mut statement.event else { panic!() };
        event.need = Text::new("x".repeat(length)).unwrap();
        statement
    };
    let empty = fill(1).prepare().unwrap().bytes().len() - 1;
    let longest = MAX_STATEMENT_LEN - empty;
    assert_eq!(fill(longest).prepare().unwrap().bytes().len(), MAX_STATEMENT_LEN);
    assert_eq!(fill(longest + 1).prepare().unwrap_err().code.as_str(), "statement_too_long");
}
