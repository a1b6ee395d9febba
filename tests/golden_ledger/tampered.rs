//! What becomes of the golden ledger in the hands of somebody without anyone's keys: each variant with the fault that an
//! auditor finds first, and its place.

use std::collections::BTreeSet;

use countersign::audit::{CheckpointFile, LedgerBytes, Options, verify};
use countersign::core::entry::leaf_hash;
use countersign::core::fault::FaultCode;

use super::{lines, pinned, read};

/// Takes part in no variant: making it takes the author's key, or a ledger in a folder or a database. Other tests have them.
const ELSEWHERE: [FaultCode; 6] = [
    FaultCode::SeenMissing,
    FaultCode::KeyEnded,
    FaultCode::WeakKey,
    FaultCode::EmptySegment,
    FaultCode::Store,
    FaultCode::SegmentName,
];

/// A ledger on its way to the auditor.
#[derive(Clone)]
struct Copy {
    lines: Vec<Vec<u8>>,
    /// What is cut off at the end.
    cut: usize,
    checkpoint: Option<Vec<u8>>,
    options: Options,
}

impl Copy {
    fn new() -> Self {
        Self { lines: lines(), cut: 0, checkpoint: None, options: pinned() }
    }

    fn anchored() -> Self {
        Self { checkpoint: Some(read("ledger.jsonl.checkpoint")), ..Self::new() }
    }

    /// Replaces the first place where `from` stands in a line.
    fn edit(mut self, seq: usize, from: &str, to: &str) -> Self {
        let text = String::from_utf8(self.lines[seq].clone()).unwrap();
        assert!(text.contains(from), "entry {seq} has no {from}");
        self.lines[seq] = text.replacen(from, to, 1).into_bytes();
        self
    }

    fn without(mut self, seq: usize) -> Self {
        self.lines.remove(seq);
        self
    }

    fn again(mut self, seq: usize, at: usize) -> Self {
        self.lines.insert(at, self.lines[seq].clone());
        self
    }

    fn swapped(mut self, left: usize, right: usize) -> Self {
        self.lines.swap(left, right);
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Positions and links written anew, as whoever keeps the ledger can do.
    fn rechained(mut self) -> Self {
        let mut prev = "0".repeat(64);
        for (seq, line) in self.lines.iter_mut().enumerate() {
            let text = String::from_utf8(line.clone()).unwrap();
            let (time, rest) =
                text[text.find(",\"recorded_at\"").unwrap()..].split_once(",\"seq\":").unwrap();
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            *line = format!("{{\"prev\":\"{prev}\"{time},\"seq\":{seq}{rest}").into_bytes();
            prev = leaf_hash(line).to_string();
        }
        self
    }

    /// The first fault: its position and code.
    fn fault(&self) -> Option<(u64, String)> {
        let mut bytes: Vec<u8> = self.lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        bytes.truncate(bytes.len() - self.cut);
        let mut source = LedgerBytes::new(bytes);
        if let Some(note) = &self.checkpoint {
            source = source.with_checkpoint(note.clone());
        }
        let report = verify(&mut source, &self.options).unwrap();
        assert_eq!(report.is_verified(), report.fault.is_none());
        report.fault.map(|fault| (fault.seq, fault.code.to_string()))
    }
}

/// The first signature of an entry, or the one at `index`, as it stands in the line.
fn signature(copy: &Copy, seq: usize, index: usize) -> String {
    let text = String::from_utf8(copy.lines[seq].clone()).unwrap();
    let list = text.split("\"signatures\":[").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    let item = list.split("},{").nth(index).unwrap();
    format!("{{{}}}", item.trim_matches(['{', '}']))
}

fn variants() -> Vec<(&'static str, Copy, u64, &'static str)> {
    let good = Copy::new;
    let last = good().lines.len() - 1;
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let only = signature(&good(), 31, 0);
    let (first, second) = (signature(&good(), 1, 0), signature(&good(), 1, 1));
    let possession = {
        let candidates = [0, 1].map(|index| signature(&good(), 57, index));
        let line = String::from_utf8(good().lines[57].clone()).unwrap();
        let author = line.split("\"key\":\"").last().unwrap()[..64].to_owned();
        candidates.into_iter().find(|item| !item.contains(&author)).unwrap()
    };
    let removed = |copy: Copy, seq: usize, item: &str| {
        let text = String::from_utf8(copy.lines[seq].clone()).unwrap();
        let (behind, before) = (format!(",{item}"), format!("{item},"));
        let gone = if text.contains(&behind) { behind } else { before };
        copy.edit(seq, &gone, "")
    };
    let other_id = format!("acme.example/access/{}", "0".repeat(64));
    let id = String::from_utf8(read("ledger.id")).unwrap();
    let id = id.trim_end();
    vec![
        // The bytes of a line.
        ("the last line feed is missing", good().with(|copy| copy.cut = 1), last as u64, "torn_tail"),
        ("cut within the last entry", good().with(|copy| copy.cut = 200), last as u64, "torn_tail"),
        ("a long text", good().edit(31, "Alice prepares it", &"x".repeat(66_000)), 31, "line_too_long"),
        (
            "a text too long",
            good().edit(31, "Alice prepares it", &"x".repeat(50_000)).rechained(),
            31,
            "statement_too_long",
        ),
        (
            "half a character",
            good()
                .with(|copy| copy.lines[31].retain(|byte| *byte != b'A'))
                .with(|copy| copy.lines[31].push(0xc3)),
            31,
            "utf8",
        ),
        ("no closing brace", good().with(|copy| assert!(copy.lines[5].pop().is_some())), 5, "json"),
        ("a fraction", good().edit(36, "\"serial\":9", "\"serial\":9.0"), 36, "number"),
        (
            "a member twice",
            good().edit(68, "\"balance\":-5", "\"balance\":-5,\"balance\":-5"),
            68,
            "duplicate_key",
        ),
        ("a capital in a member", good().edit(68, "\"balance\"", "\"Balance\""), 68, "key_form"),
        ("deep data", good().edit(68, "-5", &nested(30)), 68, "depth"),
        (
            "a hidden turn of direction",
            good().edit(31, "Alice prepares", "Alice\u{202e}prepares"),
            31,
            "text",
        ),
        ("a blank between tokens", good().edit(31, "\"v\":1", "\"v\": 1"), 31, "not_canonical"),
        ("a member is missing", good().edit(31, "\"capacity\":\"business_owner\",", ""), 31, "schema"),
        ("an unknown kind", good().edit(35, "access.denied", "access.denyed"), 35, "unknown_kind"),
        (
            "the 13th month",
            good().edit(31, "\"recorded_at\":\"2026-03", "\"recorded_at\":\"2026-13"),
            31,
            "time",
        ),
        ("a signature too short", good().edit(31, "==\"", "=\""), 31, "base64"),
        // The place of an entry.
        ("an entry is dropped", good().without(40), 40, "seq"),
        ("an entry is doubled", good().again(40, 41), 41, "seq"),
        ("two entries are swapped", good().swapped(40, 41), 40, "seq"),
        ("another time", good().edit(20, ".000Z\",\"seq\"", ".001Z\",\"seq\""), 20, "prev"),
        (
            "time runs backwards",
            good().edit(20, "\"recorded_at\":\"2026", "\"recorded_at\":\"2025"),
            20,
            "time_backwards",
        ),
        // Whose statement it is, by an operator who chains everything anew.
        ("genesis is dropped", good().without(0).rechained(), 0, "genesis"),
        ("a second genesis", good().again(0, 1).rechained(), 1, "genesis"),
        (
            "another ledger was meant",
            good().with(|copy| copy.options.ledger_id = Some(other_id.parse().unwrap())),
            0,
            "ledger_pin",
        ),
        ("made for another ledger", good().edit(30, id, &other_id).rechained(), 30, "ledger_id"),
        ("a request is replayed", good().again(30, 31).rechained(), 31, "serial"),
        (
            "an earlier entry is changed",
            good().edit(29, ".000Z\",\"seq\"", ".001Z\",\"seq\"").rechained(),
            31,
            "seen",
        ),
        // Who signed it.
        ("stripped", good().edit(31, &only, "").rechained(), 31, "unsigned"),
        (
            "signatures out of order",
            good().edit(1, &format!("{first},{second}"), &format!("{second},{first}")).rechained(),
            1,
            "signature_order",
        ),
        (
            "by somebody unknown",
            good().edit(31, &only[..75], &format!("{{\"keyid\":\"{}\"", "0".repeat(64))).rechained(),
            31,
            "unknown_key",
        ),
        ("a cosignature is stripped", removed(good(), 1, &second).rechained(), 1, "signer_set"),
        (
            "a proof of possession is stripped",
            removed(good(), 57, &possession).rechained(),
            57,
            "no_possession",
        ),
        (
            "another text",
            good().edit(31, "Alice prepares it", "Alice releases it").rechained(),
            31,
            "signature",
        ),
        // The rules.
        (
            "recorded before it was made",
            good().edit(30, "\"recorded_at\":\"2026-03-03T09", "\"recorded_at\":\"2026-03-02T09").rechained(),
            30,
            "rule:postdated",
        ),
        (
            "recorded long after it was made",
            good().edit(last, "\"recorded_at\":\"2026-03", "\"recorded_at\":\"2026-05").rechained(),
            last as u64,
            "rule:backdated",
        ),
        ("the second approval is dropped", good().without(32).rechained(), 32, "rule:approval_void"),
        ("the policy is dropped", good().without(29).rechained(), 29, "rule:before_policy"),
        ("a freeze is hushed up", good().without(70).rechained(), 70, "rule:not_frozen"),
        ("a veto is dropped", good().without(73).rechained(), 73, "key_reused"),
        // The checkpoints.
        ("nothing", good().with(|copy| copy.lines.clear()), 0, "empty_ledger"),
        (
            "no checkpoint",
            good().with(|copy| copy.options.require_checkpoint = true),
            last as u64 + 1,
            "checkpoint_missing",
        ),
        (
            "a note that is none",
            Copy::anchored().with(|copy| assert!(copy.checkpoint.as_mut().unwrap().pop().is_some())),
            last as u64 + 1,
            "note",
        ),
        (
            "the checkpoint of another ledger",
            Copy::anchored().with(|copy| copy.checkpoint = Some(read("entries.jsonl.checkpoint"))),
            last as u64 + 1,
            "checkpoint_origin",
        ),
        ("the last entry is dropped", Copy::anchored().without(last), last as u64, "checkpoint_ahead"),
        (
            "another time of the last entry",
            Copy::anchored().edit(last, ".000Z\",\"seq\"", ".001Z\",\"seq\""),
            last as u64,
            "checkpoint_root",
        ),
        (
            "the checkpoint by the key before",
            Copy::anchored().with(swap_signature),
            last as u64,
            "checkpoint_signature",
        ),
    ]
}

/// The signature line of the earlier checkpoint under the text of the later one.
fn swap_signature(copy: &mut Copy) {
    let line = |note: &[u8]| String::from_utf8(note.to_vec()).unwrap().lines().last().unwrap().to_owned();
    let note = copy.checkpoint.take().unwrap();
    let text = String::from_utf8(note.clone()).unwrap();
    copy.checkpoint =
        Some(text.replace(&line(&note), &line(&read("ledger.earlier.checkpoint"))).into_bytes());
}

#[test]
fn each_tampered_variant_is_found_out_for_what_it_is() {
    assert_eq!(Copy::anchored().fault(), None);
    assert_eq!(
        Copy::anchored().rechained().fault(),
        None,
        "chaining anew what was not changed changes nothing"
    );
    let (mut found, mut wrong) = (BTreeSet::new(), Vec::new());
    for (name, copy, seq, code) in variants() {
        let fault = copy.fault();
        if fault != Some((seq, code.to_owned())) {
            wrong.push(format!("{name}: {fault:?} where {code} was expected at {seq}"));
        }
        found.insert(code);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing = FaultCode::ALL.iter().filter(|code| !found.contains(code.as_str()));
    assert!(missing.copied().eq(ELSEWHERE), "a code without a variant");
}

#[test]
fn an_earlier_checkpoint_shows_what_was_cut_since() {
    let earlier = CheckpointFile { name: "earlier".into(), bytes: read("ledger.earlier.checkpoint") };
    let size = super::files::EARLIER;
    let cut = |lines: usize| {
        let mut copy = Copy::new().with(|copy| copy.lines.truncate(lines));
        copy.options.checkpoints.push(earlier.clone());
        copy.fault()
    };
    // What it does not cover can be cut unseen: a limit.
    assert_eq!(cut(size), None);
    assert_eq!(cut(size - 1), Some((size as u64 - 1, "checkpoint_ahead".into())));
}
