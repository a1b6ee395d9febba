//! Files as they lie on a disk, states of the past, and bytes that nobody would write.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Draft, Folder, World, at, audit, fault, join};
use countersign_audit::{
    AsOf, CheckpointFile, LedgerBytes, LedgerFile, Options, Source, SourceError, Verdict, load, state_at,
    verify, verify_with,
};
use countersign_core::entry::Entry;
use countersign_core::id::{Principal, Resource, Role};
use countersign_core::note::MAX_NOTE_LEN;
use countersign_projection::governance::{Answer, RULES};
use serde_json::json;

#[test]
fn a_file_is_verified_with_the_checkpoint_beside_it() {
    let (world, folder) = (World::story("acme", 16), Folder::new("beside"));
    let path = folder.put("acme.jsonl", world.bytes());
    let check = || verify(&mut LedgerFile::open(&path).unwrap(), &world.pin()).unwrap();
    assert_eq!((fault(&check()), check().anchored), (None, 0));
    folder.put("acme.jsonl.checkpoint", world.checkpoint(16));
    assert_eq!((fault(&check()), check().anchored), (None, 16));
    folder.put("acme.jsonl.checkpoint", "");
    assert_eq!(fault(&check()), at(16, "note"));
    // A longer file than a note may be is read as far as that is seen.
    folder.put("acme.jsonl.checkpoint", vec![b'\n'; 3 * MAX_NOTE_LEN]);
    assert_eq!(fault(&check()), at(16, "note"));
    let files = LedgerFile::open(&path).unwrap().checkpoints().unwrap();
    assert_eq!(files[0].bytes.len(), MAX_NOTE_LEN + 1);
    assert_eq!(LedgerFile::open(&path).unwrap().total_bytes(), Some(world.bytes().len() as u64));
}

#[test]
fn what_is_no_file_is_no_verdict() {
    let folder = Folder::new("none");
    let missing = LedgerFile::open(folder.0.join("none.jsonl"));
    assert!(matches!(missing, Err(SourceError::Missing { .. })));
    assert!(matches!(LedgerFile::open(&folder.0), Err(SourceError::NotAFile { .. })));
    assert!(matches!(CheckpointFile::read(&folder.0), Err(SourceError::NotAFile { .. })));
    assert!(matches!(CheckpointFile::read(&folder.0.join("none")), Err(SourceError::Missing { .. })));
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_what_can_not_be_read_is_not_absent() {
    use std::os::unix::fs::symlink;
    let (world, folder) = (World::open("acme", 1), Folder::new("links"));
    let path = folder.put("acme.jsonl", world.bytes());
    symlink(&path, folder.0.join("link.jsonl")).unwrap();
    assert!(matches!(LedgerFile::open(folder.0.join("link.jsonl")), Err(SourceError::NotAFile { .. })));
    symlink(folder.0.join("nowhere"), folder.0.join("acme.jsonl.checkpoint")).unwrap();
    assert!(matches!(LedgerFile::open(&path), Err(SourceError::NotAFile { .. })));
}

/// A writer goes on after the ledger was opened: a checkpoint that came later is left for the next time.
#[test]
fn a_checkpoint_is_as_old_as_the_entries() {
    let (world, folder) = (World::story("acme", 16), Folder::new("older"));
    let path = folder.put("acme.jsonl", join(&world.lines()[..12]));
    folder.put("acme.jsonl.checkpoint", world.checkpoint(12));
    let mut source = LedgerFile::open(&path).unwrap();
    fs::rename(folder.put("new", world.bytes()), &path).unwrap();
    folder.put("acme.jsonl.checkpoint", world.checkpoint(16));
    let report = verify(&mut source, &world.pin()).unwrap();
    assert_eq!((fault(&report), report.entries, report.anchored), (None, 12, 12));
    let report = verify(&mut LedgerFile::open(&path).unwrap(), &world.pin()).unwrap();
    assert_eq!((fault(&report), report.anchored), (None, 16));
}

#[test]
fn states_of_the_past_answer_as_they_did_then() {
    let world = World::story("acme", 16);
    let granted = world.entries[13].recorded_at();
    let revoked = world.entries[14].recorded_at();
    let (alice, ledger, reader) = (
        Principal::new("user:alice").unwrap(),
        Resource::new("db:ledger").unwrap(),
        Role::new("reader").unwrap(),
    );
    let allowed = |as_of: AsOf, at| {
        let mut source = LedgerBytes::new(world.bytes());
        let (report, state) = state_at(&mut source, &world.pin(), as_of, |_| {}).unwrap();
        assert!(report.is_verified());
        matches!(state.unwrap().check(&alice, &ledger, &reader, at), Answer::Allowed { .. })
    };
    assert!(!allowed(AsOf { at: None, before: Some(13) }, granted));
    assert!(allowed(AsOf { at: None, before: Some(14) }, granted));
    assert!(allowed(AsOf { at: Some(granted), before: None }, granted));
    assert!(!allowed(AsOf { at: Some(revoked), before: None }, revoked));
    assert!(!allowed(AsOf::default(), revoked));

    let (report, state) = load(&mut LedgerBytes::new(world.bytes()), &world.pin(), |_| {}).unwrap();
    assert!(report.is_verified());
    assert_eq!(state.unwrap().digest(), world.state.digest());
    let mut torn = world.bytes();
    torn.pop();
    let (report, state) = load(&mut LedgerBytes::new(torn), &world.pin(), |_| {}).unwrap();
    assert!(!report.is_verified() && state.is_none());
}

#[test]
fn entries_are_shown_in_order_with_the_state_after_them() {
    let world = World::story("acme", 16);
    let (mut shown, mut bytes) = (Vec::new(), Vec::new());
    let report = verify_with(
        &mut LedgerBytes::new(world.bytes()),
        &world.pin(),
        |judged, state| shown.push((judged.entry().head(), state.head())),
        |progress| bytes.push(progress),
    );
    assert!(report.unwrap().is_verified());
    assert_eq!(shown.len(), 16);
    for ((entry, state), original) in shown.iter().zip(&world.entries) {
        assert_eq!((entry, state), (&original.head(), &original.head()));
    }
    let last = bytes.last().unwrap();
    assert_eq!((Some(last.bytes), last.entries), (last.total_bytes, 16));
}

/// T-J1 and T-L1: whatever stands in the file, there is a verdict, and it is not that all is well.
#[test]
fn hostile_bytes_have_a_verdict() {
    let world = World::story("acme", 11);
    let lines = world.lines();
    let text = String::from_utf8(lines[2].clone()).unwrap();
    let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(5_000));
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1).into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("deep array", deep.into_bytes()),
        ("deep object", "{\"a\":".repeat(10_000).into_bytes()),
        ("nul bytes", vec![0; 4_096]),
        ("high bytes", vec![0xff; 4_096]),
        ("cut UTF-8", [&text.as_bytes()[..100], &[0xe2, 0x82]].concat()),
        ("CESU-8", [&text.as_bytes()[..100], &[0xed, 0xa0, 0x80]].concat()),
        ("big number", with("\"seq\":2", "\"seq\":99999999999999999999999999")),
        ("2^53", with("\"seq\":2", "\"seq\":9007199254740992")),
        ("exponent", with("\"seq\":2", "\"seq\":2e0")),
        ("infinite", with("\"seq\":2", "\"seq\":1e999")),
        ("minus zero", with("\"seq\":2", "\"seq\":-0")),
        ("lone surrogate", with("user:gina", "user:\\ud800")),
        ("escape sequence", with("user:gina", "user:\\u001b[2J")),
        ("bidi override", with("user:gina", "user:\u{202e}gina")),
        ("null", with("\"seq\":2", "\"seq\":null")),
        ("bare text", b"hello".to_vec()),
        ("number alone", b"0".to_vec()),
        ("empty object", b"{}".to_vec()),
        ("empty array", b"[]".to_vec()),
    ];
    for (name, line) in cases {
        let bytes = join(&[lines[0].clone(), lines[1].clone(), line]);
        let report = audit(bytes, &[], &Options::default());
        assert_eq!(report.fault.as_ref().map(|fault| fault.seq), Some(2), "case: {name}: {report}");
        let shown = report.to_string() + &report.to_json();
        assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "case: {name}");
    }
}

#[test]
fn json_test_suite_files_are_no_entries() {
    let root = std::env::var_os("COUNTERSIGN_SHARED").map(PathBuf::from);
    let root = root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")));
    let Ok(folder) = fs::read_dir(root.join("vectors/json-test-suite")) else {
        countersign_notices::skip(
            "json_test_suite_files_are_no_entries",
            "the suite is not beside this repository",
        );
        return;
    };
    let mut files: Vec<_> = folder.map(|file| file.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    assert!(!files.is_empty());
    for path in files {
        let bytes = fs::read(&path).unwrap();
        for bytes in [bytes.clone(), [bytes, b"\n".to_vec()].concat()] {
            let report = audit(bytes, &[], &Options::default());
            assert_eq!(report.fault.map(|fault| fault.seq), Some(0), "{}", path.display());
        }
    }
}

/// A line or a few bytes of one ledger put anywhere into another: a verdict, at the latest where they differ.
#[test]
fn random_edits_are_found_at_the_first_difference() {
    let world = World::story("acme", 12);
    let bytes = world.bytes();
    let note = world.checkpoint(12);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for round in 0..600 {
        let (from, to) = (random(bytes.len()), random(bytes.len()));
        let length = 1 + random(40);
        let mut changed = bytes.clone();
        let piece: Vec<u8> = bytes[from..].iter().take(length).copied().collect();
        let end = if round % 2 == 0 { to } else { (to + random(60)).min(changed.len()) };
        changed.splice(to..end, piece);
        if changed == bytes {
            continue;
        }
        let same = changed.iter().zip(&bytes).take_while(|(left, right)| left == right).count();
        let seq = bytes[..same].iter().filter(|byte| **byte == b'\n').count() as u64;
        let found = audit(changed, &[&note], &Options::default()).fault.unwrap();
        // Where the entry after decides, or none does, the one before or after may be named.
        assert!(found.seq == seq || found.seq == seq + 1, "round {round}: {found:?}, changed at {seq}");
        assert!(found.seq == seq || found.code.to_string() == "prev", "round {round}: {found:?}");
    }
}

/// What is wrong with the envelope is named before a signature that is wrong too.
#[test]
fn the_envelope_comes_before_the_signatures() {
    let world = World::story("acme", 18);
    let text = String::from_utf8(world.bytes()).unwrap();
    let (before, last) = text.trim_end().rsplit_once('\n').unwrap();
    let other = World::story("ecma", 18);
    let ids = [&world, &other].map(|world| world.state.ledger_id().unwrap().to_string());
    let serial = last.replacen(r#""serial":2"#, r#""serial":1"#, 1);
    let ledger = last.replacen(&ids[0], &ids[1], 1);
    for (changed, code) in [(serial, "serial"), (ledger, "ledger_id")] {
        assert_ne!(changed, last, "{code}");
        let report = audit(format!("{before}\n{changed}\n"), &[], &world.pin());
        assert_eq!(fault(&report), at(17, code));
    }
}

/// Whatever the rules to come say of an entry, these rules say nothing of it.
#[test]
fn what_comes_after_an_upgrade_is_not_checkable() {
    let mut world = World::story("acme", 14);
    world.post_governed(
        json!({"type": "ledger.upgraded", "reason": {"text": "newer rules"}, "rules": RULES + 1}),
    );
    // With nothing after it, everything was checked.
    assert_eq!(fault(&audit(world.bytes(), &[], &world.pin())), None);

    let event = json!({"type": "custom", "namespace": "acme", "name": "fact", "data": {}});
    let (author, key) = ("user:olga", "user:olga");
    let draft = Draft { author, key, cosigners: &[], new_keys: &[], event, is_decision: false };
    let signed = world.sign(&draft);
    world.entries.push(Entry::seal(world.state.head(), world.at(), &signed).unwrap());
    let report = audit(world.bytes(), &[], &world.pin());
    assert_eq!((report.verdict, report.needs_rules), (Verdict::NotCheckable, Some(RULES + 1)));
    assert_eq!((report.entries, report.size, report.fault), (15, 16, None));
}
