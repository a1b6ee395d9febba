//! A ledger's directory changed in any way, and opened: nothing that is whole is lost, nothing is made up, nothing is repaired.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use countersign_core::checkpoint::Checkpoint;
use countersign_core::digest::NodeHash;
use countersign_core::entry::{Entry, Head};
use countersign_core::key::SecretKey;
use countersign_core::merkle::Tree;
use countersign_store::conformance::Author;
use countersign_store::file::{FileReader, FileStore, OpenError, Options, Report, inspect_in};
use countersign_store::vfs::sim::SimVfs;
use countersign_store::{Batch, EntryBytes, KeptSnapshot, SnapshotSet, Store, StoreError};

use crate::damage::{Files, KINDS, Others, apply};

/// The first byte names a directory, the others the changes that are made in it; opened with these options. Returns in a word what it
/// came to.
///
/// # Panics
/// Where the store breaks a promise.
pub fn recover(bytes: &[u8], options: fn() -> Options) -> &'static str {
    let Some((first, changes)) = bytes.split_first() else { return "nothing" };
    let world = World::get();
    let shape = &world.shapes[usize::from(*first) % world.shapes.len()];
    let mut files = shape.files.clone();
    apply(&mut files, &world.others, changes);
    if files.is_empty() {
        return "nothing";
    }
    let case = Case { world, shape, files, options };
    let report = case.inspected();
    let came_to = case.opened(&report);
    case.cut();
    came_to
}

/// What fuzzing starts from: each directory with one change of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let kinds = || (0..KINDS).map(|kind| [kind, 0, kind, 7 * kind, 60, kind, 1, kind]);
    let shape = |shape: usize| kinds().map(move |change| [&[shape as u8], &change[..]].concat());
    (0..shapes()).flat_map(shape).collect()
}

/// The directory that an input makes, a line for each file, for whoever looks into a failure.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let Some((first, changes)) = bytes.split_first() else { return String::new() };
    let world = World::get();
    let before = &world.shapes[usize::from(*first) % world.shapes.len()].files;
    let mut after = before.clone();
    apply(&mut after, &world.others, changes);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let line = |name: &&String| match (before.get(*name), after.get(*name)) {
        (one, other) if one == other => format!("{name}, as it was\n"),
        (_, None) => format!("{name}, removed\n"),
        (None, Some(file)) => format!("{name}, new: {}\n", String::from_utf8_lossy(file)),
        (Some(_), Some(file)) => format!("{name}, changed: {}\n", String::from_utf8_lossy(file)),
    };
    names.iter().map(line).collect()
}

/// How many directories there are to begin with.
#[must_use]
pub fn shapes() -> usize {
    World::get().shapes.len()
}

const DIR: &str = "/access.ledger";
/// How many entries the directories have, and how many more are known that could go behind.
const ENTRIES: usize = 8;

/// A directory as some life of a store left it.
struct Shape {
    files: Files,
    /// How many entries were acknowledged, and how many the checkpoint is over.
    acknowledged: usize,
    anchored: usize,
}

struct World {
    /// The one history; the directories hold beginnings of it.
    entries: Vec<Entry>,
    shapes: Vec<Shape>,
    others: Others,
}

impl World {
    fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(Self::new)
    }

    fn new() -> Self {
        let mut author = Author::new(0);
        let statements: Vec<usize> = vec![1, 300, 20, 1, 900, 1, 40, 600, 1, 1, 1];
        let (mut head, mut entries) = (Head::EMPTY, Vec::new());
        for length in statements {
            let statement = author.statement_of(length);
            let entry = Entry::seal(head, countersign_core::time::Timestamp::MIN, &statement);
            entries.push(entry.expect("short enough"));
            head = entries[entries.len() - 1].head();
        }
        let fork = Author::new(1).entries(entries[2].head(), 4);
        let shapes = shapes_of(&entries);
        let lines =
            |entries: &[Entry]| entries.iter().map(|entry| entry.bytes().to_vec()).collect::<Vec<_>>();
        let mut others = Others { lines: lines(&entries), ..Others::default() };
        others.lines.extend(lines(&fork));
        others.lines.extend([b"{}".to_vec(), Vec::new(), vec![b'x'; 70_000]]);
        let segment = |first: usize| format!("entries/{first:020}.jsonl");
        let head_of = |head: Head| format!("{} {}\n", head.size, head.leaf).into_bytes();
        let whole =
            |entries: &[Entry]| lines(entries).into_iter().flat_map(|line| [line, vec![b'\n']].concat());
        others.files = vec![
            ("head".into(), head_of(entries[1].head())),
            ("head".into(), head_of(entries[ENTRIES + 1].head())),
            ("head".into(), head_of(fork[1].head())),
            ("checkpoint".into(), note(&entries[..2])),
            ("checkpoint".into(), note(&entries[..ENTRIES + 2])),
            ("checkpoint".into(), note_of(1 << 40, NodeHash::new([7; 32]))),
            (segment(0), whole(&[&entries[..3], &fork[..]].concat()).collect()),
            (segment(3), whole(&fork).collect()),
            (segment(ENTRIES), whole(&entries[ENTRIES..]).collect()),
            (segment(ENTRIES), Vec::new()),
        ];
        let third: usize = entries[..3].iter().map(|entry| entry.bytes().len() + 1).sum();
        others.names = (0..=ENTRIES + 1).map(segment).collect();
        for first in [0, 2, 4] {
            for rest in ["rewrite-0", "torn-0", "torn-0.2", "rewrite-0.new", "torn-9.new"] {
                others.names.push(format!("{}.{rest}", segment(first)));
            }
        }
        others.names.push(format!("{}.rewrite-{third}", segment(0)));
        others.names.push(format!("{}.torn-{third}", segment(0)));
        others.names.push(format!("{}/below", segment(2)));
        others.names.push(format!("index/{:020}.index", 0));
        others.names.push(format!("snapshots/{:020}.a.snapshot", 4));
        let strange =
            ["head", "checkpoint", "checkpoint.new", "head.new", "lock/below", "entries/strange", "strange"];
        others.names.extend(strange.map(String::from));
        Self { entries, shapes, others }
    }
}

fn note(entries: &[Entry]) -> Vec<u8> {
    let tree: Tree = entries.iter().map(Entry::leaf).collect();
    note_of(tree.size(), tree.root())
}

fn note_of(size: u64, root: NodeHash) -> Vec<u8> {
    let checkpoint = Checkpoint::new("kit", size, root).expect("made of valid parts");
    let signed = checkpoint.sign(&SecretKey::from_seed(&[7; 32])).expect("a key in memory signs any text");
    signed.to_string().into_bytes()
}

/// What directories come to be in the life of a store: by what it does, what it is killed in, and what a loss of power takes away.
fn shapes_of(entries: &[Entry]) -> Vec<Shape> {
    let one = |count: usize, anchored: usize, segment: u64| {
        let vfs = SimVfs::new();
        let store = Options::new().without_a_thread().segment_size(segment).open_in(vfs.clone(), DIR);
        let store = store.expect("an empty disk");
        for pair in entries[..count].chunks(2) {
            now(store.append(Batch::new(pair.to_vec()).expect("chained"))).expect("stored");
        }
        if anchored > 0 {
            now(store.put_checkpoint(anchored as u64, note(&entries[..anchored]).into())).expect("kept");
            let snapshot = |name: &str| KeptSnapshot {
                name: name.into(),
                note: b"note".to_vec().into(),
                payload: name.as_bytes().repeat(300).into(),
            };
            let set = SnapshotSet { size: anchored as u64, snapshots: vec![snapshot("a"), snapshot("b")] };
            for (name, file) in kept_files(&set) {
                vfs.put(&Path::new(DIR).join(name), &file);
            }
        }
        (count, anchored, files_of(&vfs))
    };
    let shape = |(acknowledged, anchored, files)| Shape { files, acknowledged, anchored };
    let single = one(6, 4, 1 << 20);
    let several = one(ENTRIES, 4, 0);
    // After a loss of power, or in a copy: without the writer's last word; and without a checkpoint either.
    let mut silent = several.clone();
    silent.2.remove("head");
    let mut bare = one(5, 0, 1 << 20);
    bare.2.remove("head");
    // Killed between a write and its sync: whole lines, and part of one, that nobody was told of.
    let mut killed = one(4, 2, 1 << 20);
    let segment = killed.2.get_mut(&format!("entries/{:020}.jsonl", 0)).expect("the one segment");
    for entry in &entries[4..6] {
        segment.extend([entry.bytes(), &b"\n"[..]].concat());
    }
    let mut torn = killed.clone();
    torn.2
        .get_mut(&format!("entries/{:020}.jsonl", 0))
        .expect("the one segment")
        .extend(&entries[6].bytes()[..99]);
    // Killed when it had begun the next segment.
    let mut rolled = one(6, 4, 0);
    rolled.2.insert(format!("entries/{:020}.jsonl", 6), Vec::new());
    // Killed in a recovery while it writes again.
    let mut shapes = vec![
        shape(single),
        shape(several),
        shape(silent),
        shape(bare),
        shape(killed.clone()),
        shape(torn),
        shape(rolled),
    ];
    for files in recoveries_of(&killed.2) {
        shapes.push(shape((killed.0, killed.1, files)));
    }
    shapes
}

/// Each directory that has a copy of what is written again in it, of those that killing a recovery leaves.
fn recoveries_of(files: &Files) -> Vec<Files> {
    let mut found: Vec<Files> = Vec::new();
    let whole = disk(files);
    let _ = open(&whole, Options::new());
    for call in 0..whole.call_count() {
        let vfs = disk(files);
        vfs.cut_power_at(call);
        let _ = open(&vfs, Options::new());
        let files = files_of(&vfs.saved());
        if has_copy(&files) && found.last() != Some(&files) {
            found.push(files);
        }
    }
    found
}

/// What the store writes for a set, as docs/format.md says.
fn kept_files(set: &SnapshotSet) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
    set.snapshots.iter().map(|KeptSnapshot { name, note, payload }| {
        let (count, note_len) = (set.snapshots.len(), note.len());
        let header = format!("countersign-kept-snapshot/v1 {count} {note_len} {}\n", payload.len());
        let file = [header.as_bytes(), note, payload].concat();
        (format!("snapshots/{:020}.{name}.snapshot", set.size), file)
    })
}

/// A changed directory.
struct Case {
    world: &'static World,
    shape: &'static Shape,
    files: Files,
    options: fn() -> Options,
}

impl Case {
    /// A look changes nothing and says the same twice.
    fn inspected(&self) -> Result<Report, OpenError> {
        let vfs = disk(&self.files);
        let before = vfs.tree_hash();
        let report = inspect_in(&vfs, DIR);
        assert_eq!(
            format!("{report:?}"),
            format!("{:?}", inspect_in(&vfs, DIR)),
            "a look says the same twice"
        );
        let reader = FileReader::open_in(vfs.clone(), DIR);
        if let Ok(reader) = &reader {
            self.read(reader);
        }
        drop(reader);
        assert_eq!(vfs.tree_hash(), before, "who looks and reads changes nothing");
        report
    }

    /// What a reader shows is there, and is no less than what the writer's word names.
    fn read(&self, reader: &FileReader<SimVfs>) {
        let Ok(head) = now(reader.head()) else { return };
        let (shown, fault) = everything(reader, head);
        self.assert_kept(&shown, fault.as_ref(), head);
        if !has_copy(&self.files) {
            self.assert_there(&shown);
        }
    }

    /// Opened for writing.
    fn opened(&self, report: &Result<Report, OpenError>) -> &'static str {
        let vfs = disk(&self.files);
        let store = open(&vfs, (self.options)());
        self.assert_the_same(&vfs, &store, self.options);
        let (is_open, entries) = (store.is_ok(), store.as_ref().ok().map(|store| store.head_now().size));
        let told = format!("{store:?}");
        let came_to = match store {
            Ok(store) => {
                let came_to = match (&store.recovery().cut, store.recovery().rewritten) {
                    (None, 0) => "opened",
                    (Some(_), _) => "cut",
                    (None, _) => "written again",
                };
                self.goes_on(&vfs, store);
                came_to
            }
            Err(error) => {
                self.assert_left_alone(&vfs, &error, self.options);
                kind_of(&error)
            }
        };
        // A copy that does not fit is found by who would write it back alone.
        if !has_copy(&self.files) {
            let is_sound = report.as_ref().is_ok_and(|report| report.damage.is_none());
            assert_eq!(is_sound, is_open, "a look says what a writer does: {report:?}, {told}");
            let counted = report.as_ref().ok().map(|report| report.entries);
            assert!(!is_open || counted == entries, "a look counts what a writer shows: {report:?}, {told}");
        }
        came_to
    }

    /// With the choice to cut what nothing proves: what stands before the first bad line is kept all the same.
    fn cut(&self) {
        let vfs = disk(&self.files);
        let options = || Options::new().cut_unproven();
        let store = open(&vfs, options());
        self.assert_the_same(&vfs, &store, options);
        match store {
            Ok(store) => self.goes_on(&vfs, store),
            Err(error) => self.assert_left_alone(&vfs, &error, options),
        }
    }

    fn assert_the_same(
        &self,
        vfs: &SimVfs,
        store: &Result<FileStore<SimVfs>, OpenError>,
        options: fn() -> Options,
    ) {
        let again = disk(&self.files);
        let other = open(&again, options());
        let told = |store: &Result<FileStore<SimVfs>, OpenError>| match store {
            Ok(store) => format!("{} {:?}", store.head_now().size, store.recovery()),
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(told(store), told(&other), "the same bytes, the same verdict");
        assert_eq!(vfs.tree(), again.tree(), "and the same bytes afterwards");
    }

    /// What is shown, then more of it, and all that after it was opened once more.
    fn goes_on(&self, vfs: &SimVfs, store: FileStore<SimVfs>) {
        let head = store.head_now();
        let (shown, fault) = everything(&store, head);
        self.assert_kept(&shown, fault.as_ref(), head);
        assert!(
            head.size as usize >= self.intact(),
            "{head:?} of {} that stand where they stood",
            self.intact()
        );
        self.assert_nothing_is_thrown_away(vfs, &store);
        if !has_copy(&self.files) {
            self.assert_there(&shown);
        }
        self.assert_finds(&store, !self.is_intact());
        let _ = now(store.snapshots(u64::MAX)).expect("a folder in memory can be listed");
        let more = Author::new(9).entries(head, 2);
        let batch = Batch::new(more.clone()).expect("chained");
        let after =
            now(store.append(batch)).unwrap_or_else(|error| panic!("nothing is in its way: {error:?}"));
        assert_eq!(after, more[1].head());
        drop(store);
        let store =
            open(vfs, Options::new()).unwrap_or_else(|error| panic!("it was opened before: {error:?}"));
        assert_eq!(
            (store.recovery().cut.as_ref(), store.recovery().rewritten),
            (None, 0),
            "it was closed in order"
        );
        let (again, fault_again) = everything(&store, after);
        assert_eq!(fault.is_some(), fault_again.is_some(), "damage stays as it was");
        if fault.is_none() {
            assert_eq!(again[..shown.len()], shown, "what was shown stays");
            assert_eq!(again[shown.len()..], [more[0].bytes().clone(), more[1].bytes().clone()]);
        }
        let report = inspect_in(vfs, DIR).expect("a sound directory");
        assert_eq!((report.entries, report.damage.is_none()), (after.size, true));
    }

    /// Every entry that stands where it stood is shown; with the word of the writer or a checkpoint, no less than they name.
    fn assert_kept(&self, shown: &[EntryBytes], fault: Option<&StoreError>, head: Head) {
        let intact = self.intact();
        let whole = || self.world.entries[..intact].iter().map(Entry::bytes);
        assert!(shown.iter().zip(whole()).all(|(shown, entry)| shown == entry), "an entry is another one");
        assert!(fault.is_none() || !self.is_intact(), "{fault:?}, and {intact} are as they were");
        assert!(fault.is_some() || shown.len() == head.size as usize, "{} of {head:?}", shown.len());
        if self.is_as_it_was("head") {
            let acknowledged = self.shape.acknowledged;
            assert!(head.size as usize >= acknowledged, "{head:?} of {acknowledged} acknowledged");
            let last = self.segments().last().map_or(0, |(first, _)| *first);
            if let Some(before) = acknowledged.checked_sub(1).filter(|_| acknowledged >= last)
                && let Some(entry) = shown.get(before)
            {
                assert_eq!(entry, self.world.entries[before].bytes(), "not the one that was acknowledged");
            }
        }
        if self.is_as_it_was("checkpoint") {
            let anchored = self.shape.anchored;
            assert!(
                head.size as usize >= anchored,
                "{head:?} of {anchored} acknowledged before a checkpoint"
            );
        }
    }

    /// What is shown is what stands in the segments, from the start.
    fn assert_there(&self, shown: &[EntryBytes]) {
        let there = self.segments().into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>().concat();
        let shown = shown.iter().flat_map(|bytes| [&bytes[..], b"\n"].concat()).collect::<Vec<_>>();
        assert!(there.starts_with(&shown), "something is shown that was not there");
    }

    /// What was in the segments is in them, or kept aside.
    fn assert_nothing_is_thrown_away(&self, vfs: &SimVfs, store: &FileStore<SimVfs>) {
        let after = files_of(vfs);
        for (name, bytes) in &self.files {
            if name.contains(".torn-") && !name.ends_with(".new") && name.starts_with("entries/") {
                assert_eq!(after.get(name), Some(bytes), "{name} was kept");
            }
        }
        if has_copy(&self.files) {
            return;
        }
        let segments = self.segments();
        let Some((last, sealed)) = segments.split_last() else { return };
        for (first, bytes) in sealed {
            assert_eq!(
                after.get(&segment(*first)).map(Vec::as_slice),
                Some(*bytes),
                "a sealed segment changed"
            );
        }
        let left = after.get(&segment(last.0)).map_or(&[][..], Vec::as_slice);
        let rest = last.1.strip_prefix(left).expect("the last segment is as it was, or shorter");
        match &store.recovery().cut {
            None => assert!(rest.is_empty(), "{} bytes are gone", rest.len()),
            Some(cut) => {
                let kept = vfs.tree().remove(&cut.kept).flatten();
                assert_eq!(kept.as_deref(), Some(rest), "what was cut is kept");
                assert_eq!((cut.offset, cut.size), (left.len() as u64, rest.len() as u64));
            }
        }
    }

    /// By their digests, entries are found where they are, whatever the indexes say.
    fn assert_finds(&self, store: &FileStore<SimVfs>, may_be_damaged: bool) {
        for (seq, entry) in self.world.entries.iter().enumerate().take(self.intact()) {
            match now(store.find(entry.signed().digest())) {
                Ok(found) => {
                    let found = found.unwrap_or_else(|| panic!("entry {seq} is not found"));
                    assert_eq!((found.seq as usize, &found.bytes), (seq, entry.bytes()));
                }
                Err(error) => assert!(may_be_damaged, "entry {seq}: {error:?}"),
            }
        }
    }

    /// Who is refused changed nothing, and is refused again.
    fn assert_left_alone(&self, vfs: &SimVfs, error: &OpenError, options: fn() -> Options) {
        let after = files_of(vfs);
        for (name, bytes) in &self.files {
            let is_unfinished = name.ends_with(".new");
            // With a copy, a recovery that was cut off is gone on with before anybody knows how it ends.
            let is_written = has_copy(&self.files) && (name.starts_with("entries/") || is_unfinished);
            if !is_unfinished && !is_written {
                assert_eq!(after.get(name), Some(bytes), "{name} was changed, and then: {error:?}");
            }
        }
        let again = open(vfs, options()).expect_err("it was refused before");
        assert_eq!(kind_of(&again), kind_of(error), "refused for another reason: {again:?}");
    }

    /// How many entries of the history stand where they stood, from the first on.
    fn intact(&self) -> usize {
        self.looked_at().0
    }

    /// Whether there is nothing else in the segments.
    fn is_intact(&self) -> bool {
        self.looked_at().1
    }

    fn looked_at(&self) -> (usize, bool) {
        let mut count = 0;
        for (first, bytes) in self.segments() {
            if first != count {
                return (count, false);
            }
            let mut rest = bytes;
            while let Some(entry) = self.world.entries.get(count)
                && let Some(behind) = rest.strip_prefix(&entry.bytes()[..])
                && let Some(behind) = behind.strip_prefix(b"\n")
            {
                (count, rest) = (count + 1, behind);
            }
            if !rest.is_empty() {
                return (count, false);
            }
        }
        (count, true)
    }

    fn segments(&self) -> Vec<(usize, &[u8])> {
        segments(&self.files)
    }

    fn is_as_it_was(&self, name: &str) -> bool {
        self.shape.files.contains_key(name) && self.files.get(name) == self.shape.files.get(name)
    }
}

fn segment(first: usize) -> String {
    format!("entries/{first:020}.jsonl")
}

/// The segments by their first positions.
fn segments(files: &Files) -> Vec<(usize, &[u8])> {
    let first = |name: &str| {
        let digits = name.strip_prefix("entries/")?.strip_suffix(".jsonl")?;
        (digits.len() == 20).then(|| digits.parse().ok())?
    };
    files.iter().filter_map(|(name, bytes)| Some((first(name)?, &bytes[..]))).collect()
}

/// Whether there are entries that a recovery was writing again.
fn has_copy(files: &Files) -> bool {
    files.keys().any(|name| name.contains(".rewrite-") && !name.ends_with(".new"))
}

fn open(vfs: &SimVfs, options: Options) -> Result<FileStore<SimVfs>, OpenError> {
    options.without_a_thread().segment_size(2_000).open_in(vfs.clone(), DIR)
}

fn disk(files: &Files) -> SimVfs {
    let vfs = SimVfs::new();
    for (name, bytes) in files {
        vfs.put(&Path::new(DIR).join(name), bytes);
    }
    vfs
}

fn files_of(vfs: &SimVfs) -> Files {
    let name = |path: PathBuf| Some(path.strip_prefix(DIR).ok()?.to_str()?.to_owned());
    vfs.tree().into_iter().filter_map(|(path, bytes)| Some((name(path)?, bytes?))).collect()
}

/// What a store shows up to its head, and what keeps it from showing the rest.
fn everything(store: &impl Store, head: Head) -> (Vec<EntryBytes>, Option<StoreError>) {
    let mut all = Vec::new();
    while (all.len() as u64) < head.size {
        match now(store.read(all.len() as u64, 3)) {
            Ok(read) if read.is_empty() => panic!("nothing at {} of {head:?}", all.len()),
            Ok(read) => all.extend(read),
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}

fn kind_of(error: &OpenError) -> &'static str {
    match error {
        OpenError::Damaged { .. } => "damaged",
        OpenError::Unproven { .. } => "unproven",
        OpenError::BelowFloor { .. } => "below the floor",
        OpenError::OtherHistory { .. } => "another history",
        OpenError::Checkpoint { .. } => "no checkpoint",
        OpenError::UnknownName { .. } => "an unknown name",
        OpenError::NotALedger { .. } => "no ledger",
        OpenError::Io { .. } => "can not be read",
        _ => "something else",
    }
}

/// What is done at once in memory.
fn now<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits for nobody"),
    }
}
