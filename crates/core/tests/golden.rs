//! The golden files: bytes that every later version of the format still reads, digests, links and commits to alike.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod support;

use std::collections::BTreeMap;

use countersign_core::checkpoint;
use countersign_core::digest::sha256;
use countersign_core::entry::{Entry, Head};
use countersign_core::event::{Event, EventKind};
use countersign_core::id::{LedgerId, LedgerRef};
use countersign_core::key::{PublicKey, SecretKey, SignerKey as _};
use countersign_core::merkle::Tree;
use countersign_core::note::{KeyKind, SignedNote, VerifierKey};
use countersign_core::policy::{Clause, PolicyDocument};
use countersign_core::scan::{MAX_ENTRY_DEPTH, MAX_STATEMENT_DEPTH};
use countersign_core::statement::{SignedStatement, Statement};
use countersign_core::wire::{KeyBytes, decode, encode};

fn read(path: &str) -> Vec<u8> {
    std::fs::read(support::workspace().join("tests/golden").join(path)).unwrap()
}

/// Kind, statement digest and leaf hash by seq, as recorded.
fn pins() -> Vec<(String, String, String)> {
    let text = String::from_utf8(read("pins.tsv")).unwrap();
    let row = |line: &str| match line.split('\t').collect::<Vec<_>>()[..] {
        [_, kind, digest, leaf] => (kind.to_owned(), digest.to_owned(), leaf.to_owned()),
        _ => panic!("not four columns: {line}"),
    };
    text.lines().skip(1).map(row).collect()
}

fn entries() -> Vec<Entry> {
    let bytes = read("entries.jsonl");
    assert_eq!(bytes.last(), Some(&b'\n'));
    bytes[..bytes.len() - 1].split(|byte| *byte == b'\n').map(|line| Entry::parse(line).unwrap()).collect()
}

#[test]
fn golden_files_are_what_the_code_writes() {
    let folder = support::workspace().join("tests/golden");
    let hint = "cargo run -p countersign-core --example golden -- tests/golden";
    let files = support::golden::files();
    for (path, want) in &files {
        let found = std::fs::read(folder.join(path)).unwrap_or_default();
        assert!(&found == want, "{path} differs; if the format is to change: {hint}");
    }
    let events: Vec<_> = std::fs::read_dir(folder.join("events")).unwrap().collect();
    assert_eq!(events.len(), EventKind::ALL.len(), "a golden file of no kind");
}

#[test]
fn golden_statements_keep_their_bytes_and_digests() {
    let pins: BTreeMap<_, _> = pins().into_iter().map(|(kind, digest, _)| (kind, digest)).collect();
    for kind in EventKind::ALL {
        let bytes = read(&format!("events/{kind}.json"));
        let statement: Statement = decode(&bytes, MAX_STATEMENT_DEPTH).unwrap();
        assert_eq!(statement.event.kind(), *kind);
        assert_eq!(encode(&statement), bytes, "{kind}");
        // The digest from its definition, not from the code under test.
        let kind_of_payload = "application/vnd.countersign.statement.v1+json";
        let header = format!("DSSEv1 {} {kind_of_payload} {} ", kind_of_payload.len(), bytes.len());
        let digest: String =
            sha256(&[header.as_bytes(), &bytes]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(pins[kind.as_str()], digest, "{kind}");
        assert_eq!(statement.prepare().unwrap().digest().to_string(), digest);
    }
}

#[test]
fn golden_entries_keep_their_leaves_links_and_signatures() {
    let (entries, pins) = (entries(), pins());
    assert_eq!(entries.len(), EventKind::ALL.len());
    // The examples are not judged: their signers come from seeds, not from enrolments.
    let keys = (1..=12).map(|seed| SecretKey::from_seed(&[seed; 32]).public_key());
    let keys: BTreeMap<_, _> = keys.map(|key| (key.key_id(), key)).collect();
    let mut head = Head::EMPTY;
    for (entry, (kind, digest, leaf)) in entries.iter().zip(&pins) {
        assert_eq!((entry.seq(), entry.prev()), (head.size, head.leaf));
        let statement = entry.statement();
        assert_eq!(statement.event.kind().as_str(), kind);
        assert_eq!((&entry.signed().digest().to_string(), &entry.leaf().to_string()), (digest, leaf));
        assert_eq!(entry.signed().bytes(), read(&format!("events/{kind}.json")));
        let submitted = SignedStatement::parse(&entry.signed().to_bytes()).unwrap();
        assert_eq!(Entry::seal(head, entry.recorded_at(), &submitted).unwrap().bytes(), entry.bytes());
        assert!(submitted.verify(|key_id| keys.get(key_id).copied()).is_ok(), "{kind}");
        head = entry.head();
    }
}

#[test]
fn the_golden_checkpoint_commits_to_the_golden_entries() {
    let entries = entries();
    let genesis = entries[0].signed();
    let Event::LedgerOpened(opened) = &genesis.statement().event else { panic!("no genesis") };
    let id = LedgerId::new(&opened.name, genesis.digest());
    assert!(matches!(&entries[1].statement().ledger, LedgerRef::Id(found) if *found == id));
    let KeyBytes(recorder) = opened.recorder.key;
    let recorder = PublicKey::accept(&recorder).unwrap();
    let vkey = VerifierKey::new(id.as_str(), KeyKind::Note, recorder).unwrap();
    let note = read("entries.jsonl.checkpoint");
    let opened = checkpoint::open(&SignedNote::parse(&note).unwrap(), id.as_str(), &[vkey]).unwrap();
    let tree: Tree = entries.iter().map(Entry::leaf).collect();
    assert_eq!((opened.checkpoint().size(), opened.checkpoint().root()), (tree.size(), tree.root()));
}

#[test]
fn the_golden_policy_and_clause_keep_their_bytes() {
    let policy = read("policy.json");
    assert_eq!(encode(&decode::<PolicyDocument>(&policy, MAX_ENTRY_DEPTH).unwrap()), policy);
    let clause = read("clause.json");
    let decoded: Clause = decode(&clause, MAX_ENTRY_DEPTH).unwrap();
    assert_eq!(encode(&decoded), clause);
    let digest: String =
        sha256(&[b"countersign/clause/v1\0", &clause]).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(decoded.digest().to_string(), digest);
    assert_eq!(
        pins().last().map(|(kind, digest, _)| (kind.as_str(), digest.clone())),
        Some(("clause", digest))
    );
}

#[test]
fn the_format_document_is_what_the_code_writes() {
    let path = support::workspace().join("docs/format.md");
    let text = std::fs::read_to_string(path).unwrap();
    let hint = "cargo run -p countersign-core --example format -- docs/format.md";
    assert!(support::format_md::render(&text) == text, "docs/format.md is not current: {hint}");
}
