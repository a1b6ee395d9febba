//! Ledgers in directories: how they are read, and what anyone who holds one, and no key, can do to its files.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Folder, World, at, fault, join};
use countersign_audit::{CutTail, LedgerDir, Report, Source, SourceError, Verdict, WarningCode, verify_with};
use countersign_core::digest::LeafHash;
use countersign_core::entry::leaf_hash;

/// A ledger of 32 entries in a directory of its own: segments of 10, 7, 1 and 14 entries, and an empty one at the end.
struct Ledger {
    world: World,
    folder: Folder,
}

const STARTS: [u64; 5] = [0, 10, 17, 18, 32];

fn name(seq: u64) -> String {
    format!("{seq:020}.jsonl")
}

impl Ledger {
    fn new(test: &str) -> Self {
        let (world, folder) = (World::story("acme", 32), Folder::new(test));
        let ledger = Self { world, folder };
        ledger.write(&STARTS);
        ledger.folder.put("checkpoint", ledger.world.checkpoint(32));
        ledger
    }

    /// Writes segments that start at these entries; the last one ends with the ledger.
    fn write(&self, starts: &[u64]) {
        let entries = self.folder.0.join("entries");
        fs::remove_dir_all(&entries).ok();
        fs::create_dir(&entries).unwrap();
        let lines = self.world.lines();
        let ends = starts[1..].iter().copied().chain([lines.len() as u64]);
        for (start, end) in starts.iter().zip(ends) {
            let part = &lines[usize::try_from(*start).unwrap()..usize::try_from(end).unwrap()];
            fs::write(self.segment(*start), join(part)).unwrap();
        }
    }

    fn segment(&self, seq: u64) -> PathBuf {
        self.folder.0.join("entries").join(name(seq))
    }

    fn read(&self, seq: u64) -> Vec<u8> {
        fs::read(self.segment(seq)).unwrap()
    }

    fn verify(&self) -> Report {
        self.try_verify().unwrap()
    }

    fn try_verify(&self) -> Result<Report, SourceError> {
        verify_with(&mut LedgerDir::open(&self.folder.0)?, &self.world.pin(), |_, _| {}, |_| {})
    }

    /// The first fault, with the segment that it is in.
    fn fault(&self) -> Option<(u64, String, String)> {
        let report = self.verify();
        fault(&report).map(|(seq, code)| (seq, code, report.fault.unwrap().segment.unwrap_or_default()))
    }

    /// Without the checkpoint: what the segments alone show.
    fn bare(&self) -> &Self {
        fs::remove_file(self.folder.0.join("checkpoint")).unwrap();
        self
    }
}

fn found(seq: u64, code: &str, segment: u64) -> Option<(u64, String, String)> {
    Some((seq, code.into(), format!("entries/{}", name(segment))))
}

#[test]
fn a_directory_is_verified_however_it_is_cut_into_segments() {
    let ledger = Ledger::new("sound");
    let report = ledger.verify();
    assert_eq!((fault(&report), report.entries, report.anchored), (None, 32, 32), "{report}");
    assert_eq!(report.inventory.as_ref().map(|found| found.segments), Some(5));
    let root = report.root;
    for starts in [&[0][..], &[0, 32], &[0, 1, 2, 31], &(0..=32).collect::<Vec<_>>()] {
        ledger.write(starts);
        let report = ledger.verify();
        assert_eq!((fault(&report), report.anchored, report.root), (None, 32, root), "{starts:?}");
        let segments = report.inventory.map(|found| found.segments);
        assert_eq!(segments, Some(starts.len() as u64), "{starts:?}");
    }
    let source = LedgerDir::open(&ledger.folder.0).unwrap();
    assert_eq!(source.total_bytes(), Some(ledger.world.bytes().len() as u64));
}

#[test]
fn a_fault_is_named_by_segment_line_and_offset_there() {
    let ledger = Ledger::new("place");
    let mut bytes = ledger.read(18);
    let offset = ledger.world.lines()[18].len() + 1;
    bytes[offset] = 0xff;
    fs::write(ledger.segment(18), bytes).unwrap();
    let found = ledger.verify().fault.unwrap();
    assert_eq!((found.seq, found.line, found.offset), (19, Some(2), Some(offset as u64)));
    assert_eq!(found.segment.unwrap(), "entries/00000000000000000018.jsonl");
}

#[test]
fn a_segment_deleted_is_missed_at_the_next() {
    for (index, start) in STARTS.iter().enumerate() {
        let ledger = Ledger::new("deleted");
        fs::remove_file(ledger.segment(*start)).unwrap();
        let want = match index {
            // The last entries are gone with it: only a checkpoint tells. The empty one takes nothing away.
            4 => None,
            _ => found(*start, "segment_name", STARTS[index + 1]),
        };
        assert_eq!(ledger.fault(), want, "segment {start}");
    }
    let ledger = Ledger::new("deleted");
    for start in [18, 32] {
        fs::remove_file(ledger.segment(start)).unwrap();
    }
    assert_eq!(fault(&ledger.verify()), at(18, "checkpoint_ahead"));
    // A limit: between entries, without a checkpoint, nothing shows it.
    assert_eq!((ledger.bare().fault(), ledger.verify().anchored), (None, 0));
}

#[test]
fn all_segments_deleted_is_nothing_verified() {
    let ledger = Ledger::new("nothing");
    for start in STARTS {
        fs::remove_file(ledger.segment(start)).unwrap();
    }
    assert_eq!(fault(&ledger.verify()), at(0, "empty_ledger"));
    fs::write(ledger.segment(0), "").unwrap();
    assert_eq!(fault(&ledger.verify()), at(0, "empty_ledger"));
    // Without the folder of the entries it is no ledger: about that there is no verdict.
    fs::remove_dir_all(ledger.folder.0.join("entries")).unwrap();
    assert!(matches!(ledger.try_verify(), Err(SourceError::NotALedger { .. })));
}

#[test]
fn a_segment_doubled_or_renamed_is_out_of_place() {
    for start in &STARTS {
        for to in [1, 5, 11, 19, 33, 40, u64::MAX] {
            let ledger = Ledger::new("renamed");
            // As a copy: at its name, the position is not the one it says.
            fs::copy(ledger.segment(*start), ledger.segment(to)).unwrap();
            let position = if to > 32 { 32 } else { *STARTS.iter().find(|next| **next > to).unwrap() };
            let want = match to {
                // It stands behind the empty segment, which is not the last then.
                33.. => found(32, "empty_segment", 32),
                _ => found(position, "segment_name", to),
            };
            assert_eq!(ledger.fault(), want, "segment {start} copied to {to}");
            // Moved: a hole where it was, or a wrong name, whichever comes first.
            fs::remove_file(ledger.segment(*start)).unwrap();
            let (seq, code) = fault(&ledger.verify()).unwrap();
            assert!(seq <= position, "segment {start} moved to {to}: {seq}");
            assert!(["segment_name", "empty_segment"].contains(&code.as_str()), "{code}");
        }
    }
    // The last entries once more, under the name that their copy would have.
    let ledger = Ledger::new("renamed");
    fs::copy(ledger.segment(18), ledger.segment(32)).unwrap();
    assert_eq!(ledger.fault(), found(32, "seq", 32));
}

#[test]
fn what_ends_as_a_segment_and_is_named_otherwise_is_a_fault() {
    for wrong in
        ["10.jsonl", "copy.jsonl", ".jsonl", "00000000000000000010.bak.jsonl", "99999999999999999999.jsonl"]
    {
        let ledger = Ledger::new("misnamed");
        let path = ledger.folder.0.join("entries").join(wrong);
        fs::copy(ledger.segment(10), &path).unwrap();
        let want = Some((32, "segment_name".to_owned(), format!("entries/{wrong}")));
        assert_eq!(ledger.fault(), want, "{wrong} beside");
        fs::remove_file(ledger.segment(10)).unwrap();
        assert_eq!(ledger.fault(), found(10, "segment_name", 17), "{wrong} instead");
    }
    // In place of the last, so that nothing stands behind it: never just a shorter ledger.
    let ledger = Ledger::new("misnamed");
    fs::remove_file(ledger.segment(32)).unwrap();
    fs::rename(ledger.segment(18), ledger.folder.0.join("entries/18.jsonl")).unwrap();
    let want = Some((18, "segment_name".to_owned(), "entries/18.jsonl".to_owned()));
    assert_eq!(ledger.bare().fault(), want);
}

#[test]
fn segments_that_change_places_are_out_of_place() {
    for (left, right) in [(0, 10), (0, 18), (10, 17), (10, 18), (17, 18)] {
        let ledger = Ledger::new("swapped");
        let (one, other) = (ledger.read(left), ledger.read(right));
        fs::write(ledger.segment(left), other).unwrap();
        fs::write(ledger.segment(right), one).unwrap();
        assert_eq!(ledger.fault(), found(left, "seq", left), "{left} and {right}");
    }
}

#[test]
fn an_emptied_segment_is_a_fault_unless_it_is_the_last() {
    for start in &STARTS[..4] {
        let ledger = Ledger::new("emptied");
        fs::write(ledger.segment(*start), "").unwrap();
        assert_eq!(ledger.fault(), found(*start, "empty_segment", *start), "segment {start}");
    }
    let ledger = Ledger::new("emptied");
    fs::remove_file(ledger.segment(32)).unwrap();
    fs::write(ledger.segment(18), "").unwrap();
    assert_eq!(fault(&ledger.verify()), at(18, "checkpoint_ahead"));
}

/// At every end of a line and the bytes around it, and here and there between; at every byte of one entry.
#[test]
fn a_truncated_segment_is_torn_or_too_short_for_the_next() {
    let ledger = Ledger::new("truncated");
    for (index, start) in STARTS[..4].iter().enumerate() {
        let bytes = ledger.read(*start);
        let is_near_end = |length: usize| bytes[length - 1..(length + 2).min(bytes.len())].contains(&b'\n');
        let lengths =
            (1..bytes.len()).filter(|length| *start == 17 || length % 97 == 0 || is_near_end(*length));
        for length in lengths {
            fs::write(ledger.segment(*start), &bytes[..length]).unwrap();
            let whole = start + bytes[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
            let want = match bytes[length - 1] {
                b'\n' => found(whole, "segment_name", STARTS[index + 1]),
                _ => found(whole, "torn_tail", *start),
            };
            assert_eq!(ledger.fault(), want, "segment {start} cut at {length}");
        }
        fs::write(ledger.segment(*start), bytes).unwrap();
    }
    assert_eq!(ledger.fault(), None);
    // Bytes behind the last entry, in a segment that has none yet.
    fs::write(ledger.segment(32), "{\"prev\":").unwrap();
    assert_eq!(ledger.fault(), found(32, "torn_tail", 32));
}

#[test]
fn entries_on_the_wrong_side_of_a_border_are_a_fault() {
    let ledger = Ledger::new("border");
    let (before, after) = (ledger.read(10), ledger.read(17));
    let last = ledger.world.lines()[16].len() + 1;
    fs::write(ledger.segment(10), &before[..before.len() - last]).unwrap();
    fs::write(ledger.segment(17), [&before[before.len() - last..], &after].concat()).unwrap();
    assert_eq!(ledger.fault(), found(16, "segment_name", 17));
    fs::write(ledger.segment(10), [&before[..], &after].concat()).unwrap();
    fs::write(ledger.segment(17), after).unwrap();
    assert_eq!(ledger.fault(), found(18, "segment_name", 17));
}

#[test]
fn what_lies_beside_is_reported_and_no_fault() {
    let ledger = Ledger::new("beside");
    for (name, bytes) in [
        ("lock", ""),
        ("checkpoint.new", "?"),
        ("head.new", "?"),
        ("entries/00000000000000000018.jsonl.rewrite-0", "?"),
        ("entries/00000000000000000018.jsonl.torn-4096", "{\"prev"),
        ("entries/notes.txt", "?"),
        ("README", "?"),
        ("acme.jsonl", "not a segment: it is not in the folder of the entries"),
    ] {
        ledger.folder.put(name, bytes);
    }
    fs::create_dir(ledger.folder.0.join("snapshots")).unwrap();
    ledger.folder.put("snapshots/anything", "?");
    fs::create_dir(ledger.folder.0.join("entries/old")).unwrap();
    fs::create_dir(ledger.folder.0.join("index")).unwrap();
    ledger.folder.put("head", format!("31 {}\n", leaf(&ledger, 30)));
    let report = ledger.verify();
    assert_eq!((report.verdict, report.anchored), (Verdict::Verified, 32));
    let inventory = report.inventory.clone().unwrap();
    let tail = CutTail { name: "entries/00000000000000000018.jsonl.torn-4096".into(), bytes: 6 };
    assert_eq!((inventory.segments, inventory.cut, inventory.unnamed), (5, vec![tail], 0));
    assert_eq!((inventory.durable, report.warnings.len()), (Some(31), 0));
    assert_eq!(inventory.foreign, ["README", "acme.jsonl", "entries/notes.txt", "entries/old"]);
    let text = report.to_string();
    assert!(text.contains("README: no part of the ledger"), "{text}");
    assert!(text.contains("its writer noted 31 entries as durable\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["directory"]["segments"], 5);
    assert_eq!(json["directory"]["foreign"][3], "entries/old");
}

/// The leaf hash of an entry.
fn leaf(ledger: &Ledger, seq: usize) -> LeafHash {
    leaf_hash(&ledger.world.lines()[seq])
}

/// Whoever cuts the tail and the checkpoint with it, and forgets the writer's own note.
#[test]
fn entries_that_the_writers_note_contradicts_are_warned_of_and_no_fault() {
    let ledger = Ledger::new("head");
    let codes = |report: &Report| report.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>();
    let own = format!("32 {}\n", leaf(&ledger, 31));
    ledger.folder.put("head", &own);
    assert!(ledger.bare().verify().is_sound());
    fs::remove_file(ledger.segment(32)).unwrap();
    fs::remove_file(ledger.segment(18)).unwrap();
    let report = ledger.verify();
    assert_eq!((report.verdict, report.entries, report.is_sound()), (Verdict::Verified, 18, false));
    assert_eq!(codes(&report), [WarningCode::EntriesMissing]);
    let text = report.to_string();
    assert!(text.starts_with("verified WITH A WARNING: 18 entries"), "{text}");
    assert!(
        text.contains("WARNING    entries_missing: the writer noted in `head` that 32 entries"),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["warnings"][0]["code"], "entries_missing");
    // Another entry at the place than the one that was durable there.
    for (note, want) in [
        (format!("18 {}\n", leaf(&ledger, 17)), vec![]),
        (format!("18 {}\n", leaf(&ledger, 16)), vec![WarningCode::OtherHistory]),
        (format!("1 {}\n", leaf(&ledger, 17)), vec![WarningCode::OtherHistory]),
        (format!("0 {}\n", leaf(&ledger, 17)), vec![]),
        (format!("19 {}\n", leaf(&ledger, 17)), vec![WarningCode::EntriesMissing]),
        ("none".to_owned(), vec![]),
    ] {
        ledger.folder.put("head", &note);
        assert_eq!(codes(&ledger.verify()), want, "{note}");
    }
    // A wrong line tells by itself why fewer entries are good; a checkpoint that is ahead does not silence it.
    ledger.folder.put("head", &own);
    ledger.folder.put("checkpoint", ledger.world.checkpoint(32));
    let report = ledger.verify();
    assert_eq!(
        (fault(&report), codes(&report)),
        (at(18, "checkpoint_ahead"), vec![WarningCode::EntriesMissing])
    );
    fs::write(ledger.segment(17), "{").unwrap();
    assert_eq!(codes(&ledger.verify()), []);
}

#[test]
fn thousands_of_foreign_files_are_counted_and_not_all_named() {
    let ledger = Ledger::new("crowd");
    for index in 0..1_500 {
        ledger.folder.put(&format!("entries/x{index:04}"), "");
    }
    let inventory = ledger.verify().inventory.unwrap();
    assert_eq!((inventory.foreign.len(), inventory.unnamed), (1_000, 500));
    assert_eq!((&*inventory.foreign[0], &*inventory.foreign[999]), ("entries/x0000", "entries/x0999"));
}

#[test]
fn thousands_of_ends_that_were_cut_off_are_counted_and_not_all_named() {
    let ledger = Ledger::new("cuts");
    let cut = |count: usize| {
        for index in 0..count {
            ledger.folder.put(&format!("entries/00000000000000000018.jsonl.torn-{}", 1_000 + index), "");
        }
        let inventory = ledger.verify().inventory.unwrap();
        (inventory.cut.len(), inventory.unnamed, inventory.foreign.len())
    };
    assert_eq!(cut(1_000), (1_000, 0, 0));
    assert_eq!(cut(1_003), (1_000, 3, 0));
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_anywhere() {
    use std::os::unix::fs::symlink;
    let ledger = Ledger::new("links");
    let root = &ledger.folder.0;
    let is_refused =
        |error| matches!(error, Err(SourceError::NotAFile { .. } | SourceError::NotADirectory { .. }));
    // A segment behind a link is not read, and it is not absent.
    let away = Folder::new("links-away");
    let moved = away.0.join("segment");
    fs::rename(ledger.segment(18), &moved).unwrap();
    symlink(&moved, ledger.segment(18)).unwrap();
    assert!(is_refused(ledger.try_verify()));
    fs::remove_file(ledger.segment(18)).unwrap();
    fs::create_dir(ledger.segment(18)).unwrap();
    assert!(is_refused(ledger.try_verify()));
    fs::remove_dir(ledger.segment(18)).unwrap();
    fs::rename(&moved, ledger.segment(18)).unwrap();
    assert_eq!(ledger.fault(), None);

    let note = away.put("note", ledger.world.checkpoint(32));
    fs::remove_file(root.join("checkpoint")).unwrap();
    symlink(note, root.join("checkpoint")).unwrap();
    assert!(is_refused(ledger.try_verify()));
    fs::remove_file(root.join("checkpoint")).unwrap();

    symlink(root, away.0.join("ledger")).unwrap();
    assert!(is_refused(LedgerDir::open(away.0.join("ledger")).map(|_| ledger.verify())));
    fs::rename(root.join("entries"), away.0.join("entries")).unwrap();
    symlink(away.0.join("entries"), root.join("entries")).unwrap();
    assert!(is_refused(ledger.try_verify()));
    // Somewhere else they are foreign, like anything that does not belong there.
    fs::remove_file(root.join("entries")).unwrap();
    fs::rename(away.0.join("entries"), root.join("entries")).unwrap();
    symlink("nowhere", root.join("entries/link")).unwrap();
    symlink("nowhere", root.join("lock")).unwrap();
    assert_eq!(ledger.verify().inventory.unwrap().foreign, ["entries/link", "lock"]);
}

#[test]
fn what_is_no_directory_is_no_verdict() {
    let folder = Folder::new("no-directory");
    let file = folder.put("file", "");
    assert!(matches!(LedgerDir::open(&file), Err(SourceError::NotADirectory { .. })));
    assert!(matches!(LedgerDir::open(folder.0.join("none")), Err(SourceError::Missing { .. })));
    // What stands in the way of looking is not absence.
    assert!(matches!(LedgerDir::open(file.join("none")), Err(SourceError::Read { .. })));
    assert!(matches!(LedgerDir::open(&folder.0), Err(SourceError::NotALedger { .. })));
    folder.put("entries", "");
    assert!(matches!(LedgerDir::open(&folder.0), Err(SourceError::NotADirectory { .. })));
}

/// A name on a terminal is letters only, whatever the file system allows.
#[cfg(unix)]
#[test]
fn names_are_shown_without_control_characters() {
    let ledger = Ledger::new("names");
    ledger.folder.put("entries/\u{1b}[2J\u{202e}.jsonl", "");
    ledger.folder.put("\u{1b}[31m", "");
    let report = ledger.verify();
    assert_eq!(fault(&report), at(32, "segment_name"));
    let shown = report.to_string() + &report.to_json();
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown}");
}

/// A writer goes on after the ledger was listed: a checkpoint and segments that came later are left for the next time.
#[test]
fn a_ledger_that_grows_is_read_as_it_stood() {
    let ledger = Ledger::new("grows");
    let (longer, lines) = (World::story("acme", 40), World::story("acme", 40).lines());
    let mut source = LedgerDir::open(&ledger.folder.0).unwrap();
    // 32 is the empty one: it gets entries, and another one begins.
    fs::write(ledger.segment(32), join(&lines[32..36])).unwrap();
    fs::write(ledger.segment(36), join(&lines[36..])).unwrap();
    ledger.folder.put("checkpoint", longer.checkpoint(40));
    let report = verify_with(&mut source, &ledger.world.pin(), |_, _| {}, |_| {}).unwrap();
    assert_eq!((fault(&report), report.entries, report.anchored), (None, 32, 32));
    let report = ledger.verify();
    assert_eq!((fault(&report), report.entries, report.anchored), (None, 40, 40));
}
