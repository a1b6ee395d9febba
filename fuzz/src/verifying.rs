//! A ledger's directory changed in any way, and verified: one verdict, and a good one for what is good alone.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use countersign_audit::{LedgerDir, Options, Report, SourceError, Verdict, verify};
use countersign_core::checkpoint::Checkpoint;
use countersign_core::digest::StatementDigest;
use countersign_core::entry::Entry;
use countersign_core::merkle::Tree;
use countersign_projection::test_kit::Playground;

use crate::damage::{Files, KINDS, Others, apply};

/// The first byte names a directory, the others the changes that are made in it; it is written to `dir` and verified there. Returns
/// the report, if the directory could be read, and none where nothing is left of it.
///
/// # Panics
/// Where the verifier breaks a promise, or `dir` can not be written.
pub fn verifies(bytes: &[u8], dir: &Path) -> Option<Result<Report, SourceError>> {
    let (_, files) = changed(bytes)?;
    write(&files, dir);
    let report = report(dir);
    let again = self::report(dir);
    assert_eq!(format!("{report:?}"), format!("{again:?}"), "the same bytes, the same verdict");
    if let Ok(report) = &report {
        assert_sound(World::get(), bytes, &files, report);
    }
    assert!(read(dir) == files, "who verifies changes nothing");
    Some(report)
}

/// What fuzzing starts from: each directory with one change of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let kinds = || (0..KINDS).map(|kind| [kind, 0, kind, 7 * kind, 60, kind, 1, kind]);
    let shape = |shape: usize| kinds().map(move |change| [&[shape as u8], &change[..]].concat());
    (0..World::get().shapes.len()).flat_map(shape).collect()
}

/// The directory that an input makes, a line for each file, for whoever looks into a failure.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let Some((before, after)) = changed(bytes) else { return String::new() };
    let line = |(name, file): (&String, &Vec<u8>)| match before.get(name) {
        Some(same) if same == file => format!("{name}, as it was\n"),
        _ => format!("{name}: {}\n", String::from_utf8_lossy(file)),
    };
    after.iter().map(line).collect()
}

/// The directory that the first byte names, and what the others make of it.
fn changed(bytes: &[u8]) -> Option<(&'static Files, Files)> {
    let (first, changes) = bytes.split_first()?;
    let world = World::get();
    let before = &world.shapes[usize::from(*first) % world.shapes.len()];
    let mut files = before.clone();
    apply(&mut files, &world.others, changes);
    (!files.is_empty()).then_some((before, files))
}

fn report(dir: &Path) -> Result<Report, SourceError> {
    verify(&mut LedgerDir::open(dir)?, &Options::default())
}

/// What the report says is true of the bytes.
fn assert_sound(world: &World, bytes: &[u8], files: &Files, report: &Report) {
    let lines = lines_of(files);
    let like = |history: &[Entry]| {
        lines.iter().zip(history).take_while(|(line, entry)| **line == &entry.bytes()[..]).count()
    };
    let intact = world.histories.iter().map(|history| like(history)).max().unwrap_or(0);
    assert!(report.entries as usize >= intact, "{} of {intact} that are as they were", report.entries);
    let anchored = report.anchored as usize;
    assert!(anchored <= intact, "{anchored} are anchored, of {intact} that were ever signed for");
    if let Some(fault) = &report.fault {
        assert!(fault.seq <= lines.len() as u64 + 1, "{fault:?} of {} lines", lines.len());
    }
    let known = world.statements();
    for line in &lines[..report.entries as usize] {
        let entry = Entry::parse(*line).expect("what passes is an entry");
        assert!(known.contains(&entry.signed().digest()), "a statement that nobody made passes");
    }
    if report.verdict == Verdict::Verified {
        assert_eq!(report.entries as usize, lines.len(), "all of it is verified");
        let tree: Tree = lines.iter().map(|line| countersign_core::entry::leaf_hash(line)).collect();
        assert_eq!((report.size, report.root), (tree.size(), tree.root()));
    }
    let (before, _) = changed(bytes).expect("it was before");
    let counts = |files: &Files| -> Files {
        let counts = |name: &str| name == "head" || name == "checkpoint" || name.ends_with(".jsonl");
        files
            .iter()
            .filter(|(name, _)| counts(name))
            .map(|(name, file)| (name.clone(), file.clone()))
            .collect()
    };
    assert!(
        counts(before) != counts(files) || report.is_sound(),
        "nothing was changed that counts: {report}"
    );
}

/// The lines of the segments in order, up to the first that is not where its name says, or is not ended by a line feed.
fn lines_of(files: &Files) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let has_digits = |name: &str| name.len() == segment(0).len() && name.ends_with(".jsonl");
    for (name, bytes) in files.iter().filter(|(name, _)| name.starts_with("entries/") && has_digits(name)) {
        if *name != segment(lines.len()) {
            break;
        }
        let whole = bytes.split_inclusive(|byte| *byte == b'\n').map_while(|line| line.strip_suffix(b"\n"));
        lines.extend(whole);
        if !bytes.ends_with(b"\n") {
            break;
        }
    }
    lines
}

struct World {
    /// Two that begin alike.
    histories: [Vec<Entry>; 2],
    shapes: Vec<Files>,
    others: Others,
}

impl World {
    fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(Self::new)
    }

    fn new() -> Self {
        let mut one = Playground::new();
        let mut other = one.clone();
        let valid = "the rules admit it";
        let request = |ledger: &mut Playground, who: &str| {
            let request = ledger.request(who, "app:billing", "reader", Playground::hold(3_600), None);
            let request = request.expect(valid);
            ledger.approve("user:owner-a", request).expect(valid);
            ledger.grant(request).expect(valid)
        };
        let grant = request(&mut one, "user:worker-a");
        one.revoke("user:worker-a", grant).expect(valid);
        request(&mut one, "user:worker-b");
        other.pass(60);
        request(&mut other, "user:worker-c");
        let histories = [one, other].map(|ledger| ledger.entries().to_vec());
        let [entries, fork] = &histories;
        let common = entries.iter().zip(fork).take_while(|(one, other)| one.bytes() == other.bytes()).count();
        let shapes = shapes_of(entries);
        let line = |entry: &Entry| entry.bytes().to_vec();
        let mut others = Others { lines: entries.iter().map(line).collect(), ..Others::default() };
        others.lines.extend(fork[common..].iter().map(line));
        others.lines.extend([
            b"{}".to_vec(),
            Vec::new(),
            vec![b'['; 70_000],
            b"\x1b[31m\xe2\x80\xae".to_vec(),
        ]);
        others.files = vec![
            ("checkpoint".into(), note(&entries[..2])),
            ("checkpoint".into(), note(fork)),
            ("head".into(), head(fork)),
            (segment(0), whole(fork)),
            (segment(common), whole(&fork[common..])),
            (segment(entries.len()), Vec::new()),
        ];
        others.names = (0..=entries.len()).step_by(5).map(segment).collect();
        others.names.extend(
            [
                "checkpoint",
                "checkpoint.new",
                "head",
                "lock/below",
                "strange",
                "entries/\u{1b}[31mred",
                "entries/\u{202e}lnosj.0",
                "entries/00000000000000000000.jsonl/below",
                "entries/00000000000000000000.jsonl.torn-9",
                "entries/00000000000000000000.jsonl.rewrite-0",
                "entries/0.jsonl",
                "snapshots/a",
                "index/b",
            ]
            .map(String::from),
        );
        Self { histories, shapes, others }
    }

    /// Every statement that somebody signed.
    fn statements(&self) -> Vec<StatementDigest> {
        self.histories.iter().flatten().map(|entry| entry.signed().digest()).collect()
    }
}

fn segment(first: usize) -> String {
    format!("entries/{first:020}.jsonl")
}

fn whole(entries: &[Entry]) -> Vec<u8> {
    entries.iter().flat_map(|entry| [&entry.bytes()[..], b"\n"].concat()).collect()
}

fn head(entries: &[Entry]) -> Vec<u8> {
    let head = entries[entries.len() - 1].head();
    format!("{} {}\n", head.size, head.leaf).into_bytes()
}

/// The recorder's checkpoint over these entries.
fn note(entries: &[Entry]) -> Vec<u8> {
    let tree: Tree = entries.iter().map(Entry::leaf).collect();
    let ledger = Playground::new().state().ledger_id().expect("it has begun").to_string();
    let checkpoint = Checkpoint::new(&ledger, tree.size(), tree.root()).expect("an id is an origin");
    let signed = checkpoint.sign(&Playground::recorder_key()).expect("a key in memory signs any text");
    signed.to_string().into_bytes()
}

fn shapes_of(entries: &[Entry]) -> Vec<Files> {
    let of = |per: usize, anchored: usize| {
        let mut files: Files =
            entries.chunks(per).map(|part| (segment(part[0].seq() as usize), whole(part))).collect();
        files.insert("head".into(), head(entries));
        files.insert("lock".into(), Vec::new());
        files.insert("checkpoint".into(), note(&entries[..anchored]));
        files
    };
    let single = of(entries.len(), entries.len());
    let several = of(7, entries.len() - 3);
    // A copy, without a word of anybody.
    let mut bare = of(7, 1);
    bare.retain(|name, _| name.starts_with("entries/"));
    let mut beside = several.clone();
    beside.insert(format!("{}.torn-3", segment(0)), b"{\"prev".to_vec());
    beside.insert("snapshots/a".into(), b"none".to_vec());
    vec![single, several, bare, beside]
}

fn write(files: &Files, dir: &Path) {
    let _ = fs::remove_dir_all(dir);
    for (name, bytes) in files {
        let path = dir.join(name);
        let above = path.parent().expect("below the directory");
        fs::create_dir_all(above)
            .and_then(|()| fs::write(&path, bytes))
            .expect("a directory that can be written");
    }
}

fn read(dir: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it was written") {
            let path = entry.expect("it was written").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below it").to_str().expect("UTF-8").to_owned();
                files.insert(name, fs::read(path).expect("it was written"));
            }
        }
    }
    files
}
