//! Every kind of event, policy documents, clauses, statements and entries: what is written reads back, and nothing else does.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use countersign_core::digest::LeafHash;
use countersign_core::entry::{Entry, Head};
use countersign_core::event::{Event, EventKind, LedgerFrozen};
use countersign_core::policy::{Clause, PolicyDocument};
use countersign_core::scan::{MAX_STATEMENT_DEPTH, scan};
use countersign_core::statement::{SignedStatement, Statement};
use countersign_core::time::Timestamp;
use countersign_core::wire::{Text, Wire, decode, encode};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use support::events::{clause, event_of, policy_document, statement};

/// Writes, reads and writes again.
fn check_round_trip<T: Wire + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    let bytes = encode(value);
    prop_assert_eq!(scan(&bytes, MAX_STATEMENT_DEPTH), Ok(()));
    let again: T = decode(&bytes, MAX_STATEMENT_DEPTH)
        .map_err(|fault| TestCaseError::fail(format!("{fault}: {}", String::from_utf8_lossy(&bytes))))?;
    prop_assert_eq!(&again, value);
    prop_assert_eq!(encode(&again), bytes);
    Ok(())
}

/// Bytes that were changed somewhere read as what they then say, or not at all.
fn check_changed<T: Wire>(bytes: &[u8], flips: &[(usize, u8)]) -> Result<(), TestCaseError> {
    let mut bytes = bytes.to_vec();
    for (place, byte) in flips {
        let place = place % bytes.len();
        bytes[place] = *byte;
    }
    match decode::<T>(&bytes, MAX_STATEMENT_DEPTH) {
        Ok(value) => prop_assert_eq!(encode(&value), bytes),
        Err(fault) => prop_assert!(fault.offset <= bytes.len()),
    }
    Ok(())
}

#[test]
fn events_of_every_kind_read_back_as_they_were_written() {
    for kind in EventKind::ALL {
        let config = ProptestConfig { cases: 64, ..support::config() };
        let events = event_of(*kind);
        let flips = proptest::collection::vec((any::<usize>(), any::<u8>()), 1..3);
        let result = TestRunner::new(config).run(&(events, flips), |(event, flips)| {
            prop_assert_eq!(event.kind(), *kind);
            check_round_trip(&event)?;
            check_changed::<Event>(&encode(&event), &flips)
        });
        assert!(result.is_ok(), "{kind}: {}", result.unwrap_err());
    }
}

proptest! {
    #![proptest_config(support::config())]

    #[test]
    fn policy_documents_read_back_as_they_were_written(document in policy_document()) {
        check_round_trip::<PolicyDocument>(&document)?;
    }

    #[test]
    fn clauses_read_back_as_they_were_written(clause in clause()) {
        check_round_trip::<Clause>(&clause)?;
    }

    #[test]
    fn statements_and_entries_read_back_as_they_were_written(
        statement in statement(),
        flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..3),
        head in (0..=(1_u64 << 53) - 2, any::<[u8; 32]>()),
        at in 0..=Timestamp::MAX.millis(),
    ) {
        check_round_trip::<Statement>(&statement)?;
        check_changed::<Statement>(&encode(&statement), &flips)?;
        let prepared = statement.prepare().map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        let head = Head { size: head.0, leaf: LeafHash::new(head.1) };
        let entry = Entry::seal(head, Timestamp::from_millis(at).unwrap(), &prepared).unwrap();
        let again = Entry::parse(entry.bytes().clone()).unwrap();
        prop_assert_eq!((again.leaf(), again.seq(), again.prev()), (entry.leaf(), head.size, head.leaf));
        prop_assert_eq!(again.signed().bytes(), prepared.bytes());
        prop_assert_eq!(again.signed().digest(), prepared.digest());
        // Resealing what was read gives the same bytes: an entry has one form.
        let resealed = Entry::seal(head, again.recorded_at(), again.signed()).unwrap();
        prop_assert_eq!(resealed.bytes(), entry.bytes());
        let submission = SignedStatement::parse(&prepared.to_bytes()).unwrap();
        prop_assert_eq!(submission.to_bytes(), prepared.to_bytes());
    }
}

/// `Text` can be built with nothing in it; what is then written could not be read, so it must not be signed.
#[test]
fn what_could_not_be_read_is_not_prepared() {
    let mut runner = TestRunner::new(support::config());
    let mut statement = statement().new_tree(&mut runner).unwrap().current();
    statement.event = LedgerFrozen { reason: Text::Plain("".into()) }.into();
    assert_eq!(statement.clone().prepare().unwrap_err().code.as_str(), "text");
    statement.event = LedgerFrozen { reason: Text::Plain("a\u{202e}b".into()) }.into();
    assert_eq!(statement.clone().prepare().unwrap_err().code.as_str(), "text");
    statement.event = LedgerFrozen { reason: Text::Plain("ab".into()) }.into();
    statement.serial = 1 << 53;
    assert_eq!(statement.prepare().unwrap_err().code.as_str(), "number");
}
