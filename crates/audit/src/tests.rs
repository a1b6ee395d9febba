//! Bytes, chain, signatures and checkpoints, under rules that admit everything: what governance decides is tested with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_core::checkpoint::Checkpoint;
use countersign_core::digest::LeafHash;
use countersign_core::entry::{Entry, Head};
use countersign_core::event::*;
use countersign_core::fault::FaultCode;
use countersign_core::id::*;
use countersign_core::key::{PublicKey, SecretKey, SignerKey as _};
use countersign_core::merkle::{CompactRange, EMPTY_ROOT};
use countersign_core::note::SignedNote;
use countersign_core::statement::{SignedStatement, Statement, VerifiedStatement, Version};
use countersign_core::time::Timestamp;
use countersign_core::wire::{KeyBytes, RawObject, Set, Sorted, Text, decode};
use countersign_projection::governance::{Refusal, RefusalCode};

use crate::directory::{CutTail, Inventory};
use crate::report::{Code, Report, SerialGap};
use crate::rules::{Door, Facts};
use crate::source::{CheckpointFile, LedgerBytes, Segment, SegmentPlace, Source, SourceError};
use crate::verify::{AsOf, Options, run};
use crate::{ClaimName, Verdict};

/// Rules that admit everything, except where a custom event asks to be refused.
struct Permissive;

#[derive(Clone, Default)]
struct Seen {
    ledger: Option<LedgerId>,
    recorder: Option<PublicKey>,
    rules: u64,
    entries: u64,
}

fn refuse(statement: &Statement, name: &str) -> Result<(), Refusal> {
    match &statement.event {
        Event::Custom(custom) if custom.name.as_str() == name => {
            Err(Refusal { code: RefusalCode::SelfApproval, detail: name.into() })
        }
        _ => Ok(()),
    }
}

impl Door for Permissive {
    type State = Seen;
    type Judged = Entry;

    fn check_envelope(_: &Seen, signed: &SignedStatement, _: Timestamp) -> Result<(), Refusal> {
        refuse(signed.statement(), "envelope")
    }

    fn judge(_: &Seen, statement: &VerifiedStatement, entry: Entry) -> Result<Option<Entry>, Refusal> {
        refuse(statement.statement(), "envelope")?;
        refuse(statement.statement(), "rule").map(|()| Some(entry))
    }

    fn fold(state: &mut Seen, entry: &Entry) {
        let key = |bytes: &KeyBytes| PublicKey::accept(&bytes.0).ok();
        match &entry.statement().event {
            Event::LedgerOpened(event) => {
                state.ledger = Some(LedgerId::new(&event.name, entry.signed().digest()));
                state.recorder = key(&event.recorder.key);
                state.rules = 1;
            }
            Event::CharterAmended(event) => state.recorder = key(&event.charter.recorder.key),
            Event::LedgerUpgraded(event) => state.rules = event.rules,
            _ => {}
        }
        state.entries += 1;
    }

    fn facts(state: &Seen) -> Facts {
        Facts { ledger: state.ledger.clone(), rules: Some(state.rules), quorum: Some((1, 1)) }
    }

    fn recorder_key(state: &Seen) -> Option<PublicKey> {
        state.recorder
    }

    fn needs_rules(state: &Seen) -> Option<u64> {
        Some(state.rules).filter(|rules| *rules > 1)
    }
}

const START: u64 = 1_700_000_000_000;

fn at(minutes: u64) -> Timestamp {
    Timestamp::from_millis(START + minutes * 60_000).unwrap()
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

const GOVERNOR: u8 = 1;
const RECORDER: u8 = 2;

/// A ledger that is written without rules: genesis, then whatever is put behind it.
#[derive(Clone)]
struct Book {
    lines: Vec<Vec<u8>>,
    leaves: Vec<LeafHash>,
    ledger: LedgerRef,
}

impl Book {
    fn open(name: &str) -> Self {
        let name = LedgerName::new(name).unwrap();
        let mut book = Self { lines: vec![], leaves: vec![], ledger: LedgerRef::Name(name.clone()) };
        let charter = charter(RECORDER);
        let opened = LedgerOpened {
            governors: charter.governors,
            name: name.clone(),
            quorum: 1,
            recorder: charter.recorder,
            recovery: None,
            rules: 1,
            suite: Suite,
        };
        let signed = book.sign(opened.into(), &[GOVERNOR, RECORDER]);
        book.push(&signed);
        book.ledger = LedgerRef::Id(LedgerId::new(&name, signed.digest()));
        book
    }

    /// Genesis and `entries - 1` custom events.
    fn of(entries: usize) -> Self {
        let mut book = Self::open("acme");
        while book.lines.len() < entries {
            book.note("fact");
        }
        book
    }

    fn sign(&self, event: Event, seeds: &[u8]) -> SignedStatement {
        let serial = self.lines.len() as u64;
        let statement = Statement {
            author: Principal::new("user:gina").unwrap(),
            cosigners: Set::default(),
            event,
            issued_at: at(serial),
            key: key(seeds[0]).public_key().key_id(),
            ledger: self.ledger.clone(),
            seen: None,
            serial,
            v: Version,
        };
        let mut signed = statement.prepare().unwrap();
        for seed in seeds {
            signed.cosign(&key(*seed)).unwrap();
        }
        signed
    }

    fn head(&self) -> Head {
        let size = self.lines.len() as u64;
        self.leaves.last().map_or(Head::EMPTY, |leaf| Head { size, leaf: *leaf })
    }

    fn push(&mut self, signed: &SignedStatement) {
        self.push_at(signed, at(self.lines.len() as u64));
    }

    fn push_at(&mut self, signed: &SignedStatement, recorded_at: Timestamp) {
        let entry = Entry::seal(self.head(), recorded_at, signed).unwrap();
        self.lines.push(entry.bytes().to_vec());
        self.leaves.push(entry.leaf());
    }

    fn note(&mut self, name: &str) {
        let signed = self.sign(custom(name), &[GOVERNOR]);
        self.push(&signed);
    }

    fn id(&self) -> LedgerId {
        let LedgerRef::Id(id) = &self.ledger else { panic!() };
        id.clone()
    }

    fn checkpoint(&self, size: usize, seed: u8) -> String {
        let root = self.leaves[..size].iter().copied().collect::<CompactRange>().root();
        checkpoint(self.id().as_str(), size as u64, root, seed)
    }

    fn bytes(&self) -> Vec<u8> {
        join(&self.lines)
    }
}

fn checkpoint(origin: &str, size: u64, root: countersign_core::digest::NodeHash, seed: u8) -> String {
    Checkpoint::new(origin, size, root).unwrap().sign(&key(seed)).unwrap().to_string()
}

fn join(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

fn charter(recorder: u8) -> Charter {
    let json = format!(
        "[{{\"key\":\"{}\",\"person\":\"person:gina\",\"principal\":\"user:gina\"}}]",
        key(GOVERNOR).public_key()
    );
    let governors: Sorted<KeyHolder> = decode(json.as_bytes(), 8).unwrap();
    let json = format!(
        "{{\"controllers\":[\"person:rita\"],\"key\":\"{}\",\"principal\":\"service:recorder\"}}",
        key(recorder).public_key()
    );
    Charter { governors, quorum: 1, recorder: decode(json.as_bytes(), 8).unwrap(), recovery: None }
}

fn custom(name: &str) -> Event {
    Custom {
        data: RawObject::new(r#"{"n":-1}"#).unwrap(),
        name: Label::new(name).unwrap(),
        namespace: Namespace::new("example.org").unwrap(),
    }
    .into()
}

fn amend(recorder: u8) -> Event {
    CharterAmended { charter: charter(recorder), reason: Text::new("rotated").unwrap() }.into()
}

fn audit(bytes: impl Into<Vec<u8>>, notes: &[&str]) -> Report {
    audit_with(bytes, notes, &Options::default())
}

fn audit_with(bytes: impl Into<Vec<u8>>, notes: &[&str], options: &Options) -> Report {
    let mut source = LedgerBytes::new(bytes);
    for note in notes {
        source = source.with_checkpoint(*note);
    }
    run::<Permissive>(&mut source, options, AsOf::default(), &mut |_, _| {}, &mut |_| {}).unwrap().report
}

/// Seq and code of the first fault.
fn fault(report: &Report) -> Option<(u64, String)> {
    assert_eq!(report.verdict == Verdict::Failed, report.fault.is_some());
    report.fault.as_ref().map(|fault| (fault.seq, fault.code.to_string()))
}

fn found(seq: u64, code: FaultCode) -> Option<(u64, String)> {
    Some((seq, code.as_str().to_owned()))
}

fn verdict_of(report: &Report, name: ClaimName) -> Verdict {
    report.claims.iter().find(|claim| claim.name == name).unwrap().verdict
}

#[test]
fn a_good_ledger_is_verified_and_says_what_is_not_shown() {
    let book = Book::of(5);
    let report = audit(book.bytes(), &[]);
    assert_eq!(fault(&report), None);
    assert_eq!((report.verdict, report.entries, report.size, report.anchored), (Verdict::Verified, 5, 5, 0));
    assert_eq!(report.ledger, Some(book.id()));
    for name in
        [ClaimName::LastTime, ClaimName::Checkpoints, ClaimName::LedgerIdentity, ClaimName::Completeness]
    {
        assert_eq!(verdict_of(&report, name), Verdict::NotCheckable, "{name}");
    }

    let report = audit(book.bytes(), &[&book.checkpoint(5, RECORDER)]);
    assert_eq!((report.verdict, report.anchored), (Verdict::Verified, 5));
    assert_eq!(verdict_of(&report, ClaimName::LastTime), Verdict::Verified);
    assert_eq!(verdict_of(&report, ClaimName::Completeness), Verdict::NotCheckable);
    assert_eq!(report.root, book.leaves.iter().copied().collect::<CompactRange>().root());

    let report = audit(book.bytes(), &[&book.checkpoint(3, RECORDER)]);
    assert_eq!((report.verdict, report.anchored), (Verdict::Verified, 3));
    assert_eq!(verdict_of(&report, ClaimName::LastTime), Verdict::NotCheckable);
}

#[test]
fn reports_are_the_same_bytes_every_time() {
    let book = Book::of(4);
    let json = audit(book.bytes(), &[&book.checkpoint(4, RECORDER)]).to_json();
    for _ in 0..20 {
        assert_eq!(audit(book.bytes(), &[&book.checkpoint(4, RECORDER)]).to_json(), json);
    }
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["fault"], serde_json::Value::Null);
    assert_eq!(value["governors_quorum"]["quorum"], 1);
    assert_eq!(value["claims"].as_array().unwrap().len(), ClaimName::ALL.len());
    let members =
        ["verdict", "entries", "size", "root", "ledger", "anchored", "rules", "governors_quorum", "fault"];
    let places: Vec<_> = members.iter().map(|name| json.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(places.is_sorted());
    for claim in ClaimName::ALL {
        assert!(json.contains(&format!("{{\"name\":\"{claim}\",\"verdict\":")), "{claim}");
    }
}

/// F-19: the absence of what protects is a fault, or at least not a claim.
#[test]
fn f_19_nothing_to_verify_is_a_fault() {
    assert_eq!(fault(&audit("", &[])), found(0, FaultCode::EmptyLedger));
    let book = Book::of(2);
    assert_eq!(fault(&audit("", &[&book.checkpoint(2, RECORDER)])), found(0, FaultCode::EmptyLedger));
    assert_eq!(audit("", &[]).entries, 0);

    let strict = Options { require_checkpoint: true, ..Options::default() };
    assert_eq!(fault(&audit_with(book.bytes(), &[], &strict)), found(2, FaultCode::CheckpointMissing));
    // One of size 0 anchors nothing.
    let empty = checkpoint(book.id().as_str(), 0, EMPTY_ROOT, RECORDER);
    assert_eq!(fault(&audit_with(book.bytes(), &[&empty], &strict)), found(2, FaultCode::CheckpointMissing));
    let report = audit(book.bytes(), &[&empty]);
    assert_eq!((fault(&report), report.anchored), (None, 0));
    assert_eq!(verdict_of(&report, ClaimName::Checkpoints), Verdict::NotCheckable);
    assert_eq!(fault(&audit_with(book.bytes(), &[&book.checkpoint(1, RECORDER)], &strict)), None);
}

/// F-18: the identity comes from outside.
#[test]
fn f_18_another_ledger_than_the_pinned_one_is_refused() {
    let (book, other) = (Book::of(2), Book::open("acme-labs"));
    let pinned = Options { ledger_id: Some(book.id()), ..Options::default() };
    let report = audit_with(book.bytes(), &[], &pinned);
    assert_eq!(fault(&report), None);
    assert_eq!(verdict_of(&report, ClaimName::LedgerIdentity), Verdict::Verified);
    let report = audit_with(other.bytes(), &[], &pinned);
    assert_eq!(fault(&report), found(0, FaultCode::LedgerPin));
    assert_eq!(verdict_of(&report, ClaimName::LedgerIdentity), Verdict::Failed);
    let headline = format!("failed: this is another ledger: expected {}, found {}\n", book.id(), other.id());
    assert!(report.to_string().starts_with(&headline), "{report}");
}

/// What is wrong is in no line, so none is named; and the entries themselves passed.
#[test]
fn faults_in_no_line_have_a_headline_and_no_place() {
    let book = Book::of(5);
    let longer = {
        let mut longer = book.clone();
        longer.note("fact");
        longer
    };
    let other = Book::open("other").checkpoint(1, RECORDER);
    let unlike = checkpoint(book.id().as_str(), 5, EMPTY_ROOT, RECORDER);
    let required = Options { require_checkpoint: true, ..Options::default() };
    let passed = "; 5 entries passed every other check";
    let cases = [
        (audit("", &[]), "there are no entries".to_owned()),
        (
            audit_with(book.bytes(), &[], &required),
            format!("no checkpoint anchors anything, and one was asked for{passed}"),
        ),
        (audit(book.bytes(), &["junk"]), format!("a checkpoint can not be read{passed}")),
        (audit(book.bytes(), &[&other]), format!("a checkpoint is of another ledger{passed}")),
        (
            audit(book.bytes(), &[&longer.checkpoint(6, RECORDER)]),
            format!("entries are missing that a checkpoint is over{passed}"),
        ),
        (
            audit(book.bytes(), &[&book.checkpoint(5, GOVERNOR)]),
            format!("a checkpoint is not signed by the recorder{passed}"),
        ),
        (
            audit(book.bytes(), &[&unlike]),
            format!("the entries are not those that a checkpoint is over{passed}"),
        ),
    ];
    for (report, headline) in cases {
        let fault = report.fault.as_ref().unwrap();
        assert_eq!((fault.line, fault.offset, fault.place()), (None, None, None), "{headline}");
        let text = report.to_string();
        assert!(text.starts_with(&format!("failed: {headline}\n")) && !text.contains("  at  "), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert!(
            json["fault"]["line"].is_null()
                && json["fault"]["offset"].is_null()
                && json["fault"]["seq"].is_u64(),
            "{json}"
        );
    }
    // One that is in a line says which.
    let torn = audit(&book.bytes()[..book.bytes().len() - 1], &[]);
    assert!(torn.to_string().contains("  at         entry 4, line 5, byte "), "{torn}");
}

/// Whatever else is wrong: a checkpoint that holds over the last entry holds its time.
#[test]
fn the_last_time_follows_from_what_is_anchored() {
    let book = Book::of(5);
    let good = book.checkpoint(5, RECORDER);
    let earlier = book.checkpoint(4, RECORDER);
    let torn = &book.bytes()[..book.bytes().len() - 1];
    let cases = [
        (audit(book.bytes(), &[&good]), Verdict::Verified),
        (audit(book.bytes(), &[&good, "junk"]), Verdict::Verified),
        (audit(book.bytes(), &[&earlier, "junk"]), Verdict::NotCheckable),
        (audit(torn, &[&earlier]), Verdict::Verified),
        (audit(torn, &[&good]), Verdict::NotCheckable),
    ];
    for (index, (report, want)) in cases.into_iter().enumerate() {
        assert_eq!(verdict_of(&report, ClaimName::LastTime), want, "case {index}: {report}");
    }
}

#[test]
fn every_stage_names_its_fault_in_the_documented_order() {
    let book = Book::of(4);
    let text = |index: usize| String::from_utf8(book.lines[index].clone()).unwrap();
    let with = |index: usize, line: String| {
        let mut lines = book.lines.clone();
        lines[index] = line.into_bytes();
        fault(&audit(join(&lines), &[]))
    };
    let edit = |from: &str, to: &str| {
        assert!(text(2).contains(from), "{from}");
        with(2, text(2).replacen(from, to, 1))
    };
    let hex = book.leaves[1].to_string();
    let other = hex.replace(['a', '0'], "7");
    let cases = [
        ("empty line", with(2, String::new()), FaultCode::Json),
        ("carriage return", with(2, text(2) + "\r"), FaultCode::NotCanonical),
        ("two values", with(2, text(2) + "{}"), FaultCode::Json),
        ("byte order mark", with(2, format!("\u{feff}{}", text(2))), FaultCode::Json),
        ("too long", with(2, "x".repeat(65_536)), FaultCode::LineTooLong),
        ("unknown member", edit(r#""seq":2"#, r#""sep":1,"seq":2"#), FaultCode::Schema),
        ("version", edit(r#""v":1}"#, r#""v":2}"#), FaultCode::Schema),
        ("seq", edit(r#""seq":2"#, r#""seq":3"#), FaultCode::Seq),
        ("prev", edit(&hex, &other), FaultCode::Prev),
        ("time", edit(&at(2).to_string(), "2016-12-31T23:59:60.000Z"), FaultCode::Time),
        ("time back", edit(&at(2).to_string(), &at(0).to_string()), FaultCode::TimeBackwards),
        ("kind", edit(r#""custom""#, r#""castom""#), FaultCode::UnknownKind),
        ("base64", edit(r#"=="}"#, r#"="}"#), FaultCode::Base64),
        ("serial", edit(r#""serial":2"#, r#""serial":7"#), FaultCode::Signature),
    ];
    for (name, got, want) in cases {
        assert_eq!(got, found(2, want), "case: {name}");
    }
    // Where two are wrong, the earlier check is named.
    let both = text(2).replace(r#""seq":2"#, r#""seq":3"#);
    assert_eq!(with(2, both.replace(&hex, &other)), found(2, FaultCode::Seq));
    assert_eq!(with(2, both.replace(r#""custom""#, r#""castom""#)), found(2, FaultCode::Seq));
    let prev = text(2).replace(&hex, &other).replace(&at(2).to_string(), &at(0).to_string());
    assert_eq!(with(2, prev), found(2, FaultCode::Prev));
    let time = text(2).replace(&at(2).to_string(), &at(0).to_string()).replace(r#""custom""#, r#""castom""#);
    assert_eq!(with(2, time), found(2, FaultCode::TimeBackwards));
}

#[test]
fn time_may_stand_still_and_does_not_go_back() {
    for (behind, wanted) in [(0, None), (1, found(2, FaultCode::TimeBackwards))] {
        let mut book = Book::of(2);
        let signed = book.sign(custom("fact"), &[GOVERNOR]);
        book.push_at(&signed, Timestamp::from_millis(at(1).millis() - behind).unwrap());
        assert_eq!(fault(&audit(book.bytes(), &[])), wanted, "{behind} ms before the entry ahead of it");
    }
}

#[test]
fn signatures_are_checked_under_keys_announced_before() {
    let verdict = |seeds: &[&[u8]]| {
        let mut book = Book::of(2);
        for seeds in seeds {
            let signed = book.sign(custom("fact"), seeds);
            book.push(&signed);
        }
        fault(&audit(book.bytes(), &[]))
    };
    assert_eq!(verdict(&[&[GOVERNOR], &[RECORDER]]), None);
    assert_eq!(verdict(&[&[9]]), found(2, FaultCode::UnknownKey));

    // A key that the next entry announces, in the same window, is still unknown here.
    let mut book = Book::of(2);
    let early = book.sign(custom("fact"), &[9]);
    book.push(&early);
    let signed = book.sign(amend(9), &[GOVERNOR, 9]);
    book.push(&signed);
    assert_eq!(fault(&audit(book.bytes(), &[])), found(2, FaultCode::UnknownKey));

    // Stripped and added signatures.
    let book = Book::of(3);
    let text = String::from_utf8(book.lines[1].clone()).unwrap();
    let (from, to) = (text.find("\"signatures\":[").unwrap() + 14, text.find("],\"statement\"").unwrap());
    let with = |part: &str| {
        let mut lines = book.lines.clone();
        lines[1] = [&text[..from], part, &text[to..]].concat().into_bytes();
        fault(&audit(join(&lines), &[]))
    };
    let one = &text[from..to];
    assert_eq!(with(""), found(1, FaultCode::Unsigned));
    assert_eq!(with(&format!("{one},{one}")), found(1, FaultCode::SignatureOrder));
    let many = vec![one; 65].join(",");
    assert_eq!(with(&many), found(1, FaultCode::SignatureOrder));
    // The signature of one statement under another.
    let other = String::from_utf8(book.lines[2].clone()).unwrap();
    let start = other.find("\"signatures\":[").unwrap() + 14;
    assert_eq!(with(&other[start..other.find("],\"statement\"").unwrap()]), found(1, FaultCode::Signature));
}

#[test]
fn weak_keys_are_refused_at_the_entry_that_announces_them() {
    let mut book = Book::of(2);
    let mut weak = charter(RECORDER);
    weak.recorder.key = KeyBytes([0; 32]);
    let event = CharterAmended { charter: weak, reason: Text::new("rotated").unwrap() };
    let signed = book.sign(event.into(), &[GOVERNOR]);
    book.push(&signed);
    assert_eq!(fault(&audit(book.bytes(), &[])), found(2, FaultCode::WeakKey));
}

#[test]
fn envelope_comes_before_signatures_and_rules_after_them() {
    let ledger = |name: &str, is_signed: bool| {
        let mut book = Book::of(2);
        let signed = book.sign(custom(name), &[GOVERNOR]);
        book.push(&signed);
        book.note("fact");
        if !is_signed {
            // Moves a byte of the statement after it was signed; the chain is not asked before this entry itself.
            let text = String::from_utf8(book.lines[2].clone()).unwrap();
            book.lines[2] = text.replace("{\"n\":-1}", "{\"n\":-2}").into_bytes();
        }
        fault(&audit(book.bytes(), &[]))
    };
    let rule = Some((2, "rule:self_approval".to_owned()));
    assert_eq!(ledger("envelope", true), rule);
    assert_eq!(ledger("envelope", false), rule);
    assert_eq!(ledger("rule", true), rule);
    assert_eq!(ledger("rule", false), found(2, FaultCode::Signature));
    assert_eq!(ledger("fact", false), found(2, FaultCode::Signature));
}

/// `recorded_at` is what no signature covers: only the entry after it holds it.
#[test]
fn a_change_that_only_the_chain_shows_is_located() {
    let book = Book::of(6);
    let changed = |index: usize, notes: &[&str]| {
        let mut lines = book.lines.clone();
        let text = String::from_utf8(lines[index].clone()).unwrap();
        let late = at(index as u64).to_string().replace(".000Z", ".001Z");
        lines[index] = text.replacen(&at(index as u64).to_string(), &late, 1).into_bytes();
        audit(join(&lines), notes)
    };
    for index in 0..4 {
        let report = changed(index, &[]);
        assert_eq!(fault(&report), found(index as u64, FaultCode::Prev));
        assert_eq!((report.entries, report.size), (index as u64, index as u64));
        let root = book.leaves[..index].iter().copied().collect::<CompactRange>().root();
        assert_eq!(report.root, root);
        let offset: usize = book.lines[..index].iter().map(|line| line.len() + 1).sum();
        let fault = report.fault.unwrap();
        assert_eq!((fault.line, fault.offset), (Some(index as u64 + 1), Some(offset as u64)));
    }
    // Of the last two none after them tells which: the last is named, and the detail names both.
    let report = changed(4, &[]);
    assert_eq!(fault(&report), found(5, FaultCode::Prev));
    let detail = report.fault.unwrap().detail;
    assert!(detail.ends_with("entry 4 or entry 5 was changed, and no entry after them tells which"));
    // A checkpoint tells.
    let report = changed(4, &[&book.checkpoint(6, RECORDER)]);
    assert_eq!(fault(&report), found(5, FaultCode::Prev));
    assert!(report.fault.unwrap().detail.ends_with("so it was entry 4"));
    // One over other entries does not, nor one over fewer.
    let other = [&book.leaves[..5], &book.leaves[..1]].concat().into_iter().collect::<CompactRange>().root();
    for note in [checkpoint(book.id().as_str(), 6, other, RECORDER), book.checkpoint(5, RECORDER)] {
        let report = changed(4, &[&note]);
        assert_eq!(fault(&report), found(5, FaultCode::Prev));
        assert!(report.fault.unwrap().detail.ends_with("no entry after them tells which"));
    }
    // The last one is protected by a checkpoint alone.
    assert_eq!(fault(&changed(5, &[])), None);
    assert_eq!(fault(&changed(5, &[&book.checkpoint(5, RECORDER)])), None);
    let report = changed(5, &[&book.checkpoint(6, RECORDER)]);
    assert_eq!(fault(&report), found(5, FaultCode::CheckpointRoot));
}

/// The entry after decides also where it falls into the next window.
#[test]
fn location_does_not_depend_on_windows() {
    let mut book = Book::open("acme");
    while book.bytes().len() < crate::framing::WINDOW_LEN + 10_000 {
        let data = format!(r#"{{"pad":"{}"}}"#, "x".repeat(40_000));
        let event = Custom {
            data: RawObject::new(&data).unwrap(),
            name: Label::new("fact").unwrap(),
            namespace: Namespace::new("example.org").unwrap(),
        };
        let signed = book.sign(event.into(), &[GOVERNOR]);
        book.push(&signed);
    }
    book.note("fact");
    for index in book.lines.len() - 8..book.lines.len() - 2 {
        let mut lines = book.lines.clone();
        let text = String::from_utf8(lines[index].clone()).unwrap();
        let late = at(index as u64).to_string().replace(".000Z", ".001Z");
        lines[index] = text.replacen(&at(index as u64).to_string(), &late, 1).into_bytes();
        let report = audit(join(&lines), &[]);
        assert_eq!(fault(&report), found(index as u64, FaultCode::Prev));
        assert_eq!((report.entries, report.size), (index as u64, index as u64));
    }
}

#[test]
fn checkpoints_hold_or_fail() {
    let book = Book::of(5);
    let good = book.checkpoint(5, RECORDER);
    let id = book.id();
    let root = |size: usize| book.leaves[..size].iter().copied().collect::<CompactRange>().root();
    let longer = {
        let mut longer = book.clone();
        longer.note("fact");
        longer
    };
    let other = Book::open("other").checkpoint(1, RECORDER);
    let snapshot = format!("countersign-snapshot/v1\n{id}\nx\n");
    let snapshot = SignedNote::sign(&snapshot, id.as_str(), &key(RECORDER)).unwrap().to_string();
    let tail = SignedNote::sign(
        &format!("{id}\n5\n{}\nmore\n", good.lines().nth(2).unwrap()),
        id.as_str(),
        &key(RECORDER),
    );
    let cases = [
        ("not a note", "junk".to_owned(), (5, FaultCode::Note)),
        ("empty", String::new(), (5, FaultCode::Note)),
        ("snapshot", snapshot, (5, FaultCode::Note)),
        ("extension line", tail.unwrap().to_string(), (5, FaultCode::Note)),
        ("other ledger", other, (5, FaultCode::CheckpointOrigin)),
        ("other key", book.checkpoint(5, GOVERNOR), (4, FaultCode::CheckpointSignature)),
        ("edited", good.replace("\n5\n", "\n4\n"), (3, FaultCode::CheckpointSignature)),
        ("edited to be ahead", good.replace("\n5\n", "\n50\n"), (5, FaultCode::CheckpointAhead)),
        ("other root", checkpoint(id.as_str(), 3, root(4), RECORDER), (2, FaultCode::CheckpointRoot)),
        ("root of less", checkpoint(id.as_str(), 5, root(4), RECORDER), (4, FaultCode::CheckpointRoot)),
        ("ahead", longer.checkpoint(6, RECORDER), (5, FaultCode::CheckpointAhead)),
        ("ahead, unknown key", longer.checkpoint(6, 9), (5, FaultCode::CheckpointAhead)),
        (
            "size 0, unknown key",
            checkpoint(id.as_str(), 0, EMPTY_ROOT, 9),
            (5, FaultCode::CheckpointSignature),
        ),
    ];
    for (name, note, (seq, code)) in &cases {
        assert_eq!(fault(&audit(book.bytes(), &[note])), found(*seq, *code), "case: {name}");
        // All must hold, wherever they come from.
        let extra = CheckpointFile { name: "extra".into(), bytes: note.clone().into_bytes() };
        let options = Options { checkpoints: vec![extra], ..Options::default() };
        assert_eq!(fault(&audit_with(book.bytes(), &[&good], &options)), found(*seq, *code), "extra: {name}");
    }
    // Faults of lines come first.
    let mut torn = book.bytes();
    torn.pop();
    assert_eq!(fault(&audit(torn, &["junk"])), found(4, FaultCode::TornTail));
    let torn = audit(&book.bytes()[..book.bytes().len() - 1], &[&book.checkpoint(2, RECORDER), &good]);
    assert_eq!((torn.anchored, torn.entries), (2, 4));
    // Nothing at or after a fault is anchored: here the first entry is the changed one.
    let text = String::from_utf8(book.lines[1].clone()).unwrap();
    let late = text.replacen(&at(1).to_string(), &at(1).to_string().replace(".000Z", ".001Z"), 1);
    let lines = [book.lines[0].clone(), late.into_bytes(), book.lines[2].clone(), book.lines[3].clone()];
    let notes = [1, 2, 3].map(|size| book.checkpoint(size, RECORDER));
    let changed = audit(join(&lines), &[&notes[0], &notes[1], &notes[2]]);
    assert_eq!((fault(&changed), changed.anchored), (found(1, FaultCode::Prev), 1));
    // Earlier checkpoints still anchor what they cover.
    let report = audit(book.bytes(), &[&book.checkpoint(2, RECORDER), "junk"]);
    assert_eq!((report.anchored, report.entries), (2, 5));
}

#[test]
fn a_checkpoint_is_signed_by_the_recorder_in_force_at_its_last_entry() {
    let mut book = Book::of(3);
    let signed = book.sign(amend(9), &[GOVERNOR, 9]);
    book.push(&signed);
    book.note("fact");
    let verdict = |size: usize, seed: u8| fault(&audit(book.bytes(), &[&book.checkpoint(size, seed)]));
    let wrong = |seq| found(seq, FaultCode::CheckpointSignature);
    for (size, old, new) in [
        (3, None, wrong(2)),
        // Where the entry rotates the key, old or new.
        (4, None, None),
        (5, wrong(4), None),
    ] {
        assert_eq!(verdict(size, RECORDER), old, "old key at {size}");
        assert_eq!(verdict(size, 9), new, "new key at {size}");
    }
}

#[test]
fn every_flip_of_a_checkpoint_is_seen() {
    let book = Book::of(3);
    let note = book.checkpoint(3, RECORDER).into_bytes();
    for bit in 0..note.len() * 8 {
        let mut changed = note.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let mut source = LedgerBytes::new(book.bytes()).with_checkpoint(changed);
        let outcome =
            run::<Permissive>(&mut source, &Options::default(), AsOf::default(), &mut |_, _| {}, &mut |_| {});
        assert_eq!(outcome.unwrap().report.verdict, Verdict::Failed, "bit {bit}");
    }
}

#[test]
fn rules_of_an_unknown_version_are_not_checkable_and_the_chain_still_is() {
    let mut book = Book::of(3);
    let upgrade = LedgerUpgraded { reason: Text::new("newer").unwrap(), rules: 2 };
    let signed = book.sign(upgrade.into(), &[GOVERNOR]);
    book.push(&signed);
    // With nothing after it, everything was checked.
    assert_eq!(audit(book.bytes(), &[]).verdict, Verdict::Verified);

    book.note("fact");
    // A kind that this build does not know may be known to those rules.
    let text = String::from_utf8(book.lines[4].clone()).unwrap();
    book.lines[4] = text.replace(r#""custom""#, r#""castom""#).into_bytes();
    book.leaves[4] = countersign_core::entry::leaf_hash(&book.lines[4]);
    book.note("rule");
    let report = audit(book.bytes(), &[]);
    assert_eq!((report.verdict, report.needs_rules), (Verdict::NotCheckable, Some(2)));
    assert_eq!((report.entries, report.size, fault(&report)), (4, 6, None));
    assert_eq!(verdict_of(&report, ClaimName::Chain), Verdict::Verified);
    assert_eq!(verdict_of(&report, ClaimName::Rules), Verdict::NotCheckable);
    assert!(
        report.to_string().starts_with("not checkable: 4 entries; the 2 after them need rules version 2")
    );

    // Checkpoints over what was judged hold; over more, only their root can be told.
    let report = audit(book.bytes(), &[&book.checkpoint(4, RECORDER), &book.checkpoint(6, RECORDER)]);
    assert_eq!((report.verdict, report.anchored), (Verdict::NotCheckable, 4));
    let wrong = checkpoint(book.id().as_str(), 6, EMPTY_ROOT, RECORDER);
    assert_eq!(fault(&audit(book.bytes(), &[&wrong])), found(5, FaultCode::CheckpointRoot));

    // The chain is checked to the end.
    let mut cut = book.bytes();
    cut.pop();
    assert_eq!(fault(&audit(cut, &[])), found(5, FaultCode::TornTail));
    let mut lines = book.lines.clone();
    lines.swap(4, 5);
    assert_eq!(fault(&audit(join(&lines), &[])), found(4, FaultCode::Seq));
}

#[test]
fn serial_gaps_and_withheld_texts_are_reported_and_not_refused() {
    let mut book = Book::of(3);
    let report = audit(book.bytes(), &[]);
    assert_eq!((report.serial_gaps.len(), report.withheld), (0, 0));
    assert_eq!(verdict_of(&report, ClaimName::Serials), Verdict::Verified);
    let hidden = LedgerFrozen {
        reason: Text::Committed { commitment: countersign_core::digest::Digest::new([3; 32]), length: 9 },
    };
    let mut statement = book.sign(hidden.into(), &[GOVERNOR]).statement().clone();
    statement.serial = 8;
    let signed = statement.sign(&key(GOVERNOR)).unwrap();
    book.push(&signed);
    // Looks like a commitment, and is a tool builder's own.
    let data = RawObject::new(r#"{"a":{"commitment":"x"},"b":"{\"commitment\":\""}"#).unwrap();
    let label = Label::new("fact").unwrap();
    let event = Custom { data, name: label, namespace: Namespace::new("example.org").unwrap() };
    let mut statement = book.sign(event.into(), &[GOVERNOR]).statement().clone();
    statement.serial = 5;
    let signed = statement.sign(&key(GOVERNOR)).unwrap();
    book.push(&signed);
    let report = audit(book.bytes(), &[]);
    assert_eq!((report.verdict, report.withheld), (Verdict::Verified, 1));
    // 0 1 2 5 8 are there.
    assert_eq!(report.serial_gaps.iter().map(|gap| gap.missing).collect::<Vec<_>>(), [4]);
    assert_eq!(verdict_of(&report, ClaimName::Texts), Verdict::NotCheckable);
}

#[test]
fn a_report_for_a_person_says_how_much_is_anchored_and_keeps_lists_short() {
    let book = Book::of(5);
    let mut report = audit(book.bytes(), &[&book.checkpoint(3, RECORDER)]);
    assert!(report.to_string().contains("5 entries, the first 3 anchored by a checkpoint"), "{report}");

    let gap = SerialGap {
        key: key(1).public_key().key_id(),
        author: Principal::new("user:gina").unwrap(),
        missing: 2,
    };
    report.serial_gaps = vec![gap.clone(); 20];
    assert!(!report.to_string().contains("more keys"), "{report}");
    report.serial_gaps = vec![gap; 23];
    assert!(report.to_string().contains("  gap: 3 more keys\n"), "{report}");

    let tail = CutTail { name: "entries/x".into(), bytes: 1 };
    let name = "entries/y".to_owned();
    let whole =
        Inventory { cut: vec![tail.clone(); 20], foreign: vec![name.clone(); 20], ..Inventory::default() };
    report.inventory = Some(whole);
    assert!(!report.to_string().contains("of these kinds"), "{report}");
    let more = Inventory { cut: vec![tail; 22], foreign: vec![name; 24], unnamed: 5, ..Inventory::default() };
    report.inventory = Some(more);
    assert!(report.to_string().contains("  more       11 files of these kinds\n"), "{report}");
}

/// A source that says nothing of itself but its bytes.
#[test]
fn a_source_need_not_know_its_length_nor_what_lies_beside_it() {
    struct Bare(Option<Vec<u8>>);
    impl Source for Bare {
        fn next_segment(&mut self) -> Result<Option<Segment>, SourceError> {
            let bytes = self.0.take();
            let whole = |bytes| Segment {
                name: None,
                place: SegmentPlace::Whole,
                bytes: Box::new(std::io::Cursor::new(bytes)),
            };
            Ok(bytes.map(whole))
        }

        fn checkpoints(&mut self) -> Result<Vec<CheckpointFile>, SourceError> {
            Ok(Vec::new())
        }
    }
    let mut source = Bare(Some(Book::of(3).bytes()));
    assert_eq!((source.total_bytes(), source.inventory().is_none()), (None, true));
    let outcome =
        run::<Permissive>(&mut source, &Options::default(), AsOf::default(), &mut |_, _| {}, &mut |_| {});
    assert_eq!(fault(&outcome.unwrap().report), None);
}

#[test]
fn states_of_the_past_stop_at_seq_and_instant() {
    let book = Book::of(6);
    let entries = |at, before| {
        let mut source = LedgerBytes::new(book.bytes());
        let as_of = AsOf { at, before };
        let run = run::<Permissive>(&mut source, &Options::default(), as_of, &mut |_, _| {}, &mut |_| {});
        run.unwrap().state.unwrap().entries
    };
    assert_eq!(entries(None, None), 6);
    assert_eq!(entries(None, Some(0)), 0);
    assert_eq!(entries(None, Some(3)), 3);
    assert_eq!(entries(None, Some(9)), 6);
    assert_eq!(entries(Some(at(3)), None), 4);
    let just_before = Timestamp::from_millis(at(3).millis() - 1).unwrap();
    assert_eq!(entries(Some(just_before), None), 3);
    assert_eq!(entries(Some(at(3)), Some(2)), 2);
    assert_eq!(entries(Some(Timestamp::MIN), None), 0);

    // Of a ledger that does not hold there is no state, and every entry before the fault was shown once.
    let mut torn = book.bytes();
    torn.pop();
    let mut shown = Vec::new();
    let outcome = run::<Permissive>(
        &mut LedgerBytes::new(torn),
        &Options::default(),
        AsOf::default(),
        &mut |entry: &Entry, state: &Seen| shown.push((entry.seq(), state.entries)),
        &mut |_| {},
    );
    assert!(outcome.unwrap().state.is_none());
    assert_eq!(shown, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
}

/// All single-bit flips of a small ledger. The larger one, under the real rules, is in `tests/tamper.rs`.
#[test]
fn every_single_bit_flip_is_detected_and_located() {
    use rayon::prelude::*;
    let book = Book::of(5);
    let bytes = book.bytes();
    let note = book.checkpoint(5, RECORDER);
    let unprotected = AtomicUsize::new(0);
    let entry_of: Vec<u64> =
        book.lines.iter().enumerate().flat_map(|(seq, line)| vec![seq as u64; line.len() + 1]).collect();
    (0..bytes.len() * 8).into_par_iter().for_each(|bit| {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected = entry_of[bit / 8];
        let report = audit(changed.clone(), &[&note]);
        let fault = report.fault.unwrap_or_else(|| panic!("bit {bit} was not seen"));
        // Of the last two the chain alone can not tell which one was changed; the detail names both, and here tells.
        if expected == 3 && fault.seq == 4 {
            assert_eq!(fault.code, Code::Fault(FaultCode::Prev), "bit {bit}: {fault:?}");
            assert!(fault.detail.ends_with("so it was entry 3"), "bit {bit}: {fault:?}");
        } else {
            assert_eq!(fault.seq, expected, "bit {bit}: {fault:?}");
        }
        if fault.code == Code::Fault(FaultCode::CheckpointRoot) {
            // Nothing but the checkpoint sees it.
            assert!(audit(changed, &[]).is_verified(), "bit {bit}");
            unprotected.fetch_add(1, Ordering::Relaxed);
            let line = String::from_utf8(book.lines[4].clone()).unwrap();
            let start = bytes.len() - line.len() - 1 + line.find("recorded_at\":\"").unwrap() + 14;
            assert!((start..start + 24).contains(&(bit / 8)), "bit {bit} is unprotected");
        }
    });
    assert!(unprotected.into_inner() > 0);
}

/// What a report says of checkpoints, times, serials and texts, word by word, and which claims it makes of the lines before a fault.
#[test]
fn each_claim_says_what_was_shown_and_no_more() {
    let book = Book::of(3);
    let note = |size| book.checkpoint(size, RECORDER);
    let empty = checkpoint(book.id().as_str(), 0, EMPTY_ROOT, RECORDER);
    let wrong = checkpoint(book.id().as_str(), 3, EMPTY_ROOT, RECORDER);
    let torn = |cut: usize| book.bytes()[..book.bytes().len() - cut].to_vec();
    let mut upgraded = book.clone();
    let upgrade = LedgerUpgraded { reason: Text::new("newer").unwrap(), rules: 2 };
    let signed = upgraded.sign(upgrade.into(), &[GOVERNOR]);
    upgraded.push(&signed);
    upgraded.note("fact");
    let reports = [
        ("no checkpoint", audit(book.bytes(), &[])),
        ("over every entry", audit(book.bytes(), &[&note(3)])),
        ("over two of three", audit(book.bytes(), &[&note(2), &note(1)])),
        ("over nothing", audit(book.bytes(), &[&empty])),
        ("a root that is wrong", audit(book.bytes(), &[&wrong])),
        ("a line that is wrong", audit(torn(1), &[&note(2)])),
        ("the second line is wrong", audit(torn(book.lines[2].len() + 2), &[])),
        ("no line is good", audit("{}\n", &[])),
        ("rules to come", audit(upgraded.bytes(), &[&upgraded.checkpoint(4, RECORDER)])),
    ];
    let mut told = String::new();
    for (what, report) in reports {
        told += &format!("{what}\n");
        for claim in report.claims {
            told += &format!("  {}, {}: {}\n", claim.name, claim.verdict, claim.detail);
        }
    }
    assert_eq!(told, include_str!("claims.txt"));
}
