//! What must hold for any bytes: no panic, one spelling, and agreement with another reader where there is one.

use countersign_core::checkpoint::{Checkpoint, CheckpointProof};
use countersign_core::digest::{LeafHash, NodeHash, sha256};
use countersign_core::entry::{Entry, Head};
use countersign_core::fault::FaultCode;
use countersign_core::merkle::{ConsistencyProof, InclusionProof, Tree};
use countersign_core::note::{SignedNote, VerifierKey};
use countersign_core::policy::{Clause, MAX_REQUIREMENTS, PolicyDocument};
use countersign_core::scan::{MAX_ENTRY_DEPTH, MAX_STATEMENT_DEPTH, scan};
use countersign_core::statement::{SignedStatement, Statement};
use countersign_core::wire::{RawObject, Wire, decode, encode};
use serde_json::Value;

/// A target: its name and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const ALL: [Target; 6] = [
    ("canonical", canonical),
    ("statement", statement),
    ("entry", entry),
    ("note", note),
    ("proof", proof),
    ("policy", policy),
];

/// The scanner against serde_json: what passes is what serde_json writes again alike, and what it calls misspelled is JSON.
pub fn canonical(bytes: &[u8]) {
    let verdict = scan(bytes, MAX_ENTRY_DEPTH);
    let other = serde_json::from_slice::<Value>(bytes);
    match verdict {
        Ok(()) => {
            let other = other.expect("what passes is JSON");
            assert_eq!(sorted(&other), bytes, "what passes has one spelling");
            let spread = [bytes, b" "].concat();
            let fault = scan(&spread, MAX_ENTRY_DEPTH).expect_err("a space is a second spelling");
            assert_eq!((fault.code, fault.offset), (FaultCode::NotCanonical, bytes.len()));
            if bytes.starts_with(b"{") {
                // The data of an event stands two levels down, so that what nests deeply is refused there.
                let object = std::str::from_utf8(bytes).ok().and_then(|text| RawObject::new(text).ok());
                assert!(object.is_none_or(|object| object.as_str().as_bytes() == bytes));
            }
        }
        Err(fault) => {
            assert!(fault.offset <= bytes.len(), "the fault is within the bytes");
            match fault.code {
                FaultCode::NotCanonical => {
                    let other = other.expect("what is misspelled is JSON");
                    let canonical = sorted(&other);
                    assert_ne!(canonical, bytes, "it is misspelled");
                    assert_eq!(
                        scan(&canonical, MAX_ENTRY_DEPTH),
                        Ok(()),
                        "and passes once it is spelled right"
                    );
                }
                FaultCode::Utf8 => assert!(std::str::from_utf8(bytes).is_err()),
                // A number that is too large for any reader is refused by serde_json too.
                FaultCode::Json => assert!(other.is_err(), "it is JSON after all"),
                _ => {}
            }
        }
    }
}

/// The canonical form by serde_json, whose numbers and strings are spelled as RFC 8785 has them where they are in the profile.
fn sorted(value: &Value) -> Vec<u8> {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            let members = members.into_iter().map(|(name, value)| {
                [sorted(&Value::String(name.clone())), b":".to_vec(), sorted(value)].concat()
            });
            [b"{".to_vec(), members.collect::<Vec<_>>().join(&b','), b"}".to_vec()].concat()
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(sorted).collect();
            [b"[".to_vec(), items.join(&b','), b"]".to_vec()].concat()
        }
        scalar => scalar.to_string().into_bytes(),
    }
}

/// A value that reads is written again alike.
fn reads_back<T: Wire + PartialEq + std::fmt::Debug>(bytes: &[u8], max_depth: usize) -> Option<T> {
    match decode::<T>(bytes, max_depth) {
        Ok(value) => {
            assert_eq!(encode(&value), bytes, "one spelling");
            Some(value)
        }
        Err(fault) => {
            assert!(fault.offset <= bytes.len(), "the fault is within the bytes");
            None
        }
    }
}

/// Submissions, and statements alone.
pub fn statement(bytes: &[u8]) {
    if let Some(statement) = reads_back::<Statement>(bytes, MAX_STATEMENT_DEPTH)
        && let Ok(signed) = statement.prepare()
    {
        assert_eq!(signed.bytes(), bytes);
    }
    if let Ok(signed) = SignedStatement::parse(bytes) {
        assert_eq!(signed.to_bytes(), bytes, "one spelling");
        let again = signed.statement().clone().prepare().expect("what was read can be prepared");
        assert_eq!((again.bytes(), again.digest()), (signed.bytes(), signed.digest()));
        // Genesis brings its keys along; of all others no key is known.
        let brings_keys = !signed.statement().event.new_keys().is_empty();
        assert!(brings_keys || signed.verify(|_| None).is_err());
    }
}

/// Entries.
pub fn entry(bytes: &[u8]) {
    let Ok(entry) = Entry::parse(bytes) else { return };
    assert_eq!(entry.leaf(), LeafHash::new(sha256(&[&[0], bytes])));
    let head = Head { size: entry.seq(), leaf: entry.prev() };
    let again = Entry::seal(head, entry.recorded_at(), entry.signed()).expect("it was no longer than this");
    assert_eq!(again.bytes()[..], *bytes, "one form");
    assert_eq!(again.signed().digest(), entry.signed().digest());
}

/// Notes, checkpoints, proofs that travel with one, and verifier keys.
pub fn note(bytes: &[u8]) {
    if let Ok(note) = SignedNote::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes, "one form");
        if let Ok(checkpoint) = note.untrusted_text().parse::<Checkpoint>() {
            assert_eq!(checkpoint.to_string(), note.untrusted_text());
        }
        assert!(note.open(&[]).is_err(), "no key is known");
    }
    if let Ok(proof) = CheckpointProof::parse(bytes) {
        assert_eq!(proof.to_string().as_bytes(), bytes, "one form");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text, "one form");
    }
}

/// Proofs: an honest one verifies, and what the bytes make of it does not unless it is the same.
pub fn proof(bytes: &[u8]) {
    let [size, index, old, edits @ ..] = bytes else { return };
    let size = u64::from(*size) + 1;
    let (index, old) = (u64::from(*index) % size, u64::from(*old) % size + 1);
    let leaves: Vec<LeafHash> = (0..size).map(|nth| LeafHash::new(sha256(&[&nth.to_be_bytes()]))).collect();
    let tree: Tree = leaves.iter().copied().collect();
    let root = tree.root_at(size).expect("the tree is that large");
    let old_root = tree.root_at(old).expect("the tree is that large");

    let honest = tree.prove_inclusion(index, size).expect("the leaf is there");
    let leaf = leaves[usize::try_from(index).expect("at most 255")];
    assert_eq!(honest.verify(leaf, root), Ok(()));
    let mut forged = honest.clone();
    edit(edits, &mut forged.index, &mut forged.size, &mut forged.path);
    // A proof of another size leads to this root only by being this proof.
    assert!(forged == honest || forged.verify(leaf, root).is_err() || forged.path == honest.path);
    let mut other = forged;
    other.path = honest.path.clone();
    assert!(
        other.index == index || other.size != size || other.verify(leaf, root).is_err(),
        "one place a leaf"
    );
    let _ = InclusionProof { index: u64::MAX, ..honest }.verify(leaf, root);

    let honest = tree.prove_consistency(old, size).expect("the tree grew");
    assert_eq!(honest.verify(old_root, root), Ok(()));
    let mut forged = honest.clone();
    edit(edits, &mut forged.old_size, &mut forged.new_size, &mut forged.path);
    let sizes_differ = (forged.old_size, forged.new_size) != (old, size);
    assert!(forged == honest || sizes_differ || forged.verify(old_root, root).is_err());
    let _ = forged.verify(old_root, root);
    let _ = ConsistencyProof { old_size: u64::MAX, ..forged }.verify_from_any(old_root, root);
}

/// Changes numbers and path as the bytes say, three bytes for each change.
fn edit(edits: &[u8], first: &mut u64, second: &mut u64, path: &mut Vec<NodeHash>) {
    for change in edits.chunks_exact(3) {
        let (place, byte) = (usize::from(change[1]), change[2]);
        match change[0] % 6 {
            0 => *first = first.wrapping_add(u64::from(byte)),
            1 => *second = second.wrapping_add(u64::from(byte)),
            2 => *first ^= u64::from(byte) << (place % 64),
            3 if !path.is_empty() => {
                let place = place % path.len();
                let mut hash = *path[place].as_bytes();
                hash[usize::from(byte) % 32] ^= 1;
                path[place] = NodeHash::new(hash);
            }
            4 if !path.is_empty() => {
                path.remove(place % path.len());
            }
            5 => path.insert(place % (path.len() + 1), NodeHash::new([byte; 32])),
            _ => {}
        }
    }
}

/// Policy documents and clauses.
pub fn policy(bytes: &[u8]) {
    if let Some(document) = reads_back::<PolicyDocument>(bytes, MAX_STATEMENT_DEPTH) {
        for rule in &document.paths {
            let requirements = rule.path.requirements();
            assert!((1..=MAX_REQUIREMENTS).contains(&requirements.len()));
            assert!(requirements.iter().all(|capacity| capacity.may_approve()));
            assert!(!rule.path.needs_owner() || requirements.iter().any(|capacity| capacity.is_owner()));
        }
    }
    if let Some(clause) = reads_back::<Clause>(bytes, MAX_STATEMENT_DEPTH) {
        let digest = sha256(&[b"countersign/clause/v1\0", bytes]);
        assert_eq!(clause.digest().as_bytes(), &digest);
    }
}
