//! The operator: whoever runs the ledger, holds the recorder's key, and chains and seals everything anew after each change.
//!
//! Each of the twelve mutations is caught exactly where the evidence table of docs/threat-model.md says, and is asserted not to
//! be caught where the table says so: those are the limits of what a ledger alone can show.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Draft, RECORDER, World, at, audit, checkpoint, fault, join, key, policy};
use countersign_audit::{ClaimName, Options, Report, Verdict};
use countersign_core::digest::LeafHash;
use countersign_core::entry::{Entry, Head};
use countersign_core::statement::SignedStatement;
use countersign_core::time::Timestamp;
use serde_json::{Value, json};

/// Statements as their authors signed them, and when the operator says they were recorded.
#[derive(Clone)]
struct Operator {
    items: Vec<(SignedStatement, Timestamp)>,
    id: String,
    recorder: String,
    pin: Options,
}

impl Operator {
    fn of(world: &World) -> Self {
        Self {
            items: world
                .entries
                .iter()
                .map(|entry| (entry.signed().as_ref().clone(), entry.recorded_at()))
                .collect(),
            id: world.state.ledger_id().unwrap().to_string(),
            recorder: world.recorder.clone(),
            pin: world.pin(),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let mut head = Head::EMPTY;
        let seal = |(signed, at): &(SignedStatement, Timestamp)| {
            let entry = Entry::seal(head, *at, signed).unwrap();
            head = entry.head();
            entry
        };
        self.items.iter().map(seal).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        join(&self.entries().iter().map(|entry| entry.bytes().to_vec()).collect::<Vec<_>>())
    }

    /// A fresh checkpoint over everything.
    fn note(&self) -> String {
        checkpoint(&self.id, self.entries().iter().map(Entry::leaf), &self.recorder)
    }

    /// Takes an entry out, and with it the gap in time.
    fn drop(mut self, seq: usize) -> Self {
        self.items.remove(seq);
        self
    }

    /// Moves an entry to another place; the times stay where they were.
    fn reorder(mut self, from: usize, to: usize) -> Self {
        let times: Vec<_> = self.items.iter().map(|(_, at)| *at).collect();
        let item = self.items.remove(from);
        self.items.insert(to, item);
        self.items.iter_mut().zip(times).for_each(|(item, at)| item.1 = at);
        self
    }

    fn postpone(mut self, seq: usize, seconds: u64) -> Self {
        for (_, at) in &mut self.items[seq..] {
            *at = at.plus_seconds(seconds).unwrap();
        }
        self
    }

    /// What an auditor sees who has the ledger alone, with the checkpoint that lies beside it, and who knows its id.
    fn alone(&self) -> Report {
        audit(self.bytes(), &[&self.note()], &self.pin)
    }

    /// The same with a checkpoint from before the change.
    fn with_old(&self, old: &str) -> Report {
        audit(self.bytes(), &[&self.note(), old], &self.pin)
    }

    /// Whether the entry that an author was given a receipt for is still there.
    fn honours(&self, (seq, leaf): (u64, LeafHash)) -> bool {
        self.entries().get(usize::try_from(seq).unwrap()).is_some_and(|entry| entry.leaf() == leaf)
    }

    /// No trace: fully verified and anchored, by the operator's own checkpoint.
    fn is_not_caught(&self) -> bool {
        let report = self.alone();
        assert_eq!(fault(&report), None, "{report}");
        // Even then the report does not claim that nothing is missing.
        let claim = report.claims.iter().find(|claim| claim.name == ClaimName::Completeness).unwrap();
        report.anchored == self.items.len() as u64 && claim.verdict == Verdict::NotCheckable
    }
}

/// What an author keeps: where the statement was recorded.
fn receipt(world: &World, seq: usize) -> (u64, LeafHash) {
    (seq as u64, world.entries[seq].leaf())
}

/// The seqs of two revocations at the end of a ledger that no later entry witnesses; the ledger.
fn with_revocations() -> (World, usize, usize) {
    let mut world = World::story("acme", 31);
    let grants = [0, 1].map(|_| {
        let request = world.request("reader");
        world.approve(request);
        world.grant(request)
    });
    let first = world.entries.len();
    for grant in grants {
        world.revoke(grant);
    }
    world.request("reader");
    (world, first, first + 1)
}

/// The statement with its signatures changed.
fn resigned(signed: &SignedStatement, change: impl FnOnce(&mut Vec<Value>)) -> SignedStatement {
    let mut json: Value = serde_json::from_slice(&signed.to_bytes()).unwrap();
    change(json["signatures"].as_array_mut().unwrap());
    SignedStatement::parse(json.to_string().as_bytes()).unwrap()
}

#[test]
fn the_operator_without_a_change_is_honest() {
    let (world, ..) = with_revocations();
    let operator = Operator::of(&world);
    assert_eq!(operator.bytes(), world.bytes());
    assert!(operator.is_not_caught());
}

#[test]
fn mutation_1_drop() {
    let (world, first, _) = with_revocations();
    let old = world.checkpoint(first + 1);
    let dropped = Operator::of(&world).drop(first);
    // A revocation that nothing later refers to: the ledger alone shows no fault, only a gap in the revoker's serials.
    assert!(dropped.is_not_caught());
    let gaps = dropped.alone().serial_gaps;
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].author.as_str(), gaps[0].missing), ("user:olga", 1));
    // The author's receipt shows it, and so does an old checkpoint over it.
    assert!(!dropped.honours(receipt(&world, first)));
    assert_eq!(fault(&dropped.with_old(&old)), at(first as u64, "checkpoint_root"));
    // A checkpoint from before it does not.
    assert_eq!(fault(&dropped.with_old(&world.checkpoint(first))), None);

    // Where a later decision witnesses what came before, or something later needs it, the ledger alone shows it.
    let later_approval = Operator::of(&world).drop(14).alone();
    assert_eq!(fault(&later_approval), at(15, "seen"));
    let needed = Operator::of(&world).drop(9).alone();
    assert_eq!(fault(&needed), at(11, "seen"));
}

#[test]
fn a_statement_dropped_before_it_was_recorded_leaves_a_gap_at_most() {
    let (mut world, ..) = with_revocations();
    let event = json!({
        "type": "access.requested", "hold": {"seconds": 60}, "need": {"text": "again"}, "purpose": "billing",
        "resource": "db:ledger", "role": "reader", "subject": "user:alice", "tier": "low",
    });
    let draft = Draft {
        author: "user:alice",
        key: "user:alice",
        cosigners: &[],
        new_keys: &[],
        event,
        is_decision: false,
    };
    world.sign(&draft);
    let before = world.checkpoint(world.entries.len());
    let report = audit(world.bytes(), &[&before], &world.pin());
    assert_eq!((fault(&report), report.serial_gaps.len()), (None, 0));
    // Only once the author speaks again; checkpoints and witnesses never saw it.
    world.request("reader");
    let report = audit(world.bytes(), &[&before, &world.checkpoint(world.entries.len())], &world.pin());
    assert_eq!(fault(&report), None);
    assert_eq!(report.serial_gaps[0].author.as_str(), "user:alice");
    assert_eq!(report.serial_gaps[0].missing, 1);
}

#[test]
fn mutation_2_reorder() {
    let (world, first, second) = with_revocations();
    let reordered = Operator::of(&world).reorder(first, second);
    assert!(reordered.is_not_caught());
    assert!(!reordered.honours(receipt(&world, first)));
    let old = world.checkpoint(second);
    assert_eq!(fault(&reordered.with_old(&old)), at(first as u64, "checkpoint_root"));

    // An approval put before its request saw a head that is not there.
    assert_eq!(fault(&Operator::of(&world).reorder(12, 11).alone()), at(11, "seen"));
    // A grant put before the approval: nothing there to rest on.
    assert_eq!(fault(&Operator::of(&world).reorder(13, 12).alone()), at(12, "rule:approval_void"));
}

#[test]
fn mutation_3_backdate_recorded_at() {
    let (world, first, _) = with_revocations();
    // A revocation that is said to have come 50 minutes later: within what removing power may take.
    let late = Operator::of(&world).postpone(first, 50 * 60);
    assert!(late.is_not_caught());
    assert!(!late.honours(receipt(&world, first)));
    assert_eq!(fault(&late.with_old(&world.checkpoint(first + 1))), at(first as u64, "checkpoint_root"));

    // Beyond the time that a statement may take, its author's own date shows it.
    let request = world.entries.len() - 1;
    let late = Operator::of(&world).postpone(request, 2 * 3_600);
    assert_eq!(fault(&late.alone()), at(request as u64, "rule:backdated"));
    let mut early = Operator::of(&world);
    early.items[request].1 = Timestamp::MIN;
    assert_eq!(fault(&early.alone()), at(request as u64, "time_backwards"));
}

#[test]
fn mutation_4_policy_swap() {
    let mut world = World::story("acme", 31);
    // Not the approver: nobody approves under a policy of his own.
    world.assign("policy_owner", "user:alice", "*");
    let published = world.entries.len();
    let mut other = policy(7_200);
    other["document"]["summary"] = json!({"text": "shorter from here on"});
    world.post("user:alice", &["user:gina"], other);
    // Nothing relies on it yet: taking it out is not seen in the ledger alone.
    assert!(Operator::of(&world).drop(published).is_not_caught());
    let old = world.checkpoint(published + 1);
    let swapped = Operator::of(&world).drop(published);
    assert_eq!(fault(&swapped.with_old(&old)), at(published as u64, "checkpoint_ahead"));

    let request = world.request("reader");
    world.approve(request);
    // The approval signed what the policy resolves to, and saw the head after it.
    let swapped = Operator::of(&world).drop(published);
    assert_eq!(fault(&swapped.alone()), at(published as u64 + 1, "seen"));
    let swapped = Operator::of(&world).reorder(published, published + 2);
    assert_eq!(fault(&swapped.alone()), at(published as u64 + 1, "seen"));
}

#[test]
fn mutation_5_key_interval() {
    let mut world = World::story("acme", 31);
    let enrolled = json!({
        "type": "key.enrolled", "enrolment": "further", "key": common::public("user:alice/2"),
        "principal": "user:alice",
    });
    let draft = |key, new_keys, event| Draft {
        author: "user:alice",
        key,
        cosigners: &[],
        new_keys,
        event,
        is_decision: false,
    };
    world.submit(draft("user:alice", &["user:alice/2"], enrolled)).unwrap();
    let request = json!({
        "type": "access.requested", "hold": {"seconds": 60}, "need": {"text": "again"}, "purpose": "billing",
        "resource": "db:ledger", "role": "reader", "subject": "user:alice", "tier": "low",
    });
    let used = world.entries.len();
    world.submit(draft("user:alice/2", &[], request)).unwrap();
    let retired = world.entries.len();
    let event = json!({
        "type": "key.retired", "key": common::public("user:alice/2"), "principal": "user:alice",
        "reason": {"text": "lost"},
    });
    world.post("user:alice", &[], event);
    world.request("reader");

    // The key ends before it is used, or is used before it is admitted.
    assert_eq!(fault(&Operator::of(&world).reorder(retired, used).alone()), at(used as u64 + 1, "key_ended"));
    let early = Operator::of(&world).reorder(used, used - 1);
    assert_eq!(fault(&early.alone()), at(used as u64 - 1, "unknown_key"));
    // It lives on past its end, while nobody uses it: only an old checkpoint or the author's receipt shows that.
    let longer = Operator::of(&world).reorder(retired, retired + 1);
    assert!(longer.is_not_caught());
    assert!(!longer.honours(receipt(&world, retired)));
    let old = world.checkpoint(retired + 1);
    assert_eq!(fault(&longer.with_old(&old)), at(retired as u64, "checkpoint_root"));
}

#[test]
fn mutation_6_fork() {
    let (world, first, _) = with_revocations();
    let (left, right) = (Operator::of(&world), Operator::of(&world).drop(first));
    // Each history is good for whoever sees it alone, under one and the same id.
    assert!(left.is_not_caught() && right.is_not_caught());
    // Two auditors who compare find out.
    assert_eq!(fault(&right.with_old(&left.note())), at(right.items.len() as u64, "checkpoint_ahead"));
    assert_eq!(fault(&left.with_old(&right.note())), at(right.items.len() as u64 - 1, "checkpoint_root"));
}

#[test]
fn mutation_7_truncate_and_go_on() {
    let (world, first, _) = with_revocations();
    let mut cut = Operator::of(&world);
    cut.items.truncate(first);
    assert!(cut.is_not_caught());
    assert_eq!(fault(&cut.with_old(&world.checkpoint(first + 1))), at(first as u64, "checkpoint_ahead"));
    // A sign of life by the recorder's own hand makes it as long as before.
    let mut shorter = world.clone();
    let draft = Draft {
        author: RECORDER,
        key: RECORDER,
        cosigners: &[],
        new_keys: &[],
        event: json!({"type": "clock.stepped", "reason": {"text": "all is well"}}),
        is_decision: false,
    };
    let beat = shorter.sign(&draft);
    cut.items.push((beat, world.at()));
    assert!(cut.is_not_caught());
    assert!(!cut.honours(receipt(&world, first)));
    assert_eq!(fault(&cut.with_old(&world.checkpoint(first + 1))), at(first as u64, "checkpoint_root"));
    // A checkpoint from before the cut can not tell.
    assert_eq!(fault(&cut.with_old(&world.checkpoint(first))), None);
}

#[test]
fn mutation_8_reseal_with_a_newer_key() {
    let (mut world, first, _) = with_revocations();
    let old = world.checkpoint(first + 1);
    world.rotate("service:recorder/2");
    let rotated = world.entries.len();
    world.request("reader");
    let changed = Operator::of(&world).drop(first);
    // The newer key may seal what stands under it.
    assert!(changed.is_not_caught());
    // A size from before the key was in force can not be sealed anew with it, nor a later one with the key it replaced.
    let leaves: Vec<_> = changed.entries().iter().map(Entry::leaf).collect();
    let sealed = |size: usize, key: &str| {
        let note = checkpoint(&changed.id, leaves[..size].iter().copied(), key);
        fault(&audit(changed.bytes(), &[&note], &changed.pin))
    };
    for size in 1..rotated - 1 {
        let want = at(size as u64 - 1, "checkpoint_signature");
        assert_eq!(sealed(size, "service:recorder/2"), want, "size {size}");
    }
    assert_eq!(sealed(rotated - 1, "service:recorder/2"), None);
    assert_eq!(sealed(rotated - 1, RECORDER), None);
    assert_eq!(sealed(rotated, RECORDER), at(rotated as u64 - 1, "checkpoint_signature"));
    // The checkpoint that was given out before still binds.
    assert_eq!(fault(&changed.with_old(&old)), at(first as u64, "checkpoint_root"));
}

#[test]
fn mutation_9_strip_signatures() {
    let world = World::story_of("acme", 16, 2);
    for seq in 0..16 {
        let mut stripped = Operator::of(&world);
        stripped.items[seq].0 = resigned(&stripped.items[seq].0, Vec::clear);
        let report = stripped.alone();
        let found = report.fault.as_ref().unwrap();
        assert_eq!((found.seq, found.code.to_string().as_str()), (seq as u64, "unsigned"));

        let signatures = world.entries[seq].signed().signatures().len();
        for index in (0..signatures).filter(|_| signatures > 1) {
            let mut stripped = Operator::of(&world);
            stripped.items[seq].0 = resigned(&stripped.items[seq].0, |parts| drop(parts.remove(index)));
            let report = stripped.alone();
            let code = report.fault.as_ref().unwrap().code.to_string();
            assert_eq!(report.fault.as_ref().unwrap().seq, seq as u64);
            assert!(["signer_set", "no_possession"].contains(&&*code), "{seq}: {code}");
        }
        // One too many: the recorder's own, over the same statement.
        let mut added = Operator::of(&world);
        if added.items[seq].0.cosign(&key(RECORDER)).is_ok() {
            assert_eq!(fault(&added.alone()), at(seq as u64, "signer_set"), "{seq}");
        }
    }
}

#[test]
fn mutation_10_strip_checkpoints() {
    let (world, ..) = with_revocations();
    let report = audit(world.bytes(), &[], &world.pin());
    assert_eq!((fault(&report), report.anchored), (None, 0));
    for name in [ClaimName::Checkpoints, ClaimName::LastTime] {
        let claim = report.claims.iter().find(|claim| claim.name == name).unwrap();
        assert_eq!(claim.verdict, Verdict::NotCheckable, "{name}");
    }
    let strict = Options { require_checkpoint: true, ..world.pin() };
    let missing = at(world.entries.len() as u64, "checkpoint_missing");
    assert_eq!(fault(&audit(world.bytes(), &[], &strict)), missing);
}

#[test]
fn mutation_11_change_ledger_id() {
    let (world, ..) = with_revocations();
    // The genesis statement under another name is not what the governors signed.
    let mut renamed = Operator::of(&world);
    let text = String::from_utf8(renamed.items[0].0.to_bytes()).unwrap();
    let text = text.replace("\"acme\"", "\"acme2\"");
    renamed.items[0].0 = SignedStatement::parse(text.as_bytes()).unwrap();
    let unpinned = audit(renamed.bytes(), &[], &Options::default());
    assert_eq!(fault(&unpinned), at(0, "signature"));
    assert_eq!(fault(&audit(renamed.bytes(), &[], &renamed.pin)), at(0, "ledger_pin"));
    // A genesis that does hold, of another ledger, can not carry on with these statements.
    let mut other = Operator::of(&world);
    other.items[0] = Operator::of(&World::story("acme", 31)).items[0].clone();
    assert!(other.is_not_caught(), "the very same genesis");
    other.items[0] = Operator::of(&World::story("acme2", 31)).items[0].clone();
    assert_eq!(fault(&audit(other.bytes(), &[], &Options::default())), at(1, "ledger_id"));
    assert_eq!(fault(&audit(other.bytes(), &[], &other.pin)), at(0, "ledger_pin"));
}

#[test]
fn mutation_12_replay() {
    let (world, ..) = with_revocations();
    let other = World::story("acme2", 32);
    let size = world.entries.len();
    for seq in 0..32 {
        // A statement of another ledger.
        let mut replayed = Operator::of(&world);
        replayed.items.push((other.entries[seq].signed().as_ref().clone(), world.at()));
        let report = replayed.alone();
        let want = if seq == 0 { "genesis" } else { "ledger_id" };
        assert_eq!(fault(&report), at(size as u64, want), "{seq} of another ledger");
        // One of this ledger, again.
        let mut replayed = Operator::of(&world);
        replayed.items.push((world.entries[seq].signed().as_ref().clone(), world.at()));
        let want = if seq == 0 { "genesis" } else { "serial" };
        assert_eq!(fault(&replayed.alone()), at(size as u64, want), "{seq} again");
    }
    // All of another ledger in place of this one: only the id, known from elsewhere, tells.
    assert_eq!(fault(&audit(other.bytes(), &[&other.checkpoint(32)], &Options::default())), None);
    assert_eq!(fault(&audit(other.bytes(), &[&other.checkpoint(32)], &world.pin())), at(0, "ledger_pin"));
}

/// The first row of the table that needs no evidence: nobody speaks for another.
#[test]
fn forged_statements_are_caught() {
    let (world, ..) = with_revocations();
    let size = world.entries.len() as u64;
    let mut forger = world.clone();
    let event = json!({
        "type": "access.requested", "hold": {"seconds": 60}, "need": {"text": "forged"}, "purpose": "billing",
        "resource": "db:ledger", "role": "reader", "subject": "user:alice", "tier": "low",
    });
    // Under a key of the operator's own, under the recorder's, and under the author's with another's signature.
    let draft = |key| Draft {
        author: "user:alice",
        key,
        cosigners: &[],
        new_keys: &[],
        event: event.clone(),
        is_decision: false,
    };
    for (key, want) in [("user:mallory", "unknown_key"), (RECORDER, "signer_set")] {
        let mut forged = Operator::of(&world);
        forged.items.push((forger.sign(&draft(key)), world.at()));
        assert_eq!(fault(&forged.alone()), at(size, want), "{key}");
    }
    let mut forged = Operator::of(&world);
    let other = world.entries[11].signed().signatures()[0].sig.to_string();
    let signed = resigned(&forger.sign(&draft("user:alice")), |parts| parts[0]["sig"] = other.into());
    forged.items.push((signed, world.at()));
    assert_eq!(fault(&forged.alone()), at(size, "signature"));
}
